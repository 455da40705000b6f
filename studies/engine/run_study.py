"""From a declared study to its end on this machine: data, estimate, workers, sync, owner, report."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import tyro
from filelock import FileLock, Timeout

from experiments.tracking.paths import RunPaths, mask
from seqclf_core.cli import INTERRUPTED
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    from seqclf_core.events import DataSummary
    from studies.engine.scheduler import Scheduler
    from studies.study import Study

STOP_SECONDS = 5.0
"""After a first Ctrl-C or SIGTERM, runs have this long to reach their next event; a checkpoint is never far."""
STOPPED_SYNC_SECONDS = 3.0
"""For MLflow after that; together less than the 10 s that whoever sends SIGTERM may give before SIGKILL."""
SYNC_SECONDS = 60.0
"""For what MLflow has not got yet when the study ends; the rest is for `make sync`."""

Params = TypeVar("Params")


@dataclass(frozen=True)
class Options(Generic[Params]):
    """Run a study, or go on with it where it stopped."""

    question: Annotated[Params, tyro.conf.arg(name="")]
    """What this study can be asked."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    """Base settings of every trial. One that the study searches is fixed when it is named here."""
    name: str
    """Of this study; the same name again goes on with it."""
    workers: int | None = None
    """Runs at a time; none: as many as processors and memory allow, or one per GPU."""
    runs: Path = Path("runs")
    """The folder with all that is recorded."""
    tracking_uri: str | None = None
    """MLflow's address; none: $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""
    storage: str | None = None
    """Optuna's database; none: $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""
    hang_seconds: float = 900.0
    """A worker that says nothing for so long is ended, and its trial goes on in another."""
    ray: str | None = None
    """Address of a cluster's head, HOST:PORT, whose machines do the runs; without it, this machine does them."""
    token: Path | None = None
    """File of the cluster's token; without it, Ray's own (~/.ray/auth_token)."""
    report: bool = True
    """Write the report when the study ends."""

    def optuna_uri(self, paths: RunPaths) -> str:
        """Return Optuna's database: the one given, else the environment's, else the folder's own."""
        return paths.storage_uri(self.storage)


@contextmanager
def owned(paths: RunPaths, name: str) -> Iterator[None]:
    """Be the one owner of a study for a while.

    Raises:
        UserError: if another process is; says which, and since when.
    """
    folder = paths.work(name)
    folder.mkdir(parents=True, exist_ok=True)
    who = folder / "owner.json"
    lock = FileLock(folder / "owner.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"The study {name!r} is being run by {_whoever(who)}. Wait for it, or choose another NAME."
        ) from error
    try:
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        who.write_text(json.dumps({"process": os.getpid(), "host": os.uname().nodename, "since": since}))
        yield
    finally:
        lock.release()


def _whoever(note: Path) -> str:
    """Say who owns a study by its note, which may be cut: by a full disk, or as it is just being written."""
    try:
        owner = json.loads(note.read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, since a moment ago"


def run_study(study: "Study", options: Options[Any]) -> int:
    """Prepare data, workers and stores, run the study to its total, and report."""
    from experiments.tracking.sync_process import start_sync
    from seqclf_core.data.cache import load_corpus
    from seqclf_core.data.reviews import resolve
    from studies.engine.executors import Executor, Inline
    from studies.engine.metadata import study_tags
    from studies.engine.processes import Processes
    from studies.engine.ray_cluster import join
    from studies.engine.resources import default_workers, gpus
    from studies.engine.scheduler import Scheduler
    from studies.engine.storage import DONE, explained, open_storage, open_study

    paths = RunPaths(options.runs)
    cluster = join(options.ray, options.token) if options.ray else None
    source = resolve(study.base.data.source)
    study = study.with_base(study.base.override({"data.source": source}), study.fixed)
    print(f"Study {options.name!r}: {study.question}", flush=True)
    for name in sorted(study.fixed):
        print(f"  {name} is fixed at {study.base.flat()[name]}: you named it, so it is not searched")
    corpus = load_corpus(study.base.data, paths.cache)
    print(f"  data      {describe(corpus.summary)}", flush=True)

    with explained():
        opened = open_study(open_storage(options.optuna_uri(paths)), options.name, study, corpus.summary)
    done = sum(trial.state in DONE for trial in opened.get_trials(deepcopy=False))
    left = study.total - done
    if left <= 0:
        variable, each = study.counted
        so_far = max(done, study.total) // each
        more = f"{variable}={so_far + 1} or more goes on."
        print(f"  finished: it has {done} trials, {study.total} were asked for. {more}")
    workers = min(options.workers or (cluster.slots_of_cluster() if cluster else default_workers()), left)
    speed = announce(study, paths, done, workers) if left > 0 else {"run_seconds": 0.0}

    executor: Executor
    if left <= 0:
        executor = Inline()
    elif cluster and options.ray:
        folder, precision = paths.work(options.name), study.base.train.precision
        executor = cluster.RayExecutor(workers, options.ray, folder, precision)
    else:
        executor = Processes(workers, paths.workers_log, gpus=gpus())
    sync = start_sync(options.runs, options.tracking_uri)
    owner = Scheduler(
        name=options.name, study=study, optuna=opened, paths=paths, executor=executor,
        tags=study_tags(corpus.summary.data_scope), patience=options.hang_seconds,
    )  # fmt: skip
    try:
        if left > 0:
            run_to_the_end(owner, speed["run_seconds"])
        else:
            with owner.recording(more=False):
                pass
    finally:
        executor.close()
        all_sent = sync.stop(STOPPED_SYNC_SECONDS if owner.stopping else SYNC_SECONDS)
    if not all_sent:
        log = paths.sync_log
        print(f"MLflow has not got everything yet (see {log}); `make sync` sends the rest.")
    if owner.stopping:
        print("Stopped. The same command goes on where it was; nothing that was done is lost.")
        return INTERRUPTED
    return finish(paths, options)


def announce(study: "Study", paths: RunPaths, done: int, workers: int) -> dict[str, Any]:
    """Say what will run and what it takes at most; return the measured speed."""
    from studies.engine.cleanup import KEPT_MODELS
    from studies.engine.progress import duration

    left = study.total - done
    speed = measure_speed(study.base, paths.cache)
    seconds = left * speed["run_seconds"] / workers
    kept = max(KEPT_MODELS, len({each.repeats for each in study.planned}))
    # Predictions and records of a trial; a checkpoint per worker, with both moments of AdamW; the weights kept.
    disk = (left * 2e6 + (workers * 16 + kept * 4) * speed["parameters"]) / 1e6
    going_on = f" ({done} are done)" if done else ""
    print(f"  plan      {study.total} trials in all{going_on}, {workers} workers of one thread each")
    saves = "" if study.fixed_trials else " (pruning saves a part of it)"
    print(f"  estimate  at most {duration(seconds)}{saves}, {disk:.0f} MB of disk")
    print("  Ctrl-C stops it; the same command goes on where it was. `make ui` shows the runs.\n", flush=True)
    return speed


def run_to_the_end(owner: "Scheduler", run_seconds: float) -> None:
    """Step the owner until nothing is left to do, or a signal asks it to stop and it has."""
    from studies.engine.progress import Display
    from studies.engine.storage import explained

    deadline = [float("inf")]

    def on_signal(number: int, _: FrameType | None) -> None:
        if owner.stopping:
            raise KeyboardInterrupt
        owner.stopping = True
        deadline[0] = time.monotonic() + STOP_SECONDS

    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with explained(), owner.recording(), Display(owner, run_seconds) as display:
            while owner.step() and time.monotonic() < deadline[0]:
                display.refresh()
            display.refresh()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def measure_speed(config: RunConfig, cache: Path) -> dict[str, Any]:
    """Ask a process of its own how fast a run is here.

    Raises:
        UserError: if it cannot do a single step; says why.
    """
    request = json.dumps({"config": config.model_dump(mode="json"), "cache": str(cache.absolute())})
    measured = subprocess.run(
        [sys.executable, "-m", "seqclf_core.benchmark"], input=request, text=True, capture_output=True,
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    if measured.returncode != 0:
        last = (measured.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"A first step of training failed: {last}")
    answer: dict[str, Any] = json.loads(measured.stdout)
    return answer


def finish(paths: RunPaths, options: Options[Any]) -> int:
    """Write the report of a study, and put it with the study's run in MLflow."""
    if not options.report:
        return 0
    runs = str(paths.runs.absolute())
    command = [sys.executable, "-m", "studies.engine.report", "--runs", runs, "--study", options.name]
    # Addresses may hold a password, and any user of the machine can see arguments.
    given = {"MLFLOW_TRACKING_URI": options.tracking_uri, "SEQCLF_OPTUNA_URI": options.storage}
    environment = {**os.environ, **{name: value for name, value in given.items() if value}}
    return subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=False).returncode


def describe(data: "DataSummary") -> str:
    """Say in a line what a study learns from and how it is split."""
    sizes = ", ".join(f"{count:,} {part}" for part, count in data.sizes.items())
    split = f"by {data.group_column}" if data.split_method == "group" else data.split_method
    skipped = f"; {data.skipped} bad rows skipped" if data.skipped else ""
    return f"{mask(data.source)}: {sizes} reviews ({data.data_scope}), validation split {split}{skipped}"
