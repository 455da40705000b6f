"""What words does a word stand with? Skip-gram vectors (Mikolov et al. 2013), for models to start from.

make experiment NAME=word_vectors
make experiment NAME=baseline ARGS="--model.init-from FOLDER --model.embed-dim 128 --data.vocab-size 30000"

Learns a vector for each word of the vocabulary from the training texts and the source's unlabelled ones, without
labels; texts of the validation and test split are kept out, by text. Each dimension is then standardised over the
text: mean 0 and standard deviation 1, frequent words counting as often as they occur. On all of IMDB: about two
minutes on one processor.

A classifier, or a next-word language model, starts from them by --model.init-from and the folder that is printed.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from experiments.experiment import Experiment, NamedRun, Place, Result
from seqclf_core.config import Config, DataConfig, Settings
from seqclf_core.data.cache import Corpus, Split, load_corpus
from seqclf_core.data.soft_labels import joined
from seqclf_core.data.unlabelled import Unlabelled, read_unlabelled
from seqclf_core.data.vocabulary import PAD
from seqclf_core.ended import record, recorded
from seqclf_core.events import DataSummary, Event, Finished, Started
from seqclf_core.vectors import save_vectors

VECTORS = "vectors"
"""Folder of the vectors, in the run's own."""
TOGETHER = 50_000
"""Words that gensim learns from at a time; with one worker the size changes nothing but the speed."""


class SkipGramConfig(Config):
    """How the vectors are learned."""

    embed_dim: int = Field(default=128, gt=0, le=4096)
    """Width of a vector."""
    window: int = Field(default=6, ge=1)
    """Most words between a word and one that it is to predict."""
    negatives: int = Field(default=5, ge=1)
    """Random words against which each neighbour is told apart."""
    sample: float = Field(default=1e-4, ge=0, le=1)
    """Frequency above which a word is left out at random, the more frequent the more often."""
    epochs: int = Field(default=5, ge=1)
    """Passes over all text."""


class VectorSettings(Settings):
    """Everything that the vectors depend on, besides the data itself."""

    data: DataConfig = DataConfig(vocab_size=30_000)
    model: SkipGramConfig = SkipGramConfig()
    seed: int = Field(default=0, ge=0)
    """Seed of the initial vectors and of everything else that is drawn."""


def runs(config: VectorSettings, _: Place) -> list[NamedRun]:
    """Make the run."""
    return [NamedRun("skip-gram vectors", config, tagger_stream=stream)]


def stream(config: VectorSettings, folder: Path, cache: Path) -> Iterator[Event]:
    """Learn the vectors, as a run: ``Started``, ``Finished``. A run that is interrupted begins anew.

    Raises:
        DataError: if the texts cannot be used; names the file and row.
    """
    if ended := recorded(folder, config):
        yield from ended
        return
    began = time.monotonic()
    corpus = load_corpus(config.data, cache)
    unlabelled = read_unlabelled(config.data, corpus)
    texts = joined([corpus.train, unlabelled.split])
    started = Started(
        data=summary(corpus, unlabelled, texts),
        parameters=corpus.summary.vocab_size * config.model.embed_dim,
        device="cpu",
        precision="fp32",
        evaluations=0,
    )
    yield started
    vectors = skip_gram(texts, corpus.summary.vocab_size, config.model, config.seed)
    counts = np.bincount(texts.tokens, minlength=len(vectors))
    save_vectors(folder / VECTORS, torch.from_numpy(standardised(vectors, counts)), corpus.tokenizer)
    end = Finished(
        reason="completed", best_evaluation=0, files={"vectors": VECTORS},
        metrics={"total_seconds": time.monotonic() - began},
    )  # fmt: skip
    record(folder, config, [started, end])
    yield end


def skip_gram(texts: Split, vocab_size: int, settings: SkipGramConfig, seed: int) -> NDArray[np.float32]:
    """Learn a vector for each id; one that does not occur gets a small random one: (V, E).

    The same texts, settings and seed give the same vectors.
    """
    from gensim.models import Word2Vec  # noqa: PLC0415 - seconds, which --help need not wait for

    names = [str(id_) for id_ in range(vocab_size)]
    sentences = [
        [names[id_] for id_ in texts.tokens[start:end].tolist()] for start, end in pairwise(texts.offsets)
    ]
    model = Word2Vec(
        sentences, vector_size=settings.embed_dim, window=settings.window, negative=settings.negatives,
        sample=settings.sample, epochs=settings.epochs, seed=seed, sg=1, min_count=1, workers=1,
        batch_words=TOGETHER,
    )  # fmt: skip
    vectors = np.random.default_rng(seed).normal(0, 0.1, (vocab_size, settings.embed_dim)).astype(np.float32)
    known = [int(name) for name in model.wv.index_to_key]
    vectors[known] = model.wv.vectors
    return vectors


def standardised(vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Give each dimension mean 0 and standard deviation 1 over the text; that of padding is 0.

    Args:
        vectors: (V, E).
        counts: (V,) how often each word occurs.
    """
    frequency = counts / counts.sum()
    centred = vectors - frequency @ vectors
    scaled = centred / np.sqrt(frequency @ centred**2 + 1e-12)
    scaled[PAD] = 0
    return np.asarray(scaled, dtype=np.float32)


def summary(corpus: Corpus, unlabelled: Unlabelled, texts: Split) -> DataSummary:
    """Return what is known of all that is read."""
    data = corpus.summary
    digest = hashlib.sha256(data.digest.encode() + texts.tokens.tobytes() + texts.offsets.tobytes())
    more = len(unlabelled.split.labels)
    return data.model_copy(
        update={
            "source": f"{data.source}, without labels, and {more:,} unlabelled texts "
            f"({unlabelled.held_out:,} that are held out left out)",
            "digest": digest.hexdigest(),
            "sizes": {"train": len(texts.labels)},
            "skipped": data.skipped + unlabelled.skipped,
        }
    )


def told(results: Sequence[Result], _: Corpus) -> str:
    """Say where the vectors are, and how a model starts from them."""
    (result,) = results
    folder = shlex.quote(str((result.folder / VECTORS).absolute()))
    return f"  A classifier or tagger starts from them with --model.init-from {folder}"


EXPERIMENT = Experiment(
    purpose="What words does a word stand with? Skip-gram vectors, for models to start from.",
    base=VectorSettings(),
    runs=runs,
    stream=stream,
    conclude=told,
)
