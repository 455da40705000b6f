"""Where scores vary from: each source of random variation, its part of the whole, and the worth of a single run.

Each source is varied with all others held at one value, so that variances add up as far as sources do not depend
on each other (Bouthillier et al. 2021, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reports.stats.estimates import Array, Interval

DRAWS = 20_000
"""Draws of each variance behind the limits of a proportion; they move by less than a tenth of a per cent."""
RUN_SEEDS = ("init", "order", "dropout")
"""Sources that two single runs on one split differ by without any reason."""
REAL = 1.0
"""Percentage points of a real difference that single runs are asked to show."""


@dataclass(frozen=True)
class Source:
    """One source of random variation, varied alone."""

    name: str
    runs: int
    sd: Interval
    """Standard deviation, in percentage points; chi-square limits."""
    proportion: Interval
    """Part of the sum of all variances, between 0 and 1."""


@dataclass(frozen=True)
class SingleRuns:
    """What a comparison of two runs that differ in all seeds of a run is worth; percentage points."""

    sd: Interval
    """Standard deviation of one run, from the variances of initial weights, order and dropout together."""
    by_chance: Interval
    """Size that 95 % of differences of two equally good runs stay below."""
    right: Interval
    """Probability that the run whose settings are better by ``REAL`` has the higher score."""
    seeds: Interval
    """Runs of each that find a difference of ``REAL`` with 80 % power at the 5 % level, by the normal formula."""


def sources(values: Mapping[str, Sequence[float]]) -> list[Source]:
    """Return each source's standard deviation and proportion of the variance, the largest first.

    A variance s² on f degrees of freedom is known up to f s² / chi²(f). Limits of a proportion are quantiles of
    that of such draws (generalised pivotal quantities, Weerahandi 1995).

    Args:
        values: source -> scores in per cent of runs in which it alone was varied; those with fewer than two are
            left out.
    """
    kept = {name: np.asarray(scores, dtype=float) for name, scores in values.items() if len(scores) > 1}
    variances = {name: float(scores.var(ddof=1)) for name, scores in kept.items()}
    total = sum(variances.values())
    drawn = pivotal(kept)
    whole = sum(drawn.values()) if drawn else 0.0
    found = []
    for name, scores in kept.items():
        limits = (
            np.quantile(drawn[name] / whole, [0.025, 0.975]) if total and len(kept) > 1 else (math.nan, math.nan)
        )
        part = variances[name] / total if total else math.nan
        proportion = Interval(part, float(limits[0]), float(limits[1]), 0.95, len(scores))
        found.append(Source(name, len(scores), sd_interval(scores), proportion))
    return sorted(found, key=lambda each: -each.sd.value)


def sd_interval(values: Array, level: float = 0.95) -> Interval:
    """Estimate a standard deviation with the chi-square interval, which supposes normal values."""
    df = len(values) - 1
    if df < 1:
        return Interval(math.nan, math.nan, math.nan, level, len(values))
    sd = float(values.std(ddof=1))
    low, high = (sd * math.sqrt(df / stats.chi2.ppf(tail, df)) for tail in ((1 + level) / 2, (1 - level) / 2))
    return Interval(sd, low, high, level, len(values))


def pivotal(values: Mapping[str, Array]) -> dict[str, NDArray[np.float64]]:
    """Draw what each variance may be, given the sample; always the same draws."""
    rng = np.random.default_rng(0)
    return {
        name: scores.var(ddof=1) * (len(scores) - 1) / rng.chisquare(len(scores) - 1, DRAWS)
        for name, scores in values.items()
    }


def single_runs(values: Mapping[str, Sequence[float]]) -> SingleRuns | None:
    """Say what a comparison of two single runs is worth; None where a seed of a run was not varied.

    Args:
        values: as of ``sources``.
    """
    kept = {name: np.asarray(values[name], dtype=float) for name in RUN_SEEDS if len(values.get(name, ())) > 1}
    if len(kept) < len(RUN_SEEDS):
        return None
    n = min(map(len, kept.values()))
    drawn = np.sqrt(sum(pivotal(kept).values()))
    low, high = (float(limit) for limit in np.quantile(drawn, [0.025, 0.975]))
    sd = math.sqrt(sum(float(scores.var(ddof=1)) for scores in kept.values()))
    if not sd:
        return None
    both = float(stats.norm.ppf(0.975)) * math.sqrt(2)

    def right(one: float) -> float:
        return float(stats.norm.cdf(REAL / (math.sqrt(2) * one)))

    def seeds(one: float) -> float:
        reach = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
        return max(2.0, math.ceil(2 * (reach * one / REAL) ** 2))

    return SingleRuns(
        sd=Interval(sd, low, high, 0.95, n),
        by_chance=Interval(both * sd, both * low, both * high, 0.95, n),
        right=Interval(right(sd), right(high), right(low), 0.95, n),
        seeds=Interval(seeds(sd), seeds(low), seeds(high), 0.95, n),
    )
