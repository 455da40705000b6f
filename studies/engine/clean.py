"""Say what could be freed under RUNS, and free it when asked: ``make clean``.

What is recorded stays: databases, journals, artifacts, weights of the best runs. What goes can be made anew:
encoded data, checkpoints of runs that have ended, logs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from experiments.tracking.journal import Closed, read
from experiments.tracking.paths import RunPaths


def freeable(paths: RunPaths) -> dict[str, list[Path]]:
    """Return what could be freed, under words that say what it is."""
    checkpoints: list[Path] = []
    for path in paths.all_journals():
        entries = read(path)
        if entries and isinstance(entries[-1], Closed):
            checkpoints += paths.work(paths.key_of(path)).glob("*checkpoint*")
    return {
        "encoded data (made anew in about a minute)": [paths.cache] if paths.cache.exists() else [],
        "checkpoints of ended runs": sorted(checkpoints),
        "logs": paths.logs,
    }


def size(path: Path) -> int:
    """Return the bytes in a file or folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def clean(runs: Path, yes: bool) -> int:
    """List what can go, with sizes, and remove it where that was asked for."""
    paths = RunPaths(runs)
    for what, found in freeable(paths).items():
        total = sum(map(size, found))
        print(f"{total / 1e6:10.1f} MB  {what}")
        if yes:
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    print("Freed." if yes else "Nothing was removed; `make clean YES=1` removes it. Results always stay.")
    return 0
