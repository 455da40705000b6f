"""Brings MLflow up to date with the journals and the studies' pages, as often as needed, without doubles.

    python -m experiments.tracking.sync            # once: make sync
    python -m experiments.tracking.sync --follow   # beside an owner, until its end of our standard input closes

A study starts the second form and never waits for it: a tracker that is down, slow or killed costs the training
nothing, and what could not be delivered stays in the journals for the next delivery.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import tyro
from filelock import FileLock, Timeout

from experiments.tracking import journal
from experiments.tracking.paths import RunPaths, mask, set_mlflow_environment
from seqclf_core.cli import run_command

if TYPE_CHECKING:
    from experiments.tracking.client import MlflowWriter

ROOT = Path(__file__).parents[2]
LOCK_SECONDS = 60.0  # how long a delivery waits for another one
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between looks at the journals; the longer one while MLflow is away
FAILURES_IN_A_ROW = 2  # then MLflow itself is taken to be away, and the rest is not tried


@dataclass
class SyncResult:
    """What one pass over the journals did."""

    entries: int = 0
    runs: int = 0
    pages: int = 0
    """Reports that were put with their studies' runs."""
    undelivered: dict[str, str] = field(default_factory=dict)
    """Journal or page -> why; those that were not tried any more are among them."""


class Sync:
    """Delivers journals to one MLflow. Its state: the connection, and which journals need no look."""

    def __init__(self, paths: RunPaths, tracking_uri: str | None = None) -> None:
        self._paths = paths
        self._uri = paths.tracking_uri(tracking_uri)
        self._tracker: MlflowWriter | None = None
        self._done: dict[Path, tuple[int, int]] = {}
        self._study_of: dict[Path, Path] = {}
        self._failures: dict[Path, int] = {}

    def once(self, pages_only: bool = False) -> SyncResult:
        """Bring every run up to date; one delivery at a time writes under one RUNS."""
        result = SyncResult()
        pending = dict(self._pending(self._pages() if pages_only else [*self._journals(), *self._pages()]))
        if not pending:
            return result
        try:
            with FileLock(self._paths.sync_lock, timeout=LOCK_SECONDS):
                self._deliver(pending, result)
        except Timeout:
            reason = f"another delivery has been at work for {LOCK_SECONDS:.0f} s"
            result.undelivered = {str(path): reason for path in pending}
        return result

    def _journals(self) -> Iterator[Path]:
        yield from self._paths.all_journals()

    def _pages(self) -> Iterator[Path]:
        """Yield the reports on studies, each remembered with the journal of the study's own run."""
        for path in self._paths.study_journals():
            page = self._paths.page(path.parent.name)
            self._study_of[page] = path
            yield page

    def _pending(self, files: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int]]]:
        """Yield those that changed since they were delivered, each with its size and time of change."""
        for path in files:
            with suppress(FileNotFoundError):  # a page that somebody removes
                state = path.stat()
                stamp = (state.st_size, state.st_mtime_ns)
                if self._done.get(path) != stamp:
                    yield path, stamp

    def _deliver(self, pending: dict[Path, tuple[int, int]], result: SyncResult) -> None:
        from experiments.tracking.client import MlflowWriter, SyncError  # takes more than a second

        in_a_row, reason = 0, ""
        # Those that failed before come last, so that they never keep others waiting.
        for path in sorted(pending, key=lambda path: self._failures.get(path, 0)):
            if in_a_row >= FAILURES_IN_A_ROW:
                result.undelivered[str(path)] = reason
                continue
            try:
                self._tracker = self._tracker or MlflowWriter(self._paths, self._uri)
                entries, new = journal.read(self._study_of.get(path, path)), 0
                if entries and path in self._study_of:
                    result.pages += self._tracker.attach(entries, path)
                elif entries:
                    new = self._tracker.sync_run(entries)
            except (SyncError, journal.JournalError) as error:
                reason = str(error)
                result.undelivered[str(path)] = reason
                self._failures[path] = self._failures.get(path, 0) + 1
                in_a_row += isinstance(error, SyncError)
                continue
            in_a_row = 0
            result.entries += new
            result.runs += new > 0
            self._done[path] = pending[path]


def deliver(runs: Path, tracking_uri: str | None = None) -> SyncResult:
    """Bring MLflow up to date with every journal under RUNS, once."""
    set_mlflow_environment()
    return Sync(RunPaths(runs), tracking_uri).once()


def sync_reports(runs: Path, tracking_uri: str | None = None) -> SyncResult:
    """Put the reports on studies that MLflow has not got with their runs, once."""
    set_mlflow_environment()
    return Sync(RunPaths(runs), tracking_uri).once(pages_only=True)


def follow(delivery: Sync, ended: threading.Event) -> SyncResult:
    """Deliver what comes until ``ended`` is set, then what is left; returns what the last pass did."""
    failures, told = 0, ""
    while True:
        last = ended.is_set()  # asked before the pass, so that the last one sees all that was written
        result = delivery.once()
        failures = failures + 1 if result.undelivered else 0
        reason = next(iter(result.undelivered.values()), "")
        if reason != told:
            _log(f"{len(result.undelivered)} runs wait: {reason}" if reason else "everything is delivered again")
            told = reason
        if last:
            return result
        ended.wait(min(PAUSE * 2**failures, LONGEST_PAUSE) if failures else PAUSE)


class SyncProcess:
    """A process that delivers beside an owner. It ends when the owner does, however that comes about."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def stop(self, timeout: float = 60.0) -> bool:
        """Ask for a last delivery and return whether all has arrived; a delivery that takes too long is ended."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            return self.process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()  # at any moment: that is what makes a delivery simple to rely on
            self.process.wait()
            return False


def start_sync(runs: Path, tracking_uri: str | None = None) -> SyncProcess:
    """Start delivering in a process of its own, which writes to ``sync.log`` under RUNS.

    It has its own session, so Ctrl-C does not reach it, and it yields the processor to training.
    """
    paths = RunPaths(runs)
    paths.runs.mkdir(parents=True, exist_ok=True)
    # The address may hold a password, and any user of the machine can see arguments.
    address = {"MLFLOW_TRACKING_URI": tracking_uri} if tracking_uri else {}
    with paths.sync_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.tracking.sync", "--follow", "--runs", str(paths.runs.absolute())],
            cwd=ROOT,
            env={**os.environ, **address},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return SyncProcess(process)


class _Masked:
    """A text stream that hides credentials, whoever writes to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _log(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z {text}", flush=True)


def _follow_standard_input(delivery: Sync) -> SyncResult:
    ended = threading.Event()

    def wait_for_the_end() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    os.nice(10)
    return follow(delivery, ended)


def main(
    runs: Path = Path("runs"),
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None,
    follow: bool = False,
) -> int:
    """Bring MLflow up to date with what has been recorded.

    Args:
        runs: The folder with all that is recorded.
        tracking_uri: MLflow's address; else $MLFLOW_TRACKING_URI, else mlflow.db under RUNS.
        follow: Go on until standard input ends.
    """
    set_mlflow_environment()
    delivery = Sync(RunPaths(runs), tracking_uri)
    result = _follow_standard_input(delivery) if follow else delivery.once()
    done = f"{result.entries} entries of {result.runs} runs and {result.pages} pages"
    print(f"Delivered {done}; {len(result.undelivered)} are left.")
    for path, reason in result.undelivered.items():
        print(f"  {path}: {reason}", file=sys.stderr)
    return 1 if result.undelivered else 0


if __name__ == "__main__":
    sys.stdout, sys.stderr = _Masked(sys.stdout), _Masked(sys.stderr)
    run_command(lambda: tyro.cli(main))
