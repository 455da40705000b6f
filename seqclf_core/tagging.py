"""A tagger of the embedded tagged sentences: seconds on one core, and the start of a classifier.

for event in train_tagger(config, folder):      # leaves a model folder that ``model.init_from`` takes
    recorder.record(event)
score_tagger(folder / TAGGER)                   # beside a baseline without context
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
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
from seqclf_core.data.cache import Split
from seqclf_core.data.tagged import TAGS, Tagged, tagged_sentences
from seqclf_core.data.vocabulary import encode, train_tokenizer
from seqclf_core.events import DataSummary, Event
from seqclf_core.files import make_folder
from seqclf_core.models import SequenceTagger
from seqclf_core.training.checkpoint import TOKENIZER, load_tagger, save_model
from seqclf_core.training.device import pick_device, set_computation
from seqclf_core.training.metrics import named_best
from seqclf_core.training.skeleton import run_task
from seqclf_core.training.tally import Tally
from seqclf_core.training.task import Task

TAGGER = "tagger"
"""Model folder, in the run's own."""
SENTENCES, HELD_OUT = 4_000, 1_000
NO_TAG = -100
"""Stands where padding has no tag; PyTorch's own number for what a loss ignores."""


@dataclass(frozen=True)
class TaggerScore:
    """How often a tagger is right on sentences that it has not seen."""

    accuracy: float
    """Proportion of tokens whose likeliest tag is the right one."""
    baseline: float
    """The same for a guess without context: each word's most frequent tag in the training sentences."""
    tokens: int


@dataclass(frozen=True)
class TaggedBatch(Batch):
    """B sentences with a tag for each token."""

    tags: Tensor
    """(B, T) int64, places in ``TAGS``; ``NO_TAG`` in the padding."""


class TaggedSplit(EncodedSplit):
    """Encoded sentences with the tags of their tokens."""

    def __init__(self, tokenizer: Tokenizer, sentences: Sequence[Tagged], config: RunConfig) -> None:
        """Encode sentences; each word of theirs is one token."""
        ids, offsets = encode(tokenizer, (" ".join(words) for words, _ in sentences))
        nothing = np.zeros(len(sentences), dtype=np.int64)
        longest = {"max_length": max(1, int(np.diff(offsets).max()))}
        super().__init__(Split(ids, offsets, nothing, nothing, None), config.data.model_copy(update=longest))
        number = {tag: place for place, tag in enumerate(TAGS)}
        self.tags = np.fromiter((number[tag] for _, tags in sentences for tag in tags), dtype=np.int64)

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> TaggedBatch:
        """Put these sentences side by side on the device."""
        batch = super().batch(rows, device)
        tags = self.aligned(rows, self.tags, NO_TAG)
        return TaggedBatch(**vars(batch), tags=torch.from_numpy(tags).to(device))


class TaggingTask(Task[SequenceTagger]):
    """Decide a tag per token."""

    def __init__(
        self, config: RunConfig, tokenizer: Tokenizer, model: SequenceTagger, device: torch.device
    ) -> None:
        train, held_out = sentences()
        text = "\n".join(f"{' '.join(words)}\t{' '.join(tags)}" for words, tags in chain(train, held_out))
        data = DataSummary(
            source="tagged sentences (embedded)", data_scope="synthetic",
            digest=hashlib.sha256(text.encode()).hexdigest(), sizes={"train": len(train), "val": len(held_out)},
            split_method="random", group_column=None, skipped=0, vocab_size=tokenizer.get_vocab_size(),
        )  # fmt: skip
        train_split, val = (TaggedSplit(tokenizer, each, config) for each in (train, held_out))
        super().__init__(config, model, data, train_split, val, device)
        self.tokenizer = tokenizer

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """Learn the vocabulary of the training sentences and make the model."""
        tokenizer = train_tokenizer((" ".join(words) for words, _ in sentences()[0]), config.data.vocab_size)
        device = torch.device(pick_device(config.train.device))
        model = SequenceTagger(config.model, tokenizer.get_vocab_size(), len(TAGS), config.seed_of("init"))
        set_computation(model.encoder, config, device)
        return cls(config, tokenizer, model, device)

    def loss(self, batch: Batch) -> tuple[Tensor, Tally]:
        """Return the loss summed over the tokens of a batch, and its tally."""
        assert isinstance(batch, TaggedBatch)
        logits = self.model(batch.tokens, batch.lengths)
        loss = tag_loss(logits, batch.tags)
        correct = (logits.detach().argmax(dim=2) == batch.tags).sum()
        return loss, Tally(loss.detach().double(), correct, batch.num_tokens)

    def finish(self, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        """Keep the model; the held-out sentences are its validation split, and there is no test score."""
        scores = self.evaluate()
        make_folder(folder)
        tokenizer = folder / TOKENIZER
        self.tokenizer.save(str(tokenizer))
        save_model(folder / TAGGER, self.model, self.config, tokenizer, tags=list(TAGS))
        tokenizer.unlink()
        return named_best(scores), {"tagger": TAGGER}


def train_tagger(config: RunConfig, folder: Path, cache: Path | None = None) -> Iterator[Event]:
    """Train a tagger of the embedded sentences, as a run, with the events of ``run``.

    Args:
        config: its ``model`` gives the encoder, its ``train`` the optimizer, its ``seed`` weights and order; of
            its ``data`` only ``vocab_size`` is read.
        folder: the run's own; afterwards it holds the model folder ``TAGGER``.
        cache: not used: the sentences are generated.

    Raises:
        NotFiniteError: if the loss is NaN or infinite, unless ``train.on_divergence`` says to score it.
    """
    return run_task(config, folder, lambda: TaggingTask.of(config))


def tag_loss(logits: Tensor, tags: Tensor) -> Tensor:
    """Return the cross-entropy summed over real tokens: (B, T, tags) logits, (B, T) tags -> scalar, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=NO_TAG, reduction="sum")


def sentences(seed: int = 0) -> tuple[list[Tagged], list[Tagged]]:
    """Return training and held-out sentences; none of the latter is among the former."""
    drawn = tagged_sentences(seed, SENTENCES + HELD_OUT)
    train, others = drawn[:SENTENCES], drawn[SENTENCES:]
    seen = {tuple(words) for words, _ in train}
    return train, [(words, tags) for words, tags in others if tuple(words) not in seen]


@torch.inference_mode()
def score_tagger(folder: Path) -> TaggerScore:
    """Score a saved tagger on the held-out sentences, beside the most frequent tag of each word.

    Raises:
        SavedError: if the folder holds no whole tagger.
    """
    train, held_out = sentences()
    model, config, _ = load_tagger(folder)
    split = TaggedSplit(Tokenizer.from_file(str(folder / TOKENIZER)), held_out, config)
    batch = split.batch(np.arange(len(held_out)), torch.device("cpu"))
    correct = int((model(batch.tokens, batch.lengths).argmax(dim=2) == batch.tags).sum())
    guess = most_frequent_tags(train)
    guessed = sum(guess[word] == tag for words, tags in held_out for word, tag in zip(words, tags, strict=True))
    return TaggerScore(correct / batch.num_tokens, guessed / batch.num_tokens, batch.num_tokens)


def most_frequent_tags(tagged: Sequence[Tagged]) -> defaultdict[str, str]:
    """Return each word's most frequent tag; for a word that never occurs, the most frequent one of all."""
    by_word: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in tagged:
        for word, tag in zip(words, tags, strict=True):
            by_word[word][tag] += 1
    most = sum(by_word.values(), Counter[str]()).most_common(1)[0][0]
    return defaultdict(lambda: most, {word: counts.most_common(1)[0][0] for word, counts in by_word.items()})
