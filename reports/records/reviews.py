"""What is known about the texts themselves: lengths and movies from the cache, the words from where they came."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from seqclf_core.config import ReviewsConfig
from seqclf_core.data.encoding import divide
from seqclf_core.data.reviews import load_reviews
from seqclf_core.errors import DataError, UserError
from seqclf_core.events import DataSummary

TEXTS = ["part", "row", "label", "group", "text"]


def read_texts(params: Mapping[str, str], digest: str, source: str | None = None) -> pd.DataFrame:
    """Read the texts of a run again from where it took them, and divide them as it did.

    Args:
        params: the run's settings as MLflow has them, by their dotted names.
        digest: of its data.
        source: where the texts are now; None: where the run found them.

    Returns:
        ``TEXTS``; ``frames.texts`` says what they mean.

    Raises:
        UserError: if they are not there any more, or are others now.
    """
    known = {name: params[f"data.{name}"] for name in ReviewsConfig.model_fields if f"data.{name}" in params}
    given = {name: None if value == "None" else value for name, value in known.items()}
    if not source and given.get("source", "auto") == "auto":
        raise UserError(
            "It is not recorded where these runs read their texts. Name the place: "
            "frames.texts(..., source='/there')."
        )
    try:
        config = ReviewsConfig.model_validate(given | ({"source": source} if source else {}))
        reviews = load_reviews(config)
        division = divide(reviews, config)
    except (DataError, ValidationError) as error:
        raise UserError(
            f"The texts of these runs cannot be read again: {error} If they lie elsewhere now, name the place: "
            "frames.texts(..., source='/there')."
        ) from error
    if division.digest != digest:
        raise UserError(
            f"{config.source}: these are not the texts that the runs read: their digest is {division.digest[:8]}, "
            f"that of the runs {digest[:8]}. Put the old ones back, or name their place: "
            "frames.texts(..., source='/there')."
        )
    train = reviews.train.to_pandas()
    parts = {
        "train": train.iloc[division.train],
        "val": train.iloc[division.val],
        "test": reviews.test.to_pandas(),
    }
    table = pd.concat([rows.assign(part=part) for part, rows in parts.items()], ignore_index=True)
    named: pd.DataFrame = table.reindex(columns=TEXTS)
    return named.astype({"group": "str", "text": "str"})


def known_reviews(cache: Path | None, digest: str, part: str = "test") -> pd.DataFrame | None:
    """Return length and movie of each review of a part, None where the cache has none of this data.

    Only the small arrays of an entry are read; the ids are not read. See ``seqclf_core.data.cache`` for
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
