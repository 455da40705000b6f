"""How a study's scheduler fares with many slots: ``make bench ARGS="--only scale"``.

The slots are simulated: they answer at once, so that all time is the scheduler's own. What is measured is what it
does for a trial: draw, journal, Optuna's database, pruning, telling. Its share of the time at a thousand slots
with real runs follows from it.
"""

from __future__ import annotations

import os
import random
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from rich.console import Console
from rich.table import Table

from experiments.tracking.paths import RunPaths
from seqclf_core.data.cache import load_corpus
from seqclf_core.events import DataSummary, Finished, Progress, Saved, Started
from studies import imdb
from studies.engine.executors import Job, Message, Stopped
from studies.engine.scheduler import Scheduler
from studies.engine.storage import open_storage, open_study
from studies.study import Study

EVALUATIONS = 8
"""Of a run, as in ``make study``."""
RUN_SECONDS = 150.0
"""What a run of that study takes on one processor."""


class Simulated:
    """Slots whose runs answer at once: eight evaluations, each with a checkpoint, and an end."""

    def __init__(self, slots: int, data: DataSummary) -> None:
        self.slots = slots
        self.notices: list[str] = []
        self.events = 0
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
        for evaluation in range(1, EVALUATIONS + 1):
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
    if "metrics" in Progress.model_fields:
        fields: dict[str, object] = {"metrics": {**metrics, "tokens_per_second": 1e5, "seconds": step / 500}}
    else:
        fields = {name.replace("/", "_"): value for name, value in metrics.items()}
        fields |= {"tokens_per_second": 1e5, "seconds": step / 500}
    common = {"evaluation": evaluation, "step": step, "epoch": evaluation / 2, "best": True}
    return Progress.model_validate({**common, **fields})


def finished(score: float) -> Finished:
    """Return the last event of a run."""
    scores = {"val_loss": 0.3, "val_accuracy": score, "test_loss": 0.3, "test_accuracy": score, "seconds": 150.0}
    if "metrics" in Finished.model_fields:
        metrics = {"best/val_loss": 0.3, "best/val_accuracy": score, "test/loss": 0.3, "test/accuracy": score}
        names = {"metrics": {**metrics, "total_seconds": 150.0}}
        return Finished.model_validate(
            {"reason": "completed", "best_evaluation": EVALUATIONS, "files": {}, **names}
        )
    return Finished.model_validate({"reason": "completed", "best_evaluation": EVALUATIONS, "files": {}, **scores})


@dataclass
class Measured:
    """What one study took."""

    slots: int
    trials: int
    seconds: float
    cpu: float
    events: int
    last: float
    """Trials per second of the last tenth of the study."""
    opening: float
    """Seconds to open the study again."""
    megabytes: float
    """Peak of resident memory."""
    written: float
    """Megabytes written to disk."""


def study_of(total: int) -> Study:
    """Return the search of ``make study``, on the synthetic corpus."""
    base = imdb.BASE.override({"data.source": "synthetic", "data.limit": 400})
    return Study(
        question="How does the scheduler scale?",
        base=base,
        sample=imdb.sample,
        total=total,
        sampler=lambda seed: TPESampler(seed=seed, n_startup_trials=8),
        pruner=PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=3),
    )


def measure(slots: int, trials: int, uri: str | None, limit: float) -> Measured:
    """Run a simulated study, for at most ``limit`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(Path(folder))
        study = study_of(trials)
        data = load_corpus(study.base.data, paths.cache).summary
        storage = uri or paths.optuna_uri
        name = f"scale-{os.getpid()}-{slots}-{trials}"
        opened = open_study(open_storage(storage), name, study, data)
        executor = Simulated(slots, data)
        owner = Scheduler(
            name=name, study=study, optuna=opened, paths=paths, executor=executor, tags={}, patience=900.0
        )
        written, began, cpu = disk(), time.perf_counter(), time.process_time()
        marks = [(began, 0)]
        with owner.recording():
            while owner.step(0) and time.perf_counter() - began < limit:
                marks.append((time.perf_counter(), executor.events))
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            owner.stopping = True
            while owner.running and owner.step(0):
                pass
        done = sum(trial.state.is_finished() for trial in opened.get_trials(deepcopy=False))
        late = next((mark for mark in marks if mark[0] > began + 0.9 * seconds), marks[-1])
        per_trial = executor.events / max(1, done)
        last = (executor.events - late[1]) / per_trial / max(1e-9, began + seconds - late[0])
        reopening = time.perf_counter()
        open_study(open_storage(storage), name, study, data).get_trials(deepcopy=False)
        return Measured(
            slots, done, seconds, cpu, executor.events, last, time.perf_counter() - reopening,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, (disk() - written) / 1e6,
        )  # fmt: skip


def disk() -> float:
    """Return the bytes that this process has had written to disk; 0 where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
            if line.startswith("write_bytes:"):
                return float(line.split()[1])
    return 0.0


def scale(uri: str | None, sizes: str, limit: float) -> None:
    """Measure studies of several sizes and print a table.

    Args:
        uri: of Optuna's database; none: SQLite in a temporary folder.
        sizes: slots and trials of each.
        limit: seconds after which a study is stopped, and its figures are of what it did.
    """
    table = Table(title="A scheduler with simulated slots")
    for column in (
        "slots", "trials", "trials/s", "at the end", "events/s", "CPU s a trial", "of a processor with runs",
        "reopening s", "memory MB", "disk MB",
    ):  # fmt: skip
        table.add_column(column)
    for size in sizes.split(","):
        slots, trials = map(int, size.split("x"))
        found = measure(slots, trials, uri, limit)
        share = found.cpu / found.trials * slots / RUN_SECONDS
        table.add_row(
            f"{slots:,}", f"{found.trials:,} of {trials:,}", f"{found.trials / found.seconds:.1f}",
            f"{found.last:.1f}", f"{found.events / found.seconds:.0f}", f"{found.cpu / found.trials:.3f}",
            f"{share:.1%}", f"{found.opening:.1f}", f"{found.megabytes:.0f}", f"{found.written:.0f}",
        )  # fmt: skip
        Console(width=160).print(table)
