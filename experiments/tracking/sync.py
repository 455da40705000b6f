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
from experiments.tracking.client import MlflowWriter, SyncError
from experiments.tracking.database import remove_stray_folder
from experiments.tracking.paths import STUDY_ID, RunPaths
from experiments.tracking.stores import recall

LOCK_SECONDS = 60.0
"""How long one sync waits for another one."""
FAILURES_IN_A_ROW = 2
"""So many, and MLflow itself is taken to be away: the rest is not tried."""

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
    unsent: dict[str, str] = field(default_factory=dict)
    """Journal or page -> why it was not sent; those that were not tried any more are among them."""


class Sync:
    """Sends journals to one MLflow. Its state: the connection, and which journals need no look."""

    def __init__(self, paths: RunPaths, tracking_uri: str | None = None) -> None:
        self._paths = paths
        self._uri = paths.tracking_uri(tracking_uri)
        self._writer: MlflowWriter | None = None
        self._journals = _Journals(paths)
        self._sent: dict[Path, Stamp] = {}
        self._study_of: dict[Path, Path] = {}
        self._run_of: dict[Path, Path] = {}
        self._failures: dict[Path, int] = {}

    def once(self, pages_only: bool = False, thorough: bool = False) -> SyncResult:
        """Bring every run up to date; one process at a time writes to MLflow for one RUNS.

        Args:
            pages_only: leave the journals alone.
            thorough: also look again at journals that had ended and were sent before.
        """
        result = SyncResult()
        if thorough:
            self._journals.look_at_all()
        files = self._pages() if pages_only else [*self._journals.open(), *self._pages()]
        pending = dict(self._pending(files))
        if not pending:
            return result
        try:
            with FileLock(self._paths.sync_lock, timeout=LOCK_SECONDS):
                self._send(pending, result)
        except Timeout:
            reason = f"another sync has been at work for {LOCK_SECONDS:.0f} s"
            result.unsent = {str(path): reason for path in pending}
        return result

    def _pages(self) -> Iterator[Path]:
        """Yield the reports on studies, each remembered with the journal of the run that it is about."""
        for path in self._paths.study_journals():
            page = self._paths.page(path.parent.name)
            self._study_of[page] = path
            yield page
        for page, path in self._paths.errors_pages():
            self._run_of[page] = path
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
        in_a_row, reason = 0, ""
        # Those that failed before come last, so that they never keep others waiting.
        for path in sorted(pending, key=lambda path: self._failures.get(path, 0)):
            if in_a_row >= FAILURES_IN_A_ROW:
                result.unsent[str(path)] = reason
                continue
            try:
                ended = self._send_one(path, result)
            except (SyncError, journal.JournalError) as error:
                reason = str(error)
                result.unsent[str(path)] = reason
                self._failures[path] = self._failures.get(path, 0) + 1
                in_a_row += isinstance(error, SyncError)
                continue
            in_a_row = 0
            self._sent[path] = pending[path]
            if ended:
                self._journals.forget(path)
        remove_stray_folder(self._uri)
        if (
            result.runs
            and recall(self._paths.stores).tracking_uri is None
            and not self._paths.mlflow_database.exists()
        ):
            self._paths.remember_stores(tracking_uri=self._uri)  # the first runs, and they are elsewhere
        if self._writer and not in_a_row:
            with suppress(SyncError):  # the next pass, or that of a later change, does it
                self._writer.write_best_scores()

    def _send_one(self, path: Path, result: SyncResult) -> bool:
        """Send a journal or a page; return whether it is a journal that has ended."""
        self._writer = self._writer or MlflowWriter(self._paths, self._uri)
        if path in self._study_of:
            entries = journal.read(self._study_of[path])
            result.pages += bool(entries) and self._writer.attach_report(entries, path)
            return False
        if path in self._run_of:
            if entries := journal.read(self._run_of[path]):
                self._writer.attach_errors(entries, path.parent)
            return False
        entries = journal.read(path)
        if entries:
            sent = self._writer.sync_run(entries)
            result.entries += sent
            result.runs += sent > 0
        return bool(entries) and isinstance(entries[-1], journal.Closed)


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
