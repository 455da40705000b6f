"""The executor for one machine: worker processes that outlive their runs and are replaced when they die."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from seqclf_core.environment import worker_environment
from seqclf_core.errors import UserError
from seqclf_core.events import Finished
from seqclf_core.files import make_folder
from studies.engine.executors import DiskFull, Failed, Job, Message, Stopped, Unfit, WorkerDied, parse_message


class Processes:
    """Worker processes, one torch thread each, in sessions of their own, so that Ctrl-C does not reach them."""

    def __init__(self, slots: int, log: Path, devices: Sequence[str] = ()) -> None:
        """Start the workers.

        Args:
            slots: number of workers.
            log: file for what they say besides events.
            devices: GPUs to share out among them, by the names that CUDA_VISIBLE_DEVICES takes.
        """
        self.slots = slots
        self._log, self._devices = log, devices
        self._selector = selectors.DefaultSelector()
        self.notices: list[str] = []
        self._idle: list[_Worker] = []
        self._waiting: deque[Job] = deque()
        self._refused: list[tuple[str, Unfit]] = []
        self._busy: dict[str, _Worker] = {}
        self._stillborn = 0
        make_folder(log.parent)
        for slot in range(slots):
            self._spawn(slot)

    def _spawn(self, slot: int) -> None:
        worker = _Worker(slot, self._log, self._devices[slot % len(self._devices)] if self._devices else None)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
        self._idle.append(worker)

    def start(self, job: Job) -> None:
        """Give a job to an idle worker; one that is still loading takes it up when it is ready."""
        if not self._idle:
            self._waiting.append(job)  # its slot was dropped: it takes the next one that is free
            return
        worker = self._idle.pop(0)
        self._busy[job.key] = worker
        worker.key = job.key
        worker.send(
            {
                "do": "run",
                "config": job.config.model_dump(mode="json"),
                "folder": str(job.folder),
                "cache": str(job.cache),
            }
        )

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        """Yield (key, message) for what came within ``timeout`` seconds.

        Raises:
            UserError: if three workers in a row end before they are ready; shows their last words.
        """
        while self._refused:
            yield self._refused.pop()
        for ready, _ in self._selector.select(timeout):
            worker: _Worker = ready.data
            lines = worker.read()
            if lines is None:
                yield from self._buried(worker)
                continue
            for line in lines:
                message = parse_message(line)
                if message is None:
                    self._stillborn = 0  # ready: workers do start here
                    worker.ready = True
                elif worker.key is not None:
                    key = worker.key
                    if isinstance(message, Unfit):
                        self._drop(worker, message.reason)
                    elif isinstance(message, Failed | Stopped | DiskFull | Finished):
                        self._release(worker)
                    yield key, message

    def _drop(self, worker: _Worker, reason: str) -> None:
        """Do without a slot.

        Raises:
            UserError: if it was the last one.
        """
        assert worker.key is not None
        del self._busy[worker.key]
        self._selector.unregister(worker.stdout)
        worker.process.kill()
        worker.end()
        self.slots -= 1
        if not self.slots:
            raise UserError(f"No worker can do the study's runs here: {reason}")
        self.notices.append(f"a worker is dropped, {self.slots} are left: {reason}")

    def _release(self, worker: _Worker) -> None:
        assert worker.key is not None
        del self._busy[worker.key]
        worker.key = None
        self._idle.append(worker)
        if self._waiting:
            self.start(self._waiting.popleft())

    def _buried(self, worker: _Worker) -> Iterator[tuple[str, Message]]:
        self._selector.unregister(worker.stdout)
        reason = worker.end()
        key = worker.key
        # One that was killed while it loaded says nothing about whether workers start here.
        self._stillborn += not worker.ready and worker.process.returncode >= 0
        if self._stillborn >= 3:
            raise UserError(f"Workers do not start ({reason}). The end of {self._log}:\n{_tail(self._log)}")
        if key is None:
            self._idle.remove(worker)
        else:
            del self._busy[key]
        self._spawn(worker.slot)
        if key is not None:
            yield key, WorkerDied(reason)

    def refuse(self, key: str, reason: str) -> None:
        """Drop the slot of a run; ``Unfit`` follows.

        Raises:
            UserError: if it was the last one.
        """
        self._drop(self._busy[key], reason)
        self._refused.append((key, Unfit(reason)))

    def answer(self, key: str, go: bool) -> None:
        """Let the run go on after an event, or stop it."""
        if key in self._busy:  # not after ``Finished``, which needs no answer
            self._busy[key].send({"do": "go" if go else "stop"})

    def kill(self, key: str) -> None:
        """End a run's worker at once; ``WorkerDied`` follows."""
        if key in self._busy:
            self._busy[key].process.kill()

    def close(self) -> None:
        """End all workers at once."""
        for worker in [*self._idle, *self._busy.values()]:
            worker.process.kill()
            worker.end()
        self._selector.close()


class _Worker:
    """One worker process and the pipes to it."""

    def __init__(self, slot: int, log: Path, device: str | None) -> None:
        environment = worker_environment(os.environ)
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "seqclf_core.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment,
                cwd=Path(__file__).parents[2], start_new_session=True,
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout
        self.slot = slot
        self.key: str | None = None
        self.ready = False
        self._partial = b""

    def send(self, request: Mapping[str, object]) -> None:
        with suppress(BrokenPipeError):  # it died; its end-of-file says so
            self.stdin.write(json.dumps(request).encode() + b"\n")
            self.stdin.flush()

    def read(self) -> list[bytes] | None:
        """Return the whole lines that have come, or None at end-of-file."""
        data = os.read(self.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._partial = (self._partial + data).split(b"\n")
        return lines

    def end(self) -> str:
        """Close the pipes, collect the process and say how it ended."""
        for pipe in (self.stdin, self.stdout):
            with suppress(BrokenPipeError):
                pipe.close()
        code = self.process.wait()
        if code == -9:
            return "the worker was killed by signal 9, as the system does when memory runs out"
        return f"the worker ended with status {code}" if code >= 0 else f"the worker was ended by signal {-code}"


def _tail(log: Path, lines: int = 15) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
