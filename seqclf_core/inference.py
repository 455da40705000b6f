"""Text in, probability out: ``load_model(folder).predict(texts)``, of one model or of an ensemble."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
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
from seqclf_core.errors import SavedError
from seqclf_core.files import atomic_path, open_plain
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.ngrams import TENSORS, NgramClassifier
from seqclf_core.training.checkpoint import SETTINGS_BYTES, in_a_line, load_classifier, load_tokenizer
from seqclf_core.training.device import use_bf16
from seqclf_core.training.evaluation import log_odds
from seqclf_core.training.predictions import probabilities


class Classifier:
    """A trained classifier and its tokenizer."""

    def __init__(self, model: SequenceClassifier, tokenizer: Tokenizer, config: RunConfig) -> None:
        self._model, self._tokenizer, self._config = model, tokenizer, config

    @classmethod
    def load(cls, folder: Path, fast: bool = False) -> Self:
        """Load a model folder.

        Args:
            folder: of the model.
            fast: compute in bf16, as in training, where this machine does so natively.

        Raises:
            SavedError: if a part of it is missing, cut, or not what it should be; names the part.
        """
        model, config = load_classifier(folder)
        model.encoder.bf16 = fast and use_bf16("auto", torch.device("cpu"))
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
        return probabilities(odds).astype(np.float64)


MEMBERS = "ensemble.json"
"""File that makes a folder an ensemble: each member's folder in it -> its weight."""
MEMBERS_AT_MOST = 64
WHOLE = 1e-6
"""Weights add up to 1 within this."""


Single = Classifier | NgramClassifier
"""A model of one run: an LSTM, or a linear model over runs of words."""


class Ensemble:
    """Models, of one family or several, whose probabilities are averaged with weights, none negative, of sum 1."""

    def __init__(self, members: Sequence[tuple[Single, float]]) -> None:
        self._members = members

    @classmethod
    def load(cls, folder: Path, fast: bool = False) -> Self:
        """Load the folder of an ensemble.

        Raises:
            SavedError: if a part of it is missing, cut, or not what it should be; names the part.
        """
        weights = read_weights(folder)
        return cls([(load_single(folder / name, fast), weight) for name, weight in weights.items() if weight > 0])

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability that each text is positive: (N,) in [0, 1]."""
        each = [weight * member.predict(texts) for member, weight in self._members]
        return np.asarray(np.clip(np.sum(each, axis=0), 0.0, 1.0))


def load_single(folder: Path, fast: bool = False) -> Single:
    """Load the model folder of one run.

    Raises:
        SavedError: as ``Classifier.load``.
    """
    return NgramClassifier.load(folder) if (folder / TENSORS).exists() else Classifier.load(folder, fast)


def load_model(folder: Path, fast: bool = False) -> Single | Ensemble:
    """Load a model folder, of a single run or of an ensemble.

    Raises:
        SavedError: as ``Classifier.load``.
    """
    return Ensemble.load(folder, fast) if (folder / MEMBERS).exists() else load_single(folder, fast)


def read_weights(folder: Path) -> dict[str, float]:
    """Read the weights of an ensemble: name of each member's folder -> weight.

    Raises:
        SavedError: if they cannot be read, are negative, or do not add up to 1.
    """
    path = folder / MEMBERS
    try:
        with open_plain(path, SETTINGS_BYTES) as file:
            told = json.loads(file.read())
        weights = {str(name): float(weight) for name, weight in told["weights"].items()}
        names_fit = all(re.fullmatch(r"[0-9]{1,3}", name) for name in weights)
        if told["format"] != 1 or not names_fit or not 1 <= len(weights) <= MEMBERS_AT_MOST:
            raise ValueError("expected format 1 and up to 64 members, named by numbers")
        if not all(weight >= 0 for weight in weights.values()) or abs(sum(weights.values()) - 1) > WHOLE:
            raise ValueError("weights must not be negative, and add up to 1")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SavedError(f"{path} cannot be read as the weights of an ensemble: {in_a_line(error)}") from error
    return weights


def save_ensemble(folder: Path, members: Mapping[Path, float]) -> None:
    """Write the folder of an ensemble; an older one in its place is replaced.

    Args:
        folder: to write.
        members: model folder of each member -> weight.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for number, member in enumerate(members):
            shutil.copytree(member, temporary / str(number), symlinks=True)
        weights = {str(number): weight for number, weight in enumerate(members.values())}
        (temporary / MEMBERS).write_text(json.dumps({"format": 1, "weights": weights}), encoding="utf-8")
