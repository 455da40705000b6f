"""How a model's probabilities tell the two labels apart: decisions, the curve of all thresholds, by length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.stats.estimates import proportion_interval
from seqclf_core.training.predictions import decide

LENGTH_BINS = 8
"""Bins of about as many texts each."""


@dataclass(frozen=True)
class Confusion:
    """How often each label is answered by each decision, at a probability of one half."""

    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int

    @property
    def accuracy(self) -> float:
        """Proportion of texts that are answered correctly."""
        right = self.true_negative + self.true_positive
        return right / (right + self.false_negative + self.false_positive)

    @property
    def recall(self) -> float:
        """Proportion of the positive texts that are found; the true positive rate."""
        return self.true_positive / (self.true_positive + self.false_negative)

    @property
    def false_alarms(self) -> float:
        """Proportion of the negative texts that are taken for positive; the false positive rate."""
        return self.false_positive / (self.true_negative + self.false_positive)


def confusion(predictions: pd.DataFrame) -> Confusion:
    """Count decisions by label.

    Args:
        predictions: of one run on one part: ``label`` (0 or 1), ``probability`` (of label 1).
    """
    positive = decide(predictions["probability"]).to_numpy(dtype=bool)
    label = predictions["label"].to_numpy() == 1
    return Confusion(
        true_negative=int((~positive & ~label).sum()),
        false_positive=int((positive & ~label).sum()),
        false_negative=int((~positive & label).sum()),
        true_positive=int((positive & label).sum()),
    )


def roc(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rates of both kinds of "positive" at every threshold (receiver operating characteristic).

    Texts of the same probability pass a threshold together, so ties make a slope and no step.

    Args:
        predictions: as for ``confusion``; with texts of both labels.

    Returns:
        ``false_alarms`` and ``recall``, from (0, 0) to (1, 1); points on a line between others are left out.
    """
    ordered = predictions.sort_values("probability", ascending=False, kind="stable")
    probability, label = ordered["probability"].to_numpy(), ordered["label"].to_numpy() == 1
    last = np.append(np.flatnonzero(np.diff(probability)), len(ordered) - 1)
    found, wrong = np.cumsum(label)[last], np.cumsum(~label)[last]
    x, y = np.concatenate([[0], wrong]), np.concatenate([[0], found])
    bends = np.diff(y)[:-1] * np.diff(x)[1:] != np.diff(y)[1:] * np.diff(x)[:-1]
    kept = np.concatenate([[True], bends, [True]])
    return pd.DataFrame({"false_alarms": x[kept] / x[-1], "recall": y[kept] / y[-1]})


def area(curve: pd.DataFrame) -> float:
    """Return the area under a curve of ``roc``: how often a positive text is above a negative one."""
    return float(np.trapezoid(curve["recall"], curve["false_alarms"]))


def by_length(predictions: pd.DataFrame, tokens: pd.Series[int], bins: int = LENGTH_BINS) -> pd.DataFrame:
    """Return the accuracy of one run by length of text, in bins of about as many texts each.

    Args:
        predictions: as for ``confusion``, with ``row``.
        tokens: row -> tokens of the whole text.
        bins: how many at most; texts of one length share a bin.

    Returns:
        One row per bin: ``shortest`` and ``longest`` text, ``reviews``, ``accuracy`` with exact limits ``low`` and
        ``high`` (95 %, Clopper & Pearson 1934), as proportions of 1.
    """
    length = predictions["row"].map(tokens)
    right = decide(predictions["probability"]) == (predictions["label"] == 1)
    inner = np.unique(length.quantile(np.arange(1, bins) / bins))
    rows = []
    for _, of_bin in right.groupby(np.searchsorted(inner, length)):
        proportion = proportion_interval(int(of_bin.sum()), len(of_bin))
        known = length[of_bin.index]
        rows.append(
            (int(known.min()), int(known.max()), len(of_bin), proportion.value, proportion.low, proportion.high)
        )
    return pd.DataFrame(rows, columns=["shortest", "longest", "reviews", "accuracy", "low", "high"])
