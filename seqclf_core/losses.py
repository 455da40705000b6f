"""Binary sentiment as one logit with a sigmoid or as two with a softmax, behind one interface.

Both describe the same probabilities: a softmax over (z0, z1) is a sigmoid of z1 - z0. What differs is the path of
the optimizer, since the two logits move apart about twice as fast under Adam.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Loss:
    """How logits become a loss, a probability and a decision."""

    num_logits: int
    """Logits per sequence."""
    sums: Callable[[Tensor, Tensor], Tensor]
    """(B, num_logits) logits, (B,) int64 labels -> scalar: the loss summed over the batch, in nats."""
    log_odds: Callable[[Tensor], Tensor]
    """(B, num_logits) logits -> (B,) log-odds of the positive label."""

    def probability(self, logits: Tensor) -> Tensor:
        """Return the chance of the positive label: (B, num_logits) -> (B,) in [0, 1]."""
        return self.log_odds(logits).sigmoid()

    def decision(self, logits: Tensor) -> Tensor:
        """Return the likelier label, positive in a tie: (B, num_logits) -> (B,) int64."""
        return (self.log_odds(logits) >= 0).long()


LOSSES = {
    "bce": Loss(
        num_logits=1,
        sums=lambda logits, labels: F.binary_cross_entropy_with_logits(
            logits[:, 0], labels.to(logits.dtype), reduction="sum"
        ),
        log_odds=lambda logits: logits[:, 0],
    ),
    "cross_entropy": Loss(
        num_logits=2,
        sums=lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"),
        log_odds=lambda logits: logits[:, 1] - logits[:, 0],
    ),
}
