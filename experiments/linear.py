"""Baselines over words, from reviews to events: counts of words, a linear model, scores. Without torch.

The parts, rows and their order are those of every other run on the same data, so predictions can be compared
review by review. Whole reviews are read: there is no vocabulary size and no cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from seqclf_core.config import DataConfig, Settings
from seqclf_core.data.cache import Corpus, Split, load_corpus
from seqclf_core.data.reviews import Reviews, load_reviews
from seqclf_core.ended import record
from seqclf_core.events import Event, Finished, Progress, Started
from seqclf_core.training.metrics import measure, named, named_best
from seqclf_core.training.predictions import write_predictions
from seqclf_core.training.usage import Usage

MODEL = "model"
"""Model folder within the run's own."""
MARKS = r'".,()!?;:'
TOKEN = rf"[^\s{MARKS}]+|[{MARKS}]"
"""Words and punctuation marks, as Mesnil et al. (2014) split IMDB for NBSVM: "don't" is one word."""


@dataclass(frozen=True)
class Fitted:
    """A model that has learned."""

    parameters: int
    """Number of learned parameters."""
    log_odds: Callable[[Sequence[str]], NDArray[np.float64]]
    """Texts -> (N,) log-odds of the positive label."""
    save: Callable[[Path], None] | None = None
    """Writes the model folder; None: the model is not kept."""
    chosen: Mapping[str, float] = field(default_factory=dict)
    """Values chosen on the validation split, such as ``chosen/c``, recorded with the scores."""


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels."""

    texts: Sequence[str]
    labels: NDArray[np.int64]
    """(N,) 0 or 1."""

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled([*self.texts, *other.texts], np.concatenate([self.labels, other.labels]))


Fit = Callable[[Labelled, Labelled, bool], Fitted]
"""(training split, validation split, whether to learn from the latter too) -> a model that has learned."""


def fit_and_score(
    settings: Settings, fit: Fit, folder: Path, cache: Path, with_val: bool = False
) -> Iterator[Event]:
    """Fit a model and score it, as a run: ``Started``, one ``Progress``, ``Finished``.

    Args:
        settings: of the run; its ``data`` says which reviews, and how they are split.
        fit: does the learning; the same texts give the same model.
        folder: the run's own; afterwards it holds ``predictions/``, and the model folder where it is kept.
        cache: for encoded data; shared by all runs.
        with_val: learn from the validation split too. Then there is no validation score: no ``Progress``, and NaN
            in ``Finished``.

    Raises:
        DataError: if the reviews cannot be used; names the file and row.
    """
    config = DataConfig.model_validate(settings.data.model_dump())
    corpus, reviews = load_corpus(config, cache), load_reviews(config)
    texts = texts_of(corpus, reviews)
    begun, usage = time.monotonic(), Usage()
    learned_from = ("train", "val") if with_val else ("train",)
    labelled = {name: Labelled(texts[name], getattr(corpus, name).labels) for name in ("train", "val")}
    fitted = fit(labelled["train"], labelled["val"], with_val)
    labels = np.concatenate([labelled[name].labels for name in learned_from])
    seconds = time.monotonic() - begun

    files: dict[str, str] = {}
    if fitted.save:
        fitted.save(folder / MODEL)
        files["model"] = MODEL
    sizes = corpus.summary.sizes
    used = {"train": len(labels), "test": sizes["test"]} if with_val else sizes
    started = Started(
        data=corpus.summary.model_copy(update={"sizes": used}),
        parameters=fitted.parameters,
        device="cpu",
        precision="fp64",
        evaluations=0 if with_val else 1,
    )
    yield started
    metrics, history = dict(fitted.chosen), []
    if not with_val:
        odds = fitted.log_odds(texts["val"])
        scores = measure(corpus.val.labels, odds)
        metrics |= named_best(scores)
        files |= keep("val", corpus.val, odds, folder)
        learned = measure(corpus.train.labels, fitted.log_odds(texts["train"]))
        speed = {"tokens_per_second": len(corpus.train.tokens) / seconds, "seconds": time.monotonic() - begun}
        speed |= usage.measure()
        progress = Progress(
            evaluation=1, step=len(labels), epoch=1.0, best=True,
            metrics={**named("train", learned), **named("val", scores), **speed},
        )  # fmt: skip
        history.append(progress)
        yield progress
    odds = fitted.log_odds(texts["test"])
    metrics |= named("test", measure(corpus.test.labels, odds))
    files |= keep("test", corpus.test, odds, folder)
    end = Finished(
        reason="completed", best_evaluation=0 if with_val else 1, files=files,
        metrics={**metrics, "total_seconds": time.monotonic() - begun},
    )  # fmt: skip
    record(folder, settings, [started, *history, end])
    yield end


def keep(name: str, part: Split, odds: NDArray[np.float64], folder: Path) -> dict[str, str]:
    """Write the predictions of a part; return their name and path within the folder."""
    path = f"predictions/{name}.parquet"
    write_predictions(folder / path, part, odds)
    return {f"{name}_predictions": path}


def texts_of(corpus: Corpus, reviews: Reviews) -> dict[str, list[str]]:
    """Return the texts of each part, in the order of its labels."""
    train, test = by_row(reviews.train), by_row(reviews.test)
    return {
        name: [texts[row] for row in part.rows.tolist()]
        for name, part, texts in (
            ("train", corpus.train, train), ("val", corpus.val, train), ("test", corpus.test, test)
        )
    }  # fmt: skip


def by_row(table: pa.Table) -> dict[int, str]:
    """Return row in the source -> text."""
    return dict(zip(table["row"].to_pylist(), table["text"].to_pylist(), strict=True))


def vectorizer(ngrams: int, min_count: int) -> Any:
    """Return what turns texts into 0 and 1 per word and run of up to ``ngrams`` words.

    Args:
        ngrams: longest run of words that is a feature.
        min_count: of reviews that must hold a feature.
    """
    return CountVectorizer(
        preprocessor=plain, token_pattern=TOKEN, ngram_range=(1, ngrams), min_df=min_count, binary=True,
        dtype=np.float64,
    )  # fmt: skip


def plain(text: str) -> str:
    """Return a review in lower case, without the line breaks that IMDB's reviews carry as HTML."""
    return text.lower().replace("<br />", " ")
