"""Processes that send trials' journals beside a sync, each its own share of them, where there are many to be sent.

Every journal has one process that sends it, by the number of its trial. A process reads lines with paths of
journals and answers with a line for each; it ends with its standard input, or when whoever started it is gone.
MLflow's address comes in ``$MLFLOW_TRACKING_URI``: ``python -m experiments.tracking.helpers RUNS``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from experiments.tracking.paths import RunPaths, set_mlflow_environment

set_mlflow_environment()  # MLflow reads it when it is imported, by the next line

from experiments.tracking.sender import Outcome, Sender  # noqa: E402

ROOT = Path(__file__).parents[2]
ENDED = "the process that was to send it has ended; another one will"


class Helpers:
    """Processes that send journals. Its state: these, started when they are first needed and again if they die."""

    def __init__(self, paths: RunPaths, uri: str, count: int) -> None:
        self._paths, self._uri = paths, uri
        self.processes: list[subprocess.Popen[str] | None] = [None] * count

    def send(self, journals: Sequence[Path]) -> Iterator[Outcome]:
        """Send journals of trials, and yield what came of each."""
        shares: list[list[Path]] = [[] for _ in self.processes]
        for path in journals:
            shares[int(path.stem) % len(shares)].append(path)
        with ThreadPoolExecutor(len(shares)) as threads:
            for outcomes in threads.map(self._send_share, range(len(shares)), shares):
                yield from outcomes

    def _send_share(self, number: int, share: Sequence[Path]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if not share:
            return outcomes
        process = self.processes[number]
        if process is None or process.poll() is not None:
            process = self.processes[number] = self._start()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(list(map(str, share))) + "\n")
            process.stdin.flush()
            while len(outcomes) < len(share) and (line := process.stdout.readline()):
                outcomes.append(Outcome(**json.loads(line)))
        except (BrokenPipeError, ValueError):  # it died, amid a line or before
            process.kill()
        return outcomes + [Outcome(str(path), reason=ENDED) for path in share[len(outcomes) :]]

    def _start(self) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "MLFLOW_TRACKING_URI": self._uri,  # it may hold a password, and any user can see arguments
        }
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.tracking.helpers", str(self._paths.runs.absolute())],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> None:
        """Let the processes end."""
        for process in self.processes:
            if process is not None:
                process.communicate()
        self.processes = [None] * len(self.processes)


def help_out(runs: Path, answers: TextIO) -> None:
    """Send what is asked for on standard input until that ends, or whoever asks is gone."""
    paths, parent = RunPaths(runs), os.getppid()
    sender = Sender(paths, os.environ["MLFLOW_TRACKING_URI"])
    for line in sys.stdin:
        for outcome in sender.send(map(Path, json.loads(line))):
            print(json.dumps(asdict(outcome)), file=answers, flush=True)
            if os.getppid() != parent:
                return


if __name__ == "__main__":
    # Only answers go where answers are expected.
    answers, sys.stdout = sys.stdout, sys.stderr
    help_out(Path(sys.argv[1]), answers)
