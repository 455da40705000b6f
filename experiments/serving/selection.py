"""The one rule by which a model is the best by validation; whoever ranks runs, asks here.

Higher validation accuracy goes first; equal ones by lower validation loss; then the earlier run, by its key. No
test score enters. It needs nothing but the standard library, so that studies, reports and serving can all use it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

Scored = tuple[float | None, float | None, str]
"""Validation accuracy and validation loss of the kept evaluation (None or NaN: there is none), and the key."""


RankKey = tuple[float, float, list[str]]
"""Sort key of a model: the best model has the smallest."""


def rank_key(val_accuracy: float | None, val_loss: float | None, key: str) -> RankKey:
    """Return what to sort a model by; the best model has the smallest.

    Args:
        val_accuracy: validation accuracy; a model that has none (None, NaN) stands behind all that have one.
        val_loss: validation loss at the same evaluation; without one, behind those of the same accuracy.
        key: key of the run (``imdb/0007``), or a name. Numbers count as numbers: 9999 goes before 10000.

    >>> min(("imdb/10000", "imdb/9999"), key=lambda key: rank_key(0.9, 0.3, key))
    'imdb/9999'
    """
    return (*_worth(val_accuracy, val_loss), _aligned(key))


def ranking(models: Iterable[Scored]) -> list[int]:
    """Return the positions of models in the order of their worth, best by validation first.

    >>> ranking([(0.90, 0.30, "b"), (0.91, 0.40, "c"), (0.90, 0.29, "d"), (0.90, 0.30, "a")])
    [1, 2, 3, 0]
    """
    known = list(models)
    worth = [_worth(accuracy, loss) for accuracy, loss, _ in known]
    of_this = Counter(worth)
    # Keys are looked into where scores are the same, which is rare among thousands of runs.
    keys = [
        (*each, _aligned(key) if of_this[each] > 1 else []) for each, (_, _, key) in zip(worth, known, strict=True)
    ]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _worth(val_accuracy: float | None, val_loss: float | None) -> tuple[float, float]:
    return -_or(val_accuracy, -math.inf), _or(val_loss, math.inf)


def _aligned(key: str) -> list[str]:
    """Return the parts of a key, its numbers aligned."""
    return [part.zfill(20) if part.isdecimal() else part for part in re.split(r"(\d+)", key)]


def _or(value: float | None, without: float) -> float:
    return without if value is None or math.isnan(value) else float(value)
