"""What is measured over blocks, so that runs that share settings and a seed do not count as so many draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.contrasts import POINTS, VALIDATION
from reports.stats.estimates import FEWEST_FOR_TEST, Interval, mean_interval
from reports.stats.generalisation import FEWEST_RUNS, ValidationAgainstTest, trained_runs


def jackknife(runs: pd.DataFrame, statistic: Callable[[pd.DataFrame], float], level: float = 0.95) -> Interval:
    """Estimate a correlation with an interval over blocks: the jackknife of its Fisher transform, t on blocks - 1.

    Args:
        runs: one row per run, with ``block``.
        statistic: of some of the runs, between -1 and 1; perfect ones count as 0.999.
        level: of the interval.
    """

    def transformed(some: pd.DataFrame) -> float:
        return math.atanh(min(max(statistic(some), -0.999), 0.999))

    numbers = runs["block"].unique()
    count = len(numbers)
    value = statistic(runs)
    without = np.array([transformed(runs[runs["block"] != number]) for number in numbers])
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    center = transformed(runs)
    return Interval(value, math.tanh(center - half), math.tanh(center + half), level, count)


def rank_agreement(runs: pd.DataFrame) -> float:
    """Return Kendall's tau-b between validation and test accuracy (Kendall 1945)."""
    return float(stats.kendalltau(runs[VALIDATION], runs["test/accuracy"]).statistic)


def validation_over_blocks(runs: pd.DataFrame) -> ValidationAgainstTest | None:
    """Compare validation with test accuracy, with the block as the unit of both intervals.

    Args:
        runs: one row per run: ``block``, validation and test accuracy (fractions). Those that did not train are
            left out.

    Returns:
        None for fewer than 20 runs that trained, or fewer than 6 blocks.
    """
    runs = trained_runs(runs)
    if len(runs) < FEWEST_RUNS or runs["block"].nunique() < FEWEST_FOR_TEST:
        return None
    val, test = (runs[name] * POINTS for name in (VALIDATION, "test/accuracy"))
    gaps = val - test
    chosen = float(test[val == val.max()].mean())  # ties in validation are drawn by lot
    return ValidationAgainstTest(
        mean_interval(gaps.groupby(runs["block"]).mean().to_numpy()),
        float(gaps.std(ddof=1)),
        float(test.max()) - chosen,
        jackknife(runs, rank_agreement),
    )


def fixed_parts(runs: pd.DataFrame, factor: str) -> list[str]:
    """List the levels whose runs all saw one and the same split of the data, though their blocks drew others.

    However many blocks there are, such a level has one validation split: an interval over blocks would be about
    settings and seeds, and not about the kind of split.

    Args:
        runs: ``block``, ``digest`` (of texts, labels and split), ``data.split_seed``, the factor.
        factor: the column of levels.
    """
    return [
        str(level)
        for level, group in runs.groupby(factor)
        if len(group["digest"].unique()) == 1 < len(group["data.split_seed"].unique())
    ]
