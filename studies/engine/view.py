"""A study as its samplers and pruners see it: trials from memory, and of very many the best and the latest ones.

Optuna reads all trials from the database for every draw and every question of a pruner. The scheduler is the only
one who writes them, so it hands them over instead.
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Container, Iterable, Sequence
from itertools import islice
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

MOST = 2000
"""So many trials a sampler looks at: half of them the best, half the latest. Its costs grow with their number."""


class StudyView:
    """Answers like a study, except that its trials and its storage are those that it was given."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial], storage: Any) -> None:
        """Look at a study.

        Args:
            study: the study itself, which answers everything else.
            trials: in order of their numbers.
            storage: takes what is drawn.
        """
        self._study = study
        self._trials = trials
        self._storage = storage

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


class EndedTrials:
    """The trials that have ended. Its state: these, in the orders in which samplers ask for them."""

    def __init__(self) -> None:
        self._by_number: list[FrozenTrial] = []
        self._by_value: list[FrozenTrial] = []

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial that has ended."""
        bisect.insort(self._by_number, trial, key=_number)
        if trial.value is not None:
            bisect.insort(self._by_value, trial, key=_best_first)

    def most_telling(self, running: Iterable[FrozenTrial] = ()) -> list[FrozenTrial]:
        """Return all trials, or the best and the latest where there are more than a sampler can look at in time.

        Args:
            running: trials that are at work, which count as others do.

        Returns:
            At most ``MOST`` trials, in order of their numbers.
        """
        running = sorted(running, key=_number)
        latest = sorted([*self._by_number[-MOST:], *running], key=_number)
        if len(self._by_number) + len(running) <= MOST:
            return latest
        latest = latest[-MOST // 2 :]
        taken = {trial.number for trial in latest}
        others = (trial for trial in self._by_value if trial.number not in taken)
        return sorted([*islice(others, MOST // 2), *latest], key=_number)


def _number(trial: FrozenTrial) -> int:
    return trial.number


def _best_first(trial: FrozenTrial) -> tuple[float, int]:
    return -(trial.value or 0.0), trial.number
