"""How tests drive an owner, and what they read afterwards."""

from collections.abc import Callable
from pathlib import Path

from optuna.trial import TrialState

from experiments.tracking.journal import Closed, read
from studies.engine.scheduler import Scheduler

OpenScheduler = Callable[..., Scheduler]
OUTCOMES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def run_all(owner: Scheduler, most: int = 100_000) -> None:
    """Step an owner to its end, or ``most`` times."""
    with owner.recording():
        for _ in range(most):
            if not owner.step():
                return
        owner.stopping = True  # so that the study's own journal stays open, as after a kill


def outcomes(owner: Scheduler) -> list[str]:
    """Return the state of each trial, in order."""
    return [trial.state.name for trial in owner.optuna.trials]


def scores(owner: Scheduler) -> dict[int, object]:
    """Return what each trial drew and how it ended."""
    return {t.number: (t.params, t.value, t.intermediate_values) for t in owner.optuna.trials}


def journals_agree(owner: Scheduler) -> bool:
    """Say whether every ended trial's journal tells the same outcome as Optuna."""
    for trial in owner.optuna.trials:
        path: Path = owner.paths.journal(f"{owner.name}/{trial.number:04d}")
        last = read(path)[-1]
        if not isinstance(last, Closed) or last.outcome != OUTCOMES[trial.state]:
            return False
    return True
