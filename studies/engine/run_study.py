"""From a declared study to its end on this machine: workers, data, sync, scheduler, report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from experiments.tracking.paths import RunPaths
from experiments.tracking.sync_process import start_sync
from seqclf_core.cli import INTERRUPTED
from seqclf_core.data.cache import Corpus, load_corpus
from seqclf_core.data.sources import resolve
from seqclf_core.environment import huge_pages_notice
from seqclf_core.events import DataSummary
from seqclf_core.masking import mask
from studies.cluster.machines import join
from studies.engine.executors import Executor
from studies.engine.metadata import study_tags
from studies.engine.processes import Processes
from studies.engine.progress import Display, card, disk_megabytes
from studies.engine.resources import default_workers, devices
from studies.engine.scheduler import Scheduler
from studies.engine.storage import count_done, explained, open_storage, open_study
from studies.engine.time_left import Workload
from studies.study import Study

STOP_SECONDS = 5.0
"""After a first Ctrl-C or SIGTERM, runs have this long to reach their next event; a checkpoint is never far."""
STOPPED_SYNC_SECONDS = 3.0
"""Seconds for the transfer to MLflow after a stop; with ``STOP_SECONDS`` less than the 10 s that whoever sends
SIGTERM may give before SIGKILL."""
SYNC_SECONDS = 60.0
"""Seconds for the transfer of what MLflow lacks when the study ends; `make sync` sends the rest."""


def run_study(
    study: Study,
    name: str,
    paths: RunPaths,
    *,
    storage: str,
    tracking_uri: str | None = None,
    workers: int | None = None,
    hang_seconds: float = 900.0,
    ray: str | None = None,
    token: Path | None = None,
    report: bool = True,
) -> int:
    """Prepare workers, data and stores, run the study to its total, and report.

    Args:
        study: what to run.
        name: of the study.
        paths: the folder with all that is recorded.
        storage: address of Optuna's database.
        tracking_uri: address of MLflow; None: the environment's, else the folder's own.
        workers: runs at a time; None: what this machine has room for.
        hang_seconds: silence after which a worker is taken to hang.
        ray: address of a cluster's head, whose machines do the runs; None: this machine does them.
        token: file of the cluster's token; None: Ray's own.
        report: whether to write the report at the end.

    Returns:
        The exit status.
    """
    began = time.monotonic()
    print(f"Study {name!r}: {study.question}", flush=True)
    seed = f"seed {study.seed}; the same study with another --study-seed is a replication"
    print(f"  study     {seed}", flush=True)
    for setting in sorted(study.fixed):
        print(f"  {setting} is fixed at {study.base.flat()[setting]}: you named it, so it is not searched")
    with explained():
        opened_storage = open_storage(storage)
        left = study.total - count_done(opened_storage, name)
    cluster = join(ray, token) if ray else None
    slots = max(0, min(workers or (cluster.slots_of_cluster() if cluster else default_workers()), left))
    executor: Executor  # its workers load torch while the data is read here
    if cluster and ray and left > 0:
        executor = cluster.RayExecutor(slots, ray, paths.work(name), study.base.train)
    else:
        executor = Processes(slots, paths.workers_log, devices())
    try:
        study = replace(study, base=study.base.override({"data.source": resolve(study.base.data.source)}))
        corpus = load_corpus(study.base.data, paths.cache)
        print(f"  data      {describe(corpus.summary)}", flush=True)
        for note in corpus.summary.notes:
            print(f"            {note}.", flush=True)
        with explained():
            opened = open_study(opened_storage, name, study, corpus.summary)
        paths.remember_stores(storage, paths.tracking_uri(tracking_uri))
        announce(study, corpus, left, slots)
        sync = start_sync(paths.runs, tracking_uri)
        scheduler = Scheduler(
            name=name, study=study, optuna=opened, paths=paths, executor=executor,
            tags=study_tags(corpus.summary.data_scope), patience=hang_seconds,
        )  # fmt: skip
        try:
            if left > 0:
                run_to_the_end(scheduler, Workload.of(corpus))
            else:
                with scheduler.recording(more=False):
                    pass
        finally:
            executor.close()
            synced = sync.stop(STOPPED_SYNC_SECONDS if scheduler.stopping else SYNC_SECONDS)
    finally:
        executor.close()
    if not synced:
        print(f"MLflow has not got everything yet (see {paths.sync_log}); `make sync` sends the rest.")
    if scheduler.stopping:
        print("Stopped. The same command continues it; nothing that was done is lost.")
        return INTERRUPTED
    status = write_report(paths, name, tracking_uri, storage) if report else 0
    print(card(scheduler, time.monotonic() - began, paths.page(name) if report else None))
    return status


def announce(study: Study, corpus: Corpus, left: int, slots: int) -> None:
    """Say what will run, and what room on disk it takes."""
    variable, each = study.counted
    if left <= 0:
        more = f"{variable}={max(study.total, study.total - left) // each + 1} or more continues it."
        print(f"  finished: it has {study.total - left} trials, {study.total} were asked for. {more}", flush=True)
        return
    done = f" ({study.total - left} are done)" if left < study.total else ""
    print(f"  plan      {study.total} trials in all{done}, {slots} workers of one thread each")
    print(f"  disk      about {disk_megabytes(study, corpus.summary, left, slots):.0f} MB")
    if slow := huge_pages_notice():
        print(f"  memory    {slow}")
    print("  Ctrl-C stops it; the same command continues it. `make ui` shows the runs.\n", flush=True)


def run_to_the_end(scheduler: Scheduler, workload: Workload) -> None:
    """Step the scheduler until nothing is left to do, or a signal asks it to stop and it has."""
    deadline = [float("inf")]

    def on_signal(number: int, _: FrameType | None) -> None:
        if scheduler.stopping:
            raise KeyboardInterrupt
        scheduler.stopping = True
        deadline[0] = time.monotonic() + STOP_SECONDS

    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with explained(), scheduler.recording(), Display(scheduler, workload) as display:
            while scheduler.step() and time.monotonic() < deadline[0]:
                display.refresh()
            display.refresh()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def write_report(paths: RunPaths, name: str, tracking_uri: str | None, storage: str | None) -> int:
    """Write the report of a study, and put it with the study's run in MLflow."""
    command = [sys.executable, "-m", "studies.commands", "report"]
    command += ["--runs", str(paths.runs.absolute()), "--study", name]
    # Addresses may hold a password, and any user of the machine can see arguments.
    given = {"MLFLOW_TRACKING_URI": tracking_uri, "SEQCLF_OPTUNA_URI": storage}
    environment = {**os.environ, **{key: value for key, value in given.items() if value}}
    return subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=False).returncode


def describe(data: DataSummary) -> str:
    """Say in a line what a study learns from and how it is split."""
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.sizes.items())
    method = f"by {data.group_column}" if data.split_method == "group" else data.split_method
    skipped = f"; {data.skipped} bad rows skipped" if data.skipped else ""
    return f"{mask(data.source)}: {sizes} texts ({data.data_scope}), validation split {method}{skipped}"
