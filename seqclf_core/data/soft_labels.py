"""Soft labels: texts with a probability in the place of a label, such as a teacher gives to unlabelled texts.

    soft_labels/texts.parquet   columns ``text`` and ``probability`` of the positive label

What may be learned from is decided here, by text: nothing that is held out, nothing twice, and nothing that has a
label already. Texts are compared as the model reads them, so that another case or spacing hides no copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from seqclf_core.data.cache import Corpus, Split
from seqclf_core.data.vocabulary import encode
from seqclf_core.errors import DataError
from seqclf_core.files import atomic_path

SOFT_LABELS = "soft_labels"
"""Folder within the own folder of the run that made them."""
TEXTS = "texts.parquet"


def write_soft_labels(folder: Path, texts: Sequence[str], probabilities: npt.NDArray[np.float64]) -> None:
    """Write texts with their probabilities, whole or not at all.

    Args:
        folder: to write; an older one in its place is replaced.
        texts: N of them.
        probabilities: (N,) of the positive label.
    """
    table = pa.table(
        {
            "text": pa.array(texts, pa.large_string()),
            "probability": pa.array(probabilities, pa.float32()),
        }
    )
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        pq.write_table(table, temporary / TEXTS, compression="zstd")


def read_soft_labels(folder: Path) -> tuple[pa.LargeStringArray, npt.NDArray[np.float32]]:
    """Read texts with their probabilities.

    Raises:
        DataError: if they cannot be read, or something is no probability.
    """
    file = folder / TEXTS
    try:
        table = pq.read_table(file, columns=["text", "probability"])
        texts = table["text"].cast(pa.large_string()).combine_chunks()
        probabilities = table["probability"].to_numpy().astype(np.float32)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"train.soft_labels={folder}: {TEXTS} cannot be read: {reason}") from error
    if texts.null_count or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise DataError(
            f"{file}: a row has no text, or no probability from 0 to 1; expected both in each row. "
            "Make the file again."
        )
    return texts, probabilities


def soft_split(folder: Path, corpus: Corpus) -> Split:
    """Return the soft-labelled texts that a model of these data may learn from; its labels are probabilities.

    Raises:
        DataError: if they cannot be read, or none of them is left.
    """
    texts, probabilities = read_soft_labels(folder)
    tokens, offsets = encode(Tokenizer.from_str(corpus.tokenizer.read_text(encoding="utf-8")), texts)
    kept = np.flatnonzero(unseen(tokens, offsets, [corpus.train, corpus.val, corpus.test]))
    if not len(kept):
        raise DataError(
            f"{folder}: every text is in the labelled data already, so there is nothing more to learn. "
            "Name a folder of other texts, or leave train.soft_labels out."
        )
    lengths = np.diff(offsets)[kept]
    taken = np.concatenate([tokens[offsets[text] : offsets[text + 1]] for text in kept])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return Split(taken, ends, probabilities[kept], kept, None)


def unseen(
    tokens: npt.NDArray[np.integer], offsets: npt.NDArray[np.int64], others: Sequence[Split]
) -> npt.NDArray[np.bool_]:
    """Mark the texts that stand in none of the others, and no earlier one among themselves: (N,).

    Args:
        tokens: ids of N texts, one after the other, by the vocabulary of the others.
        offsets: (N+1,) text n is ``tokens[offsets[n]:offsets[n + 1]]``.
        others: splits whose texts are not wanted.
    """
    known = {text for split in others for text in each_text(split.tokens, split.offsets)}
    fresh = np.zeros(len(offsets) - 1, dtype=bool)
    for number, text in enumerate(each_text(tokens, offsets)):
        if text not in known:
            known.add(text)
            fresh[number] = True
    return fresh


def each_text(tokens: npt.NDArray[np.integer], offsets: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Yield each text's ids, as bytes that can be compared."""
    for start, end in pairwise(offsets):
        yield tokens[start:end].tobytes()


def joined(splits: Sequence[Split]) -> Split:
    """Put splits one behind the other; labels become probabilities where one of the splits has such."""
    starts = np.cumsum([0, *(split.offsets[-1] for split in splits[:-1])])
    offsets = [split.offsets[:-1] + start for split, start in zip(splits, starts, strict=True)]
    end = starts[-1] + splits[-1].offsets[-1]
    return Split(
        tokens=np.concatenate([split.tokens for split in splits]),
        offsets=np.concatenate([*offsets, [end]]),
        labels=np.concatenate([split.labels for split in splits]),
        rows=np.concatenate([split.rows for split in splits]),
        groups=None,
    )
