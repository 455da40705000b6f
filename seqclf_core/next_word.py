"""A tagger that learns from text alone: the tag of each token is the word that follows it.

    for event in train_tagger(tagger, config, folder, cache):
        recorder.record(event)

It reads the training reviews, without their labels, and the source's unlabelled ones where there are some; never
the validation or the test part. What it learns of words and their order can start a classifier
(``model.start_from``), as in Dai & Le, "Semi-supervised Sequence Learning" (NeurIPS 2015).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from seqclf_core.batches import Batch, CutReviews
from seqclf_core.config import RunConfig
from seqclf_core.corpus import Corpus, Part, load_corpus
from seqclf_core.errors import UserError
from seqclf_core.events import Event, Finished, Progress, Started
from seqclf_core.metrics import Tally
from seqclf_core.models import SequenceTagger
from seqclf_core.run import CHECKPOINT, device_name, pick_device, record, recorded, use_bf16
from seqclf_core.saved import save_model
from seqclf_core.scoring import Objective
from seqclf_core.trainer import Trainer
from seqclf_core.unlabelled import unlabelled_texts
from seqclf_core.vocabulary import PAD, UNK, encode

TAGS = 2_000
"""The most frequent words, which are the first ids, are tags of their own; all others share that of ``UNK``."""
SHARE = 0.15
"""Of the tokens of a training batch, drawn anew each time, that are tagged: 2,000 logits for each would take
several times as long as the LSTM."""
PIECE = 256
"""Longer reviews are read in pieces of like length, so that all of their text is learned from."""
VALIDATION = 8
"""One validation review in this many is enough to follow the loss."""


def train_tagger(tagger: Path, config: RunConfig, folder: Path, cache: Path) -> Iterator[Event]:
    """Train a next-word tagger, as a run: its events are those of ``run``, and it goes on where it was likewise.

    Loss and accuracy are those of words: nats per word, share of next words that are guessed. There is no test
    score (NaN): the test part is not read. An example is a piece of a review.

    Args:
        tagger: the model folder to write.
        config: its ``model`` gives the encoder, its ``train`` the optimizer, its ``data`` reviews and vocabulary.
        folder: the run's own.
        cache: for encoded data; shared by all runs.

    Raises:
        DataError: if the reviews cannot be used; names the file and row.
        NotFiniteError: if the loss leaves the real numbers; names the step.
        UserError: if the encoder reads in both directions, and would see the word that it is to guess.
    """
    if config.model.bidirectional:
        raise UserError(
            "model.bidirectional: a tagger of next words reads forward only; it would see the next word"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if (finished := recorded(folder, config)) and tagger.exists():
        yield from finished
        return
    corpus = load_corpus(config.data, cache)
    trainer = _new_trainer(config, corpus, folder / CHECKPOINT, cache)
    trainer.resume()
    started = Started(
        data=corpus.summary.model_copy(update={"sizes": {"train": len(trainer.train), "val": len(trainer.val)}}),
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
    save_model(tagger, trainer.model, config, corpus.tokenizer, tags=sorted(ids, key=ids.__getitem__)[:TAGS])
    end = Finished(
        reason="early_stop" if trainer.stopped_early else "completed",
        best_evaluation=trainer.state.best_evaluation,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        test_loss=float("nan"),
        test_accuracy=float("nan"),
        seconds=trainer.state.seconds,
        files={},
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
                share, generator=model.dropout_generator
            )
            chosen &= drawn.bool()
        words = following[chosen]  # (N,)
        words = torch.where(words < tags, words, UNK)
        with torch.autocast(words.device.type, torch.bfloat16, enabled=model.encoder.bf16):
            logits = model.head(states[chosen])  # (N, tags)
        loss = F.cross_entropy(logits.float(), words, reduction="sum")
        correct = (logits.argmax(dim=1) == words).sum()
        decided = max(1, len(words))  # none where all texts of a batch are of one word; the loss is then 0
        return loss, Tally(loss.detach().double(), correct, decided)

    return objective


def pieces(
    tokens: NDArray[np.uint16] | NDArray[np.int32], offsets: NDArray[np.int64], longest: int = PIECE
) -> Part:
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
    return Part(tokens, np.append(bounds, offsets[-1]), labels=nothing, rows=nothing, groups=None)


def _new_trainer(config: RunConfig, corpus: Corpus, checkpoint: Path, cache: Path) -> Trainer[SequenceTagger]:
    """Put model and texts together."""
    more, ends = encode(Tokenizer.from_file(str(corpus.tokenizer)), unlabelled_texts(config.data, cache))
    offsets = np.concatenate([corpus.train.offsets, ends[1:] + corpus.train.offsets[-1]])
    train = pieces(np.concatenate([corpus.train.tokens, more]), offsets)
    val = pieces(*_some(corpus.val))
    data = config.data.model_copy(update={"max_length": PIECE})
    device = torch.device(pick_device(config.train.device))
    tags = min(TAGS, corpus.summary.vocab_size)
    model = SequenceTagger(config.model, corpus.summary.vocab_size, tags, config.seed)
    model.encoder.bf16 = use_bf16(config.train.precision, device)
    parts = CutReviews(train, data), CutReviews(val, data)
    return Trainer(model, next_words(model, SHARE), config, *parts, device, checkpoint)


def _some(part: Part) -> tuple[NDArray[np.uint16] | NDArray[np.int32], NDArray[np.int64]]:
    """Return one text in ``VALIDATION``: their tokens and offsets."""
    bounds = list(zip(part.offsets[:-1:VALIDATION], part.offsets[1::VALIDATION], strict=True))
    tokens = np.concatenate([part.tokens[start:end] for start, end in bounds])
    return tokens, np.cumsum([0, *(end - start for start, end in bounds)])
