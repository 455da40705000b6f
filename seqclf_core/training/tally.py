"""Sums that add, while training. A mean of batch means would weigh a small last batch as much as a full one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tally:
    """Sums over decisions, kept on the device so that no step waits for them; a tagger decides token by token."""

    loss: Tensor
    """Scalar float64: the loss summed over decisions, in nats."""
    correct: Tensor
    """Scalar int64: decisions that are right."""
    count: int
    """Number of decisions."""

    @classmethod
    def zero(cls, device: torch.device) -> Self:
        """Return the tally of no decisions."""
        return cls(
            torch.zeros((), dtype=torch.float64, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
            0,
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(self.loss + other.loss, self.correct + other.correct, self.count + other.count)

    def compute(self) -> dict[str, float]:
        """Return ``loss`` and ``accuracy`` per decision, as numbers; this waits for the device."""
        if self.count == 0:
            raise ValueError("a tally of no decisions has no mean")
        return {"loss": float(self.loss) / self.count, "accuracy": float(self.correct) / self.count}
