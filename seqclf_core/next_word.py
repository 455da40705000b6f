"""A next-word language model: a tagger whose tag at each token is the word that follows it. It needs no labels.

    for event in train_language_model(config, folder, cache):
        recorder.record(event)

It reads the training reviews, without their labels, and the source's unlabelled ones where there are some; none of
them is in the validation or the test split. What it learns of words and their order can start a classifier
(``model.init_from``), as in Dai & Le, "Semi-supervised Sequence Learning" (NeurIPS 2015).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from seqclf_core.config import RunConfig
from seqclf_core.data.batches import Batch, EncodedSplit
from seqclf_core.data.cache import Corpus, Split, load_corpus
from seqclf_core.data.soft_labels import joined
from seqclf_core.data.unlabelled import read_unlabelled
from seqclf_core.data.vocabulary import PAD, UNK
from seqclf_core.errors import DataError, UserError
from seqclf_core.events import DataSummary, Event
from seqclf_core.files import atomic_write
from seqclf_core.models import SequenceTagger
from seqclf_core.training.checkpoint import save_model
from seqclf_core.training.device import pick_device, set_computation
from seqclf_core.training.metrics import named_best
from seqclf_core.training.skeleton import run_task
from seqclf_core.training.tally import Tally
from seqclf_core.training.task import Task
from seqclf_core.vectors import start_from_vectors

TAGGER = "tagger"
"""Model folder, in the run's own."""
Ids = NDArray[np.uint16] | NDArray[np.int32]

TAGS = 2_000
"""The most frequent words, which are the first ids, are tags of their own; all others share that of ``UNK``."""
PROPORTION = 0.15
"""Proportion of the tokens of a training batch, drawn anew each time, whose next word is guessed: 2,000 logits for
each token would take several times as long as the LSTM."""
CHUNK = 256
"""Longer texts are read in chunks of similar length, so that all of their text is learned from."""
VALIDATION = 8
"""One validation review in this many is enough to follow the loss."""


@dataclass(frozen=True)
class Texts:
    """What a language model reads."""

    train: Split
    """Chunks of training and unlabelled texts."""
    val: Split
    """Chunks of some validation texts, which only follow the loss."""
    summary: DataSummary
    """Summary of the data; its sizes count chunks, and its digest is over chunks."""


def train_language_model(config: RunConfig, folder: Path, cache: Path) -> Iterator[Event]:
    """Train a next-word language model, as a run: its events are those of ``run``, and it is continued likewise.

    Loss and accuracy are those of words: nats per word, proportion of next words that are guessed, where all rare
    words count as one. There is no test score. An example is a chunk of a text.

    Args:
        config: its ``model`` gives the encoder, its ``train`` the optimizer, its ``data`` texts and vocabulary;
            ``data.max_length`` is not read.
        folder: the run's own; afterwards it holds the model folder ``TAGGER``.
        cache: for encoded data; shared by all runs. Unlabelled texts are not kept in it but read at every start.

    Raises:
        DataError: if the texts cannot be used; names the file and row.
        NotFiniteError: if the loss is NaN or infinite, unless ``train.on_divergence`` says to score it.
        UserError: if the encoder reads in both directions, and would see the word that it is to guess; or if the
            texts are not those that the run began with; or if ``model.init_from`` names no vectors that fit.
    """
    if config.model.bidirectional:
        raise UserError(
            "model.bidirectional: a next-word language model reads forward only, else it sees the next word; "
            "set it to False"
        )
    return run_task(config, folder, lambda: NextWordTask.of(config, folder, cache))


class NextWordTask(Task[SequenceTagger]):
    """Tag each token but a text's last with the word after it."""

    def __init__(
        self, config: RunConfig, model: SequenceTagger, texts: Texts, tokenizer: bytes, device: torch.device
    ) -> None:
        data = config.data.model_copy(update={"max_length": CHUNK})
        train, val = EncodedSplit(texts.train, data), EncodedSplit(texts.val, data)
        super().__init__(config, model, texts.summary, train, val, device)
        self.tokenizer = tokenizer

    @classmethod
    def of(cls, config: RunConfig, folder: Path, cache: Path) -> Self:
        """Read the texts and make the model.

        Raises:
            DataError: if the texts cannot be used.
            UserError: if they are not those that the run in this folder began with.
        """
        corpus = load_corpus(config.data, cache)
        texts = read_texts(config, corpus, cache)
        _same_texts(folder / "texts", texts)
        device = torch.device(pick_device(config.train.device))
        vocab_size = texts.summary.vocab_size
        model = SequenceTagger(config.model, vocab_size, min(TAGS, vocab_size), config.seed_of("init"))
        if config.model.init_from is not None:
            folder_of_vectors = Path(config.model.init_from)
            start_from_vectors(
                model.encoder, folder_of_vectors, Tokenizer.from_str(corpus.tokenizer.read_text(encoding="utf-8"))
            )
        set_computation(model.encoder, config, device)
        return cls(config, model, texts, corpus.tokenizer.read_bytes(), device)

    def loss(self, batch: Batch) -> tuple[Tensor, Tally]:
        """Return the loss summed over the tokens of a batch whose next words are guessed, and its tally."""
        return next_word_loss(self.model, batch, PROPORTION, self.config.train.next_words)

    def finish(self, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        """Keep the model; there is no test score."""
        scores = self.evaluate()
        ids = Tokenizer.from_str(self.tokenizer.decode()).get_vocab()
        words = sorted(ids, key=ids.__getitem__)[: self.model.head.out_features]
        save_model(folder / TAGGER, self.model, self.config, self.tokenizer, tags=words)
        return named_best(scores), {"tagger": TAGGER}


def next_word_loss(
    model: SequenceTagger, batch: Batch, proportion: float, next_words: int = 1
) -> tuple[Tensor, Tally]:
    """Return the loss of guessing what follows each token but a text's last, summed, and its tally.

    With several next words the target is their bag: each of those that the text still has is equally probable, and
    a guess is right if it is one of them.

    Args:
        model: words whose id is no output of its head count as ``UNK``.
        batch: of texts.
        proportion: of the tokens, in (0, 1], whose next word is guessed while training; else all are.
        next_words: how many words after a token make its target, at least 1.
    """
    states = model.encoder(batch.tokens, batch.lengths).flatten(2)[:, :-1]  # (B, T-1, H)
    following = batch.tokens[:, 1:]
    chosen = following != PAD
    if model.training and proportion < 1:
        drawn = torch.empty(chosen.shape, device=chosen.device).bernoulli_(
            proportion, generator=model.choice_generator
        )
        chosen &= drawn.bool()
    words = F.pad(following, (0, next_words - 1), value=PAD).unfold(1, next_words, 1)[chosen]  # (N, K)
    real = words != PAD
    words = torch.where(words < model.head.out_features, words, UNK)
    with torch.autocast(words.device.type, torch.bfloat16, enabled=model.encoder.bf16):
        logits = model.head(states[chosen])  # (N, tags)
    surprise = -logits.float().log_softmax(dim=1).gather(1, words)  # (N, K)
    loss = ((surprise * real).sum(dim=1) / real.sum(dim=1)).sum()
    correct = ((logits.argmax(dim=1)[:, None] == words) & real).any(dim=1).sum()
    return loss, Tally(loss.detach().double(), correct, len(words))


def chunks(tokens: Ids, offsets: NDArray[np.int64], longest: int = CHUNK) -> Split:
    """Cut texts into chunks of similar length, none longer than ``longest``.

    Args:
        tokens: ids of all texts, one after the other.
        offsets: (N+1,) text n is ``tokens[offsets[n]:offsets[n + 1]]``.
        longest: most tokens of a chunk.

    Returns:
        The chunks, in order, as texts; their labels and rows mean nothing.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    counts = -(-lengths // longest)
    text = np.repeat(np.arange(len(lengths)), counts)
    chunk = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    bounds = starts[text] + lengths[text] * chunk // counts[text]
    nothing = np.zeros(len(text), dtype=np.int64)
    return Split(tokens, np.append(bounds, offsets[-1]), labels=nothing, rows=nothing, groups=None)


def read_texts(config: RunConfig, corpus: Corpus, cache: Path) -> Texts:
    """Read what a tagger learns from.

    Unlabelled reviews that are in the validation or the test split, word for word, are left out: IMDB has some.

    Raises:
        DataError: if the unlabelled reviews cannot be used, or no text has a second word.
    """
    unlabelled = read_unlabelled(config.data, corpus)
    together = joined([corpus.train, unlabelled.split])
    train = chunks(together.tokens, together.offsets)
    val = chunks(*_some(corpus.val))
    if min(np.diff(part.offsets).max() for part in (train, val)) < 2:
        raise DataError(
            f"{corpus.summary.source}: no review has a second word, so there is no next word to learn."
        )
    source = f"{corpus.summary.source}, without labels"
    if len(unlabelled.texts):
        kept = len(unlabelled.split.labels)
        source += f", and {kept:,} unlabelled reviews ({unlabelled.held_out:,} that are held out left out)"
    digest = hashlib.sha256(corpus.summary.digest.encode() + train.tokens.tobytes() + train.offsets.tobytes())
    changes = {
        "source": source,
        "digest": digest.hexdigest(),
        "sizes": {"train": len(train.labels), "val": len(val.labels)},
        "skipped": corpus.summary.skipped + unlabelled.skipped,
    }
    return Texts(train, val, corpus.summary.model_copy(update=changes))


def _same_texts(file: Path, texts: Texts) -> None:
    """Make sure that a resumed run has the texts that it began with."""
    if not file.exists():
        atomic_write(file, texts.summary.digest)
    elif file.read_text(encoding="utf-8") != texts.summary.digest:
        raise UserError(
            f"{file.parent}: the unlabelled reviews are not those that this tagger began with. Put them back, or "
            "make another one: with another --seed, or in another RUNS."
        )


def _some(part: Split) -> tuple[Ids, NDArray[np.int64]]:
    """Return one text in ``VALIDATION``: their tokens and offsets."""
    bounds = list(zip(part.offsets[:-1:VALIDATION], part.offsets[1::VALIDATION], strict=True))
    tokens = np.concatenate([part.tokens[start:end] for start, end in bounds])
    return tokens, np.cumsum([0, *(end - start for start, end in bounds)])
