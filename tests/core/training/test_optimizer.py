"""The head's own rate: with it and a matching start, one logit follows the path of two, digit by digit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqclf_core.config import ModelConfig, RunConfig, TrainConfig
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.randomness import generators
from seqclf_core.training.optimizer import adamw, set_lr

VOCAB, STEPS, MAX_NORM = 40, 300, 0.05
CPU = torch.device("cpu")


def new_model(loss: str, head_init_scale: float = 1.0) -> SequenceClassifier:
    config = ModelConfig.model_validate(
        {"embed_dim": 5, "hidden_dim": 4, "pooling": "concat", "loss": loss, "head_init_scale": head_init_scale}
    )
    return SequenceClassifier(config, VOCAB, seed=1).double()


def batch(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    tokens = torch.randint(2, VOCAB, (8, 7), generator=generator)
    lengths = torch.randint(1, 8, (8,), generator=generator)
    return tokens, lengths, (tokens[:, 0] % 2 == 0).long()


def log_odds_while_learning(model: SequenceClassifier, head_lr_scale: float, head_norm: float) -> Tensor:
    """Train with dropout, decay, clipping and a changing rate; return the log-odds of every batch: (STEPS, B).

    Args:
        model: to train.
        head_lr_scale: the setting.
        head_norm: factor of the head's gradient within the norm that is clipped.
    """
    loss = LOSSES["bce" if model.head.out_features == 1 else "cross_entropy"]
    settings = TrainConfig(lr=0.01, weight_decay=0.1, head_lr_scale=head_lr_scale)
    optimizer = adamw(model, settings, eps=1e-300)  # as good as 0, where 0 / 0 is not a number
    model.use_generators(generators(3, CPU))
    data = torch.Generator().manual_seed(2)
    seen = []
    for step in range(STEPS):
        tokens, lengths, labels = batch(data)
        logits = model(tokens, lengths)
        seen.append(loss.log_odds(logits.detach()))
        optimizer.zero_grad()
        (loss.sums(logits, labels) / len(labels)).backward()
        norms = [
            (head_norm if name.startswith("head.") else 1.0) * float(weight.grad.norm())
            for name, weight in model.named_parameters()
            if weight.grad is not None
        ]
        shrink = min(1.0, MAX_NORM / math.hypot(*norms))
        for weight in model.parameters():
            assert weight.grad is not None
            weight.grad *= shrink
        set_lr(optimizer, 0.01 * (1 - step / STEPS))
        optimizer.step()
    return torch.stack(seen)


def test_two_logits_are_one_whose_head_learns_twice_as_fast_and_starts_at_their_difference() -> None:
    two, one, unmatched = new_model("cross_entropy"), new_model("bce"), new_model("bce")
    with torch.no_grad():
        for model in (one, unmatched):
            model.head.weight.copy_(two.head.weight[1:] - two.head.weight[:1])
    expected = log_odds_while_learning(two, head_lr_scale=1, head_norm=1)
    matched = log_odds_while_learning(one, head_lr_scale=2, head_norm=math.sqrt(2))
    torch.testing.assert_close(matched, expected, atol=1e-10, rtol=0)
    assert expected[-1].std() > 0.5  # something was learned on the way
    at_equal_rates = log_odds_while_learning(unmatched, head_lr_scale=1, head_norm=math.sqrt(2))
    assert (at_equal_rates - expected).abs().max() > 0.1


def test_the_heads_initial_scale_multiplies_its_weights_and_nothing_else() -> None:
    plain, scaled = new_model("bce").state_dict(), new_model("bce", math.sqrt(2)).state_dict()
    for name, weights in plain.items():
        factor = math.sqrt(2) if name == "head.weight" else 1.0
        torch.testing.assert_close(scaled[name], factor * weights, atol=1e-7, rtol=0)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_every_weight_is_learned_once_and_decays_at_one_rate(scale: float) -> None:
    model = new_model("bce")
    config = RunConfig().override({"train.head_lr_scale": scale, "train.weight_decay": 0.1})
    optimizer = adamw(model, config.train)
    set_lr(optimizer, 0.01)
    body, head = optimizer.param_groups
    assert head["lr"] == scale * body["lr"] == scale * 0.01
    assert head["lr"] * head["weight_decay"] == pytest.approx(body["lr"] * body["weight_decay"])
    assert {id(weight) for weight in head["params"]} == {id(weight) for weight in model.head.parameters()}
    learned = [id(weight) for weight in [*body["params"], *head["params"]]]
    assert sorted(learned) == sorted(id(weight) for weight in model.parameters())
