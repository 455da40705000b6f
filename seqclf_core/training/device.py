"""Where a run computes, and in which precision."""

from __future__ import annotations

import torch

from seqclf_core.errors import DeviceError


def pick_device(wanted: str) -> str:
    """Return "cpu" or "cuda".

    Raises:
        DeviceError: if CUDA was asked for and is not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("train.device=cuda was asked for, but torch finds no CUDA device; use auto or cpu")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def use_bf16(wanted: str, device: torch.device) -> bool:
    """Take bf16 where it was asked for, or where the device computes it natively and may choose."""
    if wanted != "auto":
        return wanted == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def device_name(device: torch.device) -> str:
    """Return what a person calls a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
