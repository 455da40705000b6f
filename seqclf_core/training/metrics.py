"""What a scored split is measured by. A metric is added here, and travels from here under its final name.

From the evaluation to the run's events, its journal, MLflow and the report's frames nobody renames it. Without
torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from seqclf_core.training.predictions import decide, probabilities

Labels = npt.NDArray[np.int64]
LogOdds = npt.NDArray[np.float64]


def log_loss(labels: Labels, log_odds: LogOdds) -> float:
    """Return the mean negative log-probability of the true label, in nats."""
    margins = np.where(labels == 1, log_odds, -log_odds)  # towards the true label
    return float(np.logaddexp(0, -margins).mean())


def accuracy(labels: Labels, log_odds: LogOdds) -> float:
    """Return the proportion of right decisions."""
    return float((decide(probabilities(log_odds)) == (labels == 1)).mean())


METRICS = {"loss": log_loss, "accuracy": accuracy}
"""Name -> (labels (N,) of 0 and 1, log-odds (N,) of the positive label) -> value."""


def measure(labels: Labels, log_odds: LogOdds) -> dict[str, float]:
    """Return every metric of a scored split.

    Args:
        labels: (N,) 0 or 1.
        log_odds: (N,) of the positive label.
    """
    return {name: metric(labels, log_odds) for name, metric in METRICS.items()}


def named(split: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return metrics of a split under their final names.

    >>> named("val", {"loss": 0.5})
    {'val/loss': 0.5}
    """
    return {f"{split}/{name}": value for name, value in values.items()}


def named_best(values: Mapping[str, float]) -> dict[str, float]:
    """Return metrics of the kept weights on the validation split under their final names.

    >>> named_best({"loss": 0.5})
    {'best/val_loss': 0.5}
    """
    return {f"best/val_{name}": value for name, value in values.items()}
