"""Where a run computes, in which precision, and by which kernel."""

from __future__ import annotations

from typing import Literal

import torch

from seqclf_core.config import RunConfig
from seqclf_core.errors import DeviceError
from seqclf_core.events import Started
from seqclf_core.kernels.build import Unavailable
from seqclf_core.kernels.lstm import LSTMKernel, load_kernel
from seqclf_core.models import Encoder


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


def set_computation(encoder: Encoder, config: RunConfig, device: torch.device) -> None:
    """Choose the precision and the kernel of an encoder.

    Raises:
        DeviceError: if the own kernel was asked for and cannot be had; says why.
    """
    encoder.bf16 = use_bf16(config.train.precision, device)
    encoder.kernel = pick_kernel(config, encoder.bf16, device)


def pick_kernel(config: RunConfig, bf16: bool, device: torch.device) -> LSTMKernel | None:
    """Return the own kernel where it was asked for, or where it can be had and auto may choose; else None.

    Raises:
        DeviceError: if it was asked for and cannot be had; says why.
    """
    wanted = config.train.kernel
    if wanted == "onednn":
        return None
    fits = device.type == "cpu" and bf16
    reads_padding = config.model.pooling == "last_position"  # whose states the own kernel does not compute
    if fits and not reads_padding:
        kernel = load_kernel()
        if isinstance(kernel, LSTMKernel):
            return kernel
        reason = kernel.reason
    else:
        reason = "last_position reads padding" if reads_padding else "it computes on a CPU in bf16 alone"
    if wanted == "own":
        raise DeviceError(f"train.kernel=own was asked for, but {reason}; use auto or onednn")
    return None


def compute_as(encoder: Encoder, started: Started) -> None:
    """Let an encoder on a CPU compute as a run did, to the same bits where the machine is of the same kind.

    Raises:
        DeviceError: if the run's kernel cannot be had here; says why.
    """
    encoder.bf16 = started.precision == "bf16"
    encoder.kernel = None
    if started.kernel == "own":
        kernel = load_kernel()
        if isinstance(kernel, Unavailable):
            raise DeviceError(f"the run was computed by the project's own kernel, but {kernel.reason}")
        encoder.kernel = kernel


def kernel_name(encoder: Encoder, device: torch.device) -> Literal["own", "onednn", "cudnn"]:
    """Return what computes an encoder's LSTM layers, as a run records it."""
    if device.type == "cuda":
        return "cudnn"
    return "own" if encoder.kernel else "onednn"


def own_kernel_here() -> bool:
    """Whether this machine can compute by the own kernel."""
    return use_bf16("auto", torch.device("cpu")) and not isinstance(load_kernel(), Unavailable)


def device_name(device: torch.device) -> str:
    """Return what a person calls a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
