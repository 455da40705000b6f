"""Finalists against unselected runs whose blocks drew other validation splits: on the reviews that both held out.

A block that draws its own validation split holds out, by chance, some of the reviews that the finalists were
validated on. On these reviews, and on the test reviews, both are compared answer by answer, so that how easy a
split is drops out; what is left is how much better the finalists do on their own split than on test.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pandas as pd

from reports.stats.contrasts import POINTS
from reports.stats.estimates import Array, Interval, t_limits
from seqclf_core.training.predictions import decide


def held_out_gap(runs: pd.DataFrame, unselected: pd.DataFrame, predictions: pd.DataFrame) -> Interval | None:
    """Return the finalists' gap between validation and test minus that of unselected runs, on the same reviews.

    Args:
        runs: the finalists' runs on fresh seeds, on one split: ``key``, ``config``, ``seed``.
        unselected: runs of the same kind that no score selected, once for each finalist: ``key``, ``config``,
            ``block``.
        predictions: of all of them, on both splits: ``key``, ``part``, ``row``, ``label``, ``probability``.

    Returns:
        Percentage points, mean over finalists. None where fewer than two blocks hold out a review of the
        finalists' validation split and answered the same test reviews.
    """
    labels = predictions[["part", "row", "label"]].drop_duplicates()
    if predictions.empty or labels.duplicated(["part", "row"]).any():
        return None  # another source: the same number is another review
    right = predictions.assign(right=decide(predictions["probability"]) == (predictions["label"] == 1))
    answers = {
        part: right[right["part"] == part].pivot_table(index="row", columns="key", values="right", aggfunc="mean")
        for part in ("val", "test")
    }
    test = answers["test"].dropna().mean().dropna()
    known = answers["val"].columns.intersection(test.index)
    apart: list[pd.DataFrame] = []
    for config, own in runs[runs["key"].isin(known)].groupby("config"):
        others = unselected[(unselected["config"] == config) & unselected["key"].isin(known)]
        if others.empty:
            return None
        seen = answers["val"][own["key"]].dropna()
        of_block = answers["val"].loc[seen.index, others["key"]].T.groupby(others["block"].to_numpy()).mean().T
        on_test = test[others["key"]].groupby(others["block"].to_numpy()).mean()
        table = differences(
            seen.to_numpy(dtype=float),
            test[own["key"]].to_numpy(dtype=float),
            of_block.to_numpy(dtype=float),
            on_test.loc[of_block.columns].to_numpy(dtype=float),
        )
        apart.append(pd.DataFrame(table, index=of_block.columns, columns=own["seed"]))
    if not apart or len(apart) < runs["config"].nunique():
        return None
    mean = reduce(pd.DataFrame.add, apart) / len(apart)  # blocks and seeds that one of them lacks are missing
    whole = mean.dropna(axis=0, how="all").dropna(axis=1, how="all").dropna()
    return crossed(whole.to_numpy(dtype=float)) if len(whole) > 1 and whole.shape[1] else None


def differences(seen: Array, test: Array, others: Array, others_test: Array) -> Array:
    """Return the gap to test of each of a finalist's runs minus that of each block, in percentage points.

    Args:
        seen: (N, S) answers of the finalist's runs on their validation reviews, 1 where right.
        test: (S,) their test accuracies.
        others: (N, B) answers of the blocks on these reviews, NaN where a block did not hold the review out.
        others_test: (B,) their test accuracies.

    Returns:
        (B, S); NaN where a block holds out none of them.
    """
    there = ~np.isnan(others)
    count = np.where(there.any(axis=0), there.sum(axis=0), np.nan)[:, None]
    own = there.T.astype(float) @ seen / count
    theirs = np.nansum(others, axis=0)[:, None] / count
    apart: Array = POINTS * ((own - theirs) - (test[None, :] - others_test[:, None]))
    return apart


def crossed(values: Array, level: float = 0.95) -> Interval:
    """Estimate a mean over blocks and seeds, both drawn: SE² = s²(blocks)/B + s²(seeds)/S - s²(residual)/(B S).

    Degrees of freedom by Satterthwaite (1946). NaN limits for one seed.

    Args:
        values: (B, S), B >= 2.
        level: of the interval.
    """
    blocks, seeds = values.shape
    mean = float(values.mean())
    if seeds < 2:
        return Interval(mean, math.nan, math.nan, level, seeds)
    of_block, of_seed = values.mean(axis=1), values.mean(axis=0)
    residual = values - of_block[:, None] - of_seed + mean
    both = float((residual**2).sum()) / ((blocks - 1) * (seeds - 1)) / (blocks * seeds)
    from_blocks = float(of_block.var(ddof=1)) / blocks
    from_seeds = max(0.0, float(of_seed.var(ddof=1)) / seeds - both)
    variance = from_blocks + from_seeds
    parts = from_blocks**2 / (blocks - 1) + from_seeds**2 / (seeds - 1)
    low, high = t_limits(mean, math.sqrt(variance), variance**2 / parts if parts else blocks - 1, level)
    return Interval(mean, float(low), float(high), level, seeds)
