"""Estimates, intervals and tests of one sample of blocks: numbers in, numbers out.

Closed forms also take many samples at once, blocks along the last axis, which is how simulations check them.

Never a percentile or BCa bootstrap here: at 12 blocks it covers 90-91 % where it says 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.robust_compare import TrimmedMean

Array = NDArray[np.float64]

TRIM = 0.2
"""Proportion of the blocks cut off at each end: a failed run in one block in ten cannot move the estimate far."""
FEWEST_FOR_TEST = 6
"""With 5 blocks the smallest two-sided p of a sign-flip test is 2/32 > 0.05: no test can succeed."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; NaN where the sample is too small for one."""

    value: float
    low: float
    high: float
    level: float
    """Confidence level, such as 0.95. Never adjusted for several questions."""
    n: int
    """Independent units behind it: blocks, seeds or runs."""

    def excludes(self, value: float) -> bool:
        """Say whether the value lies outside the interval."""
        return self.low > value or self.high < value


def trimmed(values: Array) -> tuple[Array, Array, int]:
    """Return the 20 % trimmed mean, its standard error and its degrees of freedom.

    The standard error is the winsorized standard deviation over (1 - 2g/n) sqrt(n), with g = floor(0.2 n) cut off
    at each end, and n - 2g - 1 degrees of freedom (Tukey & McLaughlin 1963; Yuen 1974; Wilcox 2012, section 3.3).

    Args:
        values: (..., n) blocks, n >= 2.
    """
    fit = TrimmedMean(values, TRIM, axis=-1)
    return fit.mean_trimmed, fit.std_mean_trimmed, fit.nobs_reduced - 1


def plain(values: Array) -> tuple[Array, Array, int]:
    """Return the mean, its standard error and its degrees of freedom.

    Args:
        values: (..., n) blocks, n >= 2.
    """
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1]), values.shape[-1] - 1


def t_limits(mean: ArrayLike, error: ArrayLike, df: float, level: float) -> tuple[Array, Array]:
    """Return the limits of a two-sided t interval (Student 1908)."""
    center, half = np.asarray(mean), stats.t.ppf((1 + level) / 2, df) * np.asarray(error)
    return center - half, center + half


def trimmed_interval(values: Array, level: float = 0.95) -> Interval:
    """Estimate the trimmed mean with Yuen's interval; see ``trimmed``."""
    n = len(values)
    if n < 2:
        return _no_interval(values, level)
    mean, error, df = trimmed(values)
    low, high = t_limits(mean, error, df, level)
    return Interval(float(mean), float(low), float(high), level, n)


def mean_interval(values: Array, level: float = 0.95) -> Interval:
    """Estimate the mean with Student's t interval on n - 1 degrees of freedom (Student 1908)."""
    n = len(values)
    if n < 2:
        return _no_interval(values, level)
    mean, error, df = plain(values)
    low, high = t_limits(mean, error, df, level)
    return Interval(float(mean), float(low), float(high), level, n)


def median_interval(values: Array, level: float = 0.95) -> Interval:
    """Estimate the median between two order statistics, chosen by the binomial distribution.

    It assumes no shape and covers at least ``level``; below 6 values none does so at 95 % (Conover 1999, 3.2).
    """
    if len(values) == 0:
        return _no_interval(values, level)
    limits = stats.quantile_test(values, q=0, p=0.5).confidence_interval(level)
    return Interval(float(np.median(values)), float(limits.low), float(limits.high), level, len(values))


def proportion_interval(count: int, n: int, level: float = 0.95) -> Interval:
    """Estimate a proportion with the exact interval of Clopper & Pearson (1934); [0, 1] where n is 0."""
    if n == 0:
        return Interval(np.nan, 0.0, 1.0, level, 0)
    low, high = proportion_confint(count, n, alpha=1 - level, method="beta")
    return Interval(count / n, float(low), float(high), level, n)


def equivalent(low: ArrayLike, high: ArrayLike, margin: float) -> NDArray[np.bool_]:
    """Say whether intervals lie inside ±margin: at 90 %, both one-sided tests succeed at 5 % (Schuirmann 1987)."""
    return (np.asarray(low) > -margin) & (np.asarray(high) < margin)


def _no_interval(values: Array, level: float) -> Interval:
    return Interval(float(values[0]) if len(values) else np.nan, np.nan, np.nan, level, len(values))


def signed_rank(values: Array) -> float:
    """Test that blocks are as likely to speak for one side as for the other; two-sided, exact for any number.

    If the arms of a block could be swapped without anybody noticing, its contrast may take either sign. So the
    signs of whole blocks are flipped in all 2^n ways, and the sum of the signed ranks is compared (Fisher 1935,
    section 21; Wilcoxon 1945; zeros are ranked, then say nothing, Pratt 1959; ties share their rank). The trimmed
    t in the place of ranks would trim flipped blocks away: at 6 blocks its p cannot fall below 0.06, and at 12 it
    finds 79 % where ranks find 87 % (``sign_flips`` in tests/reports/stats/simulated_effects.py).

    Args:
        values: (n,) contrasts of whole blocks.

    Returns:
        p; NaN for fewer than 6 blocks, where it could not fall below 0.05.
    """
    values = np.round(values, 9)  # equal differences of accuracies differ in their last bits
    ranks = stats.rankdata(np.abs(values)) if len(values) else values
    return count_flip(np.rint(2 * ranks * np.sign(values)).astype(np.int64))


def count_flip(differences: NDArray[np.int64]) -> float:
    """Test whole-number differences of blocks by the exact distribution of their sum under sign flips.

    With differences of -1, 0 and 1 this is the exact test of McNemar (1947): the sum of ±1 is a binomial count.

    Args:
        differences: (n,) one per block; 0 says nothing either way.

    Returns:
        Two-sided p; NaN for fewer than 6 blocks.
    """
    if len(differences) < FEWEST_FOR_TEST:
        return np.nan
    reach = int(np.abs(differences).sum())
    probability = np.zeros(2 * reach + 1)  # of each sum from -reach to reach
    probability[reach] = 1
    for size in np.abs(differences):
        probability = (np.roll(probability, size) + np.roll(probability, -size)) / 2
    sums = np.arange(-reach, reach + 1)
    return float(min(1.0, probability[np.abs(sums) >= abs(differences.sum())].sum()))


def holm(p: Array) -> Array:
    """Adjust the p of a family so that its probability of any false finding stays below the level (Holm 1979).

    Ours, since that of statsmodels collects all garbage of the process at every call.

    Args:
        p: (..., questions); NaN makes all of a family NaN.
    """
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * np.arange(p.shape[-1], 0, -1)
    rising = np.minimum(np.maximum.accumulate(steps, axis=-1), 1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, rising, axis=-1)
    return np.where(np.isnan(p).any(axis=-1, keepdims=True), np.nan, adjusted)


def mirrored(interval: Interval) -> Interval:
    """Return the interval of the same difference, taken the other way round."""
    return Interval(-interval.value, -interval.high, -interval.low, interval.level, interval.n)
