"""What a study is: base settings, what is drawn for each trial, how many trials there are in all.

Two kinds share this shape. A search draws its trials, one after the other, from what the earlier ones showed. A
list knows all its trials when it is created, runs every one of them, and prunes none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FixedTrial, Trial

from experiments.tracking import names
from experiments.tracking.plan import StudyPlan
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError


@dataclass(frozen=True)
class Planned:
    """A trial whose settings are known beforehand."""

    name: str
    """Unique within its study: by it a trial is known to be there already."""
    settings: Mapping[str, Any]
    """Dotted name -> value, for every setting that is drawn otherwise."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Additional tags of the trial's run, such as its block."""
    repeats: str = ""
    """Key of what the trial repeats on another seed, such as a finalist's; the best trial of each key keeps its
    weights."""


@dataclass(frozen=True)
class Study:
    """What a file in this folder declares."""

    question: str
    """Question that the study answers, in one line."""
    base: RunConfig
    """Settings of every trial, except for those that are drawn."""
    sample: Callable[[Trial], None]
    """Draws the other settings. Each parameter carries the name of the field it sets."""
    total: int
    """Number of trials in all, finished or pruned."""
    planned: tuple[Planned, ...] = ()
    """Planned trials: in a search, those before anything is drawn; in a fixed list, all trials."""
    fixed_trials: bool = False
    """Whether the study is a list, all of whose trials are planned."""
    plan: StudyPlan = field(default_factory=StudyPlan)
    """Plan of the study, as far as its type knows it; the rest is filled in when the study is created."""
    seed: int = 0
    """Seed of the study: all draws are a function of it."""
    counted: tuple[str, int] = ("TRIALS", 1)
    """The variable of make that says how many there are in all, and how many trials one of those is."""
    sampler: Callable[[int], BaseSampler] = lambda seed: RandomSampler(seed=seed)
    """Makes a sampler from a seed. Every trial has one of its own: a resumed study draws as if never stopped."""
    pruner: BasePruner = field(default_factory=NopPruner)
    subject: str = ""
    """Subject of the study besides its settings; a study with another subject is another study."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Tags of the study's own run besides its plan, fixed when it is created."""
    fixed: frozenset[str] = frozenset()
    """Searched settings that the user named: they keep their value from ``base``."""

    def space(self) -> dict[str, str]:
        """Return the distribution of every setting that is drawn, as JSON under its name."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        trial = optuna.create_study(sampler=RandomSampler(seed=0)).ask()
        self.draw(trial)
        return {name: distribution_to_json(each) for name, each in sorted(trial.distributions.items())}

    def random_configs(self, count: int) -> list[RunConfig]:
        """Return settings drawn plainly at random, such as a search may come to; always the same ones."""
        trials = optuna.create_study(sampler=RandomSampler(seed=0))
        configs = []
        for _ in range(count):
            trial = trials.ask()
            self.draw(trial)
            configs.append(self.config(trial))
        return configs

    def draw(self, trial: Trial) -> None:
        """Draw the settings of a trial that are not fixed."""
        self.sample(_Fixing(trial, self.base.flat(), self.fixed) if self.fixed else trial)  # type: ignore[arg-type]

    def config(self, trial: Trial) -> RunConfig:
        """Return the settings of a trial that was drawn."""
        return self.base.override(trial.params)

    def whole_plan(self, uid: str, data: str) -> StudyPlan:
        """Return the plan as it is written when the study is created.

        Args:
            uid: the study's own random digits.
            data: digest of its data.
        """
        return self.plan.model_copy(
            update={
                "uid": uid,
                "seed": self.seed,
                "question": self.question,
                "subject": self.subject,
                "data": data,
                "total": self.total,
                "searched": self.space(),
            }
        )

    def with_base(self, base: RunConfig, named: frozenset[str]) -> Study:
        """Return this study on other base settings; those among ``named`` that were searched are fixed.

        What was fixed before stays fixed.

        Raises:
            UserError: if a list's settings are named, or nothing is left to draw.
        """
        searched = replace(self, base=base).space()
        fixed = self.fixed | (named & searched.keys())
        if self.fixed_trials and fixed:
            raise UserError(
                f"{', '.join(sorted(fixed))} cannot be named: this study sets it for every trial itself"
            )
        planned = tuple(
            replace(each, settings={name: value for name, value in each.settings.items() if name not in fixed})
            for each in self.planned
        )
        notes = dict(self.notes)
        old, new = self.base.flat(), base.flat()
        elsewhere = ("data.source", "train.device")  # where, not what
        if changed := sorted(name for name in named - {*elsewhere} if old.get(name) != new.get(name)):
            notes[names.CHANGED] = ", ".join(changed)
        study = replace(self, base=base, fixed=fixed, planned=planned, notes=notes)
        if searched and not study.space():
            raise UserError(
                "every searched setting was named, so that nothing is left to search; "
                "use `make experiment` for a single run"
            )
        return study


def first_trial(base: RunConfig, sample: Callable[[Trial], None]) -> Planned:
    """Return the first trial of a search: the known good start, with the base's values of what ``sample`` draws.

    Raises:
        UserError: if one of these values can never be drawn.
    """
    values = base.flat()
    trial = FixedTrial(values)
    try:
        with warnings.catch_warnings(action="ignore"):  # that a value is out of range is refused below
            sample(trial)  # type: ignore[arg-type]  # it answers every suggest_* as a trial does
    except ValueError as error:
        raise UserError(f"The first trial takes BASE's values of what sample draws: {error}. {_CHANGE}") from error
    for name, given in trial.distributions.items():
        if not given._contains(given.to_internal_repr(values[name])):
            raise UserError(
                f"The first trial takes BASE's values of what sample draws: {name} = {values[name]} is outside of "
                f"{given}. {_CHANGE}"
            )
    return Planned("start", {name: values[name] for name in trial.distributions})


_CHANGE = "Change BASE, or what sample draws, in the study's file."


def sampling(ranges: Mapping[str, BaseDistribution]) -> Callable[[Trial], None]:
    """Return what draws each of these settings from its range: the ``sample`` of a list."""

    def sample(trial: Trial) -> None:
        for name, given in ranges.items():
            match given:
                case FloatDistribution():
                    trial.suggest_float(name, given.low, given.high, log=given.log)
                case IntDistribution():
                    trial.suggest_int(name, given.low, given.high, step=given.step, log=given.log)
                case CategoricalDistribution():
                    trial.suggest_categorical(name, given.choices)

    return sample


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
