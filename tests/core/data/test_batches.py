"""Every review once, little padding, and an order that is a pure function of (seed, epoch)."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from seqclf_core.config import DataConfig
from seqclf_core.data.batches import EncodedSplit, evaluation_order, training_order
from seqclf_core.data.cache import Split
from seqclf_core.data.vocabulary import PAD

CPU = torch.device("cpu")


def part(lengths: list[int]) -> Split:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    count = len(lengths)
    tokens = np.concatenate([1000 * (row + 1) + np.arange(n) for row, n in enumerate(lengths)]).astype(np.uint16)
    labels = (np.arange(count) % 2).astype(np.int64)
    return Split(tokens, offsets, labels, np.arange(count, dtype=np.int64), None)


def test_head_and_tail_keep_their_end() -> None:
    for keep, expected in (("head", [1000, 1001, 1002]), ("tail", [1007, 1008, 1009])):
        cut = EncodedSplit(part([10, 2]), DataConfig(max_length=3, keep=keep))
        batch = cut.batch(np.array([0, 1]), CPU)
        assert batch.tokens[:, :3].tolist() == [expected, [2000, 2001, PAD]]
        assert (batch.tokens[:, 3:] == PAD).all()
        assert batch.lengths.tolist() == [3, 2]
        assert batch.labels.tolist() == [0, 1]
        assert batch.num_tokens == 5


def test_reading_backward_is_reading_reversed_text() -> None:
    forward, lengths = part([10, 2, 7, 1]), np.array([10, 2, 7, 1])
    reversed_tokens = np.concatenate([forward.tokens[a:b][::-1] for a, b in pairwise(forward.offsets)])
    rows = np.array([2, 0, 3, 1])
    backward = EncodedSplit(forward, DataConfig(reading="backward")).batch(rows, CPU)
    expected = EncodedSplit(replace(forward, tokens=reversed_tokens), DataConfig()).batch(rows, CPU)
    assert torch.equal(backward.tokens, expected.tokens)
    assert backward.lengths.tolist() == expected.lengths.tolist() == lengths[rows].tolist()
    # Which end is kept does not change: the last three tokens, the last one first.
    cut = EncodedSplit(forward, DataConfig(reading="backward", max_length=3, keep="tail")).batch(rows[1:2], CPU)
    assert cut.tokens[0, :3].tolist() == [1009, 1008, 1007]


def test_what_goes_with_tokens_is_read_in_their_order() -> None:
    encoded = part([5, 2])
    tags = encoded.tokens.astype(np.int64) * 10
    for reading in ("forward", "backward"):
        split = EncodedSplit(encoded, DataConfig(reading=reading, max_length=4))
        batch = split.batch(np.array([1, 0]), CPU)
        aligned = split.aligned(np.array([1, 0]), tags, padding=PAD * 10)
        assert aligned.tolist() == (batch.tokens * 10).tolist()


def test_rows_can_be_padded_to_the_maximum() -> None:
    cut = EncodedSplit(part([2, 4]), DataConfig(max_length=9, pad="max_length"))
    assert cut.batch(np.array([0, 1]), CPU).tokens.shape == (2, 9)


def test_there_are_few_widths() -> None:
    cut = EncodedSplit(part(list(range(1, 300))), DataConfig(max_length=256))
    widths = {cut.batch(np.array([row]), CPU).tokens.shape[1] for row in range(299)}
    assert len(widths) == 16
    assert max(widths) == 256


@pytest.mark.parametrize("count", [1, 31, 32, 33, 5000])
def test_training_sees_every_review_once_per_epoch(count: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 400, count)
    order = training_order(lengths, batch_size=32, seed=5, epoch=2)
    assert sorted(np.concatenate(order).tolist()) == list(range(count))
    assert len(order) == -(-count // 32)


def test_training_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 500)

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(training_order(lengths, 32, seed, epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_buckets_leave_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 4000)
    padded = sum(len(batch) * lengths[batch].max() for batch in training_order(lengths, 32, 0, 0))
    assert lengths.sum() / padded > 0.95


def test_evaluation_sees_every_review_once_within_its_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 3000)
    batches = list(evaluation_order(lengths, tokens_per_batch=2000))
    assert sorted(np.concatenate(batches).tolist()) == list(range(3000))
    assert all(len(batch) * lengths[batch].max() <= 2000 for batch in batches)


def test_a_review_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    assert [len(batch) for batch in evaluation_order(np.array([5000, 3, 5000]), tokens_per_batch=100)] == [1, 1, 1]


@pytest.mark.parametrize("most", [1, 40, 400])
def test_batches_of_tokens_hold_every_text_once_and_no_more_tokens_than_asked(most: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    batches = training_order(lengths, 7, seed=3, epoch=1, batch_tokens=most)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= most
    again = training_order(lengths, 99, seed=3, epoch=1, batch_tokens=most)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]
    full = sum(len(batch) * lengths[batch].max() for batch in batches) / len(batches)
    assert full > most / 2
