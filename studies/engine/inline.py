"""The executor for notebooks, debuggers and tests: one slot, in this process."""

from __future__ import annotations

from collections.abc import Iterator

from seqclf_core.errors import NotFiniteError, UserError, is_disk_full
from seqclf_core.events import Event
from seqclf_core.run import run
from studies.engine.executors import DiskFull, Failed, Job, Message, Stopped


class Inline:
    """One slot in this process. A run advances when its messages are asked for."""

    slots = 1

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._job: Job | None = None
        self._stream: Iterator[Event] | None = None

    def start(self, job: Job) -> None:
        """Begin a run."""
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

    def refuse(self, key: str, reason: str) -> None:
        """Give up: there is no other slot.

        Raises:
            UserError: always.
        """
        raise UserError(f"This machine cannot do the study's runs: {reason}")

    def kill(self, key: str) -> None:
        """Nothing can end a run in this process but the process."""

    def close(self) -> None:
        """Stop the run."""
        self._job = self._stream = None
