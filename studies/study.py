"""What a study is: a base configuration, what is drawn for each trial, and how many trials there are in all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError


@dataclass(frozen=True)
class Study:
    """The declaration that a file in this folder makes."""

    question: str
    """One line: what the study answers."""
    base: RunConfig
    """Settings of every trial, but for those that are drawn."""
    sample: Callable[[Trial], None]
    """Draws the searched settings. Each parameter carries the name of the field it sets."""
    trials: int
    """How many in all, finished or pruned."""
    sampler: Callable[[int], BaseSampler]
    """Makes the sampler from a seed; every trial gets one of its own, so that a resumed study draws as if it had
    never stopped."""
    pruner: BasePruner
    first: tuple[Mapping[str, Any], ...] = ()
    """Settings that are tried before anything is drawn."""
    fixed: frozenset[str] = frozenset()
    """Searched settings that the user named: they keep their value from ``base``."""

    def space(self) -> dict[str, str]:
        """Return the distribution of every setting that is drawn, as JSON under its name."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
        self.draw(trial)
        return {name: distribution_to_json(each) for name, each in sorted(trial.distributions.items())}

    def draw(self, trial: Trial) -> None:
        """Draw the settings of a trial that are not fixed."""
        self.sample(_Fixing(trial, self.base.flat(), self.fixed) if self.fixed else trial)  # type: ignore[arg-type]

    def config(self, trial: Trial) -> RunConfig:
        """Return the settings of a trial that was drawn."""
        return self.base.override(trial.params)

    def with_base(self, base: RunConfig, named: frozenset[str]) -> "Study":
        """Return this study on other base settings; those among ``named`` that were searched are fixed.

        Raises:
            UserError: if the settings are such that nothing is left to draw and there is more than one trial.
        """
        searched = replace(self, base=base).space()
        fixed = frozenset(named & searched.keys())
        first = tuple({k: v for k, v in each.items() if k not in fixed} for each in self.first)
        study = replace(self, base=base, fixed=fixed, first=first)
        if searched and not study.space():
            raise UserError(
                "every searched setting was named, so that nothing is left to search; "
                "use `make experiment` for a single run"
            )
        return study


class _Fixing:
    """A trial that answers with the base settings for what the user fixed, and asks the real one for the rest."""

    def __init__(self, trial: Trial, values: Mapping[str, Any], fixed: frozenset[str]) -> None:
        self._trial, self._values, self._fixed = trial, values, fixed

    def __getattr__(self, attribute: str) -> Any:
        real = getattr(self._trial, attribute)
        if not attribute.startswith("suggest_"):
            return real

        def suggest(name: str, *args: Any, **kwargs: Any) -> Any:
            return self._values[name] if name in self._fixed else real(name, *args, **kwargs)

        return suggest
