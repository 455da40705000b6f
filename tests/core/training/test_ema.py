"""The average of the weights: what it should be, kept and evaluated, and no part of training."""

from pathlib import Path

import torch
from torch import nn

from seqclf_core.config import RunConfig
from seqclf_core.events import Progress
from seqclf_core.run import run
from seqclf_core.training.checkpoint import load_classifier
from seqclf_core.training.ema import EMA, EVERY


def test_it_is_the_exponential_moving_average_of_the_weights() -> None:
    model = nn.Linear(3, 2)
    average = EMA(model, decay=0.9)
    expected = model.weight.detach().clone()
    for step in range(1, 401):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
        average.update(step)
        if step % EVERY == 0:
            kept = min(0.9**EVERY, (1 + step) / (10 + step))
            expected = kept * expected + (1 - kept) * model.weight.detach()
    torch.testing.assert_close(average.tensors["weight"], expected)


def test_it_is_in_place_for_a_while_only() -> None:
    model = nn.Linear(3, 2)
    average = EMA(model, decay=0.5)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1)
    with average.in_place():
        torch.testing.assert_close(model.weight.detach(), before)
    torch.testing.assert_close(model.weight.detach(), before + 1)
    torch.testing.assert_close(average.tensors["weight"], before)


def test_it_changes_what_is_evaluated_and_kept_but_not_the_training(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    plain = list(run(small, tmp_path / "plain", cache))
    averaged = list(run(small.override({"train.ema_decay": 0.95}), tmp_path / "averaged", cache))
    losses = [[e.metrics["train/loss"] for e in events if isinstance(e, Progress)] for events in (plain, averaged)]
    scores = [[e.metrics["val/loss"] for e in events if isinstance(e, Progress)] for events in (plain, averaged)]
    assert losses[0] == losses[1]
    assert scores[0] != scores[1]
    weights = [load_classifier(tmp_path / name / "model")[0].head.weight for name in ("plain", "averaged")]
    assert not torch.equal(*weights)
