"""Brings MLflow up to date with the journals and the studies' reports, as often as needed, without doubles.

What could not be sent stays in the journals for the next time, so that a tracker that is down, slow or killed
costs a study nothing. ``make sync`` does it once, a process beside each study (``follow``) again and again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.tracking import journal
from experiments.tracking.client import SyncError
from experiments.tracking.database import remove_stray_folder
from experiments.tracking.paths import STUDY_ID, RunPaths
from experiments.tracking.sender import Sender
from experiments.tracking.stores import recall

LOCK_SECONDS = 60.0
"""Seconds that one sync waits for another one to finish."""
MANY = 64
"""From so many journals on that have news, each rests between two transfers."""
REST_SECONDS = 30.0
"""Least number of seconds between two transfers of one run, where there are many runs."""
CLOCK_TICK = 1_000_000_000
"""Nanoseconds within which two changes of a folder may carry the same time."""

Stamp = tuple[int, int]
"""Size and time of change of a file."""


@dataclass
class SyncResult:
    """What one pass over the journals did."""

    entries: int = 0
    """Entries of journals that were sent."""
    runs: int = 0
    """Runs that they belong to."""
    pages: int = 0
    """Reports that were put with their studies' runs."""
    lag: float = 0.0
    """Seconds that the oldest of these entries waited, since it was written or this sync began."""
    unsent: dict[str, str] = field(default_factory=dict)
    """Journal or page -> why it was not sent; those that were not tried any more are among them."""


class Sync:
    """Sends journals to one MLflow. Its state: the connection, and which journals need no look."""

    def __init__(self, paths: RunPaths, tracking_uri: str | None = None) -> None:
        """Send the journals of one RUNS; nothing is opened before the first pass.

        Args:
            paths: the folder with all that is recorded.
            tracking_uri: address of MLflow; None: the one that belongs to RUNS.
        """
        self._paths = paths
        self._uri = paths.tracking_uri(tracking_uri)
        self._sender = Sender(paths, self._uri)
        self._began = time.time()
        self._journals = _Journals(paths)
        self._sent: dict[Path, Stamp] = {}
        self._sent_at: dict[Path, float] = {}
        self._about: dict[Path, Path] = {}
        self._failures: dict[Path, int] = {}

    def once(self, pages_only: bool = False, thorough: bool = False) -> SyncResult:
        """Bring every run up to date; one process at a time writes to MLflow for one RUNS.

        Args:
            pages_only: leave the journals alone.
            thorough: also look again at journals that had ended and were sent before, and for runs made twice.
        """
        result = SyncResult()
        if thorough:
            self._journals.look_at_all()
        files = self._pages() if pages_only else [*self._journals.open(), *self._pages()]
        pending = dict(self._pending(files))
        if len(pending) > MANY and not thorough:
            pending = {path: stamp for path, stamp in pending.items() if self._is_due(path)}
        known = self._sender.writer if thorough else None
        if not pending and known is None:
            return result
        try:
            with FileLock(self._paths.sync_lock, timeout=LOCK_SECONDS):
                if known:
                    with suppress(SyncError):  # what is sent next says so
                        known.look_again()
                self._send(pending, result)
        except Timeout:
            reason = f"another sync has been at work for {LOCK_SECONDS:.0f} s"
            result.unsent = {str(path): reason for path in pending}
        return result

    def _is_due(self, path: Path) -> bool:
        """Whether a run was not sent a moment ago."""
        return time.monotonic() - self._sent_at.get(path, -REST_SECONDS) >= REST_SECONDS

    def _pages(self) -> Iterator[Path]:
        """Yield the reports on studies, each remembered with the journal of the run that it is about."""
        for path in self._paths.study_journals():
            page = self._paths.page(path.parent.name)
            self._about[page] = path
            yield page
        for page, path in self._paths.errors_pages():
            self._about[page] = path
            yield page

    def _pending(self, files: Iterable[Path]) -> Iterator[tuple[Path, Stamp]]:
        """Yield those that changed since they were sent."""
        for path in files:
            with suppress(FileNotFoundError):  # a page that is not there, a journal that somebody moved away
                state = path.stat()
                stamp = (state.st_size, state.st_mtime_ns)
                if self._sent.get(path) != stamp:
                    yield path, stamp

    def _send(self, pending: dict[Path, Stamp], result: SyncResult) -> None:
        away = False
        # Those that failed before come last, so that they never keep others waiting.
        ordered = sorted(pending, key=lambda path: self._failures.get(path, 0))
        for outcome in self._sender.send(ordered, self._about):
            path, away = Path(outcome.path), outcome.refused
            if outcome.reason is not None:
                result.unsent[outcome.path] = outcome.reason
                self._failures[path] = self._failures.get(path, 0) + outcome.tried
                continue
            result.entries += outcome.entries
            result.runs += outcome.entries > 0
            result.pages += outcome.pages
            if outcome.entries:
                result.lag = max(result.lag, time.time() - max(outcome.since, self._began))
            self._sent[path] = pending[path]
            self._sent_at[path] = time.monotonic()
            if outcome.ended:
                self._journals.forget(path)
                self._sent_at.pop(path)
        remove_stray_folder(self._uri)
        if (
            result.runs
            and recall(self._paths.stores).tracking_uri is None
            and not self._paths.mlflow_database.exists()
        ):
            self._paths.remember_stores(tracking_uri=self._uri)  # the first runs, and they are elsewhere
        if self._sender.writer and not away:
            with suppress(SyncError, journal.JournalError):  # the next pass, or that of a later change, does it
                self._sender.writer.write_best_scores()


class _Journals:
    """The journals under RUNS that may still grow. Its state: which have ended, and what folders held last time.

    A study of 10,000 trials has 10,000 journals that have ended. Nothing is asked of the disk for any of them: a
    folder is listed again only after its own time of change moved, which a new journal makes it do.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._ended: dict[Path, int] = {}  # path -> inode: another file of that name is looked at again
        self._folders: dict[Path, tuple[int, list[Path]]] = {}  # folder -> its time of change, its open journals

    def open(self) -> Iterator[Path]:
        """Yield the journals that have not ended, as far as ``forget`` was told, in order of their keys."""
        try:
            folders = sorted(Path(entry.path) for entry in os.scandir(self._paths.journals) if entry.is_dir())
        except FileNotFoundError:
            return
        for folder in folders:
            changed = folder.stat().st_mtime_ns
            if time.time_ns() - changed < CLOCK_TICK:
                changed = 0  # a journal made right after the listing may not move it: list again next time
            if not changed or self._folders.get(folder, (0, []))[0] != changed:
                self._folders[folder] = (changed, sorted(self._listed(folder)))
            yield from self._folders[folder][1]

    def _listed(self, folder: Path) -> Iterator[Path]:
        for entry in os.scandir(folder):
            path = Path(entry.path)
            if path.suffix == ".jsonl" and self._ended.get(path) != entry.inode():
                yield path

    def forget(self, path: Path) -> None:
        """Look no more at a journal that has ended; a study's own is looked at, since it may be reopened."""
        if path.stem == STUDY_ID:
            return
        with suppress(FileNotFoundError):
            self._ended[path] = path.stat().st_ino
            still_open = self._folders[path.parent][1]
            if path in still_open:
                still_open.remove(path)

    def look_at_all(self) -> None:
        """Forget which journals have ended."""
        self._ended.clear()
        self._folders.clear()


def sync_once(runs: Path, tracking_uri: str | None = None) -> SyncResult:
    """Bring MLflow up to date with every journal and report under RUNS, once."""
    return Sync(RunPaths(runs), tracking_uri).once()


def sync_reports(runs: Path, tracking_uri: str | None = None) -> SyncResult:
    """Put the reports on studies that MLflow has not got with their runs, once."""
    return Sync(RunPaths(runs), tracking_uri).once(pages_only=True)


def said(result: SyncResult) -> str:
    """Return in a line what a pass did."""
    what = f"{result.entries} entries of {result.runs} runs and {result.pages} reports"
    return f"Sent to MLflow: {what}; {len(result.unsent)} runs or reports wait."
