"""What a slot on another machine costs beside a worker process: ``make bench ARGS="--only cluster"``.

A real head and node on this machine; medians. The network between machines comes on top.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from experiments.tracking.journal import Happened, read
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.events import Finished
from seqclf_core.run import run
from seqclf_core.training.skeleton import CHECKPOINT
from studies.cluster.machines import join
from studies.engine.executors import Executor, Job
from studies.engine.processes import Processes
from tests.studies.cluster.cluster import LocalCluster

CHECKPOINT_MB = 24
"""Of the largest model of ``make study``, with both moments of AdamW."""


def until_finished(executor: Executor, job: Job) -> tuple[float, list[float]]:
    """Do a run whose events are there already; return seconds to its first event, and between the others."""
    times = [time.perf_counter()]
    executor.start(job)
    while True:
        for key, message in executor.messages(60.0):
            times.append(time.perf_counter())
            if isinstance(message, Finished):
                gaps = [after - before for before, after in pairwise(times)]
                return gaps[0], gaps[1:]
            executor.answer(key, go=True)


def cluster(rounds: int) -> None:
    """Compare an actor with a worker process: start, first event, events, files."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = RunConfig().override(
            {"data.source": "synthetic", "data.limit": 400, "model.embed_dim": 8, "model.hidden_dim": 8,
             "train.epochs": 5, "train.evals_per_epoch": 4, "train.patience": 99}
        )  # fmt: skip
        job = Job("bench", config, folder / "run", folder / "cache")
        for _ in run(config, job.folder, job.cache):
            pass
        there = LocalCluster(folder)
        try:
            there.add()
            there.add(local=True)
            module = join(there.address, there.token)
            for kind in ("worker process", "slot, RUNS shared", "slot, RUNS not shared"):
                began = time.perf_counter()
                if kind == "worker process":
                    executor: Any = Processes(1, folder / "workers.log")
                else:
                    executor = module.RayExecutor(2, there.address, folder / "mark")
                    while executor.slots < 2:
                        list(executor.messages(1.0))
                    wanted = kind == "slot, RUNS shared"
                    executor._idle = type(executor._idle)(a for a in executor._idle if a.about.shared == wanted)
                until_finished(executor, job)
                cold = time.perf_counter() - began
                runs = [until_finished(executor, job) for _ in range(rounds)]
                start = statistics.median(first for first, _ in runs)
                event = statistics.median(gap for _, gaps in runs for gap in gaps[:-1])
                print(
                    f"{kind:22}  from nothing {cold:.1f} s, start {start * 1e3:.1f} ms, event {event * 1e3:.2f} ms"
                )
                if kind == "slot, RUNS not shared":
                    plain = statistics.median(gaps[-1] for _, gaps in runs)
                    (job.folder / CHECKPOINT).write_bytes(os.urandom(CHECKPOINT_MB * 1_000_000))
                    runs = [until_finished(executor, job) for _ in range(rounds)]
                    there_ms = (statistics.median(first for first, _ in runs) - start) * 1e3
                    back_ms = (statistics.median(gaps[-1] for _, gaps in runs) - plain) * 1e3
                    print(
                        f"a checkpoint of {CHECKPOINT_MB} MB: {there_ms:.0f} ms to a slot, {back_ms:.0f} ms back"
                    )
                executor.close()
                if kind == "slot, RUNS shared":
                    module.connect(there.address)
            two_nodes(there, folder, rounds)
        finally:
            there.stop()


def two_nodes(there: LocalCluster, folder: Path, rounds: int) -> None:
    """Compare two nodes of one slot each with two worker processes: seconds of a study's runs, in turns.

    It takes a machine with two processors that do nothing else.
    """
    ratios = []
    for number in range(rounds):
        seconds = []
        for place, more in (("here", []), ("there", ["--ray", there.address, "--token", str(there.token)])):
            runs = folder / f"{place}{number}"
            command = [
                sys.executable, "-m", "studies.commands", "study", "factors", "--name", "bench",
                "--runs", str(runs), "--blocks", "1", "--workers", "2", "--no-report",
                "--data.source", "synthetic", "--data.limit", "2000", "--train.epochs", "2", *more,
            ]  # fmt: skip
            subprocess.run(command, cwd=Path(__file__).parents[1], check=True, stdout=subprocess.DEVNULL)
            ends = [
                entry.event.metrics["total_seconds"]
                for path in RunPaths(runs).journals_of("bench")
                for entry in read(path)
                if isinstance(entry, Happened) and isinstance(entry.event, Finished)
            ]
            seconds.append(statistics.median(ends))
        ratios.append(seconds[1] / seconds[0])
    print(
        f"runs on two nodes of one slot / by two worker processes: {statistics.median(ratios):.2f} (at most 1.05)"
    )
