"""How long a study takes to its first optimizer step, and ``--help`` to its answer: a part of ``make bench``."""

from __future__ import annotations

import math
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 240.0
"""Seconds after which a start counts as failed."""


def start(source: str | None, cache: Path, rounds: int, against: Path | None) -> None:
    """Print medians over some starts, warm and cold, of this version and, if there is one, of an older one.

    Args:
        source: of the reviews; none: synthetic ones.
        cache: with encoded reviews, for the warm starts.
        rounds: how often each is measured.
        against: folder of an older version, with a cache in its ``runs``.
    """
    from tests.bench_peers import python_of

    places = {"ours": (ROOT, sys.executable, "studies.commands", ["study"], cache)}
    if against:
        places["older"] = (against, python_of(against), "studies", [], against / "runs" / "cache")
    print(f"\nseconds to the first optimizer step of a study; medians of {rounds} (least - most)")
    for kind in ("warm", "cold"):
        taken: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(rounds):
            for name, (folder, python, module, words, cached) in places.items():
                command = [
                    python,
                    "-m",
                    module,
                    *words,
                    "imdb",
                    "--data.source",
                    source or "synthetic",
                    "--no-report",
                ]
                taken[name].append(first_step(command, folder, cached.absolute() if kind == "warm" else None))
        for name, values in taken.items():
            print(f"  {name}, {kind:5} {statistics.median(values):8.1f}   ({min(values):.1f} - {max(values):.1f})")
    aims = {"ours": "   (at most 0.5)"}
    for name, (folder, python, module, words, _) in places.items():
        command = [python, "-m", module, *words, "imdb", "--help"]
        values = [cpu_seconds(command, folder) for _ in range(rounds)]
        print(f"  {name}, --help, processor time {statistics.median(values):.2f}{aims.get(name, '')}")


def first_step(command: list[str], folder: Path, cache: Path | None) -> float:
    """Start a study, wait until a worker has taken a step, end it, and return the seconds until the step.

    Args:
        command: starts the study, but for its RUNS.
        folder: to start it in.
        cache: with encoded reviews; none: nothing is encoded, and no kernel compiled.

    Returns:
        Infinity if there is no step.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        runs, noted = Path(name) / "runs", Path(name) / "noted"
        runs.mkdir()
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT / 'tests' / 'first_step'}:{folder}",
            "FIRST_STEP": str(noted),
        }
        if cache:
            (runs / "cache").symlink_to(cache)
        else:
            environment["XDG_CACHE_HOME"] = str(Path(name) / "compiled")
        with (Path(name) / "said").open("w") as said:
            began = time.time()
            process = subprocess.Popen(
                [*command, "--runs", str(runs)], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
            )
            while not noted.exists() and process.poll() is None and time.time() - began < LONGEST:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        if not noted.exists():
            print(f"  no step in {LONGEST:.0f} s: " + (Path(name) / "said").read_text()[-300:], file=sys.stderr)
            return math.inf
        return float(noted.read_text().split()[0]) - began


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Return the processor time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
