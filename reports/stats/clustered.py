"""Scores for other reviews: reviews of one movie share its fate, so movies are what is drawn, and not reviews.

The errors are linearised: deviations from the mean are summed within movies (Liang & Zeger 1986; Cochran 1977,
section 9A), which is what resampling movies comes to for many of them. Without movies every review stands alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reports.stats.contrasts import POINTS
from reports.stats.estimates import Array, Interval


@dataclass(frozen=True)
class Sampled:
    """A mean over reviews with the interval that holds for other reviews; percentage points."""

    interval: Interval
    """``n`` is the number of movies, or of reviews where movies are not known."""
    design_effect: float
    """Variance of the mean over what it would be if reviews were independent; 1 without movies."""
    by_movie: bool


def codes(movies: pd.Series | None, rows: pd.Index[int]) -> NDArray[np.int64] | None:
    """Return a number per movie for these rows; None where the movie of any is not known.

    Args:
        movies: movie of each row of a source, index ``row``.
        rows: rows of the reviews that were answered, in the order of the answers.
    """
    if movies is None or not rows.isin(movies.index).all():
        return None
    return pd.factorize(movies.loc[rows])[0].astype(np.int64)


def mean_of_reviews(values: Array, movies: NDArray[np.int64] | None, level: float = 0.95) -> Sampled:
    """Estimate a mean over reviews and seeds, for other reviews and, of several seeds, for other seeds.

    With m the mean over S seeds of each of N reviews: SE² = s²(m, by movie)/N + s²(seed means)/S
    - s²(residual, by movie)/(S N), as in ``generalisation.two_way`` without trimming; degrees of freedom by
    Satterthwaite (1946).

    Args:
        values: (N,) or (N, S), one column per seed, such as 100 where a run is right and 0 where it is wrong.
        movies: (N,) codes from 0; None takes reviews as independent.
        level: of the interval.

    Returns:
        NaN limits where there are fewer than two movies.
    """
    values = values[:, None] if values.ndim == 1 else values
    size, seeds = values.shape
    known = movies is not None
    groups = movies if movies is not None else np.arange(size)
    count = int(groups.max()) + 1 if size else 0
    mean = float(values.mean()) if size else math.nan
    if count < 2:
        return Sampled(Interval(mean, math.nan, math.nan, level, count), math.nan, known)
    of_review = values.mean(axis=1) - mean
    clustered, plain = _variance(of_review, groups, count), _variance(of_review, np.arange(size), size)
    effect = clustered / plain if plain else math.nan
    if seeds == 1:
        variance, freedom = clustered, float(count - 1)
    else:
        of_seed = values.mean(axis=0)
        residual = values - of_review[:, None] - of_seed
        own = sum(_variance(residual[:, seed], groups, count) for seed in range(seeds)) / (seeds * (seeds - 1))
        from_reviews, from_seeds = max(0.0, clustered - own), float(of_seed.var(ddof=1)) / seeds
        variance = from_reviews + from_seeds
        parts = from_reviews**2 / (count - 1) + from_seeds**2 / (seeds - 1)
        freedom = variance**2 / parts if parts else float(count - 1)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return Sampled(Interval(mean, mean - half, mean + half, level, count), effect, known)


def _variance(deviations: Array, groups: NDArray[np.int64], count: int) -> float:
    """Return the variance of a mean from deviations that are summed within groups."""
    sums = np.bincount(groups, weights=deviations, minlength=count)
    return count / (count - 1) * float((sums**2).sum()) / len(deviations) ** 2


def clustered_p(values: Array, movies: NDArray[np.int64] | None) -> float:
    """Test that a mean over reviews is 0 by its t over movies (Durkalski et al. 2003 for pairs of answers).

    Args:
        values: (N,) differences, such as 1, 0 or -1.
        movies: (N,) codes from 0; None takes reviews as independent.
    """
    found = mean_of_reviews(values, movies).interval
    if math.isnan(found.low):
        return math.nan
    half = found.high - found.value
    if half == 0:
        return float(found.value == 0)
    t = abs(found.value) / half * float(stats.t.ppf(0.975, found.n - 1))
    return float(2 * stats.t.sf(t, found.n - 1))


def accuracy(right: Array, movies: NDArray[np.int64] | None) -> Sampled:
    """Estimate an accuracy in per cent, for other reviews.

    Args:
        right: (N,) or (N, S), 1 where a run is right and 0 where it is wrong.
        movies: (N,) codes from 0; None takes reviews as independent.
    """
    return mean_of_reviews(POINTS * right, movies)
