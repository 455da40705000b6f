"""Do probabilities mean what they say, and which reviews does a model get wrong?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.stats.contrasts import POINTS, Factors, blocks, family
from reports.stats.estimates import Array, mean_interval, proportion_interval, trimmed_interval
from seqclf_core.training.predictions import decide

BINS = 15
SMALLEST = float(np.finfo(np.float32).eps)
"""Probabilities are stored in single precision: 0 and 1 there are at most this far from it."""


@dataclass(frozen=True)
class Calibration:
    """How good the probabilities of one run are; smaller is better. The first two are proper scores."""

    brier: float
    """Mean squared distance from the label (Brier 1950), 0 to 1; always 0.5 scores 0.25."""
    log_loss: float
    """Mean negative log of the probability of the label, in nats; always 0.5 scores 0.69."""
    expected_error: float
    """Expected calibration error over bins of equal count, 0 to 1 (Naeini et al. 2015; Nixon et al. 2019). It is
    biased upwards, by about sqrt(bins / reviews) / 2, and blind to how sharp the probabilities are."""


def calibration(predictions: pd.DataFrame, bins: int = BINS) -> Calibration:
    """Score the probabilities of one run on one part.

    Args:
        predictions: ``label`` (0 or 1), ``probability`` (of label 1).
        bins: for the expected calibration error.
    """
    label = predictions["label"].to_numpy(dtype=float)
    probability = predictions["probability"].to_numpy(dtype=float)
    of_label = np.where(label == 1, probability, 1 - probability)
    curve = reliability(predictions, bins)
    gaps = (curve["observed"] - curve["predicted"]).abs()
    return Calibration(
        brier=float(np.mean((probability - label) ** 2)),
        log_loss=float(-np.log(np.clip(of_label, SMALLEST, 1)).mean()),
        expected_error=float(np.average(gaps, weights=curve["reviews"])),
    )


def reliability(predictions: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """Compare predicted with observed proportions of positive reviews, in bins of about equal count.

    Equal probabilities share a bin, so there may be fewer bins.

    Returns:
        One row per bin: ``predicted`` (mean probability), ``observed`` (proportion of positives) with exact limits
        ``low`` and ``high`` (95 %, Clopper & Pearson 1934), ``reviews``.
    """
    probability = predictions["probability"].to_numpy(dtype=float)
    places = equal_bins(probability, bins)
    rows = []
    for place in np.unique(places):
        inside = places == place
        proportion = proportion_interval(int(predictions["label"].to_numpy()[inside].sum()), int(inside.sum()))
        limits = {"observed": proportion.value, "low": proportion.low, "high": proportion.high}
        rows.append({"predicted": probability[inside].mean(), **limits, "reviews": proportion.n})
    return pd.DataFrame(rows)


def equal_bins(values: Array, bins: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Say which of about equally filled bins each value falls into; equal values fall into the same."""
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    return np.searchsorted(edges, values, side="left")


def accuracy_by_length(
    predictions: pd.DataFrame, runs: pd.DataFrame, lengths: pd.Series, factor: str, bins: int = 8
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Show which lengths of review each level of a factor does well on, averaged over blocks.

    Args:
        predictions: ``key``, ``row``, ``label``, ``probability``, of one part.
        runs: ``key``, ``block``, the factor; levels of a block are averaged over its other cells.
        lengths: tokens of each review before it is cut, index ``row``.
        factor: such as ``model.pooling``.
        bins: of about equal count.

    Returns:
        Per level and bin: ``shortest`` and ``longest`` (tokens), ``reviews``, mean ``accuracy`` over blocks in per
        cent with t limits ``low`` and ``high``; and per pair of levels and bin the paired ``difference``
        (trimmed mean over blocks, points, ``level`` minus ``reference``) with its limits, unadjusted.
    """
    places = pd.Series(equal_bins(lengths.to_numpy(dtype=float), bins), index=lengths.index)
    right = decide(predictions["probability"]) == (predictions["label"] == 1)
    table = pd.DataFrame(
        {"key": predictions["key"], "bin": predictions["row"].map(places), "right": right.astype(float)}
    )
    per_run = table.groupby(["key", "bin"], as_index=False)["right"].mean()
    per_run = per_run.merge(runs[["key", "block", factor]], on="key")
    per_block = per_run.groupby(["bin", "block", factor], as_index=False)["right"].mean()
    factors: Factors = {factor: sorted(per_block[factor].unique())}
    means, differences = [], []
    for place, group in per_block.groupby("bin"):
        inside = lengths[places == place]
        where = {"shortest": int(inside.min()), "longest": int(inside.max()), "reviews": len(inside)}
        complete = blocks(group, factors, "right")
        for level in factors[factor]:
            mean = mean_interval(group.loc[group[factor] == level, "right"].to_numpy() * POINTS)
            means.append({factor: level, **where, "accuracy": mean.value, "low": mean.low, "high": mean.high})
        for contrast in family(factors):
            pair = dict(zip(("level", "reference"), contrast.pairs[0], strict=True))
            size = trimmed_interval(complete.contrast(contrast))
            differences.append({**pair, **where, "difference": size.value, "low": size.low, "high": size.high})
    return pd.DataFrame(means), pd.DataFrame(differences)
