"""Text in, probability out: ``Classifier.load(folder).predict(texts)``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from seqclf_core.config import RunConfig
from seqclf_core.data.batches import EncodedSplit
from seqclf_core.data.cache import Split
from seqclf_core.data.vocabulary import encode
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import load_classifier, load_tokenizer
from seqclf_core.training.evaluation import log_odds


class Classifier:
    """A trained classifier and its tokenizer."""

    def __init__(self, model: SequenceClassifier, tokenizer: Tokenizer, config: RunConfig) -> None:
        self._model, self._tokenizer, self._config = model, tokenizer, config

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model folder.

        Raises:
            SavedError: if a part of it is missing, cut, or not what it should be; names the part.
        """
        model, config = load_classifier(folder)
        return cls(model, load_tokenizer(folder, model), config)

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability that each text is positive: (N,) in [0, 1].

        Computed in float32; a text of which no word is known still gets the model's answer to the unknown word.
        """
        if not texts:
            return np.empty(0)
        tokens, offsets = encode(self._tokenizer, texts)
        count = len(texts)
        part = Split(tokens, offsets, np.zeros(count, np.int64), np.arange(count), None)
        loss = LOSSES[self._config.model.loss]
        odds = log_odds(self._model, loss, EncodedSplit(part, self._config.data), torch.device("cpu"))
        return np.asarray(1 / (1 + np.exp(-odds)))
