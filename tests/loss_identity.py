"""Two logits are one whose head learns twice as fast and starts at their difference: shown on texts of one's own.

    python -m tests.loss_identity --source DATA [--limit 5000] [--seeds 3] [--epochs 4]

Three models learn from the same batches in double precision, with dropout, weight decay, clipping and a falling
rate: with cross-entropy, with BCE whose head matches, and with BCE as it is. Printed are the largest difference of
the log-odds of validation texts from those with cross-entropy, and accuracies. Exits with status 1 where the match
fails.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqclf_core.config import RunConfig, TrainConfig
from seqclf_core.data.batches import Batch, EncodedSplit
from seqclf_core.data.cache import load_corpus
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.randomness import generators
from seqclf_core.training.evaluation import log_odds
from seqclf_core.training.optimizer import adamw, set_lr

CPU = torch.device("cpu")
MATCHED = 1e-6
"""Largest difference of log-odds that rounding may have made by the end: it grows with every step."""


def learn(
    model: SequenceClassifier, batches: Sequence[Batch], *, rate: float, max_norm: float, matched: bool, seed: int
) -> Tensor:
    """Train with dropout, decay, clipping and a falling rate; return the log-odds of every batch, side by side.

    Args:
        model: to train, in double precision.
        batches: one for each step.
        rate: the learning rate at the start.
        max_norm: largest norm of the gradient.
        matched: whether the head, of one logit, learns as one of two logits would.
        seed: of the dropout.
    """
    one_logit = model.head.out_features == 1
    loss = LOSSES["bce" if one_logit else "cross_entropy"]
    settings = TrainConfig(lr=rate, weight_decay=0.1, head_lr_scale=2 if matched else 1)
    optimizer = adamw(model, settings, eps=1e-300)  # as good as 0, where 0 / 0 is not a number
    model.train()
    model.use_generators(generators(seed, CPU))
    seen = []
    for step, batch in enumerate(batches):
        logits = model(batch.tokens, batch.lengths)
        seen.append(loss.log_odds(logits.detach()))
        optimizer.zero_grad()
        (loss.sums(logits, batch.labels) / len(batch.labels)).backward()
        norms = [
            (math.sqrt(2) if one_logit and name.startswith("head.") else 1.0) * float(weight.grad.norm())
            for name, weight in model.named_parameters()
            if weight.grad is not None
        ]
        shrink = min(1.0, max_norm / math.hypot(*norms))
        for weight in model.parameters():
            assert weight.grad is not None
            weight.grad *= shrink
        set_lr(optimizer, rate * (1 - step / len(batches)))
        optimizer.step()
    return torch.cat(seen)


def compared(config: RunConfig, cache: Path, seed: int) -> tuple[float, float, list[float]]:
    """Train the three models on a data set.

    Returns:
        The largest difference of the validation texts' log-odds, matched and not, from those with cross-entropy;
        and the accuracies with cross-entropy, with BCE matched, and with BCE as it is.
    """
    corpus = load_corpus(config.data, cache)
    train, val = EncodedSplit(corpus.train, config.data), EncodedSplit(corpus.val, config.data)
    draw, size = np.random.default_rng(seed), config.train.batch_size
    rows = [draw.permutation(len(train)) for _ in range(config.train.epochs)]
    order = [epoch[start : start + size] for epoch in rows for start in range(0, len(epoch) - size + 1, size)]
    batches = [train.batch(each, CPU) for each in order]
    models = [
        SequenceClassifier(
            config.model.model_copy(update={"loss": loss}), corpus.summary.vocab_size, seed=seed
        ).double()
        for loss in ("cross_entropy", "bce", "bce")
    ]
    two, matched, _ = models
    with torch.no_grad():
        matched.head.weight.copy_(two.head.weight[1:] - two.head.weight[:1])
    found = []
    for model in models:
        learn(model, batches, rate=config.train.lr, max_norm=1.0, matched=model is matched, seed=seed)
        with torch.no_grad():
            found.append(log_odds(model, LOSSES["cross_entropy" if model is two else "bce"], val, CPU))
    accuracies = [float(((odds >= 0) == (corpus.val.labels == 1)).mean()) for odds in found]
    return float(np.abs(found[1] - found[0]).max()), float(np.abs(found[2] - found[0]).max()), accuracies


def main() -> int:
    """Print a line per seed; status 1 where the matched models differ by more than rounding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="synthetic")
    parser.add_argument("--limit", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    config = RunConfig().override(
        {"data.source": options.source, "data.limit": options.limit, "data.max_length": 200, "model.embed_dim": 32,
         "model.hidden_dim": 32, "model.pooling": "mean", "train.epochs": options.epochs, "train.lr": 0.01,
         "train.batch_size": 16}
    )  # fmt: skip
    torch.set_num_threads(1)
    worst = 0.0
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(options.seeds):
            matched, plain, (two, one, as_is) = compared(config, Path(cache), seed)
            worst = max(worst, matched)
            print(
                f"seed {seed}: log-odds differ by at most {matched:.1e} matched, {plain:.2g} as they are; "
                f"accuracy {100 * two:.2f} % with cross-entropy, {100 * one:.2f} % with BCE matched, "
                f"{100 * as_is:.2f} % as it is",
                flush=True,
            )
    return int(worst > MATCHED)


if __name__ == "__main__":
    sys.exit(main())
