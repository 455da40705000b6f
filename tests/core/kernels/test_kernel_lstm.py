"""The compiled LSTM against its definition in plain torch, and that against ``torch.nn.LSTM``."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqclf_core.kernels import reference

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def weights_of(lstm: nn.LSTM, layer: int = 0, direction: int = 0) -> list[Tensor]:
    return [getattr(lstm, f"{name}_l{layer}{'_reverse' * direction}") for name in NAMES]


def layers_of(function, lstm: nn.LSTM, inputs: Tensor, lengths: Tensor) -> Tensor:
    """What a stack of layers, in one or both directions, is made of."""
    for layer in range(lstm.num_layers):
        directions = [
            function(inputs, lengths, *weights_of(lstm, layer, direction), reverse=bool(direction))
            for direction in range(2 if lstm.bidirectional else 1)
        ]
        inputs = torch.cat(directions, dim=2)
    return inputs


def packed(lstm: nn.LSTM, inputs: Tensor, lengths: Tensor) -> Tensor:
    """What torch makes of rows of different length."""
    rows = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(rows)[0], batch_first=True, total_length=inputs.shape[1])[0]


def batch(rows: int, steps: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, steps, width, generator=generator),
        torch.randint(1, steps + 1, (rows,), generator=generator),
    )


def gradients(states: Tensor, inputs: Tensor, lstm: nn.LSTM) -> list[Tensor]:
    """Gradients for everything, from a gradient for every state."""
    dense = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad((states.float() * dense).sum(), [inputs, *lstm.parameters()]))


def error(ours: Tensor, expected: Tensor) -> float:
    """Relative error of the whole tensor."""
    return float((ours.detach().float() - expected.detach()).norm() / (expected.detach().norm() + 1e-6))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_reference_is_what_torch_computes(bidirectional):
    torch.manual_seed(0)
    lstm = nn.LSTM(7, 5, num_layers=2, bidirectional=bidirectional, batch_first=True)
    inputs, lengths = batch(6, 9, 7)
    inputs.requires_grad_()
    states, expected = layers_of(reference.lstm, lstm, inputs, lengths), packed(lstm, inputs, lengths)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(gradients(states, inputs, lstm), gradients(expected, inputs, lstm))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_and_directions_give_what_torch_gives_in_float32(kernel, bidirectional, dtype):
    torch.manual_seed(0)
    lstm = nn.LSTM(30, 24, num_layers=2, bidirectional=bidirectional, batch_first=True)
    inputs, lengths = batch(11, 40, 30)
    narrow, inputs = inputs.to(dtype).requires_grad_(), inputs.requires_grad_()
    states, expected = layers_of(kernel, lstm, narrow, lengths), packed(lstm, inputs, lengths)
    assert states.dtype == dtype
    assert error(states, expected) < 0.01
    for ours, wanted in zip(gradients(states, narrow, lstm), gradients(expected, inputs, lstm), strict=True):
        assert error(ours, wanted) < 0.02


@pytest.mark.parametrize(("width", "hidden"), [(100, 128), (64, 112), (32, 64)])
def test_errors_are_like_those_of_torch_in_bfloat16(kernel, width, hidden):
    torch.manual_seed(0)
    lstm = nn.LSTM(width, hidden, batch_first=True)
    inputs, lengths = batch(8, 64, width)
    lengths = torch.full_like(lengths, 64)
    inputs.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        theirs = lstm(inputs)[0]
    ours, exact = kernel(inputs.bfloat16(), lengths, *weights_of(lstm)), lstm(inputs)[0]
    assert error(ours, exact) < 1.2 * error(theirs, exact)
    for own, other, wanted in zip(
        *(gradients(states, inputs, lstm) for states in (ours, theirs, exact)), strict=True
    ):
        assert error(own, wanted) < 1.5 * error(other, wanted)


@FEW
@given(
    width=st.integers(1, 70), hidden=st.integers(1, 70), steps=st.integers(1, 9), data=st.data(),
    reverse=st.booleans(), dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)  # fmt: skip
def test_every_shape_gives_what_the_reference_gives(kernel, width, hidden, steps, data, reverse, dtype):
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, steps), max_size=40)), dtype=torch.int64)
    torch.manual_seed(0)
    lstm = nn.LSTM(width, hidden)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.copy_(weight.bfloat16())
    inputs = torch.randn(len(lengths), steps, width).bfloat16().to(dtype).requires_grad_()
    wide = inputs.detach().float().requires_grad_()
    states = kernel(inputs, lengths, *weights_of(lstm), reverse=reverse)
    expected = reference.lstm(wide, lengths, *weights_of(lstm), reverse=reverse)
    assert error(states, expected) < 0.01
    if not lengths.sum():
        assert not states.any()
        return
    for ours, wanted in zip(gradients(states, inputs, lstm), gradients(expected, wide, lstm), strict=True):
        assert ours.isfinite().all()
        assert error(ours, wanted) < 0.03


@FEW
@given(rows=st.integers(2, 30), data=st.data(), reverse=st.booleans())
def test_a_row_has_the_same_bits_in_any_batch(kernel, rows, data, reverse):
    """Alone or among others, in any order, with any padding: its states, and the gradients of its inputs."""
    inputs, lengths = batch(rows, 12, 10)
    lstm = nn.LSTM(10, 20)
    chosen = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=rows, unique=True)))
    padding = torch.full((len(chosen), data.draw(st.integers(0, 5)), 10), torch.nan)
    some = torch.cat([inputs[chosen], padding], dim=1)
    results = []
    for tokens, counts in ((inputs, lengths), (some, lengths[chosen])):
        tokens.requires_grad_()
        states = kernel(tokens, counts, *weights_of(lstm), reverse=reverse)
        results.append((states, torch.autograd.grad(states.square().sum(), tokens)[0]))
    for whole, part in zip(*results, strict=True):
        assert torch.equal(whole[chosen], part[:, :12])
        assert not part[:, 12:].any()


def test_the_same_input_gives_the_same_bits(kernel):
    lstm = nn.LSTM(30, 40)
    inputs, lengths = batch(17, 30, 30)
    inputs.requires_grad_()
    first, second = (gradients(kernel(inputs, lengths, *weights_of(lstm)), inputs, lstm) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_gradients_share_no_memory(kernel):
    """Or clipping them in place would scale one twice."""
    lstm = nn.LSTM(5, 6)
    states = kernel(*batch(3, 4, 5), *weights_of(lstm))
    assert len({gradient.data_ptr() for gradient in torch.autograd.grad(states.sum(), weights_of(lstm))}) == 4


def test_without_gradients_the_states_have_the_same_bits(kernel):
    lstm = nn.LSTM(30, 40)
    inputs, lengths = batch(17, 30, 30)
    trained = kernel(inputs, lengths, *weights_of(lstm))
    with torch.inference_mode():
        assert torch.equal(kernel(inputs, lengths, *weights_of(lstm)), trained)


def test_padding_is_not_read(kernel):
    lstm = nn.LSTM(8, 8)
    inputs, lengths = batch(5, 10, 8)
    padding = torch.arange(10) >= lengths[:, None]
    spoilt = inputs.masked_fill(padding[..., None], torch.nan).requires_grad_()
    states = kernel(spoilt, lengths, *weights_of(lstm))
    assert torch.equal(states, kernel(inputs, lengths, *weights_of(lstm)))
    assert not states[padding].any()
    assert all(gradient.isfinite().all() for gradient in gradients(states, spoilt, lstm))


def test_a_value_that_is_no_number_stays_in_its_row(kernel):
    """A loss that is NaN must be seen as one, not hidden by a saturated gate."""
    lstm = nn.LSTM(8, 8)
    inputs, lengths = batch(5, 10, 8)
    lengths[:] = 10
    inputs[2, 4, 3] = torch.nan
    states = kernel(inputs, lengths, *weights_of(lstm))
    assert states[2, 4:].isnan().all()
    assert states[[0, 1, 3, 4]].isfinite().all()


def test_large_values_saturate(kernel):
    lstm = nn.LSTM(8, 8)
    inputs, lengths = batch(5, 10, 8)
    inputs = (1e30 * inputs).requires_grad_()
    states = kernel(inputs, lengths, *weights_of(lstm))
    assert states.abs().max() <= 1
    assert all(gradient.isfinite().all() for gradient in gradients(states, inputs, lstm))


def test_memory_that_is_not_contiguous_is_taken_as_it_reads(kernel):
    lstm = nn.LSTM(8, 6)
    inputs, lengths = batch(4, 5, 8)
    weights = weights_of(lstm)
    crossed = inputs.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    turned = [weight.detach().t().contiguous().t().requires_grad_() for weight in weights[:2]]
    states = kernel(crossed, lengths, *turned, *weights[2:])
    assert torch.equal(states, kernel(inputs, lengths, *weights))
    expected = torch.autograd.grad(kernel(inputs, lengths, *weights).sum(), weights[:2])
    torch.testing.assert_close(torch.autograd.grad(states.sum(), turned), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": torch.zeros(2, 3)}, "inputs"),
        ({"inputs": torch.zeros(2, 3, 4, dtype=torch.float64)}, "float64"),
        ({"inputs": torch.zeros(2, 3, 5)}, "weight_ih"),
        ({"weight_hh": torch.zeros(24, 5)}, "weight"),
        ({"bias_hh": torch.zeros(1)}, "bias_hh"),
        ({"weight_ih": torch.zeros(24, 4, dtype=torch.bfloat16)}, "bfloat16"),
        ({"lengths": torch.tensor([3, 4])}, r"\[0, 3\]"),
        ({"lengths": torch.tensor([-1, 3])}, r"\[0, 3\]"),
        ({"lengths": torch.tensor([3])}, "lengths"),
        ({"lengths": torch.tensor([1, 2], dtype=torch.int32)}, "int32"),
    ],
)
def test_what_does_not_fit_is_refused(kernel, changes, words):
    fitting = dict(zip(NAMES, weights_of(nn.LSTM(4, 6)), strict=True))
    fitting |= {"inputs": torch.zeros(2, 3, 4), "lengths": torch.tensor([1, 3])}
    kernel(**fitting)
    with pytest.raises(ValueError, match=words):
        kernel(**fitting | changes)
