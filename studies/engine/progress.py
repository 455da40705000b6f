"""What a person sees of a study: a line for each trial that ends, bars of those that run, a card at the end."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from experiments.tracking import journal, names
from experiments.tracking.journal import Happened
from experiments.tracking.paths import RunPaths
from seqclf_core.events import DataSummary, Finished
from studies.engine.cleanup import KEPT_MODELS, trial_key, trial_rank_key
from studies.engine.scheduler import Running, Scheduler
from studies.engine.storage import PLANNED
from studies.engine.time_left import TimeLeft, Workload
from studies.study import Study

QUIET_SECONDS = 30.0
"""Seconds between two lines on the study's progress, where the output is no terminal."""
RANDOM_CONFIGS = 50
"""Number of random settings that the cost of a trial to come is estimated from."""
BAR = 20
"""Characters of a trial's bar."""


class Display:
    """Follows a scheduler on the terminal. Its state: what was told already, and what runs have taken so far."""

    def __init__(self, scheduler: Scheduler, workload: Workload) -> None:
        self._scheduler, self._workload = scheduler, workload
        study = scheduler.study
        usual = None
        if not study.fixed_trials:
            usual = sum(map(workload.cost, study.random_configs(RANDOM_CONFIGS))) / RANDOM_CONFIGS
        self._time_left = TimeLeft(scheduler.executor.slots, not isinstance(study.pruner, NopPruner), usual)
        self._told_at = time.monotonic()
        self._console = Console(highlight=False)
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def refresh(self) -> None:
        """Tell what is new."""
        scheduler = self._scheduler
        while scheduler.news:
            trial, seconds = scheduler.news.pop(0)
            self._time_left.end(trial_key(scheduler.name, trial.number))
            self._console.print(_line(trial, seconds), soft_wrap=True)
        while scheduler.executor.notices:
            self._console.print(scheduler.executor.notices.pop(0), soft_wrap=True, markup=False)
        for key, run in scheduler.running.items():
            self._time_left.start(key, self._workload.cost(run.job.config))
            if run.evaluations and run.reported and run.latest:
                self._time_left.evaluated(key, run.reported / run.evaluations, run.latest.metrics["seconds"])
        standing = self._standing()
        if self._live:
            rows = [_row(run) for run in scheduler.running.values()]
            self._live.update(Group(Text(standing), *rows))
        elif time.monotonic() - self._told_at > QUIET_SECONDS:
            self._told_at = time.monotonic()
            self._console.print(standing, soft_wrap=True)

    def _standing(self) -> str:
        scheduler = self._scheduler
        count = scheduler.counts
        done = count[TrialState.COMPLETE] + count[TrialState.PRUNED]
        parts = [
            f"{done} of {scheduler.study.total} done ({count[TrialState.PRUNED]} pruned)",
            f"{len(scheduler.running)} running",
        ]
        if count[TrialState.FAIL]:
            parts.append(f"{count[TrialState.FAIL]} failed")
        if best := scheduler.best:
            parts.append(f"best val/accuracy {best.value:.4f} (trial {best.number})")
        parts.append("stopping" if scheduler.stopping else self._until_the_end(done))
        return "  " + " | ".join(parts)

    def _until_the_end(self, done: int) -> str:
        study, running = self._scheduler.study, len(self._scheduler.running)
        to_come = max(0, study.total - done - running)
        known = [self._workload.cost(study.base.override(each.settings)) for each in study.planned[-to_come:]]
        left = self._time_left.left(to_come, known if study.fixed_trials and to_come else ())
        return "time left: known after the first evaluation" if left is None else f"about {duration(left)} left"


def _row(run: Running) -> Text:
    share = run.reported / run.evaluations if run.evaluations else 0.0
    filled = round(BAR * share)
    score = f"val/accuracy {run.latest.metrics['val/accuracy']:.4f}" if run.latest else "starting"
    bar = "█" * filled + "░" * (BAR - filled)
    of = f"{run.reported:2d} of {run.evaluations or '?'} evaluations"
    return Text(f"  trial {run.trial.number:04d}  {bar}  {of}  {score}", no_wrap=True, overflow="ellipsis")


def _line(trial: FrozenTrial, seconds: float) -> Text:
    params = " ".join(
        f"{name.split('.')[-1]}={value:.3g}" if isinstance(value, float) else f"{name.split('.')[-1]}={value}"
        for name, value in trial.params.items()
    )
    match trial.state:
        case TrialState.COMPLETE:
            outcome, style = f"val/accuracy {trial.value:.4f}", "bold"
        case TrialState.PRUNED:
            outcome, style = f"pruned at    {trial.value or 0:.4f}", "dim"
        case _:
            outcome, style = f"failed: {trial.user_attrs.get('reason', 'unknown')}", "red"
    return Text(f"trial {trial.number:04d}  {outcome}  {duration(seconds):>8}  {params}", style=style)


def card(scheduler: Scheduler, seconds: float, page: Path | None) -> str:
    """Return what a study found, in a few lines: scores, gain over the start, time, page and what to do next.

    Args:
        scheduler: of the study, at its end.
        seconds: that this command took.
        page: where the report lies, if one was written.
    """
    name, paths = scheduler.name, scheduler.paths
    trials = [trial for trial in scheduler.complete if trial.value is not None]
    lines = [f"Study {name!r} is complete: {scheduler.study.total} trials, {duration(seconds)} this time."]
    if trials:
        best = min(trials, key=trial_rank_key)
        test = test_accuracy(paths, trial_key(name, best.number))
        scores = f"val/accuracy {best.value:.4f}" + ("" if test is None else f", test/accuracy {test:.4f}")
        lines.append(f"  best      {scores} (trial {best.number}, chosen by validation)")
        start = next((trial for trial in trials if trial.user_attrs.get(PLANNED) == "start"), None)
        if start and start.value is not None and best.value is not None and best.number != start.number:
            gain = 100 * (best.value - start.value)
            lines.append(
                f"  gain      {gain:+.2f} percentage points of validation accuracy "
                f"over the start, trial {start.number}"
            )
        elif start and best.number == start.number:
            lines.append("  gain      none: the start itself is the best")
    if page and page.exists():
        lines.append(f"  page      {page.absolute().as_uri()}")
    runs = "" if paths.runs == Path("runs") else f" RUNS={shlex.quote(str(paths.runs))}"
    named = "" if name == "imdb" else f" NAME={name}"
    again = f"make finalists OF={name}" + ("" if name == "imdb" else f" NAME={name}-finalists")
    predict = f'make predict NAME={name} TEXT="A superb film."'
    whole = scheduler.tags.get(names.DATA_SCOPE) == "whole"  # others make no champion
    last = f"make champion{named}" if whole else predict
    follow = predict if scheduler.study.fixed_trials and whole else again
    if scheduler.study.fixed_trials and not whole:
        follow = f"make report NAME={name}"
    lines += [f"  next      make ui{runs}", f"            {follow}{runs}", f"            {last}{runs}"]
    return "\n" + "\n".join(lines)


def test_accuracy(paths: RunPaths, key: str) -> float | None:
    """Return the test accuracy of a finished run from its journal; None where it has none."""
    try:
        entries = journal.read(paths.journal(key))
    except journal.JournalError:
        return None
    ends = [e.event for e in entries if isinstance(e, Happened) and isinstance(e.event, Finished)]
    return ends[-1].metrics["test/accuracy"] if ends else None


def disk_megabytes(study: Study, data: DataSummary, left: int, slots: int) -> float:
    """Return what a study takes on disk: records, checkpoints while trials run, weights that are kept."""
    model = study.base.model
    directions = 2 if model.bidirectional else 1
    lstm = directions * model.num_layers * 4 * model.hidden_dim * (model.embed_dim + model.hidden_dim + 2)
    parameters = data.vocab_size * model.embed_dim + lstm
    kept = max(KEPT_MODELS, len({each.repeats for each in study.planned}))
    # Predictions and records of a trial; a checkpoint per worker, with both moments of AdamW; the weights kept.
    return (left * 2e6 + (slots * 16 + kept * 4) * parameters) / 1e6


def duration(seconds: float) -> str:
    """Return a length of time as people say it.

    >>> duration(5), duration(150), duration(5400)
    ('5 s', '2.5 min', '1.5 h')
    """
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
