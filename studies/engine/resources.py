"""What this process may use of the machine: processors, memory, GPUs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

WORKER_MEMORY = 1.2e9
"""Bytes that a worker is given room for; `make bench` measures less than 1.0e9."""


def devices() -> list[str]:
    """Return the NVIDIA GPUs that may be used, by the names that CUDA_VISIBLE_DEVICES takes.

    Where the user has set that variable the names are the user's own, numbers or UUIDs, as far as such a GPU is
    here; what stands behind a name that is none of a GPU is hidden, as CUDA does. Their driver is asked, which is
    quicker than loading torch.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return visible_devices(listed.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def gpus() -> int:
    """Return how many NVIDIA GPUs may be used."""
    return len(devices())


def visible_devices(listed: str, visible: str | None) -> list[str]:
    """Return the names of the GPUs that a process may use.

    Args:
        listed: what ``nvidia-smi -L`` prints.
        visible: the value of CUDA_VISIBLE_DEVICES; None where it is not set.

    >>> visible_devices("GPU 0: A (UUID: GPU-1a)\\nGPU 1: A (UUID: GPU-2b)", "1,GPU-1a")
    ['1', 'GPU-1a']
    """
    numbers = [str(number) for number in range(len(re.findall(r"^GPU \d+:", listed, re.MULTILINE)))]
    if visible is None:
        return numbers
    uuids = re.findall(r"UUID: ([\w/-]+)", listed)
    names = []
    for name in (each.strip() for each in visible.split(",")):
        if not (name in numbers or any(name and uuid.startswith(name) for uuid in uuids)):
            break
        names.append(name)
    return names


def processors() -> int:
    """Return how many processors this process may use: by affinity and by the limit of its cgroup."""
    # macOS has no affinity.
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # "max 100000", or "200000 100000": microseconds per period
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return count


def default_workers() -> int:
    """Return one worker per GPU, or as many as processors and memory allow."""
    free = psutil.virtual_memory().available
    return gpus() or max(1, min(processors(), int(free // WORKER_MEMORY)))
