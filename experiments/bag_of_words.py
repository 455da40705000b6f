"""How far do words get without their order? Logistic regression on which words a review holds.

make experiment NAME=bag_of_words

On IMDB: validation accuracy 0.8745, test accuracy 0.8851; a minute on one processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import Field
from sklearn.linear_model import LogisticRegression

from experiments.experiment import Experiment, NamedRun, Place
from experiments.linear import Fitted, Labelled, fit_and_score, vectorizer
from seqclf_core.config import Config, Settings
from seqclf_core.events import Event


class BagConfig(Config):
    """Which words, and how closely they are fitted."""

    min_count: int = Field(default=2, ge=1)
    """Reviews that must hold a word."""
    c: float = Field(default=0.05, gt=0)
    """Inverse strength of the L2 penalty."""


class BagSettings(Settings):
    """Everything that the result depends on, besides the data itself."""

    model: BagConfig = BagConfig()


def runs(config: BagSettings, _: Place) -> list[NamedRun]:
    """Make the run."""
    return [NamedRun("bag of words", config)]


def fit(config: BagConfig, train: Labelled, val: Labelled, with_val: bool) -> Fitted:
    """Learn a weight for each word."""
    learned = train + val if with_val else train
    words = vectorizer(1, config.min_count)
    model = LogisticRegression(C=config.c, max_iter=1000).fit(words.fit_transform(learned.texts), learned.labels)
    return Fitted(
        parameters=model.coef_.size + 1,
        log_odds=lambda texts: model.decision_function(words.transform(texts)),
    )


def stream(config: BagSettings, folder: Path, cache: Path) -> Iterator[Event]:
    """Do the run."""
    return fit_and_score(config, partial(fit, config.model), folder, cache)


EXPERIMENT = Experiment(
    purpose="How far do words get without their order?", base=BagSettings(), runs=runs, stream=stream
)
