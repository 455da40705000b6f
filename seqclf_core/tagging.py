"""Trains a tagger on the embedded tagged sentences: seconds on one core, and the start of a classifier.

train_tagger(config, folder)    # a model folder that ``model.init_from`` takes
score_tagger(folder)            # on sentences that it has not seen, against a baseline
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from seqclf_core.config import RunConfig
from seqclf_core.data.tagged import TAGS, Tagged, tagged_sentences
from seqclf_core.data.vocabulary import PAD, encode, train_tokenizer
from seqclf_core.models import SequenceTagger
from seqclf_core.randomness import generators
from seqclf_core.training.checkpoint import TOKENIZER, load_tagger, save_model
from seqclf_core.training.trainer import schedule

SENTENCES, HELD_OUT = 4_000, 1_000
NO_TAG = -100
"""Stands where padding has no tag; PyTorch's own number for what a loss ignores."""
CPU = torch.device("cpu")  # a small model on short sentences


@dataclass(frozen=True)
class TaggerScore:
    """How often a tagger is right on sentences that it has not seen."""

    accuracy: float
    """Share of tokens whose likeliest tag is the right one."""
    baseline: float
    """The same for a guess without context: each word's most frequent tag in the training sentences."""
    tokens: int


@dataclass(frozen=True)
class TaggedIds:
    """N sentences as ids, padded on the right to the longest."""

    tokens: Tensor
    """(N, T) int64."""
    lengths: Tensor
    """(N,) int64, each in [1, T]."""
    tags: Tensor
    """(N, T) int64, places in ``TAGS``; ``NO_TAG`` in the padding."""

    def __getitem__(self, rows: Tensor) -> "TaggedIds":
        """Take some sentences, padded no further than the longest of them."""
        longest = int(self.lengths[rows].max())
        return TaggedIds(self.tokens[rows, :longest], self.lengths[rows], self.tags[rows, :longest])


def tag_loss(logits: Tensor, tags: Tensor) -> Tensor:
    """Return the cross-entropy summed over real tokens: (B, T, tags) logits, (B, T) tags -> scalar, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=NO_TAG, reduction="sum")


def sentences(seed: int = 0) -> tuple[list[Tagged], list[Tagged]]:
    """Return training and held-out sentences; none of the latter is among the former."""
    drawn = tagged_sentences(seed, SENTENCES + HELD_OUT)
    train, others = drawn[:SENTENCES], drawn[SENTENCES:]
    seen = {tuple(words) for words, _ in train}
    return train, [(words, tags) for words, tags in others if tuple(words) not in seen]


def to_ids(tokenizer: Tokenizer, tagged: Sequence[Tagged]) -> TaggedIds:
    """Encode sentences; each word of theirs is one token."""
    tokens, offsets = encode(tokenizer, (" ".join(words) for words, _ in tagged))
    rows = [torch.from_numpy(row.astype(np.int64)) for row in np.split(tokens, offsets[1:-1])]
    tags = [torch.tensor([TAGS.index(tag) for tag in tags]) for _, tags in tagged]
    return TaggedIds(
        tokens=pad_sequence(rows, batch_first=True, padding_value=PAD),
        lengths=torch.from_numpy(np.diff(offsets)),
        tags=pad_sequence(tags, batch_first=True, padding_value=NO_TAG),
    )


def train_tagger(config: RunConfig, folder: Path) -> None:
    """Train a tagger on the embedded sentences and save it as a model folder.

    Args:
        config: its ``model`` gives the encoder, its ``train`` the optimizer, its ``seed`` weights and order; its
            ``data`` only ``vocab_size``.
        folder: to write; an older one in its place is replaced.
    """
    train, _ = sentences()
    tokenizer = train_tokenizer((" ".join(words) for words, _ in train), config.data.vocab_size)
    data = to_ids(tokenizer, train)
    model = SequenceTagger(config.model, tokenizer.get_vocab_size(), len(TAGS), config.seed)
    model.encoder.dropout_generator = generators(config.seed, CPU)["encoder_dropout"]
    settings = config.train
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    order = torch.Generator().manual_seed(config.seed)
    epochs = [torch.randperm(len(train), generator=order) for _ in range(settings.epochs)]
    batches = [rows for epoch in epochs for rows in torch.split(epoch, settings.batch_size)]
    model.train()
    for step, rows in enumerate(batches):
        optimizer.param_groups[0]["lr"] = settings.lr * schedule(step, len(batches), settings)
        batch = data[rows]
        loss = tag_loss(model(batch.tokens, batch.lengths), batch.tags) / batch.lengths.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / TOKENIZER
        tokenizer.save(str(path))
        save_model(folder, model, config, path, list(TAGS))


@torch.inference_mode()
def score_tagger(folder: Path) -> TaggerScore:
    """Score a saved tagger on the held-out sentences, beside the most frequent tag of each word.

    Raises:
        SavedError: if the folder holds no whole tagger.
    """
    train, held_out = sentences()
    model, _, _ = load_tagger(folder)
    data = to_ids(Tokenizer.from_file(str(folder / TOKENIZER)), held_out)
    tagged = model(data.tokens, data.lengths).argmax(dim=2)
    count = int(data.lengths.sum())
    guess = most_frequent_tags(train)
    guessed = sum(guess[word] == tag for words, tags in held_out for word, tag in zip(words, tags, strict=True))
    return TaggerScore(int((tagged == data.tags).sum()) / count, guessed / count, count)


def most_frequent_tags(tagged: Sequence[Tagged]) -> defaultdict[str, str]:
    """Return each word's most frequent tag; for a word that never occurs, the most frequent one of all."""
    by_word: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in tagged:
        for word, tag in zip(words, tags, strict=True):
            by_word[word][tag] += 1
    most = sum(by_word.values(), Counter[str]()).most_common(1)[0][0]
    return defaultdict(lambda: most, {word: counts.most_common(1)[0][0] for word, counts in by_word.items()})
