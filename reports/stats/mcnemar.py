"""Two trained models on the same reviews: which answers more of them, and where do they disagree?

This compares two models, not the methods that made them: another seed makes another model. Methods are compared
over many runs, in reports/stats/factorial.py. And a pair that was picked by its test scores is not compared by
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from reports.stats.clustered import clustered_p, codes, mean_of_reviews
from reports.stats.contrasts import POINTS
from reports.stats.estimates import Interval, proportion_interval
from seqclf_core.errors import UserError
from seqclf_core.training.predictions import decide


@dataclass(frozen=True)
class ModelComparison:
    """How often each of two models is right where the other is wrong."""

    only_a: int
    """Reviews that only A answers correctly."""
    only_b: int
    reviews: int
    difference: Interval
    """Percentage points by which A is right more often."""
    p: float
    """Two-sided; McNemar's exact test, or where movies are known the t test over movies."""
    by_movie: bool = False
    """Whether interval and test draw movies; else reviews, exactly, given how many the two disagree on."""


def compare(a: pd.DataFrame, b: pd.DataFrame, movies: pd.Series | None = None) -> ModelComparison:
    """Compare two trained models by the reviews on which just one is right (McNemar 1947).

    Reviews of a movie share its fate: where movies are known, the interval and the test are over these (see
    ``clustered``), for reviews one by one say more than they know.

    Where they disagree, each is as likely to be right if they are equally good: a binomial count, whose exact
    interval (Clopper & Pearson 1934) times the proportion of such reviews limits the difference.

    Args:
        a: predictions of one run on one part: ``row``, ``label`` (0 or 1), ``probability`` (of label 1).
        b: the same of another run, on the same reviews.
        movies: which movie each row is about, index ``row``; None takes reviews as independent.

    Raises:
        UserError: if the two did not answer the same reviews.
    """
    both = _joined(a, b)
    a_right, b_right = both["right_a"].to_numpy(), both["right_b"].to_numpy()
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    counts = [[int((a_right & b_right).sum()), only_a], [only_b, int((~a_right & ~b_right).sum())]]
    groups = codes(movies, pd.Index(both["row"]))
    if groups is not None:
        apart = a_right.astype(float) - b_right.astype(float)
        size = mean_of_reviews(POINTS * apart, groups).interval
        return ModelComparison(only_a, only_b, len(both), size, clustered_p(apart, groups), by_movie=True)
    proportion = proportion_interval(only_a, only_a + only_b)
    scale = POINTS * (only_a + only_b) / len(both)
    value = POINTS * (only_a - only_b) / len(both)
    difference = Interval(
        value, (2 * proportion.low - 1) * scale, (2 * proportion.high - 1) * scale, proportion.level, len(both)
    )
    return ModelComparison(only_a, only_b, len(both), difference, float(mcnemar(counts, exact=True).pvalue))


def disagreements(a: pd.DataFrame, b: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """List the reviews on which the two models disagree most confidently, most confident first.

    Confidence is that of the less confident of the two: its distance from 0.5.

    Returns:
        ``row``, ``label``, ``probability_a``, ``probability_b``, ``right`` (a or b).
    """
    both = _joined(a, b)
    both = both[both["right_a"] != both["right_b"]]
    sides = both[["probability_a", "probability_b"]].sub(0.5).abs()
    order = sides.min(axis=1).sort_values(ascending=False, kind="stable").index[:most]
    chosen = both.loc[order]
    right = np.where(chosen["right_a"], "a", "b")
    return chosen[["row", "label", "probability_a", "probability_b"]].assign(right=right).reset_index(drop=True)


def ensemble(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average the probabilities of several runs, review by review.

    Args:
        predictions: ``key``, ``row``, ``label``, ``probability``, of one part.

    Returns:
        ``row``, ``label``, ``probability``.
    """
    mean = predictions.groupby(["row", "label"])["probability"].mean()
    return mean.reset_index()


def _joined(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    columns = ["row", "label", "probability"]
    both = a[columns].merge(b[columns], on="row", suffixes=("_a", "_b"), validate="1:1")
    if not len(a) == len(b) == len(both) or (both["label_a"] != both["label_b"]).any():
        raise UserError(
            f"The two runs answered {len(a):,} and {len(b):,} reviews, of which {len(both):,} are the same. "
            "Only runs on the same reviews can be compared; give two that share their data."
        )
    both["label"] = both["label_a"]
    for side in ("a", "b"):
        both[f"right_{side}"] = decide(both[f"probability_{side}"]) == (both["label"] == 1)
    return both
