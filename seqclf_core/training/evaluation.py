"""A classifier's scores as it stands: no dropout, no gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from seqclf_core.data.batches import EncodedSplit, evaluation_order
from seqclf_core.losses import Loss
from seqclf_core.models import SequenceClassifier


@torch.inference_mode()
def log_odds(
    model: SequenceClassifier, loss: Loss, split: EncodedSplit, device: torch.device
) -> npt.NDArray[np.float64]:
    """Return the log-odds of the positive label for each text of a split, in its order: (N,)."""
    model.eval()
    scores = torch.empty(len(split), dtype=torch.float64, device=device)
    for rows in evaluation_order(split.padded_lengths):
        batch = split.batch(rows, device)
        logits = model(batch.tokens, batch.lengths)
        scores[torch.from_numpy(rows).to(device)] = loss.log_odds(logits).double()
    return scores.cpu().numpy()
