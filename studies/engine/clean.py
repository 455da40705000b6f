"""Say what could be freed under RUNS, and free it when asked: ``make clean``.

What is recorded stays: databases, journals, artifacts, weights of the best runs. What goes can be made anew:
encoded data, checkpoints of runs that have ended, logs. Data and logs of somebody who is at work right now stay.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.tracking.paths import RunPaths
from seqclf_core.files import make_folder, remove
from studies.engine.cleanup import is_closed


def freeable(paths: RunPaths, at_work: bool = False) -> dict[str, list[Path]]:
    """Return what could be freed, under words that say what it is.

    Args:
        paths: the folder with all that is recorded.
        at_work: whether runs are being done, which read encoded data and write logs.
    """
    checkpoints: list[Path] = []
    for path in paths.all_journals():
        folder = paths.work(paths.key_of(path))
        if folder.exists() and is_closed(path):
            checkpoints += folder.glob("*checkpoint*")
    return {
        "encoded data (made anew in about a minute)": [] if at_work else encoded(paths),
        "checkpoints of ended runs": sorted(checkpoints),
        "logs": [] if at_work else paths.logs,
    }


def encoded(paths: RunPaths) -> list[Path]:
    """Return what the cache holds, but for the lock of whoever writes there."""
    lock = paths.cache / "corpus" / "lock"
    found = [path for path in paths.cache.glob("*") if path != lock.parent]
    return sorted([*found, *(path for path in lock.parent.glob("*") if path != lock)])


def busy(paths: RunPaths) -> list[str]:
    """Return the names of studies and experiments that are being run right now."""
    found = set()
    for lock in (*paths.works.glob("*/owner.lock"), *paths.works.glob("*/*.lock")):
        try:
            with FileLock(lock, timeout=0):
                pass
        except Timeout:
            found.add(lock.parent.name)
    return sorted(found)


def size(path: Path) -> int:
    """Return the bytes in a file or folder; what goes meanwhile counts nothing."""
    total = 0
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            total += each.stat().st_size if each.is_file() else 0
    return total


def clean(runs: Path, yes: bool) -> int:
    """List what can go, with sizes, and remove it where that was asked for."""
    paths = RunPaths(runs)
    names = busy(paths)
    if names:
        print(f"At work right now: {', '.join(names)}. Encoded data and logs stay.")
    for what, found in freeable(paths, bool(names)).items():
        total = sum(map(size, found))
        print(f"{total / 1e6:10.1f} MB  {what}")
        if yes:
            _free(paths, found)
    print("Freed." if yes else "Nothing was removed; `make clean YES=1` removes it. Results always stay.")
    return 0


def _free(paths: RunPaths, found: list[Path]) -> None:
    """Remove files and folders; of the cache only while nobody encodes data."""
    cached = [path for path in found if paths.cache in path.parents]
    if cached:
        make_folder(paths.cache / "corpus")
        try:
            with FileLock(paths.cache / "corpus" / "lock", timeout=0):
                _remove(cached)
        except Timeout:
            print("            Data is being encoded right now, and stays.")
    _remove([path for path in found if path not in cached])


def _remove(found: list[Path]) -> None:
    for path in found:
        with suppress(FileNotFoundError):  # somebody else was faster
            remove(path)
