"""What each token of a text adds to a classifier's answer, and the file about a run's most confident errors.

Gradient times input (Shrikumar et al. 2016): the log-odds of the positive label, differentiated by a token's
vector, times that vector. It is the first-order estimate of what the log-odds would lose if the vector became 0;
leaving each token out in turn measures that, and costs as many passes as a text has tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from seqclf_core.data.batches import EncodedSplit
from seqclf_core.data.cache import Split
from seqclf_core.files import atomic_write
from seqclf_core.losses import Loss
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.predictions import decide, probabilities

ERRORS = "predictions/errors.json"
"""File within a run's folder."""
METHOD = "gradient x input"
MOST = 20
"""Number of errors whose tokens are looked at."""
DIGITS = 4

Floats = npt.NDArray[np.float64]


def contributions(
    model: SequenceClassifier, loss: Loss, split: EncodedSplit, rows: npt.NDArray[np.int64], device: torch.device
) -> list[Floats]:
    """Return what each token that is read adds to the log-odds of the positive label, in the order of the text.

    Computed in float32 and without dropout; the model is left as it was.

    Args:
        model: the classifier.
        loss: that its logits are of.
        split: the texts.
        rows: (B,) numbers of the texts to look at.
        device: where the model is.
    """
    if not len(rows):
        return []
    was_training, bf16 = model.training, model.encoder.bf16
    model.eval()
    model.encoder.bf16 = False
    vectors: list[Tensor] = []
    embedding = model.encoder.embedding

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        vectors.append(output.detach().requires_grad_())
        return vectors[-1]

    hook = embedding.register_forward_hook(keep)
    try:
        batch = split.batch(rows, device)
        # cuDNN differentiates recurrent layers only while they train.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            odds = loss.log_odds(model(batch.tokens, batch.lengths)).sum()
            (gradient,) = torch.autograd.grad(odds, vectors)
        products = (gradient * vectors[0]).sum(dim=2).detach().double().cpu().numpy()  # (B, T)
    finally:
        hook.remove()
        model.encoder.bf16 = bf16
        model.train(was_training)
    read = [products[number, : split.lengths[row]] for number, row in enumerate(rows)]
    return [values[::-1] if split.backward else values for values in read]


def most_confident_errors(labels: npt.NDArray[np.int64], odds: Floats, most: int = MOST) -> npt.NDArray[np.int64]:
    """Return the numbers of the texts that are answered wrongly, the most confident first.

    Args:
        labels: (N,) 0 or 1.
        odds: (N,) log-odds of the positive label.
        most: how many at most.
    """
    wrong = np.flatnonzero(decide(probabilities(odds)) != (labels == 1))
    return wrong[np.argsort(-np.abs(odds[wrong]), kind="stable")][:most]


def write_errors(
    path: Path, model: SequenceClassifier, loss: Loss, split: Split, encoded: EncodedSplit, odds: Floats,
    tokenizer: bytes, device: torch.device,
) -> None:  # fmt: skip
    """Write the most confident errors on a split, token by token, whole or not at all.

    Args:
        path: of the file.
        model: the classifier.
        loss: that its logits are of.
        split: whole texts.
        encoded: the same, cut to what the model reads.
        odds: (N,) its log-odds on them.
        tokenizer: of the data, as its file holds it.
        device: where the model is.
    """
    rows = most_confident_errors(split.labels, odds)
    word = Tokenizer.from_str(tokenizer.decode()).id_to_token
    errors = [
        {
            "row": int(split.rows[row]),
            "label": int(split.labels[row]),
            "probability": float(probabilities(odds[row])),
            "first": int(encoded.starts[row] - split.offsets[row]),
            "tokens": [word(int(token)) for token in split.tokens[start : start + encoded.lengths[row]]],
            "contributions": [round(float(value), DIGITS) for value in values],
        }
        for row, start, values in zip(
            rows, encoded.starts[rows], contributions(model, loss, encoded, rows, device), strict=True
        )
    ]
    atomic_write(path, json.dumps({"format": 1, "part": "val", "method": METHOD, "errors": errors}))
