"""The slow half of the corpus: split the reviews, train the vocabulary, encode, write the files of one entry.

``corpus.py`` imports this only where the cache has no such entry: it brings scikit-learn and tokenizers.
"""

import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqclf_core.config import DataConfig
from seqclf_core.data.splits import split
from seqclf_core.data.vocabulary import encode, train_tokenizer
from seqclf_core.events import DataSummary

if TYPE_CHECKING:
    import datasets

    from seqclf_core.data.reviews import Reviews


def write(reviews: "Reviews", config: DataConfig, folder: Path) -> None:
    """Write ``<part>.<array>.npy`` for each array of each part, ``tokenizer.json`` and ``summary.json``.

    Raises:
        DataError: if the reviews cannot be split as asked.
    """
    groups = _group_codes(reviews)
    train, val, kind = split(column(reviews.train, "label"), groups.get("train"), config)
    tokenizer = train_tokenizer(_texts(reviews.train, train), config.vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    test = np.arange(len(reviews.test))
    parts = {"train": (reviews.train, train), "val": (reviews.train, val), "test": (reviews.test, test)}
    for part, (source, chosen) in parts.items():
        tokens, offsets = encode(tokenizer, _texts(source, chosen))
        np.save(folder / f"{part}.tokens.npy", tokens)
        np.save(folder / f"{part}.offsets.npy", offsets)
        np.save(folder / f"{part}.labels.npy", column(source, "label")[chosen])
        np.save(folder / f"{part}.rows.npy", column(source, "row")[chosen])
        if (codes := groups.get("test" if part == "test" else "train")) is not None:
            np.save(folder / f"{part}.groups.npy", codes[chosen])

    held_out = np.zeros(len(reviews.train), dtype=np.uint8)
    held_out[val] = 1
    summary = DataSummary(
        source=reviews.source,
        data_scope="synthetic" if reviews.synthetic else "limited" if config.limit else "whole",
        digest=hashlib.sha256(reviews.digest.encode() + held_out.tobytes()).hexdigest(),
        sizes={part: len(chosen) for part, (_, chosen) in parts.items()},
        split_method=kind,
        group_column=reviews.group_column if kind == "group" else None,
        skipped=reviews.skipped,
        vocab_size=tokenizer.get_vocab_size(),
    )
    (folder / "summary.json").write_text(summary.model_dump_json(indent=1))


def column(source: "datasets.Dataset", name: str) -> NDArray[np.int64]:
    """Return a column of integers as an array."""
    return np.array(source[name][:], dtype=np.int64)


def _group_codes(reviews: "Reviews") -> dict[str, NDArray[np.int64]]:
    """Number the groups, alike in the source's parts; a part without groups is left out."""
    named = {"train": reviews.train, "test": reviews.test}
    names = {part: source["group"][:] for part, source in named.items() if "group" in source.column_names}
    numbers = {name: number for number, name in enumerate(sorted(set(chain.from_iterable(names.values()))))}
    return {part: np.array([numbers[name] for name in column]) for part, column in names.items()}


def _texts(source: "datasets.Dataset", chosen: NDArray[np.int64]) -> Iterator[str]:
    for batch in source.select_columns("text").select(chosen).iter(batch_size=1000):
        yield from batch["text"]
