"""A slot does runs for somebody else, one event per call; a pipe's worker and a cluster's actor each hold one.

Every call answers with one line of JSON, which is an event of the run or its last word:

    {"event": "started", ...}                   an event: answer it with ``go`` or ``stop``
    {"event": "stopped"}                        the run stopped because it was told to
    {"event": "failed", "reason": "..."}        the run ended by an error of its own
    {"event": "no_room", "reason": "..."}       the disk is full, which is no fault of the run
    {"event": "unfit", "reason": "..."}         this machine cannot do it; another one may
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import torch

import seqclf_core
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus
from seqclf_core.errors import DataError, DeviceError, NotFiniteError, UserError, is_disk_full
from seqclf_core.events import Event, Finished
from seqclf_core.run import run
from seqclf_core.training.device import own_kernel_here, use_bf16

STOPPED = json.dumps({"event": "stopped"})
ATTEMPTS = 3
"""How often a run begins again where files of its folder or of the cache are removed under it."""


class Slot:
    """Does one run after another. Its state: the run's stream, at rest between two calls."""

    def __init__(self) -> None:
        self._stream: Iterator[Event] | None = None
        self._begin: Callable[[], Iterator[Event]] = lambda: iter(())
        self._attempts = 0

    def run(self, config: Mapping[str, object], folder: Path, cache: Path, corpus: Corpus | None = None) -> str:
        """Begin a run and return its first line.

        Args:
            config: the run's settings, as JSON values.
            folder: the run's own.
            cache: for encoded data.
            corpus: the encoded data, where it was opened already.
        """
        try:
            settings = RunConfig.model_validate(config)
        except Exception as error:
            return last_words(error)
        self._begin, self._attempts = lambda: run(settings, folder, cache, corpus), ATTEMPTS
        self._stream = self._begin()
        return self.go()

    def go(self) -> str:
        """Let the run go on to its next event and return that."""
        if self._stream is None:
            return STOPPED
        try:
            event = next(self._stream, None)
        except FileNotFoundError as error:
            # Somebody removes what the run writes or reads: it goes on from what is left of it.
            self._attempts -= 1
            if self._attempts < 0:
                self._stream = None
                return last_words(error)
            self._stream = self._begin()
            return self.go()
        except Exception as error:
            # The study goes on with other runs; what this one died of is its reason.
            self._stream = None
            return last_words(error)
        if event is None or isinstance(event, Finished):
            self._stream = None
        return STOPPED if event is None else event.model_dump_json()

    def stop(self) -> str:
        """End the run where it is; its test split is not scored."""
        if self._stream is not None:
            self._stream.close()  # type: ignore[attr-defined]  # an iterator to callers, a generator in truth
        self._stream = None
        return STOPPED


def last_words(error: Exception) -> str:
    """Say as one line what a run ended by: an error of its own, a full disk, or a machine that cannot do it."""
    if is_disk_full(error):
        return json.dumps({"event": "no_room", "reason": str(error)})
    # Who runs a study has read its data already: if they cannot be read here, that is the machine's fault.
    unfit = isinstance(error, DataError | DeviceError | OSError | ImportError | torch.AcceleratorError)
    known = isinstance(error, NotFiniteError | UserError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    return json.dumps({"event": "unfit" if unfit else "failed", "reason": reason})


def environment() -> dict[str, str]:
    """Return what must be the same wherever the runs of one study are done: name -> value."""
    return {
        "code": code_digest(),
        "Python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "tokenizers": version("tokenizers"),
        "bf16": str(use_bf16("auto", torch.device("cpu"))).lower(),
        "own kernel": str(own_kernel_here()).lower(),
    }


def code_digest() -> str:
    """Return 12 hexadecimal digits of SHA-256 over the code that decides what a run does: this package's files."""
    digest = hashlib.sha256()
    root = Path(seqclf_core.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
