"""How small an effect a study could see, and how many blocks it would take to settle a question.

All of it is planning: it supposes normal contrasts, and a standard deviation that stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from reports.stats.estimates import FEWEST_FOR_TEST, TRIM

POWER = 0.8
MOST_BLOCKS = 10_000
"""Upper limit of the search for a number of blocks; nobody trains so many."""
SD_LIMIT = 0.8
"""Confidence of the standard deviation's upper limit, one-sided (Browne 1995 on planning from a pilot study)."""
SD_DF = 0.8
"""Degrees of freedom of a winsorized variance over those of the trimmed mean: simulated on normal data (the limit
then holds in 79.8-81.3 % at 8 to 48 blocks; with all of them, in 75-77 %)."""


def degrees_of_freedom(blocks: int) -> int:
    """Return those of the trimmed mean: what is left after trimming, less one."""
    return blocks - 2 * int(TRIM * blocks) - 1


def minimum_detectable_effect(error: float, df: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Return the smallest true effect that a two-sided t test finds with this power.

    The effect over its standard error is the noncentrality of a t distribution whose upper tail beyond the
    critical value is the power (Cohen 1988, section 2; the other tail is left out, it is below 1e-5).

    Args:
        error: standard error of the estimate, in percentage points.
        df: its degrees of freedom.
        alpha: level of the test; 0.05 over the family's size for Holm's hardest step.
        power: probability of finding it.
    """
    critical = stats.t.ppf(1 - alpha / 2, df)

    def shortfall(noncentrality: float) -> float:
        return float(stats.nct.sf(critical, df, noncentrality) - power)

    return error * float(optimize.brentq(shortfall, 0.0, 4 * critical + 10))


def equivalence_power(sd: float, blocks: int, margin: float, level: float = 0.9) -> float:
    """Return the probability that the interval lies inside ±margin if there is no difference at all.

    The estimate and its error are independent for normal data: the probability given the error is averaged over
    the error's chi distribution (Schuirmann 1987; Phillips 1990).

    Args:
        sd: standard error times the square root of the blocks, in percentage points.
        blocks: how many.
        margin: in percentage points.
        level: of the interval; 0.9 tests at 5 %.
    """
    if sd == 0:
        return 1.0
    df = degrees_of_freedom(blocks)
    errors = sd / math.sqrt(blocks) * np.sqrt(stats.chi2.ppf((np.arange(200) + 0.5) / 200, df) / df)
    room = np.maximum(margin - stats.t.ppf((1 + level) / 2, df) * errors, 0)
    return float(np.mean(2 * stats.norm.cdf(room / (sd / math.sqrt(blocks))) - 1))


def blocks_for_equivalence(sd: float, margin: float, power: float = POWER) -> int:
    """Return how many blocks show equivalence with this power, if there is no difference at all.

    See ``equivalence_power``. A standard deviation of 0 needs the fewest blocks that allow a trimmed interval.
    """
    return _fewest(lambda blocks: equivalence_power(sd, blocks, margin) >= power)


def blocks_for_difference(sd: float, size: float, alpha: float = 0.05, power: float = POWER) -> int:
    """Return how many blocks find a true difference of this size with this power."""

    def enough(blocks: int) -> bool:
        return minimum_detectable_effect(sd / math.sqrt(blocks), degrees_of_freedom(blocks), alpha, power) <= size

    return _fewest(enough)


def _fewest(enough: Callable[[int], bool]) -> int:
    """Bisect for the fewest blocks that are enough; trimming whole blocks makes this good to one block or so."""
    low, high = FEWEST_FOR_TEST - 1, FEWEST_FOR_TEST
    while not enough(high) and high < MOST_BLOCKS:
        low, high = high, min(2 * high, MOST_BLOCKS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def upper_sd(sd: float, df: float) -> float:
    """Return the standard deviation's upper 80 % limit, from the chi-square distribution of a variance."""
    df = max(1.0, SD_DF * df)
    return sd * math.sqrt(df / stats.chi2.ppf(1 - SD_LIMIT, df))
