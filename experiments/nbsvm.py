"""How far do words and short runs of words get? NBSVM (Wang & Manning 2012, "Baselines and Bigrams").

make experiment NAME=nbsvm

Each feature, a run of one to three words that a review holds, is weighted by the log of how much more frequent
it is in positive reviews than in negative ones (naive Bayes), each review is scaled to unit length, and a linear
model learns on top. Logistic regression stands in the place of the SVM, as in Mesnil et al. (2014), since it gives
probabilities; the strength of its penalty is chosen by the validation split.

Two runs: on the training split, to compare with every other run; and on training and validation split together,
all 25,000 reviews of IMDB, to compare with the published test accuracy of 0.9122. The second has no validation
score; its penalty is the one that the first would choose.

The paper's own settings:
--model.ngrams 2 --model.min-count 1 --model.no-unit-length --model.beta 0.25 --model.c 1
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from sklearn.linear_model import LogisticRegression

from experiments.experiment import Experiment, NamedRun, Place, Result
from experiments.linear import Fitted, Labelled, fit_and_score
from seqclf_core.config import Config, Settings
from seqclf_core.data.cache import Corpus
from seqclf_core.data.vocabulary import split_words
from seqclf_core.errors import DataError
from seqclf_core.events import Event
from seqclf_core.ngrams import Features, NgramClassifier, scaled
from seqclf_core.training.metrics import log_loss

PUBLISHED = 0.9122
"""Test accuracy on IMDB with bigrams: Wang & Manning (2012), table 5."""


class NbsvmConfig(Config):
    """NBSVM's own settings; alpha and beta under their names in the paper."""

    ngrams: int = Field(default=3, ge=1, le=3)
    """Longest run of words that is a feature."""
    min_count: int = Field(default=2, ge=1)
    """Reviews that must hold a feature."""
    unit_length: bool = True
    """Scale each review's features to a Euclidean norm of 1, so that long ones are no surer than short ones."""
    alpha: float = Field(default=1.0, gt=0)
    """Added to every count of a feature."""
    beta: float = Field(default=1.0, ge=0, le=1)
    """Interpolation: 1 takes the learned weights as they are, 0 their mean size for all, as naive Bayes does."""
    c: str = "4,16,64"
    """Inverse strengths of the L2 penalty to choose from, by the loss on the validation split."""

    @field_validator("c")
    @classmethod
    def _positive(cls, value: str) -> str:
        parse_strengths(value)
        return value


def parse_strengths(text: str) -> tuple[float, ...]:
    """Read ``4,16,64``.

    Raises:
        ValueError: if one of them is no positive finite number, or none is there.
    """
    values = tuple(float(part) for part in text.split(","))
    if not all(0 < value < math.inf for value in values):
        raise ValueError(f"{text!r}: expected positive numbers, such as 4,16,64")
    return values


class NbsvmSettings(Settings):
    """Everything that the result depends on, besides the data itself."""

    model: NbsvmConfig = NbsvmConfig()
    learn_from: Literal["train", "train_and_val"] = "train"
    """The training split, or the validation split too."""


def runs(config: NbsvmSettings, _: Place) -> list[NamedRun]:
    """Make the two runs."""
    return [
        NamedRun("training part", config.override({"learn_from": "train"})),
        NamedRun("training and validation part", config.override({"learn_from": "train_and_val"})),
    ]


def log_count_ratio(present: Any, labels: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """Return the paper's r, equation 2: (V,) for V features.

    Args:
        present: (N, V) sparse, 1 where a review holds a feature.
        labels: (N,) 0 or 1.
        alpha: added to every count.
    """
    counts = [alpha + np.asarray(present[labels == label].sum(axis=0)).ravel() for label in (0, 1)]
    negative, positive = (each / each.sum() for each in counts)
    return np.asarray(np.log(positive / negative))


def learn(config: NbsvmConfig, learned: Labelled, strengths: Sequence[float]) -> list[NgramClassifier]:
    """Learn the ratios, then a weight on each of them: a model for each strength of the penalty."""
    features, present = Features.learn(split_words(learned.texts), config.ngrams, config.min_count)
    if not len(features.keys):
        raise DataError(
            f"No run of words is in model.min_count={config.min_count} or more of the {len(learned.texts):,} "
            "training texts, so that there is nothing to learn from. Give a smaller --model.min-count or more "
            "texts."
        )
    ratios = log_count_ratio(present, learned.labels, config.alpha).astype(np.float32)
    rows = scaled(present, ratios, config.unit_length)
    models = []
    for strength in strengths:
        # Far more features than reviews: the dual is the small problem. The last digits do not matter.
        solver = LogisticRegression(
            C=strength, solver="liblinear", dual=True, random_state=0, max_iter=1000, tol=0.01
        ).fit(rows, learned.labels)
        weights = solver.coef_[0]
        weights = (1 - config.beta) * np.abs(weights).mean() + config.beta * weights
        bias = float(solver.intercept_[0])
        models.append(NgramClassifier(features, ratios, weights.astype(np.float32), bias, config.unit_length))
    return models


def fit(settings: NbsvmSettings, train: Labelled, val: Labelled, with_val: bool) -> Fitted:
    """Choose the penalty by the validation split; with it, learn from both splits if asked to."""
    strengths = parse_strengths(settings.model.c)
    models = learn(settings.model, train, strengths) if not with_val or len(strengths) > 1 else []
    losses = [log_loss(val.labels, model.log_odds(val.texts)) for model in models]
    best = int(np.argmin(losses)) if losses else 0
    model = learn(settings.model, train + val, [strengths[best]])[0] if with_val else models[best]
    return Fitted(
        parameters=model.weights.size + 1,
        log_odds=model.log_odds,
        save=lambda folder: model.save(folder, settings.model_dump(mode="json")),
        chosen={"chosen/c": strengths[best]},
    )


def stream(config: NbsvmSettings, folder: Path, cache: Path) -> Iterator[Event]:
    """Do one run."""
    with_val = config.learn_from == "train_and_val"
    return fit_and_score(config, partial(fit, config), folder, cache, with_val)


def comparison(results: Sequence[Result], corpus: Corpus) -> str:
    """Say how the second run compares with what was published, where it is on the same reviews."""
    whole = results[-1].finished
    assert whole
    lines = [
        f"  {whole.metrics['test/accuracy']:.4f} on the test split, learned from training and validation split"
    ]
    if corpus.summary.data_scope == "whole":
        lines.append(f"  {PUBLISHED:.4f} published for all of IMDB (Wang & Manning 2012)")
    return "\n".join(lines)


EXPERIMENT = Experiment(
    purpose="How far do words and short runs of words get? NBSVM, beside its published score",
    base=NbsvmSettings(),
    runs=runs,
    varies=frozenset({"learn_from"}),
    stream=stream,
    conclude=comparison,
)
