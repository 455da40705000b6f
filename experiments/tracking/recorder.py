"""events -> journal: what happened in a run, appended to a local file. Nothing here waits for a tracker.

    with Recorder.open(paths.journal(key), header) as recorder:
        for event in run(config, folder, cache):
            recorder.record(event)
        recorder.close("complete")

A run that goes on after an interruption replays its events; those that the journal holds already are recognised,
so the loop above is the same for the first start and for every later one.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Self

from experiments.tracking import names
from experiments.tracking.clock import CLOCK, Clock
from experiments.tracking.journal import Closed, Entry, Happened, Header, Journal, Outcome
from seqclf_core.events import Event, Finished, Progress, Saved, Started


class Recorder:
    """The journal of one run. It has state: the journal's open file."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @classmethod
    def open(cls, path: Path, header: Header, clock: Clock = CLOCK) -> Self:
        """Open the journal of a run; where there is one already, its header stands and this one is not written.

        Raises:
            JournalError: if the file cannot be written, or is damaged.
        """
        journal = Journal(path, clock)
        if not journal.entries:
            journal.append({"entry": "opened", "header": header.model_dump()})
        return cls(journal)

    @property
    def entries(self) -> list[Entry]:
        """All that is recorded so far."""
        return list(self._journal.entries)

    @property
    def events(self) -> list[Started | Progress | Finished]:
        """The run's events so far, in order."""
        return [entry.event for entry in self._journal.entries if isinstance(entry, Happened)]

    @property
    def progress(self) -> list[Progress]:
        """The run's evaluations so far, in order."""
        return [event for event in self.events if isinstance(event, Progress)]

    @property
    def closed(self) -> Closed | None:
        """How the run ended: its outcome, reason and time; None while it is open."""
        last = self._journal.entries[-1] if self._journal.entries else None
        return last if isinstance(last, Closed) else None

    def record(self, event: Event) -> bool:
        """Append an event and return True once it is on disk; one that is there already changes nothing.

        Raises:
            JournalError: if the disk is full.
        """
        if isinstance(event, Saved) or self.closed or any(_same(event, known) for known in self.events):
            return False
        self._journal.append({"entry": "event", "event": event.model_dump()})
        return True

    def close(self, outcome: Outcome, reason: str = "") -> None:
        """Write how the run ended, once: a run that is closed stays as it was closed.

        Raises:
            JournalError: if the disk is full.
        """
        if not self.closed:
            self._journal.append({"entry": "closed", "outcome": outcome, "reason": reason})

    def reopen(self) -> None:
        """Let a closed run go on: a finished study was given a higher total."""
        if self.closed:
            self._journal.append({"entry": "reopened"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()


def _same(event: Event, known: Event) -> bool:
    if isinstance(event, Progress) and isinstance(known, Progress):
        return event.evaluation == known.evaluation
    return type(event) is type(known)


def provenance() -> dict[str, str]:
    """Return tags that say which code made a run: commit, and versions of what computes; imports none of them."""
    libraries = ("torch", "tokenizers", "datasets", "numpy", "scikit-learn", "optuna", "mlflow")
    tags = {f"versions.{name}": version(name) for name in libraries}
    tags["versions.python"] = ".".join(map(str, sys.version_info[:3]))
    tags |= {names.USER: user_name(), names.SOURCE_TYPE: "LOCAL"}
    commit = _git("rev-parse", "HEAD")
    if commit:
        dirty = "-dirty" if _git("status", "--porcelain", "--untracked-files=no") else ""
        tags[names.COMMIT] = commit + dirty
        tags[names.SOURCE_COMMIT] = commit
    return tags


def user_name() -> str:
    """Return who is at work; a user without a name, as in some containers, by number."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _git(*arguments: str) -> str:
    """Return what git prints, nothing where there is no git or no repository."""
    try:
        command = ["git", "--no-optional-locks", *arguments]  # killed, it would leave the repository locked
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
