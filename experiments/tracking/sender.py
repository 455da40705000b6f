"""Sends journals and pages to MLflow one after the other, and says what came of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.tracking import journal
from experiments.tracking.client import MlflowWriter, SyncError
from experiments.tracking.paths import PAGE, RunPaths

FAILURES_IN_A_ROW = 2
"""So many, and MLflow itself is taken to be away: the rest is not tried."""


@dataclass(frozen=True)
class Outcome:
    """What came of a journal or page."""

    path: str
    entries: int = 0
    """Entries of the journal that were sent."""
    since: float = 0.0
    """When the first of these was written, in seconds since 1970."""
    pages: int = 0
    """1 where a page was put."""
    ended: bool = False
    """Whether it is a journal that has ended."""
    reason: str | None = None
    """Why it was not sent."""
    refused: bool = False
    """Whether MLflow was the reason."""
    tried: bool = False
    """Whether it was tried all the same."""


NONE: Mapping[Path, Path] = {}


class Sender:
    """Sends to one MLflow. Its state: the connection."""

    def __init__(self, paths: RunPaths, uri: str) -> None:
        self._paths, self._uri = paths, uri
        self.writer: MlflowWriter | None = None

    def send(self, files: Iterable[Path], pages: Mapping[Path, Path] = NONE) -> Iterator[Outcome]:
        """Send files, and yield what came of each; those that are not tried any more are among them.

        Args:
            files: journals, and pages.
            pages: page -> journal of the run that it is about.
        """
        in_a_row, reason = 0, ""
        for path in files:
            if in_a_row >= FAILURES_IN_A_ROW:
                yield Outcome(str(path), reason=reason, refused=True)
                continue
            try:
                outcome = self._send_one(path, pages)
            except (SyncError, journal.JournalError) as error:
                reason, refused = str(error), isinstance(error, SyncError)
                in_a_row += refused
                yield Outcome(str(path), reason=reason, refused=refused, tried=True)
                continue
            in_a_row = 0
            yield outcome

    def _send_one(self, path: Path, pages: Mapping[Path, Path]) -> Outcome:
        self.writer = self.writer or MlflowWriter(self._paths, self._uri)
        if path in pages and path.name != PAGE:
            if entries := journal.read(pages[path]):
                self.writer.attach_errors(entries, path)
            return Outcome(str(path))
        if path in pages:
            entries = journal.read(pages[path])
            return Outcome(str(path), pages=int(bool(entries) and self.writer.attach_report(entries, path)))
        entries = journal.read(path)
        if not entries:
            return Outcome(str(path))
        sent = self.writer.sync_run(entries)
        since = entries[-sent].time / 1000 if sent else 0.0
        return Outcome(str(path), entries=sent, since=since, ended=isinstance(entries[-1], journal.Closed))
