"""AdamW in groups of weights: the head, which may learn at a rate of its own, and everything below it."""

from __future__ import annotations

import torch

from seqclf_core.config import TrainConfig
from seqclf_core.models import SequenceClassifier, SequenceTagger


def adamw(
    model: SequenceClassifier | SequenceTagger, settings: TrainConfig, eps: float = 1e-8
) -> torch.optim.AdamW:
    """Return the optimizer of a model's weights, the head's in the last group.

    The head decays by ``lr * weight_decay`` a step, as everything does, whatever ``head_lr_scale`` is. So one
    logit with ``head_lr_scale`` 2 and ``model.head_init_scale`` sqrt(2) follows the path of two logits, except for
    the clipping: in its norm the gradient of two logits is sqrt(2) times that of one.

    Args:
        model: whose weights to learn.
        settings: rate, decay and the head's factor on the rate.
        eps: what AdamW adds to the denominator.
    """
    head = list(model.head.parameters())
    of_head = {id(weight) for weight in head}
    vectors = model.encoder.embedding.weight
    body = [weight for weight in model.parameters() if id(weight) not in of_head and weight is not vectors]
    scale = settings.head_lr_scale
    decay = settings.weight_decay
    if settings.embed_decay_scale == 1:
        below = [{"params": [vectors, *body], "lr_scale": 1.0, "weight_decay": decay}]
    else:
        below = [
            {"params": [vectors], "lr_scale": 1.0, "weight_decay": decay * settings.embed_decay_scale},
            {"params": body, "lr_scale": 1.0, "weight_decay": decay},
        ]
    groups = [
        *below,
        {"params": head, "lr_scale": scale, "weight_decay": settings.weight_decay / scale},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, settings.adam_beta2), eps=eps, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Let every group take its next step at this rate, times the group's own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
