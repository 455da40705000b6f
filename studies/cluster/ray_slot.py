"""A slot of a Ray cluster: the actor that does runs on another machine, one answer per event.

It ends itself when its node or its study is gone. Where RUNS is not a folder that all machines share, a run writes
into a temporary folder here, and its files come back with the events that they belong to.

Import this module after ``machines.prepare``: Ray reads the environment when it is imported.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from seqclf_core.data.travel import Files, unpack
from seqclf_core.errors import DataError
from seqclf_core.events import Finished, Progress, Saved
from seqclf_core.files import atomic_write
from seqclf_core.slot import Slot, environment, last_words
from seqclf_core.training.skeleton import CHECKPOINT
from studies.cluster.machines import CACHE, LOCAL, default_cache
from studies.engine.executors import parse_message

LIFE = "life"
"""The concurrency group in which an actor answers while a run is at work."""


@dataclass(frozen=True)
class About:
    """What an actor says of itself when it is ready."""

    host: str
    process: int
    node: str
    environment: dict[str, str]
    shared: bool
    """Whether it sees the folder with all that is recorded."""


class RaySlot:
    """A slot on another machine. Its state: the slot, and when somebody last asked for something."""

    def __init__(self, orphan_seconds: float) -> None:
        torch.set_num_threads(1)
        self._slot = Slot()
        self._orphan_seconds = orphan_seconds
        self._heard = time.monotonic()
        self._parent = os.getppid()
        self._cache = Path(os.environ.get(CACHE) or default_cache())
        self._folder: Path | None = None
        """The run's own folder here, where the folder with all that is recorded is not shared."""
        self._own: Path | None = None
        self._evaluated = False
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """End this process when its node has gone, or nobody has asked for anything in a long while."""
        while os.getppid() == self._parent and time.monotonic() - self._heard < self._orphan_seconds:
            time.sleep(min(1.0, self._orphan_seconds / 4))
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)
        os._exit(1)

    def beat(self) -> None:
        """Hear that the study is still there."""
        self._heard = time.monotonic()

    def ready(self, mark: str, secret: str) -> About:
        """Say what this slot is, once it can work.

        Args:
            mark: a file in the folder with all that is recorded.
            secret: what it holds.
        """
        self._heard = time.monotonic()
        try:
            shared = Path(mark).read_text(encoding="utf-8") == secret
        except OSError:
            shared = False
        shared = shared and os.environ.get(LOCAL) != "1"
        if not shared:
            self._own = Path(tempfile.mkdtemp(prefix="seqclf-slot-"))
        node = ray.get_runtime_context().get_node_id()
        return About(socket.gethostname(), os.getpid(), node, environment(), shared)

    def run(
        self,
        config: Mapping[str, object],
        folder: str,
        key: str,
        corpus: list[ray.ObjectRef],
        files: list[ray.ObjectRef],
    ) -> tuple[str, Files | None]:
        """Begin a run; return its first line, and files where there are some to be brought back.

        Args:
            config: the run's settings.
            folder: the run's own, where it is shared.
            key: of the encoded reviews.
            corpus: a reference to them; a list, so that they are not brought here unless they are needed.
            files: a reference to what the run left on another machine, if it did; a list likewise.
        """
        self._heard = time.monotonic()
        self._evaluated = False
        try:
            place = Path(folder)
            if self._own:
                place = self._folder = self._own / "run"
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                for reference in files:
                    write_files(place, ray.get(reference))
            opened = unpack(key, self._cache, lambda: ray.get(corpus[0]))
        except Exception as error:
            return last_words(error if isinstance(error, OSError | DataError) else OSError(str(error))), None
        return self._with_files(self._slot.run(config, place, self._cache, opened))

    def go(self) -> tuple[str, Files | None]:
        """Let the run go on to its next event."""
        self._heard = time.monotonic()
        return self._with_files(self._slot.go())

    def stop(self) -> tuple[str, Files | None]:
        """End the run where it is."""
        self._heard = time.monotonic()
        return self._slot.stop(), None

    def _with_files(self, line: str) -> tuple[str, Files | None]:
        """Add the files that must outlive this machine: the checkpoint after an evaluation, and all at the end."""
        message = parse_message(line)
        if self._folder is None:
            return line, None
        if isinstance(message, Finished):
            return line, read_files(self._folder)
        if isinstance(message, Progress):
            self._evaluated = True
        if isinstance(message, Saved) and self._evaluated:
            self._evaluated = False
            return line, read_files(self._folder, CHECKPOINT)
        return line, None


def read_files(folder: Path, pattern: str = "**/*") -> Files:
    """Read files below a folder, those whose names begin with a dot left out: path within it -> content."""
    found = (path for path in sorted(folder.glob(pattern)) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def write_files(folder: Path, files: Files) -> None:
    """Write what ``read_files`` read."""
    for name, content in files.items():
        atomic_write(folder / name, content)
