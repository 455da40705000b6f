"""What a person sees while a study runs: a line for each trial that ends, and below it where things stand."""

import time

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.text import Text

from studies.engine.cleanup import trial_rank_key
from studies.engine.scheduler import Running, Scheduler
from studies.engine.storage import DONE

QUIET_SECONDS = 30.0
"""Where nobody watches a terminal, the standing is printed this often."""


class Display:
    """Follows an owner on the terminal. Its state: what was told already."""

    def __init__(self, owner: Scheduler, run_seconds: float) -> None:
        self._owner = owner
        self._run_seconds = run_seconds
        self._began = self._told_at = time.monotonic()
        self._told = {
            trial.number for trial in owner.optuna.get_trials(deepcopy=False) if trial.state.is_finished()
        }
        self._done_before = len(self._told)
        self._console = Console(highlight=False)
        self._live = (
            Live(console=self._console, refresh_per_second=4, transient=True)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def refresh(self) -> None:
        """Tell what is new."""
        trials = self._owner.optuna.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._told:
                self._told.add(trial.number)
                self._console.print(_line(trial), soft_wrap=True)
        while self._owner.executor.notices:
            self._console.print(self._owner.executor.notices.pop(0), soft_wrap=True, markup=False)
        standing = self._standing(trials)
        if self._live:
            self._live.update(Text("\n".join([standing, *map(_row, self._owner.running.values())])))
        elif time.monotonic() - self._told_at > QUIET_SECONDS:
            self._told_at = time.monotonic()
            self._console.print(standing, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line above the standing."""
        self._console.print(text, soft_wrap=True, markup=False)

    def _standing(self, trials: list[FrozenTrial]) -> str:
        complete = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
        pruned = sum(t.state == TrialState.PRUNED for t in trials)
        failed = sum(t.state == TrialState.FAIL for t in trials)
        done = sum(t.state in DONE for t in trials)
        parts = [
            f"{done} of {self._owner.study.total} done ({pruned} pruned)",
            f"{len(self._owner.running)} running",
        ]
        if failed:
            parts.append(f"{failed} failed")
        if complete:
            best = min(complete, key=trial_rank_key)
            parts.append(f"best val/accuracy {best.value:.4f} (trial {best.number})")
        parts.append("stopping" if self._owner.stopping else f"about {duration(self._left(done))} left")
        return "  " + " | ".join(parts)

    def _left(self, done: int) -> float:
        """Seconds to go: by what trials have taken here so far, or by the measured speed before any has ended."""
        owner, elapsed = self._owner, time.monotonic() - self._began
        left = max(0, owner.study.total - done)
        ended = len(self._told) - self._done_before
        if ended:
            underway = sum(run.reported / max(1, run.evaluations) for run in owner.running.values())
            return left * elapsed / (ended + underway) - elapsed * underway / (ended + underway)
        return max(self._run_seconds, left * self._run_seconds / owner.executor.slots - elapsed)


def _row(run: Running) -> str:
    scores = run.recorder.progress
    score = f"val/accuracy {scores[-1].val_accuracy:.4f}" if scores else "starting"
    return f"  trial {run.trial.number:04d}  {run.reported:2d} of {run.evaluations or '?'} evaluations  {score}"


def _line(trial: FrozenTrial) -> Text:
    took = (
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        if trial.datetime_complete and trial.datetime_start
        else 0.0
    )
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
    return Text(f"trial {trial.number:04d}  {outcome}  {duration(took):>8}  {params}", style=style)


def duration(seconds: float) -> str:
    """Return a length of time as people say it.

    >>> duration(5), duration(150), duration(5400)
    ('5 s', '2.5 min', '1.5 h')
    """
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
