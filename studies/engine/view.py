"""A study as its samplers and pruners see it: trials from memory, and of very many the best and the latest ones.

Optuna reads all trials from the database for every draw and every question of a pruner. The scheduler is the only
one who writes them, so it hands them over instead.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

MOST = 2000
"""So many trials a sampler looks at: half of them the best, half the latest. Its costs grow with their number."""


class StudyView:
    """Answers like a study, except that its trials are the ones that it was given."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self._study = study
        self._trials = sorted(_most_telling(trials), key=lambda trial: trial.number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials in one of these states, all without any."""
        found = [trial for trial in self._trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.get_trials(deepcopy, states)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials."""
        return self.get_trials()


def _most_telling(trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """Return the best and the latest trials, where there are more than a sampler can look at in time."""
    if len(trials) <= MOST:
        return trials
    latest = sorted(trials, key=lambda trial: trial.number)[-MOST // 2 :]
    taken = {trial.number for trial in latest}
    others = [trial for trial in trials if trial.number not in taken and trial.value is not None]
    best = sorted(others, key=lambda trial: (-(trial.value or 0.0), trial.number))[: MOST // 2]
    return [*latest, *best]
