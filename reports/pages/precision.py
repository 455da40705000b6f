"""How far a score holds for other reviews: movies are drawn anew where they are known, elsewhere reviews."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports import frames
from reports.stats.clustered import Sampled, accuracy, codes
from reports.stats.generalisation import correct_answers


def movies_of(stores: frames.Stores, digest: str, split: str) -> pd.Series | None:
    """Return the movie of each row of a split; None where the data has none, or its cache is not here."""
    reviews = frames.reviews(stores, digest, split)
    return reviews["movie"] if reviews is not None and "movie" in reviews else None


def score(predictions: pd.DataFrame, movies: pd.Series | None) -> Sampled | None:
    """Return the accuracy of a run, or the mean of runs on several seeds, for other reviews.

    Args:
        predictions: of these runs on one split, as of ``frames.predictions``.
        movies: as of ``movies_of``.

    Returns:
        None where nothing was predicted.
    """
    if predictions.empty:
        return None
    right = correct_answers(predictions)
    return accuracy(right.to_numpy(), codes(movies, right.index))


def scores(stores: frames.Stores, keys: Sequence[str], digest: str) -> dict[str, Sampled | None]:
    """Return split -> the score of these runs on it, for val and test."""
    predictions = frames.predictions(keys, stores)
    return {
        split: score(predictions[predictions["part"] == split], movies_of(stores, digest, split))
        for split in frames.PARTS
    }


def limits(found: Sampled | None) -> tuple[float, float]:
    """Return the limits of a score, NaN where nothing is known."""
    return (found.interval.low, found.interval.high) if found else (np.nan, np.nan)


def basis(found: Sampled) -> str:
    """Say what an interval for other reviews draws anew."""
    if found.by_movie:
        return f"for reviews of other movies, design effect {found.design_effect:.1f}"
    return "for other reviews, taken one by one: their movies are not known here"
