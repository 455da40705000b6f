"""Scoring a part of the data with a model as it stands: no dropout, no gradients."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf_core.batches import CutReviews, evaluation_order
from seqclf_core.losses import Loss
from seqclf_core.metrics import Tally
from seqclf_core.models import SequenceClassifier


def tally_of(loss: Loss, logits: Tensor, loss_sum: Tensor, labels: Tensor) -> Tally:
    """Count a batch: its loss summed, and how many of its decisions are right."""
    correct = (loss.decision(logits) == labels).sum()
    return Tally(loss_sum.double(), correct, len(labels))


@torch.inference_mode()
def evaluate(model: SequenceClassifier, loss: Loss, reviews: CutReviews, device: torch.device) -> Tally:
    """Score a whole part without dropout."""
    model.eval()
    tally = Tally.zero(device)
    for indices in evaluation_order(reviews.widths):
        batch = reviews.batch(indices, device)
        logits = model(batch.tokens, batch.lengths)
        tally += tally_of(loss, logits, loss.sums(logits, batch.labels), batch.labels)
    return tally


@torch.inference_mode()
def log_odds(
    model: SequenceClassifier, loss: Loss, reviews: CutReviews, device: torch.device
) -> npt.NDArray[np.float64]:
    """Return the log-odds of the positive label for each review of a part, in its order: (N,)."""
    model.eval()
    scores = torch.empty(len(reviews), dtype=torch.float64, device=device)
    for indices in evaluation_order(reviews.widths):
        batch = reviews.batch(indices, device)
        logits = model(batch.tokens, batch.lengths)
        scores[torch.from_numpy(indices).to(device)] = loss.log_odds(logits).double()
    return scores.cpu().numpy()
