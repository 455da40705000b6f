"""What a factors study was created to ask, and its blocks: what the sections of its page read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from reports import frames
from reports.records.reviews import known_reviews
from reports.stats.contrasts import Factors
from reports.stats.factorial import Analysis, Plan
from reports.stats.training_rates import TRAINED
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError


@dataclass(frozen=True)
class FactorialData:
    """What the sections of a factors study read."""

    runs: pd.DataFrame
    """One row per finished run of a block: see ``finished_runs``."""
    plan: Plan
    analysis: Analysis
    curves: pd.DataFrame
    stores: frames.Stores

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
        return known_reviews(self.stores.cache, str(self.runs["digest"].iloc[0]), self.part)

    @cached_property
    def where_trained(self) -> pd.DataFrame:
        """The runs of complete blocks in which every cell trained."""
        runs = self.runs[self.runs["block"].isin(self.analysis.blocks.table.index)]
        worst = runs.groupby("block")["best/val_accuracy"].transform("min")  # a missing one counts as not trained
        gaps = runs["best/val_accuracy"].isna().groupby(runs["block"]).transform("any")
        return runs[(100 * worst >= TRAINED) & ~gaps]


def plan_of(parent: Mapping[str, Any], runs: pd.DataFrame) -> Plan:
    """Return what was fixed when the study was created, and how many blocks have been started since.

    Raises:
        UserError: if its tags are not those that a factors study writes.
    """
    try:
        factors = {}
        for part in str(parent["factors"]).split():
            name, _, levels = part.partition("=")
            factors[name] = tuple(_level(name, level) for level in levels.split(","))
        planned, margin = int(parent["blocks"]), float(parent.get("margin", 0.3))
    except (ValueError, KeyError) as error:
        raise UserError(
            f"The study {parent['study']!r} has a plan that cannot be read: {parent['factors']!r} in "
            f"{parent['blocks']!r} blocks. Expected what `make factors` writes, such as model.pooling=last,mean."
        ) from error
    started = runs["block"].nunique() if "block" in runs else 0
    outcome = parent.get("compared")
    return Plan(
        factors=factors,
        planned=planned,
        total=max(planned, started),
        outcome=str(outcome) if outcome in ("test/accuracy", "best/val_accuracy") else "test/accuracy",
        margin=margin,
    )


def _level(name: str, text: str) -> str:
    """Write a level as the runs' column does: ``1e-3`` is ``0.001``."""
    return str(RunConfig().override({name: text}).flat()[name])


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
