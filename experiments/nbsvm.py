"""How far do words and pairs of words get? NBSVM (Wang & Manning 2012, "Baselines and Bigrams").

make experiment NAME=nbsvm

Each feature, a word or pair of words that a review holds, is weighted by the log of how much more frequent it is
in positive reviews than in negative ones (naive Bayes), and a linear model learns on top. Logistic regression
stands in the place of the SVM, as in Mesnil et al. (2014), since it gives probabilities.

Two runs: on the training part, to compare with every other run here; and on training and validation part together,
all 25,000 reviews of IMDB, to compare with the published test accuracy of 0.9122. The second has no validation
score.

On IMDB: validation accuracy 0.9021, test accuracy 0.9040 (21,415 reviews) and 0.9100 (all 25,000); two to four
minutes on one processor, 1.2 GB of memory. Alpha, beta and c are the paper's, for comparison; on the validation
part --model.beta 0.5 does better (0.9110).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from experiments.experiment import Experiment, NamedRun, Place, Result
from experiments.linear import Fitted, fit_and_score, vectorizer
from seqclf_core.config import Config, Settings
from seqclf_core.data.cache import Corpus
from seqclf_core.events import Event

PUBLISHED = 0.9122
"""Test accuracy on IMDB with bigrams: Wang & Manning (2012), table 5."""


class NbsvmConfig(Config):
    """NBSVM's own settings; alpha and beta under their names in the paper."""

    ngrams: int = Field(default=2, ge=1, le=3)
    """Longest run of words that is a feature."""
    min_count: int = Field(default=1, ge=1)
    """Reviews that must hold a feature."""
    alpha: float = Field(default=1.0, gt=0)
    """Added to every count of a feature."""
    beta: float = Field(default=0.25, ge=0, le=1)
    """Interpolation: 1 takes the learned weights as they are, 0 their mean size for all, as naive Bayes does."""
    c: float = Field(default=1.0, gt=0)
    """Inverse strength of the L2 penalty."""


class NbsvmSettings(Settings):
    """Everything that the result depends on, besides the data itself."""

    model: NbsvmConfig = NbsvmConfig()
    learn_from: Literal["train", "train_and_val"] = "train"
    """The training part, or the validation part too."""


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


def fit(config: NbsvmConfig, texts: Sequence[str], labels: NDArray[np.int64]) -> Fitted:
    """Learn the ratios, then a weight on each of them."""
    words = vectorizer(config.ngrams, config.min_count)
    present = words.fit_transform(texts)
    ratios = log_count_ratio(present, labels, config.alpha)
    # Far more features than reviews: the dual is the small problem.
    model = LogisticRegression(C=config.c, solver="liblinear", dual=True, random_state=0, max_iter=1000)
    learned = model.fit(present.multiply(ratios).tocsr(), labels).coef_[0]
    weights = ratios * ((1 - config.beta) * np.abs(learned).mean() + config.beta * learned)
    return Fitted(
        parameters=weights.size + 1,
        log_odds=lambda texts: words.transform(texts) @ weights + model.intercept_[0],
    )


def stream(config: NbsvmSettings, folder: Path, cache: Path) -> Iterator[Event]:
    """Do one run."""
    with_val = config.learn_from == "train_and_val"
    return fit_and_score(config.data, partial(fit, config.model), folder, cache, with_val)


def comparison(results: Sequence[Result], corpus: Corpus) -> str:
    """Say how the second run compares with what was published, where it is on the same reviews."""
    whole = results[-1].finished
    assert whole
    lines = [
        f"  {whole.metrics['test/accuracy']:.4f} on the test part after learning from training and validation part"
    ]
    if corpus.summary.data_scope == "whole":
        lines.append(f"  {PUBLISHED:.4f} published for all of IMDB (Wang & Manning 2012)")
    return "\n".join(lines)


EXPERIMENT = Experiment(
    purpose="How far do words and pairs of words get? NBSVM, beside its published score",
    base=NbsvmSettings(),
    runs=runs,
    varies=frozenset({"learn_from"}),
    stream=stream,
    conclude=comparison,
)
