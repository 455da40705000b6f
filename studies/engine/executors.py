"""Start a run somewhere, get its events back, let it go on or stop. A cluster is one more class like these.

An executor has a number of slots. Whoever owns it starts a job in a free slot, waits for messages, and answers
each event with ``go`` or ``stop``. A worker that dies is a message too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seqclf_core.config import RunConfig
from seqclf_core.errors import NotFiniteError, UserError, is_disk_full
from seqclf_core.events import Event


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


@dataclass(frozen=True)
class DiskFull:
    """A disk that takes no more; the run is in its checkpoint."""

    reason: str


Message = Event | Failed | Stopped | WorkerDied | DiskFull


class Executor(Protocol):
    """Places to run in."""

    slots: int

    def start(self, job: Job) -> None:
        """Begin a run in a free slot."""

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        """Yield (key, message) for what came within ``timeout`` seconds. Answer each event."""

    def answer(self, key: str, go: bool) -> None:
        """Let the run go on after an event, or stop it."""

    def kill(self, key: str) -> None:
        """End a run's worker at once; ``WorkerDied`` follows."""

    def close(self) -> None:
        """End all workers at once."""


class Inline:
    """One place, in this process: for notebooks and debuggers. A run advances when its messages are asked for."""

    slots = 1

    def __init__(self) -> None:
        self._job: Job | None = None
        self._stream: Iterator[Event] | None = None

    def start(self, job: Job) -> None:
        """Begin a run."""
        from seqclf_core.run import run

        self._job, self._stream = job, run(job.config, job.folder, job.cache)

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        """Yield the run's next event."""
        if self._job is None or self._stream is None:
            return
        key, message = self._job.key, self._next(self._stream)
        if isinstance(message, Failed | Stopped | DiskFull) or message.event == "finished":
            self._job = self._stream = None
        yield key, message

    def _next(self, stream: Iterator[Event]) -> Event | Failed | Stopped | DiskFull:
        try:
            return next(stream, Stopped())
        except (NotFiniteError, UserError) as error:
            return Failed(str(error))
        except Exception as error:
            if is_disk_full(error):
                return DiskFull(str(error))
            raise

    def answer(self, key: str, go: bool) -> None:
        """Let the run go on after an event, or stop it."""
        if not go:
            self._stream = iter(())

    def kill(self, key: str) -> None:
        """Nothing can end a run in this process but the process."""

    def close(self) -> None:
        """Stop the run."""
        self._job = self._stream = None
