"""Batches from flat arrays: cut, bucketed by length, in an order that is a pure function of (seed, epoch).

Texts of similar length share a batch, so that little of it is padding; which texts share one, and the order of
the batches, still changes with every epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf_core.config import DataConfig
from seqclf_core.data.cache import Split
from seqclf_core.data.vocabulary import PAD

Ints = npt.NDArray[np.int64]

BUCKET = 100
"""Batches' worth of texts that are sorted by length together."""
STEP = 16
"""Rows are padded to a multiple of this. Blocks of memory of every width from 10 to 400 leave gaps that the next
ones do not fit, and a worker grows to 2.2 GB; with multiples of 16 it stays below 0.8 GB, at the same speed."""


@dataclass(frozen=True)
class Batch:
    """B texts, padded on the right to the same length."""

    tokens: Tensor
    """(B, T) int64."""
    lengths: Tensor
    """(B,) int64, each in [1, T]."""
    labels: Tensor
    """(B,) int64, 0 or 1; or floating probabilities of the positive label."""
    num_tokens: int
    """Sum of the lengths, known without asking the device."""


class EncodedSplit:
    """A split of the data, each text cut to what the model reads of it."""

    def __init__(self, split: Split, config: DataConfig) -> None:
        whole = np.diff(split.offsets)
        self.lengths: Ints = np.minimum(whole, config.max_length)
        self.starts: Ints = split.offsets[:-1] + (whole - self.lengths if config.keep == "tail" else 0)
        self.backward = config.reading == "backward"
        self.tokens = split.tokens
        self.labels = split.labels
        wide = np.full_like(self.lengths, config.max_length)
        self.padded_lengths: Ints = wide if config.pad == "max_length" else -(-self.lengths // STEP) * STEP
        """(N,) columns that each text takes up, padding included."""

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Ints, device: torch.device) -> Batch:
        """Put these texts side by side on the device."""
        lengths = self.lengths[rows]
        tokens = self.aligned(rows, self.tokens, PAD)
        return Batch(
            tokens=_to(torch.from_numpy(tokens), device),
            lengths=_to(torch.from_numpy(lengths), device),
            labels=_to(torch.from_numpy(self.labels[rows]), device),
            num_tokens=int(lengths.sum()),
        )

    def aligned(self, rows: Ints, values: npt.NDArray[Any], padding: int) -> Ints:
        """Put one value per token in the order in which these texts' tokens are read: (B, T) int64.

        Args:
            rows: (B,) numbers of the texts.
            values: (tokens,) one per token of the whole split, such as its id or its tag.
            padding: stands where a text has no token.
        """
        lengths = self.lengths[rows][:, None]
        columns = np.arange(self.padded_lengths[rows].max())
        read = lengths - 1 - columns if self.backward else columns
        # Positions in the padding may lie beyond either end; they are masked, but must be readable.
        positions = (self.starts[rows][:, None] + read).clip(0, len(values) - 1)
        return np.where(columns < lengths, values[positions], padding).astype(np.int64)


def training_order(
    lengths: Ints, batch_size: int, seed: int, epoch: int, batch_tokens: int | None = None
) -> list[Ints]:
    """Return the batches of one epoch as arrays of text indices; every text occurs once.

    Args:
        lengths: (N,) tokens per text, after cutting.
        batch_size: texts per batch; the last one made may be smaller.
        seed: of the run.
        epoch: 0, 1, ...
        batch_tokens: tokens per batch, padding to its longest text included, in the place of ``batch_size``; a
            longer text is a batch of its own. The number of batches then differs from epoch to epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    batches: list[Ints] = []
    if batch_tokens is not None:
        batch_size = max(1, int(batch_tokens / lengths.mean()))
    for start in range(0, len(order), batch_size * BUCKET):
        bucket = order[start : start + batch_size * BUCKET]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        if batch_tokens is not None:
            batches += np.split(bucket, _ends(lengths[bucket], batch_tokens))
        else:
            batches += [bucket[at : at + batch_size] for at in range(0, len(bucket), batch_size)]
    return [batches[index] for index in generator.permutation(len(batches))]


def _ends(lengths: Ints, batch_tokens: int) -> list[int]:
    """Return where to cut ascending lengths, so that no batch has more tokens, padding included."""
    ends, start = [], 0
    for place, length in enumerate(lengths.tolist()):
        if place > start and (place - start + 1) * length > batch_tokens:
            ends.append(place)
            start = place
    return ends


def evaluation_order(widths: Ints, tokens_per_batch: int = 16_384, most: int = 512) -> Iterator[Ints]:
    """Yield batches of text indices, shortest first, each of about as many tokens with its padding.

    Args:
        widths: (N,) columns per text, padding included.
        tokens_per_batch: rows times columns, unless a single text is wider.
        most: texts per batch.
    """
    order = np.argsort(widths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, min(most, tokens_per_batch // int(widths[order[start]])))
        # The batch's last text is its longest: shrink until the whole, padding included, fits.
        while size > 1 and size * int(widths[order[min(start + size, len(order)) - 1]]) > tokens_per_batch:
            size -= 1
        yield order[start : start + size]
        start += size


def _to(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
