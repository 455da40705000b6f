"""Binary sentiment as one logit with a sigmoid or as two with a softmax, behind one interface.

Both describe the same probabilities: a softmax over (z0, z1) is a sigmoid of z1 - z0. What differs is the path of
the optimizer: under Adam the two logits are one whose head learns twice as fast and starts sqrt(2) larger.

A target may be a label, 0 or 1, or a probability of the positive label in [0, 1] (a soft label): the loss is then
the cross-entropy between the two distributions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seqclf_core.training.predictions import decide


@dataclass(frozen=True)
class Loss:
    """How logits become a loss, a probability and a decision."""

    num_logits: int
    """Logits per sequence."""
    sums: Callable[[Tensor, Tensor], Tensor]
    """(B, num_logits) logits, (B,) targets -> scalar: the loss summed over the batch, in nats. Targets are int64
    labels or floating probabilities of the positive one."""
    log_odds: Callable[[Tensor], Tensor]
    """(B, num_logits) logits -> (B,) log-odds of the positive label."""

    def decision(self, logits: Tensor) -> Tensor:
        """Return the label that is decided for: (B, num_logits) -> (B,) int64."""
        return decide(self.log_odds(logits).sigmoid()).long()


def _class_targets(logits: Tensor, targets: Tensor) -> Tensor:
    """Return what ``cross_entropy`` takes: labels as they are, (B,) probabilities as (B, 2) of both classes."""
    if not targets.is_floating_point():
        return targets
    positive = targets.to(logits.dtype)
    return torch.stack([1 - positive, positive], dim=1)


LOSSES = {
    "bce": Loss(
        num_logits=1,
        sums=lambda logits, targets: F.binary_cross_entropy_with_logits(
            logits[:, 0], targets.to(logits.dtype), reduction="sum"
        ),
        log_odds=lambda logits: logits[:, 0],
    ),
    "cross_entropy": Loss(
        num_logits=2,
        sums=lambda logits, targets: F.cross_entropy(logits, _class_targets(logits, targets), reduction="sum"),
        log_odds=lambda logits: logits[:, 1] - logits[:, 0],
    ),
}
