"""The process that sends runs to MLflow beside a study: ``python -m experiments.tracking.follow RUNS``.

It ends, after a last pass, when its standard input does: its owner asked for it, or is gone, however that came
about. MLflow's address comes in ``$MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from experiments.tracking.paths import RunPaths, set_mlflow_environment
from seqclf_core.masking import mask

set_mlflow_environment()  # MLflow reads it when it is imported, by the next line

from experiments.tracking.sync import REST_SECONDS, Sync, SyncResult, said  # noqa: E402

PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between looks at the journals; the longer one while MLflow is away."""
LATE = 2 * REST_SECONDS
"""Seconds that an entry may wait before the log says so."""


def follow(sync: Sync, ended: threading.Event) -> SyncResult:
    """Send what comes until ``ended`` is set, then what is left; return what the last pass did."""
    failures, told, late = 0, "", False
    while True:
        last, began = ended.is_set(), time.monotonic()  # before the pass, so that the last one sees all there is
        result = sync.once(thorough=last)
        if result.entries and (result.lag > LATE) != late:
            late = not late
            rate = result.runs / max(time.monotonic() - began, 0.001)
            behind = f"{result.lag:.0f} s behind"
            _log(f"MLflow is {behind}, at {rate:.1f} runs/s" if late else f"MLflow has caught up: it was {behind}")
        failures = failures + 1 if result.unsent else 0
        reason = next(iter(result.unsent.values()), "")
        if reason != told:
            _log(f"{len(result.unsent)} runs wait: {reason}" if reason else "everything is in MLflow again")
            told = reason
        if last:
            return result
        ended.wait(min(PAUSE * 2**failures, LONGEST_PAUSE) if failures else PAUSE)


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


def main(runs: Path) -> int:
    """Follow until standard input ends; return 1 if something could not be sent in the end."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        while os.read(0, 4096):
            pass
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    os.nice(10)  # training goes first
    sync = Sync(RunPaths(runs))
    result = follow(sync, ended)
    _log(said(result))
    return 1 if result.unsent else 0


if __name__ == "__main__":
    sys.stdout, sys.stderr = _Masked(sys.stdout), _Masked(sys.stderr)
    sys.exit(main(Path(sys.argv[1])))
