"""Starts the process that sends runs to MLflow beside a study, and again if it dies. Imports no MLflow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from experiments.tracking.paths import RunPaths
from seqclf_core.files import make_folder

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds that the last pass may take."""
LOOK_SECONDS = 0.5
"""Seconds between two checks that the process is alive."""
AGAIN_SECONDS = 1.0, 60.0
"""Seconds before the process is started again: at first, and at most after it died often."""
SENT, NOT_ALL_SENT = 0, 1
"""Exit statuses of the process: everything was sent, or not everything."""


class SyncProcess:
    """A process that sends runs to MLflow beside an owner, and ends when the owner does, however that comes about.

    It has state: the process, and a thread that watches it. One that dies is told on standard error and started
    again; nothing is lost, since the journals hold everything.
    """

    def __init__(self, paths: RunPaths, tracking_uri: str | None = None) -> None:
        self._paths = paths
        self._uri = tracking_uri
        self._stopping = threading.Event()
        self._result: bool | None = None
        self.process = self._start()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self, timeout: float = PATIENCE) -> bool:
        """Ask for a last pass and return whether all has arrived; one that takes too long is ended."""
        if self._result is None:
            self._stopping.set()
            self._watcher.join()
            deadline = time.monotonic() + timeout
            self._result = self._last_pass(deadline)
        return self._result

    def _last_pass(self, deadline: float) -> bool:
        status = self._end_of(self.process, deadline)
        while status not in (SENT, NOT_ALL_SENT) and time.monotonic() < deadline:
            self._tell(status)
            status = self._end_of(self._start(), deadline)
        return status == SENT

    def _start(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that Ctrl-C does not reach it; it writes to ``sync.log``."""
        make_folder(self._paths.runs)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        if self._uri:  # it may hold a password, and any user of the machine can see arguments
            environment["MLFLOW_TRACKING_URI"] = self._uri
        with self._paths.sync_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "experiments.tracking.follow", str(self._paths.runs.absolute())],
                env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _watch(self) -> None:
        pause, longest = AGAIN_SECONDS
        while not self._stopping.wait(LOOK_SECONDS):
            status = self.process.poll()
            if status is None:
                continue
            self._tell(status)
            if self._stopping.wait(pause):
                return
            self.process = self._start()
            pause = min(2 * pause, longest)

    def _tell(self, status: int) -> None:
        print(
            f"The process that sends runs to MLflow ended unasked, with status {status} (see "
            f"{self._paths.sync_log}). It is started again; nothing is lost.",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    def _end_of(self, process: subprocess.Popen[bytes], deadline: float) -> int:
        """Tell a process that its owner needs it no more, and return its status."""
        if process.stdin and not process.stdin.closed:
            process.stdin.close()
        try:
            return process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()  # at any moment: that is what makes a sync simple to rely on
            process.wait()
            return NOT_ALL_SENT


def start_sync(runs: Path, tracking_uri: str | None = None) -> SyncProcess:
    """Start sending runs to MLflow in a process of its own."""
    return SyncProcess(RunPaths(runs), tracking_uri)
