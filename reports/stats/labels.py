"""How accuracy grows with labels: curves over seeds, and where one model overtakes another.

A seed draws the texts that are learned from, the initial weights and the order, so the seed is the unit of every
interval. Models that learned from the same texts are compared seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.estimates import Array, Interval, holm, mean_interval, plain, t_limits

STEPS = 200
"""Points between two sizes at which a difference is looked at."""


@dataclass(frozen=True)
class Crossing:
    """Where one learning curve overtakes another, in labels."""

    value: float
    """Number of labels at which the mean difference changes from below 0 to above; NaN where it does not."""
    low: float
    """Most labels up to which the second model is surely better; NaN where it never surely is."""
    high: float
    """Fewest labels from which the first model is surely better; NaN where it never surely is."""

    @property
    def seen(self) -> bool:
        """Whether both sides are sure: one model is better with few labels, the other with many."""
        return not (math.isnan(self.value) or math.isnan(self.low) or math.isnan(self.high))


def curve(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a learning curve: mean accuracy over seeds at each number of labels, with t limits.

    Args:
        scores: in per cent; one row per seed, one column per number of labels, NaN where a run is missing.

    Returns:
        One row per number of labels: ``labels``, ``mean``, ``low``, ``high`` (95 %; NaN for one seed), ``sd``,
        ``seeds``.
    """
    rows = []
    for labels in scores:
        values = scores[labels].dropna().to_numpy(dtype=float)
        found = mean_interval(values)
        sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        size = int(str(labels))
        rows.append(
            {"labels": size, "mean": found.value, "low": found.low, "high": found.high, "sd": sd, "seeds": found.n}
        )
    return pd.DataFrame(rows)


def differences(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the first model's scores minus the second's, for numbers of labels and seeds that both have whole.

    Args:
        first: in per cent, one row per seed, one column per number of labels.
        second: the same.
    """
    sizes = [size for size in first if size in set(second)]
    return (first[sizes] - second[sizes]).dropna()


def at_sizes(differences: pd.DataFrame) -> dict[int, Interval]:
    """Return the mean difference over seeds at each number of labels, with its t interval."""
    return {int(str(size)): mean_interval(differences[size].to_numpy(dtype=float)) for size in differences}


def paired_p(differences: pd.DataFrame) -> Array:
    """Test at each number of labels that the mean difference is 0: paired t, adjusted by Holm's method.

    With five seeds no test of signs or ranks could succeed; a t test supposes normal differences.
    """
    values = differences.to_numpy(dtype=float)
    if len(values) < 2:
        return np.full(differences.shape[1], np.nan)
    p: Array = np.atleast_1d(stats.ttest_1samp(values, 0.0, axis=0).pvalue)
    return holm(p)


def crossing(differences: pd.DataFrame) -> Crossing:
    """Find where the difference turns from below 0 to above, on a logarithmic scale of labels.

    Between two sizes each seed's difference is interpolated; every point has its t interval over seeds. The
    confidence set of the crossing are the points whose interval contains 0 (a test turned round, Fieller 1954),
    between where the first model is surely worse and where it is surely better.

    Args:
        differences: one row per seed, at least two; one column per number of labels, in rising order.
    """
    sizes = np.array([int(str(size)) for size in differences], dtype=float)
    nothing = Crossing(math.nan, math.nan, math.nan)
    if len(sizes) < 2 or len(differences) < 2:
        return nothing
    grid = np.unique(np.concatenate([np.linspace(a, b, STEPS) for a, b in _pairs(np.log(sizes))]))
    values = np.array(
        [np.interp(grid, np.log(sizes), row) for row in differences.to_numpy(dtype=float)]
    )  # (seeds, points)
    mean, error, df = plain(values.T)
    low_limits, high_limits = t_limits(mean, error, df, 0.95)
    below, above = high_limits < 0, low_limits > 0
    turn = [at for at in range(1, len(mean)) if mean[at - 1] < 0 <= mean[at]]
    value = float(np.exp(grid[turn[-1]])) if turn else math.nan
    low = float(np.exp(grid[np.flatnonzero(below)[-1]])) if below.any() else math.nan
    later = np.flatnonzero(above & (grid > (math.log(low) if not math.isnan(low) else -math.inf)))
    high = float(np.exp(grid[later[0]])) if len(later) else math.nan
    return Crossing(value, low, high)


def _pairs(values: Array) -> Sequence[tuple[float, float]]:
    return list(zip(values[:-1].tolist(), values[1:].tolist(), strict=True))
