"""What this process may use of the machine: processors, memory, GPUs."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

WORKER_MEMORY = 1.2e9
"""Bytes that a worker is given room for; `make bench` measures less than 1.0e9."""


def gpus() -> int:
    """Return how many NVIDIA GPUs there are; asked of their driver, which is quicker than loading torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([each for each in visible.split(",") if each.strip() not in ("", "-1")])
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


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
