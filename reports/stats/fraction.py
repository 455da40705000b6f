"""A fraction of two-level factors: what each is worth from eight cells a block, and what it cannot be told from.

A block runs eight of the combinations, its fold-over the eight opposite ones. In one kind of block a main effect
is mixed with interactions of two factors; in the other kind these have the opposite sign. So each effect is the
mean of the two kinds' means, and its error is taken within each kind (Box, Hunter & Hunter 2005, section 6.12).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reports.stats.contrasts import POINTS, VALIDATION, Factors, scored
from reports.stats.estimates import FEWEST_FOR_TEST, Array, Interval, holm, t_limits, trimmed
from reports.stats.factorial import ALPHA
from reports.stats.power import minimum_detectable_effect
from reports.stats.training_rates import FRAGILE, TRAINED
from seqclf_core.errors import UserError

CELLS = 8
"""Runs of a block."""

Kind = frozenset[tuple[int, ...]]
"""The cells of a block, each a level of every factor as -1 or 1."""


@dataclass(frozen=True)
class FractionEffect:
    """What the blocks say about one column of the design, in percentage points of the outcome."""

    names: tuple[tuple[str, ...], ...]
    """The effects that share the column, each one factor or two that interact; their sum is what is estimated."""
    interval: Interval
    """Mean over both kinds of block of the 20 % trimmed mean, 95 %, unadjusted."""
    validation: Interval
    """The same for validation accuracy."""
    p: float
    """P-value of the t test that belongs to the interval, unadjusted; NaN below 6 blocks."""
    p_holm: float
    """Adjusted over all columns of the design."""
    minimum_detectable_effect: float
    """Effect that a study like this finds with 80 % power, at the hardest of Holm's levels."""
    fragile: bool
    """Whether runs at a level of the factor failed to converge too often for accuracies to be compared."""

    @property
    def is_interaction(self) -> bool:
        """Whether two factors together are meant."""
        return len(self.names[0]) == 2

    @property
    def found(self) -> bool:
        """Whether there is a difference: Holm's p below 0.05 and an interval without 0."""
        return self.p_holm < ALPHA and self.interval.excludes(0)


@dataclass(frozen=True)
class FractionAnalysis:
    """A fraction's answers and what they rest on."""

    effects: tuple[FractionEffect, ...]
    """Main effects in the order of the factors, then the columns of interactions."""
    means: pd.Series
    """Mean outcome of each complete block in per cent; index ``block``."""
    incomplete: tuple[int, ...]
    """Blocks left out, because a cell is missing."""

    @property
    def finished(self) -> int:
        """Complete blocks."""
        return len(self.means)

    def table(self) -> pd.DataFrame:
        """Return one row per column of the design."""
        rows = []
        for effect in self.effects:
            row: dict[str, object] = {"effect": " + ".join(" x ".join(each) for each in effect.names)}
            for name in ("interval", "validation"):
                one: Interval = getattr(effect, name)
                row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
            row |= {"blocks": effect.interval.n, "p": effect.p, "p_holm": effect.p_holm}
            row |= {"minimum_detectable_effect": effect.minimum_detectable_effect, "fragile": effect.fragile}
            rows.append(row)
        return pd.DataFrame(rows).rename(columns={"interval": "estimate"})


def analyse_fraction(runs: pd.DataFrame, factors: Factors, outcome: str = "test/accuracy") -> FractionAnalysis:
    """Answer a fraction from its finished runs.

    Args:
        runs: one row per run: ``block``, one column per factor, validation accuracy and the outcome (fractions),
            optionally ``diverged`` (see ``contrasts.scored``).
        factors: names and their two levels, the reference first.
        outcome: the column to compare.

    Raises:
        UserError: if a level is not one of the factor's two, or a block has a cell twice.
    """
    coded = _coded(runs, factors).assign(
        outcome=scored(runs, outcome) * POINTS, validation=scored(runs, VALIDATION) * POINTS
    )
    whole, incomplete, kinds = {}, [], {}
    for number, block in coded.groupby("block"):
        cells = [tuple(int(sign) for sign in row) for row in block[list(factors)].to_numpy()]
        if len(set(cells)) < len(cells):
            raise UserError(f"Block {number} has a cell twice. A block has each cell once; keep one of them.")
        if len(cells) < CELLS or block[["outcome", "validation"]].isna().any().any():
            incomplete.append(int(str(number)))
            continue
        whole[int(str(number))] = block
        kinds[int(str(number))] = frozenset(cells)
    columns = confounded(list(factors), set(kinds.values()))
    p = np.full(len(columns), np.nan)
    found = []
    for place, names in enumerate(columns):
        values = {name: _values(whole, kinds, names[0], name) for name in ("outcome", "validation")}
        estimate, error, df = over_kinds(values["outcome"])
        count = len(whole)
        if count >= FEWEST_FOR_TEST and df > 0:
            p[place] = 2 * stats.t.sf(abs(estimate) / error, df) if error else float(estimate == 0)
        enough = count >= FEWEST_FOR_TEST and df > 0
        visible = minimum_detectable_effect(error, df, ALPHA / len(columns)) if enough else math.nan
        found.append((names, _interval(values["outcome"]), _interval(values["validation"]), visible))
    fragile = _fragile(coded[coded["block"].isin(whole)], factors)
    effects = tuple(
        FractionEffect(
            names, interval, seen, float(one), float(adjusted), visible, any(f in fragile for f in names[0])
        )
        for (names, interval, seen, visible), one, adjusted in zip(found, p, holm(p), strict=True)
    )
    means = pd.Series({number: float(block["outcome"].mean()) for number, block in whole.items()}, dtype=float)
    return FractionAnalysis(effects, means.rename_axis("block"), tuple(incomplete))


def confounded(factors: Sequence[str], kinds: set[Kind]) -> list[tuple[tuple[str, ...], ...]]:
    """Return the columns of a design, each the effects that it cannot tell apart: main effects come first.

    Args:
        factors: their names.
        kinds: cells of the blocks that were seen; their fold-overs are supposed to follow.
    """
    folded = kinds | {frozenset(tuple(-sign for sign in cell) for cell in kind) for kind in kinds}
    if not folded:
        return [((name,),) for name in factors]
    cells = np.array([cell for kind in sorted(folded, key=sorted) for cell in sorted(kind)])
    effects = [(name,) for name in factors] + list(combinations(factors, 2))
    signs = {effect: _signs(cells, [factors.index(name) for name in effect]) for effect in effects}
    columns: list[tuple[tuple[str, ...], ...]] = []
    for effect in effects:
        if not any(effect in column for column in columns):
            same = [one for one in effects if abs(int(signs[one] @ signs[effect])) == len(cells)]
            columns.append((effect, *[one for one in same if one != effect]))
    return columns


def over_kinds(values: Sequence[Array]) -> tuple[float, float, float]:
    """Average the trimmed means of the kinds of block: the estimate, its standard error, degrees of freedom.

    The variances of the kinds add up, each as of ``estimates.trimmed``; the degrees of freedom are Welch's (1947).
    NaN and 0 degrees where a kind has fewer than two blocks.

    Args:
        values: of each kind, one per block.
    """
    if not values or min(map(len, values)) < 2:
        every = np.concatenate(values) if values else np.array([])
        return (float(every.mean()) if len(every) else math.nan), math.nan, 0.0
    means, errors, free = zip(*(trimmed(each) for each in values), strict=True)
    parts = np.array([float(error) ** 2 for error in errors]) / len(values) ** 2
    total = float(parts.sum())
    df = total**2 / float((parts**2 / np.array(free)).sum()) if total else float(sum(free))
    return float(np.mean(means)), math.sqrt(total), df


def _interval(values: Sequence[Array]) -> Interval:
    estimate, error, df = over_kinds(values)
    count = sum(map(len, values))
    if not df:
        return Interval(estimate, math.nan, math.nan, 0.95, count)
    low, high = t_limits(estimate, error, df, 0.95)
    return Interval(estimate, float(low), float(high), 0.95, count)


def _coded(runs: pd.DataFrame, factors: Factors) -> pd.DataFrame:
    """Return the block and each factor's level as -1 (the reference) or 1."""
    coded = {}
    for name, levels in factors.items():
        foreign = set(runs[name]) - set(levels)
        if foreign or len(levels) != 2:
            raise UserError(
                f"Runs have {name}={sorted(map(str, foreign))}, but this fraction compares {list(levels)}. "
                "Give only the study's own runs."
            )
        coded[name] = np.where(runs[name] == levels[1], 1, -1)
    return pd.DataFrame({"block": runs["block"], **coded}, index=runs.index)


def _values(
    whole: Mapping[int, pd.DataFrame], kinds: Mapping[int, Kind], effect: tuple[str, ...], outcome: str
) -> list[Array]:
    """Return the effect in every block, apart by kind; an interaction as the difference of two effects."""
    by_kind: dict[Kind, list[float]] = {}
    for number, block in whole.items():
        sign = block[list(effect)].prod(axis=1)
        difference = block.loc[sign > 0, outcome].mean() - block.loc[sign < 0, outcome].mean()
        by_kind.setdefault(kinds[number], []).append(len(effect) * float(difference))
    return [np.array(each) for each in by_kind.values()]


def _signs(cells: NDArray[np.int64], places: Sequence[int]) -> NDArray[np.int64]:
    product: NDArray[np.int64] = cells[:, list(places)].prod(axis=1)
    return product


def _fragile(runs: pd.DataFrame, factors: Factors) -> set[str]:
    """Return the factors at one of whose levels too many runs failed to converge."""
    failed = runs["validation"] < TRAINED
    return {name for name in factors if len(runs) and failed.groupby(runs[name]).mean().max() > FRAGILE}
