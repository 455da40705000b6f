"""What a failing tracking server costs the training: the ``tracker`` part of ``make bench``.

The same block of four runs, none of them pruned, on two workers: against a server that works and against one that
fails for as long as it runs, in turn; a round's times are set against the working server's of that round.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faulty_server import FAULTS, faulty, server
from tests.studies.engine.study_command import ROOT

TRIALS = 4


def tracker(source: str | None, cache: Path, rounds: int) -> None:
    """Print how much longer the training of a study takes, by fault."""
    took: dict[str, list[float]] = {fault: [] for fault in ("none", *FAULTS)}
    with tempfile.TemporaryDirectory() as folder, server(Path(folder, "server")) as port, ExitStack() as stack:
        runs = Path(folder, "runs")
        runs.mkdir()
        cache.mkdir(parents=True, exist_ok=True)  # a fresh clone has none
        (runs / "cache").symlink_to(cache.absolute())
        addresses = {fault: stack.enter_context(faulty(port, fault))[0] for fault in took}
        for number in range(rounds):
            for fault in [*took][number % len(took) :] + [*took][: number % len(took)]:
                name = f"{fault.replace(' ', '-')}-{number}"
                took[fault].append(training_seconds(runs, name, source, addresses[fault]))
    print(f"\ntraining of {TRIALS} runs on 2 workers with a tracking server that works: "
          f"{statistics.median(took['none']):.1f} s")  # fmt: skip
    for fault in FAULTS:
        more = [one / other - 1 for one, other in zip(took[fault], took["none"], strict=True)]
        spread = f"from {min(more):+.1%} to {max(more):+.1%}"
        print(f"  {fault:13} {statistics.median(more):+6.1%} (at most +5 %; {spread})")


def training_seconds(runs: Path, name: str, source: str | None, address: str) -> float:
    """Run a study and return the time from its first event to its last; it is ended before its last delivery."""
    command = [
        sys.executable, "-m", "studies.commands", "study", "factors", "--name", name, "--runs", str(runs),
        "--blocks", "1",
        "--workers", "2", "--no-report", "--data.source", source or "synthetic", "--train.epochs", "3",
        "--data.limit", "4000" if source else "2000", "--tracking-uri", address,
    ]  # fmt: skip
    journals = runs / "journal" / name
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None and not _has_ended(journals / "study.jsonl"):
            time.sleep(0.1)
        process.kill()
    trials = [path.read_text(encoding="utf-8").splitlines() for path in sorted(journals.glob("0*.jsonl"))]
    if len(trials) != TRIALS:
        raise RuntimeError(f"the study {name} did not end")
    begun = min(json.loads(lines[1])["time"] for lines in trials)
    return float(max(json.loads(lines[-1])["time"] for lines in trials) - begun) / 1000


def _has_ended(journal: Path) -> bool:
    return journal.exists() and b'"closed"' in journal.read_bytes()
