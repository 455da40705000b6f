"""How a study's scheduler fares with many slots and trials: ``make bench ARGS="--only scale"``.

The slots are simulated: they answer as soon as all of them are at work, so that all time is the scheduler's own.
What is measured is what it does for a trial: draw, journal, Optuna's database, pruning, telling. Its share of the
time at a thousand slots with real runs follows from it. Then a sync sends what was recorded to MLflow.
"""

from __future__ import annotations

import random
import resource
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.pruners import PercentilePruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert
from sqlalchemy import text as text_of

from experiments.tracking import names
from experiments.tracking.journal import Header
from experiments.tracking.paths import PREDICTIONS, RunPaths
from experiments.tracking.sync import REST_SECONDS, Sync
from seqclf_core.data.cache import load_corpus
from seqclf_core.events import DataSummary, Finished, Progress, Saved, Started
from studies import imdb
from studies.engine.executors import Job, Message, Stopped
from studies.engine.scheduler import Scheduler
from studies.engine.storage import VAL_LOSS, open_storage, open_study, plan_of
from studies.study import Study
from tests.faulty_server import server as mlflow_server
from tests.postgres import PostgreSQL, binaries

EVALUATIONS = 8
"""Of a run, as in ``make study``."""
RUN_SECONDS = 150.0
"""What a run of that study takes on one processor."""
DELIVERED = 100
"""Runs whose delivery is timed."""
PREDICTIONS_BYTES = 300_000
"""Of each of the two files that a run of IMDB leaves."""
NAME = "scale"
STEP_SECONDS = 0.001


class Simulated:
    """Slots whose runs answer at once: eight evaluations, each with a checkpoint, and an end."""

    def __init__(self, slots: int, data: DataSummary) -> None:
        self.slots = slots
        self.notices: list[str] = []
        self.events = 0
        self.filling = True
        """Whether runs are found somewhere on their way, as those of a study that has long been at work."""
        self._data = data
        self._ready: deque[tuple[str, Message]] = deque()
        self._streams: dict[str, Iterator[Message]] = {}

    def _run(self, key: str) -> Iterator[Message]:
        draw = random.Random(key)
        level, step = draw.uniform(0.8, 0.89), 0
        yield Started(
            data=self._data, parameters=1_000_000, device="cpu", precision="bf16", evaluations=EVALUATIONS
        )
        metrics = {"train/loss": 0.4, "train/accuracy": 0.8, "val/loss": 0.4, "val/accuracy": 0.8}
        for evaluation in range(draw.randint(1, EVALUATIONS) if self.filling else 1, EVALUATIONS + 1):
            step += 10_000
            score = level + 0.01 * evaluation / EVALUATIONS + draw.uniform(-0.003, 0.003)
            yield progress(evaluation, step, {**metrics, "val/accuracy": score})
            yield Saved(step=step)
        yield finished(level)

    def start(self, job: Job) -> None:
        self._streams[job.key] = self._run(job.key)
        self._next(job.key)

    def _next(self, key: str) -> None:
        self._ready.append((key, next(self._streams[key])))

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        if not timeout:  # between two draws; runs that take minutes are all at work before the first one ends
            return
        for _ in range(len(self._ready)):
            key, message = self._ready.popleft()
            self.events += 1
            yield key, message
            if isinstance(message, Finished | Stopped):
                self._streams.pop(key, None)

    def answer(self, key: str, go: bool) -> None:
        if go:
            self._next(key)
        else:
            self._ready.append((key, Stopped()))

    def kill(self, key: str) -> None:
        pass

    def refuse(self, key: str, reason: str) -> None:
        raise AssertionError(reason)

    def close(self) -> None:
        pass


def progress(evaluation: int, step: int, metrics: dict[str, float]) -> Progress:
    """Return the event of an evaluation."""
    metrics = {**metrics, "tokens_per_second": 1e5, "seconds": step / 500}
    return Progress(evaluation=evaluation, step=step, epoch=evaluation / 2, best=True, metrics=metrics)


def finished(score: float) -> Finished:
    """Return the last event of a run."""
    metrics = {"best/val_loss": 0.3, "best/val_accuracy": score, "test/loss": 0.3, "test/accuracy": score}
    return Finished(
        reason="completed", best_evaluation=EVALUATIONS, files={}, metrics={**metrics, "total_seconds": 150.0}
    )


@dataclass
class Measured:
    """What one study took."""

    slots: int
    trials: float
    """That were done, those at work counted by their events."""
    seconds: float
    opening: float
    """CPU seconds from opening its database until the first draw."""
    draw: float
    """CPU seconds of a start: draw, settings, journal, database."""
    event: float
    """CPU seconds of an event: journal, pruning, database; ends are among them."""
    events: int
    megabytes: float
    """Peak of resident memory."""
    written: float
    """Kilobytes written to disk for each trial."""


def study_of(total: int) -> Study:
    """Return the search of ``make study``, on the synthetic corpus."""
    base = imdb.BASE.override({"data.source": "synthetic", "data.limit": 400})
    return Study(
        question="How does the scheduler scale?",
        base=base,
        sample=imdb.sample,
        total=total,
        sampler=lambda seed: TPESampler(seed=seed, n_startup_trials=8),
        pruner=PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=2),
    )


def fill(opened: optuna.Study, study: Study, paths: RunPaths, count: int) -> None:
    """Give a study trials that have ended, with journals: a third of them complete, the others pruned halfway."""
    space = {name: json_to_distribution(text) for name, text in study.space().items()}
    draw, sampler = random.Random(0), RandomSampler(seed=0)
    now = datetime.now()
    rows: dict[Any, list[dict[str, object]]] = {}
    for number in range(count):
        complete, level = number % 3 == 0, draw.uniform(0.8, 0.89)
        trial: dict[str, object] = {"trial_id": number + 1}
        about = {"study_id": opened._study_id, "number": number, "datetime_start": now, "datetime_complete": now}
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        rows.setdefault(models.TrialModel, []).append({**trial, **about, "state": state})
        value = {"objective": 0, "value": level, "value_type": models.TrialValueModel.TrialValueType.FINITE}
        rows.setdefault(models.TrialValueModel, []).append({**trial, **value})
        loss = {"key": VAL_LOSS, "value_json": "0.3"}
        rows.setdefault(models.TrialUserAttributeModel, []).append({**trial, **loss})
        for name, each in space.items():
            drawn = each.to_internal_repr(sampler.sample_independent(opened, None, name, each))  # type: ignore[arg-type]
            text = distribution_to_json(each)
            param = {"param_name": name, "param_value": drawn, "distribution_json": text}
            rows.setdefault(models.TrialParamModel, []).append({**trial, **param})
        kind = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
        for step in range(1, EVALUATIONS + 1 if complete else 5):
            known = {"step": step, "intermediate_value": level + 0.001 * step, "intermediate_value_type": kind}
            rows.setdefault(models.TrialIntermediateValueModel, []).append({**trial, **known})
    backend: Any = opened._storage._backend  # type: ignore[attr-defined]
    with _create_scoped_session(backend.scoped_session) as session:
        for model, each_row in rows.items():
            session.execute(insert(model), each_row)
        if session.bind.dialect.name == "postgresql":
            session.execute(text_of(f"select setval('trials_trial_id_seq', {count + 1})"))
    name, parent = opened.study_name, paths.study_key(opened.study_name)
    tags = {names.UID: plan_of(opened).uid}
    for number in range(count):
        key = f"{name}/{number:04d}"
        path = paths.journal(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = Header(key=key, name=key, experiment=name, role="trial", parent=parent, tags=tags)
        outcome = "complete" if number % 3 == 0 else "pruned"
        path.write_text(f'{{"entry":"opened","time":1,"header":{header.model_dump_json()}}}\n'
                        f'{{"entry":"closed","time":2,"outcome":"{outcome}"}}\n')  # fmt: skip


def measure(slots: int, trials: int, before: int, uri: str | None, limit: float, paths: RunPaths) -> Measured:
    """Run a simulated study, for at most ``limit`` seconds.

    Args:
        slots: of the simulated executor.
        trials: to do.
        before: trials that the study has already.
        uri: of Optuna's database, empty but for other studies; none: SQLite under ``paths``.
        limit: seconds.
        paths: an empty folder for all that is recorded.
    """
    study = study_of(before + trials)
    data = load_corpus(study.base.data, paths.cache).summary
    storage = uri or paths.optuna_uri
    if before:
        fill(open_study(open_storage(storage), NAME, study, data), study, paths, before)
    executor = Simulated(slots, data)
    began = time.process_time()
    owner = Scheduler(
        name=NAME, study=study, optuna=open_study(open_storage(storage), NAME, study, data), paths=paths,
        executor=executor, tags={}, patience=900.0,
    )  # fmt: skip
    # The draws that fill the slots are like the later ones, and are not measured.
    owner.study = replace(study, sampler=lambda seed: RandomSampler(seed=seed))
    drawing, real = [0.0, 0.0], owner._start

    def timed(trial_id: int) -> None:
        cpu = time.process_time()
        real(trial_id)
        drawing[0] += time.process_time() - cpu
        drawing[1] += 1

    with owner.recording():
        opening = time.process_time() - began
        owner.step(STEP_SECONDS)
        owner.study, owner._start, executor.filling = study, timed, False  # type: ignore[method-assign]
        executor.events = 0
        written, began, cpu = disk(), time.perf_counter(), time.process_time()
        while owner.step(STEP_SECONDS) and time.perf_counter() - began < limit:
            pass
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        events, written = executor.events, disk() - written
        owner.stopping = True
        while owner.running and owner.step(STEP_SECONDS):
            pass
    whole = [trial for trial in owner.ended.values() if 1 in trial.intermediate_values][-1000:]
    each = sum(2 + 2 * len(trial.intermediate_values) for trial in whole) / len(whole)
    draw, event = drawing[0] / max(1.0, drawing[1]), (cpu - drawing[0]) / events
    return Measured(
        slots, events / each, seconds, opening, draw, event, events,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, written / 1e3 * each / events,
    )  # fmt: skip


def disk() -> float:
    """Return the bytes that this process has had written to disk; 0 where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
            if line.startswith("write_bytes:"):
                return float(line.split()[1])
    return 0.0


def deliver(paths: RunPaths, uri: str, parts: int) -> tuple[float, float]:
    """Return how many runs a second a sync sends, and its CPU seconds for each.

    Args:
        paths: of the study whose runs are sent, ``DELIVERED`` of them.
        uri: of an MLflow that has none of them.
        parts: a run is sent in so many, as when it is at work; 1: whole, as where a sync is late.
    """
    there = RunPaths(paths.runs / f"to be sent in {parts}")
    shutil.rmtree(there.runs, ignore_errors=True)
    part = there.journals / NAME
    part.mkdir(parents=True)
    shutil.copy(paths.journal(paths.study_key(NAME)), part)
    whole = [path for path in paths.journals_of(NAME) if path.stem.isdecimal()][-DELIVERED:]
    for path in whole:
        predictions = there.work(f"{NAME}/{path.stem}") / PREDICTIONS
        predictions.mkdir(parents=True)
        for name in ("val.parquet", "test.parquet"):
            (predictions / name).write_bytes(bytes(PREDICTIONS_BYTES))
    sync = Sync(there, uri)
    sync.once()  # the study's own run
    wall = cpu = 0.0
    for number in range(1, parts + 1):
        for path in whole:
            lines = path.read_bytes().splitlines(keepends=True)
            (part / path.name).write_bytes(b"".join(lines[: len(lines) * number // parts]))
        sync._sent_at.clear()  # as if the rest between two transfers of a run were over
        wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
        result = sync.once()
        wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
        assert not result.unsent, result.unsent
    return len(whole) / wall, cpu / len(whole)


def deliveries(paths: RunPaths, server: PostgreSQL | None, folder: Path) -> None:
    """Print how fast a study's runs are sent: to a database, and to an MLflow server on one."""
    for parts in (round(RUN_SECONDS / REST_SECONDS), 1):
        for kind in ("database", "server"):
            made = server.create(f"{kind}{parts}") if server else f"sqlite:///{folder}/{kind}{parts}.db"
            with ExitStack() as stack:
                uri = made
                if kind == "server":
                    port = stack.enter_context(mlflow_server(folder / f"{kind}{parts}", made))
                    uri = f"http://127.0.0.1:{port}"
                rate, cpu = deliver(paths, uri, parts)
            how = f"in {parts} parts" if parts > 1 else "whole"
            print(
                f"delivery to a {kind}, each run {how}: {rate:.1f} runs/s by the clock, "
                f"{cpu * 1e3:.0f} ms of CPU a run, which allows {1 / cpu:.1f} runs/s",
                flush=True,
            )


def scale(sizes: str, limit: float) -> None:
    """Measure studies of several sizes, then the delivery of their runs, and print tables.

    On PostgreSQL where it is installed, on a server of its own; else on SQLite.

    Args:
        sizes: ``SLOTSxTRIALS@BEFORE`` of each; the study has ``BEFORE`` trials already.
        limit: seconds after which a study is stopped, and its figures are of what it did.
    """
    table = Table(title="A scheduler with simulated slots")
    for column in (
        "database", "slots", "trials before", "trials", "events/s", "opening s CPU", "draw ms CPU", "event ms CPU",
        "trials/s at most", "of a processor with runs", "memory MB", "disk kB a trial",
    ):  # fmt: skip
        table.add_column(column)
    with ExitStack() as stack:
        server = None
        if binaries() and find_spec("psycopg"):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(PostgreSQL.started(Path(folder)))
        for number, size in enumerate(sizes.split(",")):
            slots, trials, before = map(int, size.replace("@", "x").split("x"))
            paths = RunPaths(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            uri = server.create(f"optuna{number}") if server else None
            found = measure(slots, trials, before, uri, limit, paths)
            one = found.draw + found.event * found.events / found.trials
            table.add_row(
                "PostgreSQL" if server else "SQLite", f"{slots:,}", f"{before:,}", f"{found.trials:,.0f}",
                f"{found.events / found.seconds:.0f}", f"{found.opening:.1f}", f"{found.draw * 1e3:.0f}",
                f"{found.event * 1e3:.1f}", f"{1 / one:.1f}", f"{one * slots / RUN_SECONDS:.1%}",
                f"{found.megabytes:.0f}", f"{found.written:.0f}",
            )  # fmt: skip
            Console(width=180).print(table)
        deliveries(paths, server, Path(stack.enter_context(tempfile.TemporaryDirectory())))
