"""The texts without labels that may be learned from: encoded, and without those that are held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seqclf_core.config import DataConfig
from seqclf_core.data.cache import Corpus, Split
from seqclf_core.data.reviews import unlabelled_texts
from seqclf_core.data.soft_labels import each_text
from seqclf_core.data.vocabulary import encode, read_tokenizer


@dataclass(frozen=True)
class Unlabelled:
    """N texts without labels."""

    split: Split
    """Encoded by the vocabulary of the labelled data; labels mean nothing, rows are places in ``texts``."""
    texts: pa.LargeStringArray
    """All that the source has, those that are left out among them."""
    held_out: int
    """Number of texts that were left out because they stand in the validation or the test split."""
    skipped: int
    """Bad rows that were left out (only with ``data.on_bad_row`` skip)."""


def read_unlabelled(config: DataConfig, corpus: Corpus) -> Unlabelled:
    """Read a source's texts without labels, but for those in the validation or the test split: IMDB has some.

    Texts are compared as a model reads them, so that another case or spacing hides no copy. They are read anew at
    every call.

    Raises:
        DataError: if they cannot be used; names file and row.
    """
    texts, skipped = unlabelled_texts(config)
    tokens, offsets = encode(read_tokenizer(corpus.tokenizer.read_bytes()), texts)
    held_out = {text for part in (corpus.val, corpus.test) for text in each_text(part.tokens, part.offsets)}
    kept = np.array([text not in held_out for text in each_text(tokens, offsets)], dtype=bool)
    lengths = np.diff(offsets)
    split = Split(
        tokens=tokens[np.repeat(kept, lengths)],
        offsets=np.concatenate([[0], np.cumsum(lengths[kept])]),
        labels=np.zeros(int(kept.sum()), dtype=np.int64),
        rows=np.flatnonzero(kept),
        groups=None,
    )
    return Unlabelled(split, texts, int((~kept).sum()), skipped)
