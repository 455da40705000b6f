"""The head's own rate: with it and a matching start, one logit follows the path of two, digit by digit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqclf_core.config import ModelConfig, RunConfig
from seqclf_core.data.batches import Batch
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.optimizer import adamw, set_lr
from tests.loss_identity import learn

VOCAB, STEPS = 40, 300


def new_model(loss: str, head_init_scale: float = 1.0) -> SequenceClassifier:
    config = ModelConfig.model_validate(
        {"embed_dim": 5, "hidden_dim": 4, "pooling": "concat", "loss": loss, "head_init_scale": head_init_scale}
    )
    return SequenceClassifier(config, VOCAB, seed=1).double()


def batches() -> list[Batch]:
    draw = torch.Generator().manual_seed(2)
    found = []
    for _ in range(STEPS):
        tokens = torch.randint(2, VOCAB, (8, 7), generator=draw)
        lengths = torch.randint(1, 8, (8,), generator=draw)
        found.append(Batch(tokens, lengths, (tokens[:, 0] % 2 == 0).long(), int(lengths.sum())))
    return found


def log_odds_while_learning(model: SequenceClassifier, matched: bool) -> Tensor:
    seen = learn(model, batches(), rate=0.01, max_norm=0.05, matched=matched, seed=3)
    return seen.reshape(STEPS, -1)


def test_two_logits_are_one_whose_head_learns_twice_as_fast_and_starts_at_their_difference() -> None:
    two, one, unmatched = new_model("cross_entropy"), new_model("bce"), new_model("bce")
    with torch.no_grad():
        for model in (one, unmatched):
            model.head.weight.copy_(two.head.weight[1:] - two.head.weight[:1])
    expected = log_odds_while_learning(two, matched=False)
    torch.testing.assert_close(log_odds_while_learning(one, matched=True), expected, atol=1e-10, rtol=0)
    assert expected[-1].std() > 0.5  # something was learned on the way
    assert (log_odds_while_learning(unmatched, matched=False) - expected).abs().max() > 0.1


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
