"""What every contender of ``tests.bench_peers`` shares: the reviews, and rounds on demand. Needs numpy alone.

    PYTHON CONTENDER.py REVIEWS.npz EMBED HIDDEN BATCH

A contender says "ready", and then answers each line on its input with the real tokens per second of one round.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

VOCAB, DROPOUT, LR, MAX_GRAD_NORM = 20_000, 0.5, 1e-3, 1.0


@dataclass(frozen=True)
class Reviews:
    """Reviews as arrays of ids, already cut; 0 is padding."""

    tokens: Any
    offsets: Any
    labels: Any

    @property
    def lengths(self) -> Any:
        """Real tokens of each review."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)

    def row(self, index: int) -> Any:
        """Return the ids of one review."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]].astype(np.int64)

    def padded(self, indices: Any, width: int | None = None) -> Any:
        """Return (B, T) ids, padded on the right to the longest review or to a width."""
        rows = [self.row(index) for index in indices]
        batch = np.zeros((len(rows), width or max(map(len, rows))), dtype=np.int64)
        for line, row in zip(batch, rows, strict=True):
            line[: len(row)] = row
        return batch


@dataclass(frozen=True)
class Sizes:
    embed: int
    hidden: int
    batch: int


def arguments() -> tuple[Reviews, Sizes]:
    """Return the reviews and sizes that the command line names."""
    with np.load(sys.argv[1]) as arrays:
        reviews = Reviews(arrays["tokens"], arrays["offsets"], arrays["labels"])
    return reviews, Sizes(*map(int, sys.argv[2:5]))


def shuffled(reviews: Reviews, count: int) -> Iterator[Any]:
    """Yield the reviews of one round after another, drawn anew for each."""
    draw = np.random.default_rng(2)
    while True:
        yield draw.permutation(len(reviews))[:count]


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def answer(one_round: Callable[[], float]) -> None:
    """Do a round for every line that comes in, and say its tokens per second."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(f"rate {one_round()}", flush=True)
