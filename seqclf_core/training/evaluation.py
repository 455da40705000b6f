"""What a batch counts for, and scoring a part of the data with a model as it stands: no dropout, no gradients."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqclf_core.data.batches import Batch, EncodedSplit, evaluation_order
from seqclf_core.losses import Loss
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.metrics import Tally

Objective = Callable[[Batch], tuple[Tensor, Tally]]
"""A batch -> the loss summed over what is decided in it, in nats and with gradients; and the same, counted."""


def classification(model: SequenceClassifier, loss: Loss) -> Objective:
    """Decide a label per review."""

    def objective(batch: Batch) -> tuple[Tensor, Tally]:
        logits = model(batch.tokens, batch.lengths)
        sums = loss.sums(logits, batch.labels)
        return sums, tally_of(loss, logits.detach(), sums.detach(), batch.labels)

    return objective


def tally_of(loss: Loss, logits: Tensor, loss_sum: Tensor, labels: Tensor) -> Tally:
    """Count a batch: its loss summed, and how many decisions are those that its targets come to."""
    correct = (loss.decision(logits).bool() == (labels >= 0.5)).sum()
    return Tally(loss_sum.double(), correct, len(labels))


@torch.inference_mode()
def evaluate(model: nn.Module, objective: Objective, reviews: EncodedSplit, device: torch.device) -> Tally:
    """Score a whole part without dropout; the objective is this model's."""
    model.eval()
    tally = Tally.zero(device)
    for indices in evaluation_order(reviews.padded_lengths):
        tally += objective(reviews.batch(indices, device))[1]
    return tally


@torch.inference_mode()
def log_odds(
    model: SequenceClassifier, loss: Loss, reviews: EncodedSplit, device: torch.device
) -> npt.NDArray[np.float64]:
    """Return the log-odds of the positive label for each review of a part, in its order: (N,)."""
    model.eval()
    scores = torch.empty(len(reviews), dtype=torch.float64, device=device)
    for indices in evaluation_order(reviews.padded_lengths):
        batch = reviews.batch(indices, device)
        logits = model(batch.tokens, batch.lengths)
        scores[torch.from_numpy(indices).to(device)] = loss.log_odds(logits).double()
    return scores.cpu().numpy()
