"""The factors study: which choice matters, by how much, and how sure are we?

    analysis = analyse(runs, Plan({"model.pooling": ["last", "mean"], "model.loss": ["cross_entropy", "bce"]}, 24))
    analysis.table()                       # numbers
    [verdict(e, analysis) for e in analysis.effects]   # words: reports/pages/verdicts.py

Effects are in percentage points, intervals unadjusted, p adjusted by Holm's method over all contrasts of the
study. They hold for the reviews they were measured on; reports/stats/generalisation.py has the interval for
new ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.stats.contrasts import Blocks, Contrast, Factors, blocks, family
from reports.stats.estimates import (
    FEWEST_FOR_TEST,
    Array,
    Interval,
    equivalent,
    holm,
    mean_interval,
    median_interval,
    proportion_interval,
    signed_rank,
    trimmed,
    trimmed_interval,
)
from reports.stats.power import (
    blocks_for_difference,
    blocks_for_equivalence,
    minimum_detectable_effect,
    upper_sd,
)
from reports.stats.training_rates import (
    TRAINED,
    TrainingEffect,
    fragile_cells,
    training_effects,
    training_rates,
    where_all_trained,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Plan:
    """What was decided before the first block was seen, and how many blocks are wanted now."""

    factors: Factors
    planned: int
    """Blocks fixed when the study was created."""
    total: int | None = None
    """Blocks asked for now; more than planned means that somebody looked and went on. None: as planned."""
    outcome: str = "test/accuracy"
    """Estimating is not selecting, so the test split may be the outcome."""
    margin: float = 0.3
    """Points below which a difference does not matter."""
    equivalence: Sequence[str] = ("model.loss",)
    """Factors whose levels were declared to be compared for equivalence."""
    simple: tuple[Contrast, ...] = ()
    """Simple effects that were declared beforehand; they are tested in one family with all others."""

    @property
    def contrasts(self) -> list[Contrast]:
        """Everything that is tested together, with one adjustment for all."""
        return [*family(self.factors), *self.simple]

    @property
    def wanted(self) -> int:
        """Blocks that must be finished before there is a verdict."""
        return max(self.planned, self.total or 0)

    @property
    def extended(self) -> bool:
        """Whether the total was raised: testing at 12 blocks and again at 24 errs in 9 %, not 5 %."""
        return self.wanted > self.planned


@dataclass(frozen=True)
class Effect:
    """Everything the blocks say about one contrast, in percentage points of accuracy."""

    contrast: Contrast
    trimmed: Interval
    """The headline: 20 % trimmed mean over blocks, 95 %."""
    narrow: Interval
    """The same at 90 %, for the equivalence test."""
    mean_trained: Interval
    """Mean over the blocks where all of the contrast's cells trained."""
    median: Interval
    validation: Interval
    """The headline's estimate for validation accuracy, 95 %."""
    better: Interval
    """Proportion of blocks, ties left out, in which the contrast is above 0."""
    ties: int
    p: float
    """P-value of the exact signed-rank test, unadjusted; NaN below 6 blocks."""
    p_holm: float
    minimum_detectable_effect: float
    """Effect that a study like this finds with 80 % power, at the hardest of Holm's levels."""
    margin: float
    declared: bool
    """Whether equivalence was declared beforehand as a question."""
    required_blocks: int | None
    """Blocks that would settle it with 80 % power, at the observed standard deviation."""
    settled_at_most_by: int | None
    """The same at the standard deviation's upper 80 % limit."""
    fragile: tuple[tuple[str, ...], ...]
    """Cells that failed to train too often for accuracies to be compared."""

    @property
    def beats(self) -> bool:
        """Whether there is a difference: Holm's p below 0.05 and an interval without 0."""
        return self.p_holm < ALPHA and self.trimmed.excludes(0)

    @property
    def agrees(self) -> bool:
        """Whether the interval of the mean says so too, on the same side of 0; an interaction needs that."""
        mean = self.mean_trained
        return self.beats and mean.excludes(0) and (mean.value > 0) == (self.trimmed.value > 0)

    @property
    def equivalent(self) -> bool:
        """Whether it was asked beforehand and the 90 % interval lies inside the margin."""
        return self.declared and bool(equivalent(self.narrow.low, self.narrow.high, self.margin))


@dataclass(frozen=True)
class Analysis:
    """A factors study's answers and what they rest on."""

    plan: Plan
    blocks: Blocks
    """Outcomes in per cent, one row per complete block, one column per cell."""
    effects: tuple[Effect, ...]
    rates: pd.DataFrame
    """Proportion of runs that trained, per cell."""
    training: tuple[TrainingEffect, ...]
    """Effects on the proportion of runs that trained, in the order of ``effects``."""

    @property
    def finished(self) -> int:
        """Complete blocks."""
        return len(self.blocks.table)

    @property
    def interim(self) -> bool:
        """Whether blocks are missing, so that there is no verdict yet."""
        return self.finished < self.plan.wanted

    @property
    def too_few(self) -> bool:
        """Whether no test could succeed with so few blocks."""
        return self.finished < FEWEST_FOR_TEST

    def table(self) -> pd.DataFrame:
        """Return one row per contrast: estimates with their (unadjusted) limits, p, power."""
        rows = []
        for effect, training in zip(self.effects, self.training, strict=True):
            row: dict[str, object] = {"contrast": effect.contrast.name, "blocks": effect.trimmed.n}
            for name in ("trimmed", "mean_trained", "median", "validation", "better"):
                interval: Interval = getattr(effect, name)
                row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            row |= {"blocks_trained": effect.mean_trained.n, "ties": effect.ties, "p": effect.p}
            row |= {"p_holm": effect.p_holm, "minimum_detectable_effect": effect.minimum_detectable_effect}
            row |= {"required_blocks": effect.required_blocks, "settled_at_most_by": effect.settled_at_most_by}
            row |= {"training_difference": training.difference, "training_p_holm": training.p_holm}
            rows.append(row)
        return pd.DataFrame(rows)


def analyse(runs: pd.DataFrame, plan: Plan) -> Analysis:
    """Answer a factors study from its finished runs.

    Args:
        runs: one row per run: ``block``, one column per factor, ``best/val_accuracy``, the outcome (fractions),
            optionally ``diverged`` (see ``contrasts.blocks``).
        plan: what was decided beforehand.

    Raises:
        UserError: if a cell occurs twice in a block, or the runs are not those of the plan's factors.
    """
    outcome = blocks(runs, plan.factors, plan.outcome)
    validation = blocks(runs, plan.factors, "best/val_accuracy").table
    both = outcome.table.index.intersection(validation.index)
    left_out = sorted({*outcome.incomplete, *(int(b) for b in outcome.table.index.difference(both))})
    outcome = Blocks(outcome.table.loc[both], tuple(left_out))
    trained = validation.loc[both] >= TRAINED
    contrasts = plan.contrasts
    seen = Blocks(validation.loc[both], ())
    p = np.array([signed_rank(outcome.contrast(contrast)) for contrast in contrasts])
    effects = tuple(
        _effect(outcome, seen, contrast, trained, plan, float(one), float(adjusted))
        for contrast, one, adjusted in zip(contrasts, p, holm(p), strict=True)
    )
    training = tuple(training_effects(trained, contrasts))
    return Analysis(plan, outcome, effects, training_rates(trained), training)


def _effect(
    outcome: Blocks, seen: Blocks, contrast: Contrast, trained: pd.DataFrame, plan: Plan, p: float, p_holm: float
) -> Effect:
    values = outcome.contrast(contrast)
    better, worse = int((values > 0).sum()), int((values < 0).sum())
    declared = not contrast.is_interaction and contrast.factors[0] in plan.equivalence
    visible, settled = _reach(values, plan, declared)
    return Effect(
        contrast=contrast,
        trimmed=trimmed_interval(values),
        narrow=trimmed_interval(values, level=0.9),
        mean_trained=mean_interval(values[where_all_trained(trained, contrast).to_numpy()]),
        median=median_interval(values),
        validation=trimmed_interval(seen.contrast(contrast)),
        better=proportion_interval(better, better + worse),
        ties=len(values) - better - worse,
        p=p,
        p_holm=p_holm,
        minimum_detectable_effect=visible,
        margin=plan.margin,
        declared=declared,
        required_blocks=settled[0],
        settled_at_most_by=settled[1],
        fragile=tuple(fragile_cells(trained, contrast)),
    )


def _reach(values: Array, plan: Plan, declared: bool) -> tuple[float, tuple[int | None, int | None]]:
    """Return the minimum detectable effect, and the blocks required at two standard deviations.

    A question declared for equivalence is settled if no difference at all would be found equivalent; another if a
    difference of the size of the margin would be found.
    """
    if len(values) < FEWEST_FOR_TEST:
        return np.nan, (None, None)
    _, error, df = trimmed(values)
    alpha = ALPHA / len(plan.contrasts)
    sd = float(error) * math.sqrt(len(values))
    settled = [
        blocks_for_equivalence(size, plan.margin) if declared else blocks_for_difference(size, plan.margin, alpha)
        for size in (sd, upper_sd(sd, df))
    ]
    return minimum_detectable_effect(float(error), df, alpha), (settled[0], settled[1])
