"""Reviews without labels, where a source has some: more text to learn words from.

They are the part ``unsupervised`` of the hub's data or of a folder in its layout, files of that name beside the
training file (columns as there; labels are not looked at), and ``train/unsup`` of the original archive.
"""

from pathlib import Path

import numpy as np

from seqclf_core.config import ReviewsConfig
from seqclf_core.data.rows import texts
from seqclf_core.data.sources import open_unlabelled, resolve


def unlabelled_texts(config: ReviewsConfig, cache: Path) -> tuple[list[str], int]:
    """Read the unlabelled reviews of a source, in its order, and count the bad ones that were skipped.

    With ``data.limit`` at most so many, drawn by the seed of the split. They are read anew at every call.

    Raises:
        DataError: if they cannot be read or, unless bad rows are to be skipped, a text is bad; names file and row.
    """
    part = open_unlabelled(resolve(config.source), cache)
    found, skipped = texts(part, config.on_bad_row) if part else ([], 0)
    if config.limit is None or len(found) <= config.limit:
        return found, skipped
    chosen = np.random.default_rng(config.split_seed).choice(len(found), config.limit, replace=False)
    return [found[row] for row in sorted(chosen.tolist())], skipped
