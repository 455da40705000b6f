"""From these reviews to new ones, and from validation to test.

All runs of a study are scored on the same test reviews. Which reviews those are is luck that every run shares:
more blocks do not average it away, and neither do more seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reports.stats.contrasts import POINTS, Contrast, Factors, blocks, cells, family
from reports.stats.estimates import TRIM, Array, Interval, mean_interval, trimmed, trimmed_interval
from reports.stats.training_rates import TRAINED
from seqclf_core.errors import UserError
from seqclf_core.training.predictions import decide

FEWEST_RUNS = 20
"""Below this, how validation relates to test is not worth a number."""


@dataclass(frozen=True)
class NewReviews:
    """An effect with the interval that holds for new blocks and new movies together; percentage points."""

    interval: Interval
    from_blocks: float
    """Standard error from settings and seeds."""
    from_reviews: float
    """Standard error from the choice of reviews (of movies); no number of blocks makes it smaller."""


def correct_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """Arrange predictions of one part as right (1) or wrong (0): one row per review, one column per run.

    Args:
        predictions: ``key``, ``row``, ``label`` (0 or 1), ``probability`` (of label 1), of one part only.

    Raises:
        UserError: if the runs did not all answer the same reviews, once each.
    """
    rows, reviews = pd.factorize(predictions["row"], sort=True)
    columns, keys = pd.factorize(predictions["key"], sort=True)
    right = np.full((len(reviews), len(keys)), np.nan)
    right[rows, columns] = decide(predictions["probability"]) == (predictions["label"] == 1)
    if np.isnan(right).any() or right.size != len(predictions):
        raise UserError(
            f"{len(keys)} runs gave {len(predictions):,} answers to {len(reviews):,} reviews; each must answer "
            "each once. Give the runs of one study, and one part (validation or test)."
        )
    return pd.DataFrame(right, index=pd.Index(reviews, name="row"), columns=pd.Index(keys, name="key"))


def for_new_reviews(
    runs: pd.DataFrame,
    correct: pd.DataFrame,
    factors: Factors,
    contrast: Contrast,
    movies: pd.Series | None = None,
    outcome: str = "test/accuracy",
) -> NewReviews:
    """Widen a contrast's interval so that it holds for reviews of other movies, not only for these.

    With D the contrast per block and review, B blocks and N reviews: SE² = s²(block means)/B + s²(review means)/N
    - s²(residual)/(B N), the two-way random effects estimate (Cornfield & Tukey 1956). Three changes fit it to the
    headline: the first term is Yuen's SE² of the block means; reviews count over the blocks that trimming keeps,
    so that a failed run does not pass for review noise; review means and residuals are summed within movies, since
    reviews of a movie share its fate (Liang & Zeger 1986). The degrees of freedom are Satterthwaite's (1946).

    Args:
        runs: one row per run: ``key``, ``block``, one column per factor, the outcome. A block in which a run has
            no predictions (it diverged) still counts for the first term.
        correct: from ``correct_answers``: index ``row``, one column per ``key``.
        factors: as the study was created with them.
        contrast: one of ``family(factors)``.
        movies: which movie each row is about, index ``row``; None takes reviews as independent.
        outcome: accuracy (fraction) on the same reviews.

    Raises:
        UserError: as ``contrasts.blocks`` does.
    """
    headline = blocks(runs, factors, outcome).contrast(contrast)
    numbers = pd.Series(correct.columns.get_indexer(pd.Index(runs["key"])), index=runs.index, dtype=float)
    numbers = numbers.where(numbers >= 0)  # a run without predictions is missing
    columns = runs[["block", *factors]].assign(column=numbers)
    places = blocks(columns, factors, "column", scale=1).table[cells(factors)].to_numpy().astype(int)
    right = correct.to_numpy()
    per_review = sum(  # (B, N) points; cell by cell, to keep one run's array at a time
        weight * POINTS * right[:, places[:, cell]].T for cell, weight in enumerate(contrast.weights) if weight
    )
    assert isinstance(per_review, np.ndarray)
    groups = (
        np.arange(len(correct))
        if movies is None
        else pd.factorize(movies.loc[correct.index], use_na_sentinel=False)[0]
    )
    return two_way(per_review, groups, headline)


def two_way(values: Array, movies: NDArray[np.int64], headline: Array | None = None) -> NewReviews:
    """Estimate the trimmed mean over blocks with an error for new blocks and new movies.

    Args:
        values: (B, N) contrast per block and review, B >= 2.
        movies: (N,) codes from 0.
        headline: (B or more,) contrasts of all blocks, where not each has a value per review.

    Returns:
        NaN for what two blocks and two movies are needed for.
    """
    means = values.mean(axis=1)
    headline = means if headline is None else headline
    if len(means) < 2 or len(np.unique(movies)) < 2:
        return NewReviews(Interval(np.nan, np.nan, np.nan, 0.95, len(headline)), np.nan, np.nan)
    center, block_error, df = trimmed(headline)
    cut = int(TRIM * len(means))
    kept = values[np.sort(np.argsort(means, kind="stable")[cut : len(means) - cut])]
    size, reviews = kept.shape
    count = int(movies.max()) + 1
    residual = kept - kept.mean(axis=1, keepdims=True) - kept.mean(axis=0) + kept.mean()
    shared = np.bincount(movies, weights=kept.mean(axis=0) - kept.mean(), minlength=count)
    own = np.stack([np.bincount(movies, weights=row, minlength=count) for row in residual])
    correction = count / (count - 1) / reviews**2
    review_variance = correction * max(0.0, (shared**2).sum() - (own**2).sum() / (size * (size - 1)))
    block_variance = float(block_error) ** 2
    variance = block_variance + review_variance
    freedom = variance**2 / (block_variance**2 / df + review_variance**2 / (count - 1)) if variance else df
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(variance)
    interval = Interval(float(center), float(center) - half, float(center) + half, 0.95, len(headline))
    return NewReviews(interval, float(block_error), math.sqrt(review_variance))


@dataclass(frozen=True)
class ValidationAgainstTest:
    """How far a run's validation accuracy can be trusted; percentage points, trained runs only."""

    gap: Interval
    """Mean of validation minus test."""
    gap_sd: float
    """Standard deviation of the gap over runs."""
    regret: float
    """Test accuracy of the best run by test minus that of the best by validation: at most what choosing cost."""
    tau: Interval
    """Kendall's tau-b between the two."""


def trained_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs that trained and have both accuracies; a run at 50 % in both says nothing about the gap."""
    there = runs["best/val_accuracy"].notna() & runs["test/accuracy"].notna()
    return runs[there & (runs["best/val_accuracy"] * POINTS >= TRAINED)]


def tau_b(first: Array, second: Array, level: float = 0.95) -> Interval:
    """Return Kendall's tau-b with Fieller's interval: atanh(tau) has variance 0.437 / (n - 4).

    (Kendall 1945; Fieller, Hartley & Pearson 1957; Bonett & Wright 2000, who trust it while |tau| < 0.8.) Perfect
    order counts as one pair short of it, so that the interval has a width. NaN where one side is constant.
    """
    n = len(first)
    tau = float(stats.kendalltau(first, second).statistic)
    most = 1 - 4 / (n * (n - 1))
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(0.437 / (n - 4))
    center = math.atanh(min(max(tau, -most), most)) if not math.isnan(tau) else np.nan
    low, high = math.tanh(center - half), math.tanh(center + half)
    return Interval(tau, min(tau, low), max(tau, high), level, n)


def split_gaps(runs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Interval]]:
    """Compare kinds of split by their gap between validation and test, on the same settings and seeds.

    Args:
        runs: one row per run: ``block`` (one number per settings and seed), ``data.split_method``,
            ``best/val_accuracy``,
            ``test/accuracy`` (fractions).

    Returns:
        Per kind of split: ``runs``, mean ``gap`` (percentage points), its limits, and ``sd``; and per
        pair of kinds the trimmed mean difference of their gaps over blocks that have both.
    """
    runs = trained_runs(runs)
    runs = runs.assign(gap=runs["best/val_accuracy"] - runs["test/accuracy"])
    kinds = sorted(runs["data.split_method"].unique())
    rows = []
    for kind in kinds:
        gaps = runs.loc[runs["data.split_method"] == kind, "gap"].to_numpy() * POINTS
        gap = mean_interval(gaps)
        sd = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else np.nan
        rows.append(
            {"split_method": kind, "runs": len(gaps), "gap": gap.value, "low": gap.low, "high": gap.high, "sd": sd}
        )
    pairs = {}
    for reference, kind in combinations(kinds, 2):
        factor = {"data.split_method": (reference, kind)}
        both = blocks(runs[runs["data.split_method"].isin([reference, kind])], factor, "gap")
        contrast = family(factor)[0]
        pairs[f"{kind} - {reference}"] = trimmed_interval(both.contrast(contrast))
    return pd.DataFrame(rows), pairs
