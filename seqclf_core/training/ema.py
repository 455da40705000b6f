"""An average of the weights over the last steps: steadier than the weights at any one of them.

An exponential moving average, after the uniform one of Polyak & Juditsky (1992). It is evaluated and kept in place
of the weights; it changes nothing of the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

EVERY = 4
"""Optimizer steps from one update to the next: it reads all weights, at small widths for a tenth of a step."""


class EMA:
    """The average of a model's weights. Its state: one tensor per weight; none where the decay is 0."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights as they are.

        Args:
            model: whose weights to follow.
            decay: proportion of the average that is left after a step, in [0, 1); 0 follows nothing.
        """
        self.decay = decay
        self._weights = dict(model.named_parameters()) if decay else {}
        self.tensors = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after so many optimizer steps; early ones count less, as nothing is learned yet."""
        if not self.tensors or step % EVERY:
            return
        kept = min(self.decay**EVERY, (1 + step) / (10 + step))
        weights = [weight.detach() for weight in self._weights.values()]
        torch._foreach_lerp_(list(self.tensors.values()), weights, 1 - kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averaged weights for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the tensors of a checkpoint."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    @torch.no_grad()
    def _swap(self) -> None:
        for (
            name,
            weight,
        ) in self._weights.items():  # values, not tensors: cuDNN wants an LSTM's in one block
            own = weight.detach().clone()
            weight.copy_(self.tensors[name])
            self.tensors[name].copy_(own)
