"""The environment that a process which trains is given before it imports torch.

torch and oneDNN read these variables once, when they are loaded. Whoever starts a worker, or is about to train in
its own process, takes them from here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

REPEATABLE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""One thread gives the same curve every time; two workers with one thread each beat one with two."""

MEMORY = {
    # Large tensors lie in huge pages. At embed 100, hidden 128, batch 64 a step otherwise has 12,000 page faults
    # and takes half as long again.
    "THP_MEM_ALLOC_ENABLE": "1",
    # oneDNN keeps about 21 MB for every shape that it has computed; 80 are more than one run has.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "80",
}
"""Speed and memory; they change no result, and the user's own values stand."""

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""File in which Linux tells which memory lies in huge pages: "always [madvise] never"."""


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker, made from that of its parent.

    Args:
        own: the parent's variables.
    """
    return {**MEMORY, **own, **REPEATABLE}


def prepare_process() -> None:
    """Give this process a worker's environment, where the user has set nothing else; before torch loads."""
    for name, value in {**MEMORY, **REPEATABLE}.items():
        os.environ.setdefault(name, value)


def huge_pages_notice(setting: Path = HUGE_PAGES) -> str | None:
    """Return a sentence that says that training is slower here without huge pages; None where they are to be had.

    Args:
        setting: the kernel's file; where there is none, nothing is known and nothing said.
    """
    try:
        refused = "[never]" in setting.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    if not refused:
        return None
    return (
        "transparent huge pages are off on this machine, so training takes up to a third longer; "
        f"as root: echo madvise > {setting}"
    )
