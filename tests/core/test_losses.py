"""Losses and tallies: sums that add up, whatever the batches."""

import math

import pytest
import torch

from seqclf_core.losses import LOSSES
from seqclf_core.training.tally import Tally


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_tally_of_parts_is_the_tally_of_the_whole(name: str) -> None:
    loss = LOSSES[name]
    logits = torch.randn(23, loss.num_logits, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(23) % 2

    def tally(part: slice) -> Tally:
        right = (loss.decision(logits[part]) == labels[part]).sum()
        return Tally(loss.sums(logits[part], labels[part]).double(), right, len(labels[part]))

    whole = tally(slice(None))
    parts = Tally.zero(torch.device("cpu")) + tally(slice(0, 20)) + tally(slice(20, 23))
    assert parts.compute() == pytest.approx(whole.compute(), rel=1e-6)
    assert parts.count == 23


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_probability_and_loss_agree(name: str) -> None:
    loss = LOSSES[name]
    logits = torch.linspace(-4, 4, 9 * loss.num_logits).reshape(9, loss.num_logits).flip(1)
    for label in (0, 1):
        labels = torch.full((9,), label)
        positive = loss.log_odds(logits).sigmoid()
        probability = positive if label else 1 - positive
        assert float(loss.sums(logits, labels)) == pytest.approx(float(-probability.log().sum()), rel=1e-5)
    assert torch.equal(loss.decision(logits), (loss.log_odds(logits).sigmoid() >= 0.5).long())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_probability_of_one_half_is_decided_for_the_positive_label(name: str) -> None:
    loss = LOSSES[name]
    assert loss.decision(torch.zeros(1, loss.num_logits)).tolist() == [1]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_soft_targets_of_0_and_1_are_labels_and_between_them_the_loss_is_their_mean(name: str) -> None:
    loss = LOSSES[name]
    logits = torch.randn(31, loss.num_logits, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(31) % 2
    soft = labels.double()
    hard_logits, soft_logits = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    hard_loss, soft_loss = loss.sums(hard_logits, labels), loss.sums(soft_logits, soft)
    torch.testing.assert_close(soft_loss, hard_loss, atol=1e-12, rtol=0)
    hard_loss.backward()
    soft_loss.backward()
    torch.testing.assert_close(soft_logits.grad, hard_logits.grad, atol=1e-12, rtol=0)
    share = torch.full((31,), 0.3, dtype=torch.float64)
    expected = 0.3 * loss.sums(logits, torch.ones_like(labels)) + 0.7 * loss.sums(logits, torch.zeros_like(labels))
    torch.testing.assert_close(loss.sums(logits, share), expected)


def test_extreme_logits_stay_finite() -> None:
    for loss in LOSSES.values():
        logits = torch.full((1, loss.num_logits), 500.0)
        logits[:, 0] *= -1 if loss.num_logits == 2 else 1
        assert math.isfinite(float(loss.sums(logits, torch.tensor([0]))))


def test_a_tally_of_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no decisions"):
        Tally.zero(torch.device("cpu")).compute()
