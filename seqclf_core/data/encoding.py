"""The slow half of the cache: split the texts, train the vocabulary, encode, write the files of one entry.

A file of its own, since scikit-learn takes a second to import: a start that finds its entry does without.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seqclf_core.config import DataConfig, ReviewsConfig
from seqclf_core.data.reviews import Reviews, draw_balanced
from seqclf_core.data.splits import AT_RANDOM, SplitMethod, split
from seqclf_core.data.vocabulary import build_tokenizer, split_words, word_ids
from seqclf_core.events import DataSummary

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """Which rows of the training table are for training and which for validation."""

    train: Rows
    val: Rows
    method: SplitMethod
    digest: str
    """Digest of the texts and of how they are split, as runs record it."""
    duplicates: dict[str, int]
    """Numbers of texts that occur twice, before any are dropped."""


def divide(reviews: Reviews, config: ReviewsConfig) -> Division:
    """Divide training texts into those to train on and those for validation; some may be left out.

    Raises:
        DataError: if the texts cannot be split as asked.
    """
    labels = column(reviews.train, "label")
    train, val, method = split(labels, _group_codes(reviews).get("train"), config, reviews.own_val)
    codes = _text_codes(reviews)
    duplicates = count_duplicates(codes["train"][train], codes["train"][val], codes["test"])
    if config.duplicates == "drop":
        held_out = np.concatenate([codes["train"][val], codes["test"]])
        train = train[~np.isin(codes["train"][train], held_out)]
    if config.train_limit is not None:
        seed = [config.split_seed, config.train_limit_seed]
        name = f"{reviews.source}: the training split"
        train = train[draw_balanced(labels[train], config.train_limit, seed, name, "train-limit")]
    side = np.full(len(labels), 2, dtype=np.uint8)  # 2: left out
    side[train], side[val] = 0, 1
    digest = hashlib.sha256(reviews.digest.encode() + side.tobytes()).hexdigest()
    return Division(train, val, method, digest, duplicates)


def write_entry(reviews: Reviews, config: DataConfig, folder: Path) -> None:
    """Write ``<split>.<array>.npy`` for each array of each split, ``tokenizer.json`` and ``summary.json``.

    Raises:
        DataError: if the texts cannot be split as asked.
    """
    division = divide(reviews, config)
    train, val = division.train, division.val
    groups = _group_codes(reviews)

    words = split_words(pa.chunked_array([*reviews.train["text"].chunks, *reviews.test["text"].chunks]))
    tokenizer = build_tokenizer(words.names, words.take(train)[0], config.vocab_size)
    # Not by its own ``save``, whose error is no OSError: where somebody removes the cache, this is begun again.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
    ids = word_ids(tokenizer, words.names)
    splits = {
        "train": ("train", reviews.train, train, 0),
        "val": ("train", reviews.train, val, 0),
        "test": ("test", reviews.test, np.arange(len(reviews.test)), len(reviews.train)),
    }
    for name, (own, table, rows, first) in splits.items():
        tokens, offsets = words.take(rows + first)
        arrays = {
            "tokens": ids[tokens],
            "offsets": offsets,
            "labels": column(table, "label")[rows],
            "rows": column(table, "row")[rows],
            "groups": groups[own][rows] if own in groups else None,
        }
        for array, values in arrays.items():
            if values is not None:
                np.save(folder / f"{name}.{array}.npy", values)

    limited = config.limit is not None or config.train_limit is not None
    at_random = config.split_method == "auto" and division.method == "random"
    summary = DataSummary(
        source=reviews.source,
        data_scope="synthetic" if reviews.synthetic else "limited" if limited else "whole",
        digest=division.digest,
        data_set=reviews.data_set,
        sizes={name: len(rows) for name, (_, _, rows, _) in splits.items()},
        split_method=division.method,
        group_column=reviews.group_column if division.method == "group" else None,
        skipped=reviews.skipped,
        vocab_size=tokenizer.get_vocab_size(),
        duplicates=division.duplicates,
        notes=(*reviews.notes, *_notes(division.duplicates, config), *((AT_RANDOM,) if at_random else ())),
    )
    (folder / "summary.json").write_text(summary.model_dump_json(indent=1), encoding="utf-8")


def count_duplicates(train: Rows, val: Rows, test: Rows) -> dict[str, int]:
    """Count texts that stand word for word where they also stand elsewhere.

    Args:
        train: a number per text of the training split, the same for the same text in all splits.
        val: likewise, of the validation split.
        test: likewise, of the test split.

    Returns:
        How many texts of the test split are in the training split, how many of the validation split are, and how
        many of the test split repeat an earlier one there.
    """
    return {
        "test_in_train": int(np.isin(test, train).sum()),
        "val_in_train": int(np.isin(val, train).sum()),
        "within_test": len(test) - len(np.unique(test)),
    }


def column(table: pa.Table, name: str) -> Rows:
    """Return a column of integers as an array."""
    values: Rows = table[name].to_numpy()
    return values


def _notes(duplicates: dict[str, int], config: DataConfig) -> list[str]:
    """Say how many texts stand in several splits, and what was done about it."""
    if not any(duplicates.values()):
        return []
    done = (
        "left out of training"
        if config.duplicates == "drop"
        else "kept; --data.duplicates drop trains without them"
    )
    return [
        f"Word for word the same: {duplicates['test_in_train']:,} test texts and {duplicates['val_in_train']:,} "
        f"validation texts are in the training split ({done}); {duplicates['within_test']:,} test texts repeat one"
    ]


def _group_codes(reviews: Reviews) -> dict[str, Rows]:
    """Number the groups, alike in both tables; a table without groups is left out."""
    tables = {"train": reviews.train, "test": reviews.test}
    return _codes({name: table["group"] for name, table in tables.items() if "group" in table.column_names}, True)


def _text_codes(reviews: Reviews) -> dict[str, Rows]:
    """Give each text a number, the same where it is the same."""
    return _codes({"train": reviews.train["text"], "test": reviews.test["text"]})


def _codes(columns: dict[str, pa.ChunkedArray], in_order: bool = False) -> dict[str, Rows]:
    """Number the different values of columns, by their order if that is asked for, else as they come."""
    if not columns:
        return {}
    chunks = [chunk for each in columns.values() for chunk in each.chunks]
    encoded = pa.chunked_array(chunks, pa.large_string()).combine_chunks().dictionary_encode()
    codes: Rows = encoded.indices.to_numpy().astype(np.int64)
    if in_order:
        codes = pc.rank(encoded.dictionary, tiebreaker="first").to_numpy().astype(np.int64)[codes] - 1
    ends = np.cumsum([len(each) for each in columns.values()])[:-1]
    return dict(zip(columns, np.split(codes, ends), strict=True))
