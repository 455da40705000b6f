"""An LSTM layer computed by our own compiled kernel: bfloat16 products, float32 sums, no padding read or computed.

    kernel = load_kernel()
    if isinstance(kernel, LSTMKernel):
        states = kernel(inputs, lengths, *weights)

Shapes: B sequences, T tokens (padded on the right), E input width, H state width, N tokens that are no padding.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqclf_core.kernels.build import Unavailable, load

DTYPES = (torch.bfloat16, torch.float32)


class LSTMKernel:
    """One LSTM layer in one direction as a function that autograd knows; needs a CPU with AVX512-BF16.

    Products take bfloat16 and add in float32, as oneDNN's do under autocast. Gates, cells and gradients are
    computed in float32; states, and the gates kept for the backward pass, are rounded to bfloat16. The same input
    gives the same bits, and a row's states do not depend on the other rows or on the padding.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __call__(
        self,
        inputs: Tensor,
        lengths: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        reverse: bool = False,
    ) -> Tensor:
        """Read rows of different length, from a state of zeros.

        Args:
            inputs: (B, T, E) bfloat16 or float32, padded on the right; what stands in the padding is not read.
            lengths: (B,) int64 counts of real tokens, each in [0, T].
            weight_ih: (4H, E) float32, as ``torch.nn.LSTM`` has it: gates in the order i, f, g, o.
            weight_hh: (4H, H) float32.
            bias_ih: (4H,) float32.
            bias_hh: (4H,) float32.
            reverse: read each row from its last real token to its first; a state stands where its token does.

        Returns:
            (B, T, H) states in the type of ``inputs``, zero in the padding. Differentiable once with respect to
            the inputs and every weight.

        Raises:
            ValueError: if a shape, a type or a length does not fit; names it.
        """
        weights = (weight_ih, weight_hh, bias_ih, bias_hh)
        _check(inputs, lengths, weights)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (inputs, *weights)):
            states: Tensor = _LSTM.apply(self._library, reverse, inputs, lengths, *weights)  # type: ignore[no-untyped-call]
            return states
        return _forward(self._library, reverse, inputs, lengths, weights, keep=False)[0]


@functools.cache
def load_kernel(folder: Path | None = None) -> LSTMKernel | Unavailable:
    """Return the kernel, compiled if it has to be, or why there is none; asked once per process, and said once.

    Args:
        folder: where compiled kernels are kept; the user's cache folder if None.
    """
    library = load(folder)
    if isinstance(library, Unavailable):
        logging.getLogger(__name__).warning("LSTM layers are computed by torch: %s.", library.reason)
        return library
    return LSTMKernel(library)


class _Batch(ctypes.Structure):
    """``Batch`` of lstm.cpp, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "steps", "input_size", "hidden_size", "reverse", "is_bf16")),
        *(
            (name, ctypes.c_void_p)
            for name in ("inputs", "lengths", "weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ),
        *((name, ctypes.c_void_p) for name in ("states", "gates", "cells")),
    )


Weights = tuple[Tensor, ...]


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, library: ctypes.CDLL, reverse: bool, inputs: Tensor, lengths: Tensor, *weights: Tensor
    ) -> Tensor:
        states, gates, cells = _forward(library, reverse, inputs, lengths, weights, keep=True)
        ctx.save_for_backward(inputs, lengths, states, gates, cells, *weights)
        ctx.library, ctx.reverse = library, reverse
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor | None, ...]:
        inputs, lengths, states, gates, cells, *weights = ctx.saved_tensors
        d_inputs = inputs.new_empty(inputs.shape) if ctx.needs_input_grad[2] else None
        d_weight_ih, d_weight_hh, d_bias = (torch.empty(weight.shape) for weight in weights[:3])
        tensors = [tensor.contiguous() for tensor in (inputs, lengths, *weights, states, gates, cells, d_states)]
        batch = _batch(ctx.reverse, tensors[:-1])
        _call(ctx.library.seqclf_lstm_backward, batch, tensors[-1], d_inputs, d_weight_ih, d_weight_hh, d_bias)
        # Two biases, two tensors: gradients are scaled in place later.
        return None, None, d_inputs, None, d_weight_ih, d_weight_hh, d_bias, d_bias.clone()


def _forward(
    library: ctypes.CDLL, reverse: bool, inputs: Tensor, lengths: Tensor, weights: Weights, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the states, and gates (N, 4*Hp) and cells (N, Hp) for the backward pass, empty unless kept."""
    hidden_size = weights[1].shape[1]
    states = inputs.new_empty(*inputs.shape[:2], hidden_size)
    tokens, padded = int(lengths.sum()) if keep else 0, -(-hidden_size // 16) * 16
    gates = torch.empty(tokens, 4 * padded, dtype=torch.bfloat16)
    cells = torch.empty(tokens, padded)
    tensors = [tensor.contiguous() for tensor in (inputs, lengths, *weights, states, gates, cells)]
    _call(library.seqclf_lstm_forward, _batch(reverse, tensors))
    return states, gates, cells


def _batch(reverse: bool, tensors: list[Tensor]) -> _Batch:
    inputs, weight_hh = tensors[0], tensors[3]
    sizes = (*inputs.shape, weight_hh.shape[1])
    # An empty tensor's address is null, which is how the kernel learns that nothing is kept.
    addresses = (tensor.data_ptr() for tensor in tensors)
    return _Batch(*sizes, reverse, inputs.dtype == torch.bfloat16, *addresses)


def _call(function: Any, batch: _Batch, *tensors: Tensor | None) -> None:
    """Call the library; ctypes lets other Python threads run meanwhile."""
    addresses = [ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors]
    if function(ctypes.byref(batch), *addresses) != 0:
        raise MemoryError("the LSTM kernel has no memory left for what it works on")


def _check(inputs: Tensor, lengths: Tensor, weights: Weights) -> None:
    """Refuse what the compiled code would read past the end of.

    Raises:
        ValueError: names what was given, and what is expected.
    """
    if inputs.dim() != 3 or inputs.dtype not in DTYPES:
        raise ValueError(
            f"inputs are (B, T, E) in bfloat16 or float32, not {tuple(inputs.shape)} in {inputs.dtype}"
        )
    rows, steps, input_size = inputs.shape
    hidden = weights[1].shape[-1] if weights[1].dim() == 2 else 0
    if input_size == 0 or hidden == 0:
        raise ValueError(
            f"weight_hh is (4H, H) and E is at least 1, not {tuple(weights[1].shape)} and {input_size}"
        )
    expected = ((4 * hidden, input_size), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
    for name, weight, shape in zip(
        ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), weights, expected, strict=True
    ):
        if weight.shape != shape or weight.dtype != torch.float32:
            raise ValueError(f"{name} is {shape} in float32, not {tuple(weight.shape)} in {weight.dtype}")
    if lengths.shape != (rows,) or lengths.dtype != torch.int64:
        raise ValueError(f"lengths are ({rows},) in int64, not {tuple(lengths.shape)} in {lengths.dtype}")
    if any(tensor.device.type != "cpu" for tensor in (inputs, lengths, *weights)):
        raise ValueError("the kernel computes on the CPU; a tensor lies elsewhere")
    if rows and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps:
        raise ValueError(f"each length is in [0, {steps}]; given are {int(lengths.min())} to {int(lengths.max())}")
