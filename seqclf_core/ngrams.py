"""A linear model over runs of words: texts in, log-odds out. Its folder holds safetensors and JSON. Without torch.

    model/ngrams.safetensors   keys, ratios, weights
    model/words.json           the words that occur in the features
    model/config.json          settings, and how rows are scaled

A feature is a run of one to a few words that a text holds, whatever its number of occurrences. Runs are numbers: a
word's code is a digit to the base of the vocabulary, so that millions of features are found by a binary search in
one sorted array, and nothing but words is kept as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.sparse import csr_matrix

from seqclf_core.data.vocabulary import Words, split_words
from seqclf_core.errors import SavedError
from seqclf_core.files import atomic_path, open_plain
from seqclf_core.training.predictions import probabilities

TENSORS, WORDS, SETTINGS = "ngrams.safetensors", "words.json", "config.json"
TENSORS_BYTES, WORDS_BYTES, SETTINGS_BYTES = 2**30, 2**27, 2**20
"""No file of a folder is read that is larger than any of ours."""
LONGEST = 3
"""Runs of more words would not fit into a number of 64 bits."""
MOST_WORDS = 2**20
"""Different words at most; the most frequent ones are kept."""

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Which runs of words are features."""

    words: tuple[str, ...]
    """The words in them; a word's code is its position."""
    keys: Integers
    """(V,) the features, ascending."""
    longest: int
    """Most words of a feature, 1 to ``LONGEST``."""

    @classmethod
    def learn(cls, texts: Words, longest: int, min_count: int) -> tuple[Self, csr_matrix]:
        """Take as features all runs of up to ``longest`` words that ``min_count`` texts hold.

        Args:
            texts: N texts.
            longest: most words of a feature.
            min_count: least number of texts that hold one.

        Returns:
            The features, and which of them each text holds: (N, V) sparse, 1 or absent.
        """
        words = _frequent_words(texts, min_count)
        keys, rows = _runs(texts, {word: code for code, word in enumerate(words)}, longest)
        keys, columns = np.unique(keys, return_inverse=True)
        held = _held(rows, columns, (len(texts.lengths), len(keys)))
        kept = np.bincount(held.indices, minlength=len(keys)) >= min_count
        new = np.cumsum(kept) - 1
        entries = kept[held.indices]
        ends = np.concatenate([[0], np.cumsum(entries)])[held.indptr]
        shape = (held.shape[0], int(kept.sum()))
        thinned = csr_matrix((held.data[entries], new[held.indices[entries]], ends), shape=shape)
        return cls(words, keys[kept], longest), thinned

    def of(self, texts: Words) -> csr_matrix:
        """Return which features each of N texts holds: (N, V) sparse, 1 or absent."""
        keys, rows = _runs(texts, {word: code for code, word in enumerate(self.words)}, self.longest)
        columns = np.searchsorted(self.keys, keys).clip(max=max(0, len(self.keys) - 1))
        known = self.keys[columns] == keys if len(self.keys) else np.zeros(len(keys), bool)
        return _held(rows[known], columns[known], (len(texts.lengths), len(self.keys)))


@dataclass(frozen=True)
class NgramClassifier:
    """Features, each with a scale (naive Bayes' ratio) and a learned weight."""

    features: Features
    ratios: Floats
    """(V,) value of a feature in a text that holds it."""
    weights: Floats
    """(V,) learned for these values."""
    bias: float
    unit_length: bool
    """Whether the values of a text are scaled to a Euclidean norm of 1."""

    def log_odds(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the log-odds of the positive label for each text: (N,)."""
        rows = scaled(self.features.of(split_words(texts)), self.ratios, self.unit_length)
        return np.asarray(rows @ self.weights, dtype=np.float64) + self.bias

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability that each text is positive: (N,) in [0, 1]."""
        return probabilities(self.log_odds(texts)).astype(np.float64) if texts else np.empty(0)

    def save(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Write a model folder; an older one in its place is replaced.

        Args:
            folder: to write.
            config: settings of the run that trained it.
        """
        about = {"longest": self.features.longest, "bias": self.bias, "unit_length": self.unit_length}
        tensors: dict[str, npt.NDArray[Any]] = {
            "keys": self.features.keys,
            "ratios": self.ratios,
            "weights": self.weights,
        }
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            (temporary / TENSORS).write_bytes(save(tensors))
            (temporary / WORDS).write_text(json.dumps(self.features.words), encoding="utf-8")
            settings = {"format": 1, "kind": "ngrams", "config": dict(config), **about}
            (temporary / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model folder.

        Raises:
            SavedError: if a part of it is missing, cut, or not what it should be; names the part.
        """
        try:
            about = json.loads(_read(folder / SETTINGS, SETTINGS_BYTES))
            words = json.loads(_read(folder / WORDS, WORDS_BYTES))
            tensors = load(_read(folder / TENSORS, TENSORS_BYTES))
            keys, ratios, weights = (tensors[name] for name in ("keys", "ratios", "weights"))
            longest, bias, unit_length = about["longest"], float(about["bias"]), about["unit_length"]
            if about["format"] != 1 or about["kind"] != "ngrams" or longest not in range(1, LONGEST + 1):
                raise ValueError(f"{SETTINGS} is not of format 1, or its features are too long")
            if not isinstance(unit_length, bool) or not np.isfinite(bias):
                raise ValueError(f"{SETTINGS} has no usable bias and scaling")
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError(f"{WORDS} is no list of words")
            if not 0 < len(words) <= MOST_WORDS or len(set(words)) < len(words):
                raise ValueError(f"{WORDS} has too many words, none, or one twice")
            if keys.dtype != np.int64 or keys.ndim != 1 or not (np.diff(keys) > 0).all():
                raise ValueError("its keys are no ascending numbers")
            for values in (ratios, weights):
                if values.shape != keys.shape or values.dtype != np.float32 or not np.isfinite(values).all():
                    raise ValueError("its weights are no finite numbers, one per feature")
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:500]
            raise SavedError(f"{folder} cannot be read as a model over runs of words: {reason}") from error
        return cls(Features(tuple(words), keys, longest), ratios, weights, bias, unit_length)


def scaled(held: csr_matrix, ratios: npt.NDArray[Any], unit_length: bool) -> csr_matrix:
    """Give the features of each text their values: (N, V) of 1 -> of ratios, in rows of norm 1 if asked for."""
    values = ratios[held.indices].astype(np.float32)
    if unit_length:
        squares = np.add.reduceat(np.append(values.astype(np.float64) ** 2, 0.0), held.indptr[:-1])
        counts = np.diff(held.indptr)
        norms = np.where(counts > 0, np.sqrt(squares), 1.0)
        values = (values / np.repeat(np.maximum(norms, 1e-9), counts)).astype(np.float32)
    return csr_matrix((values, held.indices, held.indptr), shape=held.shape)


def _frequent_words(texts: Words, min_count: int) -> tuple[str, ...]:
    """Return the words that ``min_count`` texts hold; a run of words that so many hold has no others."""
    rows = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
    codes, _ = texts.take(np.arange(len(texts.lengths)))
    pairs = np.unique(rows * len(texts.names) + codes)
    counts = np.bincount(pairs % len(texts.names), minlength=len(texts.names))
    counts[0] = 0  # the empty word
    frequent = np.flatnonzero(counts >= min_count)
    if len(frequent) > MOST_WORDS:
        frequent = np.sort(frequent[np.argsort(-counts[frequent], kind="stable")[:MOST_WORDS]])
    return tuple(texts.names[code] for code in frequent)


def _runs(texts: Words, codes: Mapping[str, int], longest: int) -> tuple[Integers, Integers]:
    """Return the runs of known words in all texts as numbers, and the text of each."""
    known = np.array([codes.get(name, -1) for name in texts.names], dtype=np.int64)
    base = len(codes) + 1
    flat, offsets = texts.take(np.arange(len(texts.lengths)))
    digits = known[flat] + 1  # 0: unknown
    row = np.repeat(np.arange(len(texts.lengths), dtype=np.int64), np.diff(offsets))
    keys, rows = [], []
    run, whole = digits, digits > 0
    for length in range(1, longest + 1):
        if length > 1:
            run = run[:-1] * base + digits[length - 1 :]
            same_text = row[: 1 - length] == row[length - 1 :]
            whole = whole[:-1] & (digits[length - 1 :] > 0) & same_text
        keys.append(run[whole])
        rows.append(row[: len(run)][whole])
    return np.concatenate(keys), np.concatenate(rows)


def _held(rows: Integers, columns: Integers, shape: tuple[int, int]) -> csr_matrix:
    held = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    held.sum_duplicates()
    held.data[:] = 1
    return held


def _read(path: Path, most: int) -> bytes:
    with open_plain(path, most) as file:
        content: bytes = file.read()
    return content
