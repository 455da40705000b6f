"""Which questions a factors study asks of its blocks, and each block's answers, in percentage points.

A block runs every cell (one level of each factor) on the same settings and seed. A contrast is a weighted sum of
a block's cells whose weights add up to 0, so whatever all cells of a block share drops out of it. The block is
the unit: it gives one value per contrast, however many runs it took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, permutations, product

import numpy as np
import pandas as pd

from reports.stats.estimates import Array
from seqclf_core.errors import UserError

Factors = Mapping[str, Sequence[str]]
"""Dotted name of a setting -> its levels, the reference level first."""

POINTS = 100.0
"""Percentage points in an accuracy of 1."""
VALIDATION = "best/val_accuracy"
"""The column with the validation accuracy of a run's kept weights."""
CHANCE = 0.5
"""Accuracy of a run that learnt nothing; also the score of a run whose loss is NaN or infinite."""


@dataclass(frozen=True)
class Contrast:
    """One question: a main effect (one factor) or a two-way interaction (two factors)."""

    factors: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """Pair of levels of each factor: the compared level, and the reference level that is subtracted from it."""
    weights: tuple[float, ...]
    """One per cell, in the order of ``cells``."""
    at: tuple[tuple[str, str], ...] = ()
    """Factor and level where a simple effect is taken; empty: averaged over the levels of the other factors."""

    @property
    def name(self) -> str:
        """Tell contrasts apart: ``model.pooling: mean - last``, factors of an interaction joined by ``x``."""
        parts = zip(self.factors, self.pairs, strict=True)
        where = "".join(f", at {factor}={level}" for factor, level in self.at)
        return " x ".join(f"{factor}: {level} - {reference}" for factor, (level, reference) in parts) + where

    @property
    def is_interaction(self) -> bool:
        """Whether this asks if one factor's effect depends on the other's level."""
        return len(self.factors) == 2


@dataclass(frozen=True)
class Blocks:
    """Blocks in which every cell has a value, and which blocks were left out."""

    table: pd.DataFrame
    """One row per complete block (index ``block``), one column per cell, in the order of ``cells``."""
    incomplete: tuple[int, ...]
    """Blocks left out because a cell is missing: it still runs, or the machine failed it."""

    def contrast(self, contrast: Contrast) -> Array:
        """Return the contrast's value in each complete block: (blocks,)."""
        return weigh(self.table.to_numpy(), contrast)


def cells(factors: Factors) -> list[tuple[str, ...]]:
    """List every combination of levels, the last factor's level changing fastest."""
    return list(product(*factors.values()))


def family(factors: Factors) -> list[Contrast]:
    """List the questions that are tested together.

    Main effects of every pair of a factor's levels, then two-way interactions of every pair of such pairs: three
    contrasts for a 2x2 study. A main effect averages over the other factors' levels; an interaction is the first
    factor's effect at one level of the second minus that at the reference. With L, M = last, mean and B, C = bce,
    cross-entropy: pooling ((MB + MC) - (LB + LC)) / 2, interaction (MB - LB) - (MC - LC) (Box, Hunter & Hunter
    2005, section 5.4; there the interaction is defined as half of this).

    Raises:
        UserError: if a factor has fewer than two different levels.
    """
    for factor, levels in factors.items():
        if len(levels) < 2 or len(set(levels)) < len(levels):
            raise UserError(
                f"Factor {factor} has the levels {list(levels)}; a comparison needs two different ones."
            )
    pairs = {f: [(b, a) for a, b in combinations(levels, 2)] for f, levels in factors.items()}
    effects = [_contrast(factors, {f: pair}) for f in factors for pair in pairs[f]]
    interactions = [
        _contrast(factors, {f: pair, g: other})
        for f, g in combinations(factors, 2)
        for pair, other in product(pairs[f], pairs[g])
    ]
    return effects + interactions


def simple_effect(factors: Factors, factor: str, pair: tuple[str, str], at: Mapping[str, str]) -> Contrast:
    """Return the effect of a factor at given levels of others: its first level minus its second there.

    Raises:
        UserError: if the study has no such factor or level.
    """
    for name, level in [(factor, pair[0]), (factor, pair[1]), *at.items()]:
        if level not in factors.get(name, ()):
            raise UserError(f"The plan compares {name}={level}, which is no cell of {dict(factors)}.")
    return _contrast(factors, {factor: pair}, at)


def simple_effects(factors: Factors) -> list[Contrast]:
    """List the effects of each factor at every level of each other one: four for a 2x2 study."""
    return [
        simple_effect(factors, factor, (level, reference), {other: where})
        for factor, other in permutations(factors, 2)
        for where in factors[other]
        for reference, level in combinations(factors[factor], 2)
    ]


def _contrast(
    factors: Factors, chosen: Mapping[str, tuple[str, str]], at: Mapping[str, str] | None = None
) -> Contrast:
    at = at or {}
    signs = [
        np.array([(x == chosen[f][0]) - float(x == chosen[f][1]) for x in levels])
        if f in chosen
        else np.array([float(x == at[f]) for x in levels])
        if f in at
        else np.full(len(levels), 1 / len(levels))
        for f, levels in factors.items()
    ]
    weights = reduce(np.kron, signs)
    return Contrast(tuple(chosen), tuple(chosen.values()), tuple(float(w) for w in weights), tuple(at.items()))


def weigh(values: Array, contrast: Contrast) -> Array:
    """Weigh the cells along the last axis: (..., cells) -> (...)."""
    weighed: Array = values @ np.asarray(contrast.weights)
    return weighed


def scored(runs: pd.DataFrame, outcome: str) -> pd.Series:
    """Return each run's outcome; an accuracy of a run which diverged without one is ``CHANCE``.

    A loss that is NaN or infinite is an outcome, not a gap: dropping such runs would favour the cell that
    breaks more often. What the machine lost stays missing, and so does an outcome that has no value by chance,
    such as a loss, a number of seconds or a difference of accuracies.

    Args:
        runs: the outcome, and optionally ``diverged`` (bool).
        outcome: the column.
    """
    values = runs[outcome].astype(float)
    if "diverged" not in runs or not outcome.endswith("accuracy"):
        return values
    return values.mask(values.isna() & runs["diverged"].fillna(False).astype(bool), CHANCE)


def blocks(runs: pd.DataFrame, factors: Factors, outcome: str = "test/accuracy", scale: float = POINTS) -> Blocks:
    """Arrange runs as one row per block and one column per cell.

    A missing or NaN outcome means that the cell has no run yet, or lost it to the machine: its block is left out
    and counted. See ``scored`` for runs whose loss is NaN or infinite.

    Args:
        runs: one row per run: ``block``, one column per factor, the outcome, optionally ``diverged`` (bool).
        factors: the factors and their levels, as the study was created with them.
        outcome: the column to compare, a fraction for accuracies.
        scale: what to multiply the outcome with; 100 turns fractions into points.

    Raises:
        UserError: if a cell occurs twice in a block, or a run's level is none of the factor's levels.
    """
    for factor, levels in factors.items():
        foreign = set(runs[factor]) - set(levels)
        if foreign:
            raise UserError(
                f"Runs have {factor}={sorted(map(str, foreign))}, but this study compares {list(levels)}. "
                "Give only the study's own runs."
            )
    keys = ["block", *factors]
    twice = runs.loc[runs.duplicated(keys), keys]
    if len(twice):
        where = ", ".join(f"{name}={value}" for name, value in twice.iloc[0].items())
        raise UserError(f"A cell has two runs: {where}. A block has each cell once; keep one of them.")
    columns = pd.MultiIndex.from_tuples(cells(factors), names=list(factors))
    table = runs.assign(**{outcome: scored(runs, outcome) * scale}).set_index(keys)[outcome].unstack(list(factors))  # noqa: PD010
    if len(factors) == 1:  # unstack gives a plain index here
        table.columns = pd.MultiIndex.from_arrays([table.columns], names=list(factors))
    table = table.reindex(columns=columns).sort_index()
    complete = table.notna().all(axis=1)
    return Blocks(table[complete], tuple(int(b) for b in table.index[~complete]))
