"""A tagger that learns from text alone: the tag of each token is the word that follows it.

    for event in train_tagger(config, folder, cache):
        recorder.record(event)

It reads the training reviews, without their labels, and the source's unlabelled ones where there are some; none of
them is in the validation or the test part. What it learns of words and their order can start a classifier
(``model.init_from``), as in Dai & Le, "Semi-supervised Sequence Learning" (NeurIPS 2015).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from seqclf_core.config import RunConfig
from seqclf_core.data.batches import Batch, EncodedSplit
from seqclf_core.data.cache import Corpus, Split, load_corpus
from seqclf_core.data.reviews import unlabelled_texts
from seqclf_core.data.vocabulary import PAD, UNK, encode
from seqclf_core.errors import DataError, UserError
from seqclf_core.events import DataSummary, Event, Finished, Progress, Started
from seqclf_core.models import SequenceTagger
from seqclf_core.run import CHECKPOINT, device_name, pick_device, record, recorded, use_bf16
from seqclf_core.training.checkpoint import save_model, write_text
from seqclf_core.training.evaluation import Objective
from seqclf_core.training.metrics import Tally
from seqclf_core.training.trainer import Trainer

TAGGER = "tagger"
"""Model folder, in the run's own."""
Ids = NDArray[np.uint16] | NDArray[np.int32]

TAGS = 2_000
"""The most frequent words, which are the first ids, are tags of their own; all others share that of ``UNK``."""
SHARE = 0.15
"""Of the tokens of a training batch, drawn anew each time, that are tagged: 2,000 logits for each would take
several times as long as the LSTM."""
PIECE = 256
"""Longer reviews are read in pieces of like length, so that all of their text is learned from."""
VALIDATION = 8
"""One validation review in this many is enough to follow the loss."""


@dataclass(frozen=True)
class Texts:
    """What a tagger reads."""

    train: Split
    """Pieces of training and unlabelled reviews."""
    val: Split
    """Pieces of some validation reviews, which only follow the loss."""
    summary: DataSummary
    """Of these: what it counts are pieces, and its digest is over them."""


def train_tagger(config: RunConfig, folder: Path, cache: Path) -> Iterator[Event]:
    """Train a next-word tagger, as a run: its events are those of ``run``, and it goes on where it was likewise.

    Loss and accuracy are those of words: nats per word, share of next words that are guessed, where all rare words
    count as one. There is no test score (NaN). An example is a piece of a review.

    Args:
        config: its ``model`` gives the encoder, its ``train`` the optimizer, its ``data`` reviews and vocabulary;
            ``data.max_length`` and ``train.on_divergence`` are not read.
        folder: the run's own; afterwards it holds the tagger's model folder.
        cache: for encoded data; shared by all runs. Unlabelled reviews are not kept in it but read at every start.

    Raises:
        DataError: if the reviews cannot be used; names the file and row.
        NotFiniteError: if the loss leaves the real numbers; names the step.
        UserError: if the encoder reads in both directions, and would see the word that it is to guess; or if the
            texts are not those that the run began with.
    """
    if config.model.bidirectional:
        raise UserError(
            "model.bidirectional: a tagger of next words reads forward only, else it sees the next word"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if (finished := recorded(folder, config)) and (folder / TAGGER).exists():
        yield from finished
        return
    corpus = load_corpus(config.data, cache)
    texts = read_texts(config, corpus, cache)
    _same_texts(folder / "texts", texts)
    trainer = _new_trainer(config, texts, folder / CHECKPOINT)
    trainer.resume()
    started = Started(
        data=texts.summary,
        parameters=sum(weights.numel() for weights in trainer.model.parameters()),
        device=device_name(trainer.device),
        precision="bf16" if trainer.model.encoder.bf16 else "fp32",
        evaluations=len(trainer.evaluation_steps),
    )
    yield started
    progress = []
    for event in trainer.fit():
        if isinstance(event, Progress):
            progress.append(event)
        yield event
    best = progress[trainer.state.best_evaluation - 1]
    trainer.model.load_state_dict(trainer.best)
    ids = Tokenizer.from_file(str(corpus.tokenizer)).get_vocab()
    save_model(
        folder / TAGGER, trainer.model, config, corpus.tokenizer, tags=sorted(ids, key=ids.__getitem__)[:TAGS]
    )
    end = Finished(
        reason="early_stop" if trainer.stopped_early else "completed",
        best_evaluation=trainer.state.best_evaluation,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        test_loss=float("nan"),
        test_accuracy=float("nan"),
        seconds=trainer.state.seconds,
        files={"tagger": TAGGER},
    )
    record(folder, config, [started, *progress, end])
    yield end


def next_words(model: SequenceTagger, share: float) -> Objective:
    """Decide the word after each token but a text's last.

    Args:
        model: words whose id is no output of its head count as ``UNK``.
        share: of the tokens, in (0, 1], that are tagged in training; in evaluation all are.
    """
    tags = model.head.out_features

    def objective(batch: Batch) -> tuple[Tensor, Tally]:
        states = model.encoder(batch.tokens, batch.lengths).flatten(2)[:, :-1]  # (B, T-1, H)
        following = batch.tokens[:, 1:]
        chosen = following != PAD
        if model.training and share < 1:
            drawn = torch.empty(chosen.shape, device=chosen.device).bernoulli_(
                share, generator=model.choice_generator
            )
            chosen &= drawn.bool()
        words = following[chosen]  # (N,)
        words = torch.where(words < tags, words, UNK)
        with torch.autocast(words.device.type, torch.bfloat16, enabled=model.encoder.bf16):
            logits = model.head(states[chosen])  # (N, tags)
        loss = F.cross_entropy(logits.float(), words, reduction="sum")
        correct = (logits.argmax(dim=1) == words).sum()
        return loss, Tally(loss.detach().double(), correct, len(words))

    return objective


def pieces(tokens: Ids, offsets: NDArray[np.int64], longest: int = PIECE) -> Split:
    """Cut texts into pieces of like length, none longer than ``longest``.

    Args:
        tokens: ids of all texts, one after the other.
        offsets: (N+1,) text n is ``tokens[offsets[n]:offsets[n + 1]]``.
        longest: most tokens of a piece.

    Returns:
        The pieces, in order, as reviews; their labels and rows mean nothing.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    counts = -(-lengths // longest)
    text = np.repeat(np.arange(len(lengths)), counts)
    piece = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    bounds = starts[text] + lengths[text] * piece // counts[text]
    nothing = np.zeros(len(text), dtype=np.int64)
    return Split(tokens, np.append(bounds, offsets[-1]), labels=nothing, rows=nothing, groups=None)


def read_texts(config: RunConfig, corpus: Corpus, cache: Path) -> Texts:
    """Read what a tagger learns from.

    Unlabelled reviews that are in the validation or the test part, word for word, are left out: IMDB has some.

    Raises:
        DataError: if the unlabelled reviews cannot be used, or no text has a second word.
    """
    unlabelled, bad = unlabelled_texts(config.data)
    more, ends = encode(Tokenizer.from_file(str(corpus.tokenizer)), unlabelled)
    held_out = {text for part in (corpus.val, corpus.test) for text in _each(part.tokens, part.offsets)}
    kept = [text for text in _each(more, ends) if text not in held_out]
    tokens = np.concatenate([corpus.train.tokens, *(np.frombuffer(text, more.dtype) for text in kept)])
    lengths = [len(text) // more.itemsize for text in kept]
    train = pieces(
        tokens,
        np.concatenate([corpus.train.offsets, corpus.train.offsets[-1] + np.cumsum(lengths, dtype=np.int64)]),
    )
    val = pieces(*_some(corpus.val))
    if min(np.diff(part.offsets).max() for part in (train, val)) < 2:
        raise DataError(
            f"{corpus.summary.source}: no review has a second word, so there is no next word to learn."
        )
    source = f"{corpus.summary.source}, without labels"
    if len(unlabelled):
        source += (
            f", and {len(kept):,} unlabelled reviews ({len(unlabelled) - len(kept):,} that are held out left out)"
        )
    digest = hashlib.sha256(corpus.summary.digest.encode() + train.tokens.tobytes() + train.offsets.tobytes())
    changes = {
        "source": source,
        "digest": digest.hexdigest(),
        "sizes": {"train": len(train.labels), "val": len(val.labels)},
        "skipped": corpus.summary.skipped + bad,
    }
    return Texts(train, val, corpus.summary.model_copy(update=changes))


def _same_texts(file: Path, texts: Texts) -> None:
    """Make sure that a run goes on with the texts that it began with."""
    if not file.exists():
        write_text(file, texts.summary.digest)
    elif file.read_text(encoding="utf-8") != texts.summary.digest:
        raise UserError(
            f"{file.parent}: the unlabelled reviews are not those that this tagger began with. Put them back, or "
            "make another one: with another --seed, or in another RUNS."
        )


def _new_trainer(config: RunConfig, texts: Texts, checkpoint: Path) -> Trainer[SequenceTagger]:
    """Put model and texts together."""
    data = config.data.model_copy(update={"max_length": PIECE})
    device = torch.device(pick_device(config.train.device))
    vocab_size = texts.summary.vocab_size
    model = SequenceTagger(config.model, vocab_size, min(TAGS, vocab_size), config.seed)
    model.encoder.bf16 = use_bf16(config.train.precision, device)
    parts = EncodedSplit(texts.train, data), EncodedSplit(texts.val, data)
    return Trainer(model, next_words(model, SHARE), config, *parts, device, checkpoint)


def _each(tokens: Ids, offsets: NDArray[np.int64]) -> Iterator[bytes]:
    """Yield each text's ids, as bytes that can be compared."""
    for start, end in pairwise(offsets):
        yield tokens[start:end].tobytes()


def _some(part: Split) -> tuple[Ids, NDArray[np.int64]]:
    """Return one text in ``VALIDATION``: their tokens and offsets."""
    bounds = list(zip(part.offsets[:-1:VALIDATION], part.offsets[1::VALIDATION], strict=True))
    tokens = np.concatenate([part.tokens[start:end] for start, end in bounds])
    return tokens, np.cumsum([0, *(end - start for start, end in bounds)])
