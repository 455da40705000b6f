"""What is known about the reviews themselves: their lengths and movies, from the cache of encoded reviews."""

from pathlib import Path

import numpy as np
import pandas as pd

from seqclf_core.events import DataSummary


def known_reviews(cache: Path | None, digest: str, part: str = "test") -> pd.DataFrame | None:
    """Return length and movie of each review of a part, None where the cache has none of this data.

    Only the small arrays of an entry are read; the ids are left alone. See ``seqclf_core.data.cache`` for
    the files.

    Args:
        cache: folder of encoded reviews.
        digest: of the data, as runs record it.
        part: train, val or test.

    Returns:
        Index ``row``; ``tokens``, and ``movie`` (a number per group) where the data has groups.
    """
    summaries = sorted((cache / "corpus").glob("*/summary.json")) if cache else []
    for file in summaries:
        try:
            if DataSummary.model_validate_json(file.read_bytes()).digest != digest:
                continue
            rows, offsets = (np.load(file.parent / f"{part}.{name}.npy") for name in ("rows", "offsets"))
            groups = file.parent / f"{part}.groups.npy"
            movies = {"movie": np.load(groups)} if groups.exists() else {}
            return pd.DataFrame({"tokens": np.diff(offsets), **movies}, index=pd.Index(rows, name="row"))
        except (OSError, ValueError):  # an entry that is being written, or is damaged, is no entry
            continue
    return None
