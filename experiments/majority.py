"""How good is it to say the same of every review? The floor under all accuracies.

make experiment NAME=majority

On IMDB, whose labels are balanced: test accuracy 0.5000; seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.experiment import Experiment, NamedRun, Place
from experiments.linear import Fitted, Labelled, fit_and_score
from seqclf_core.config import Settings
from seqclf_core.events import Event


def runs(config: Settings, _: Place) -> list[NamedRun]:
    """Make the run."""
    return [NamedRun("majority class", config)]


def fit(train: Labelled, val: Labelled, with_val: bool) -> Fitted:
    """Learn how many reviews are positive."""
    positive = (train + val if with_val else train).labels.mean()
    odds = float(np.log(positive / (1 - positive)))
    return Fitted(parameters=1, log_odds=lambda texts: np.full(len(texts), odds))


def stream(config: Settings, folder: Path, cache: Path) -> Iterator[Event]:
    """Do the run."""
    return fit_and_score(config, fit, folder, cache)


EXPERIMENT = Experiment(
    purpose="How good is it to say the same of every review?", base=Settings(), runs=runs, stream=stream
)
