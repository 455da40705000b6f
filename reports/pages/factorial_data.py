"""What a factors study was created to ask, and its blocks: what the sections of its page read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from experiments.tracking.plan import StudyPlan
from reports import frames
from reports.stats.contrasts import Factors, simple_effect
from reports.stats.factorial import Analysis, Plan
from reports.stats.sensitivity import Range
from reports.stats.training_rates import TRAINED


@dataclass(frozen=True)
class FactorialData:
    """What the sections of a factors study read."""

    runs: pd.DataFrame
    """One row per finished run of a block: see ``finished_runs``."""
    plan: Plan
    analysis: Analysis
    curves: pd.DataFrame
    stores: frames.Stores
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Setting that blocks share -> the range that it was drawn from."""

    @property
    def part(self) -> str:
        """The part of the data that the outcome was measured on."""
        return self.plan.outcome.partition("/")[0]

    @property
    def factors(self) -> Factors:
        """Settings and their levels."""
        return self.plan.factors

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What the runs said about each review of that part; empty where nothing is stored."""
        return frames.predictions(list(self.runs["key"]), self.stores, parts=[self.part])

    @cached_property
    def reviews(self) -> pd.DataFrame | None:
        """Lengths and movies of the reviews; None where the cache does not have them."""
        return frames.reviews(self.stores, str(self.runs["digest"].iloc[0]), self.part)

    @cached_property
    def where_trained(self) -> pd.DataFrame:
        """The runs of complete blocks in which every cell trained."""
        runs = self.runs[self.runs["block"].isin(self.analysis.blocks.table.index)]
        worst = runs.groupby("block")["best/val_accuracy"].transform("min")  # a missing one counts as not trained
        gaps = runs["best/val_accuracy"].isna().groupby(runs["block"]).transform("any")
        return runs[(100 * worst >= TRAINED) & ~gaps]


def plan_of(plan: StudyPlan, runs: pd.DataFrame) -> Plan:
    """Return what a factors study was created to ask, and how many blocks have been started since.

    Raises:
        UserError: if the plan speaks of cells that it does not have.
    """
    factors = {name: tuple(map(str, levels)) for name, levels in plan.factors.items()}
    started = runs["block"].nunique() if "block" in runs else 0
    return Plan(
        factors=factors,
        planned=plan.blocks,
        total=max(plan.blocks, started),
        outcome=plan.outcome or "test/accuracy",
        margin=0.3 if plan.margin is None else plan.margin,
        simple=tuple(
            simple_effect(
                factors,
                asked.factor,
                (str(asked.levels[0]), str(asked.levels[1])),
                {name: str(level) for name, level in asked.at.items()},
            )
            for asked in plan.declared
            if asked.at
        ),
    )


def finished_runs(runs: pd.DataFrame, factors: Factors) -> pd.DataFrame:
    """Return the complete runs with ``block`` (int), ``diverged`` (bool) and each factor's level as text.

    A run that diverged has been scored and counts; one that the machine failed is not there, and its cell is run
    again.
    """
    if "block" not in runs:
        return runs.iloc[:0]
    done = runs[(runs["outcome"] == "complete") & runs["block"].notna()]
    levels = {factor: done[factor].astype(str) for factor in factors}
    return done.assign(block=done["block"].astype(int), diverged=done["finish"] == "diverged", **levels)
