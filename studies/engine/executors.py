"""Start a run somewhere, get its events back, let it go on or stop. A cluster is one more class like these.

An executor has a number of slots. Whoever owns it starts a job in a free slot, waits for messages, and answers
each event with ``go`` or ``stop``. A worker that dies is a message too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seqclf_core.config import RunConfig
from seqclf_core.events import EVENT, Event


@dataclass(frozen=True)
class Job:
    """A run to be done: what, in which folder, with which cache."""

    key: str
    config: RunConfig
    folder: Path
    cache: Path


@dataclass(frozen=True)
class Failed:
    """A run that ended by an error."""

    reason: str


@dataclass(frozen=True)
class Stopped:
    """A run that stopped because it was told to."""


@dataclass(frozen=True)
class WorkerDied:
    """A worker that ended without a word; its run is in its checkpoint."""

    reason: str
    lost: bool = False
    """Whether it went with its machine: that says nothing about the run."""


@dataclass(frozen=True)
class DiskFull:
    """The disk is full; the run is in its checkpoint."""

    reason: str


@dataclass(frozen=True)
class Unfit:
    """A slot that cannot do runs, and is dropped; the run itself is as good as before."""

    reason: str


Message = Event | Failed | Stopped | WorkerDied | DiskFull | Unfit


def parse_message(line: str | bytes) -> Message | None:
    """Return what a line of a slot says; None when it is only that it is ready."""
    fields = json.loads(line)
    match fields["event"]:
        case "ready":
            return None
        case "stopped":
            return Stopped()
        case "failed":
            return Failed(fields["reason"])
        case "no_room":
            return DiskFull(fields["reason"])
        case "unfit":
            return Unfit(fields["reason"])
        case _:
            return EVENT.validate_python(fields)


class Executor(Protocol):
    """Places to run in."""

    slots: int
    notices: list[str]
    """Lines for the user on slots that were lost and similar events; whoever prints them removes them from the
    list."""

    def start(self, job: Job) -> None:
        """Begin a run in a free slot."""

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        """Yield (key, message) for what came within ``timeout`` seconds. Answer each event."""

    def answer(self, key: str, go: bool) -> None:
        """Let the run go on after an event, or stop it."""

    def kill(self, key: str) -> None:
        """End a run's worker at once; ``WorkerDied`` follows."""

    def refuse(self, key: str, reason: str) -> None:
        """Drop the slot of a run, whose last event shows that it cannot do it; ``Unfit`` follows."""

    def close(self) -> None:
        """End all workers at once."""
