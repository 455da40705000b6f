"""What the compiled kernel computes, in plain torch and float32: the definition that it is tested against."""

from __future__ import annotations

import torch
from torch import Tensor


def lstm(
    inputs: Tensor,
    lengths: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    reverse: bool = False,
) -> Tensor:
    """Read rows of different length with one LSTM layer; arguments and result as of ``LSTMKernel.__call__``."""
    states = inputs.new_zeros(*inputs.shape[:2], weight_hh.shape[1])
    order = lengths.argsort(descending=True, stable=True)  # the rows that reach a step are a prefix
    hidden = cell = inputs.new_zeros(len(inputs), weight_hh.shape[1])
    for step in range(int(lengths.max()) if len(lengths) else 0):
        rows = order[lengths[order] > step]
        positions = lengths[rows] - 1 - step if reverse else torch.full_like(rows, step)
        gates = inputs[rows, positions] @ weight_ih.T + hidden[: len(rows)] @ weight_hh.T + bias_ih + bias_hh
        i, f, g, o = gates.chunk(4, dim=1)
        cell = f.sigmoid() * cell[: len(rows)] + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        states = states.index_put((rows, positions), hidden)
    return states
