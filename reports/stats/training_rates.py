"""How often a cell trains at all, and whether one choice trains more often than another.

An arm that sometimes stays at 50 % moves a mean by many points without being worse where it trains. So the
proportion of runs that trained is a result of its own, and the only one where a cell fails often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.stats.contrasts import Contrast, weigh
from reports.stats.estimates import Array, count_flip, holm, proportion_interval

TRAINED = 60.0
"""Per cent of validation reviews right from which a run counts as trained; guessing gets 50."""
FRAGILE = 0.2
"""Above this proportion of failed blocks in a cell, accuracies are not compared."""


@dataclass(frozen=True)
class TrainingEffect:
    """Whether a contrast's first level trains more often, by an exact test over blocks."""

    contrast: Contrast
    difference: float
    """Percentage points by which the proportion of trained runs is higher."""
    p: float
    """Exact, two-sided; NaN below 6 blocks."""
    p_holm: float


def training_rates(trained: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Count the blocks in which each cell trained.

    Args:
        trained: one row per block, one bool column per cell.
        level: of the exact interval of Clopper & Pearson (1934).

    Returns:
        One row per cell: one column per factor, ``trained`` and ``blocks`` (counts), ``proportion``, ``low``
        and ``high``.
    """
    rows = []
    for count in trained.sum():
        proportion = proportion_interval(int(count), len(trained), level)
        limits = {"proportion": proportion.value, "low": proportion.low, "high": proportion.high}
        rows.append({"trained": int(count), "blocks": len(trained)} | limits)
    return pd.concat([trained.columns.to_frame(index=False), pd.DataFrame(rows)], axis=1)


def training_effects(trained: pd.DataFrame, contrasts: Sequence[Contrast]) -> list[TrainingEffect]:
    """Test each contrast of the proportions of trained runs over blocks by ``count_flip``, adjusted by ``holm``.

    Args:
        trained: one row per block, one bool column per cell.
        contrasts: the family that is tested together.
    """
    values = trained.to_numpy(dtype=float)
    p = np.array([count_flip(_whole(values, contrast)) for contrast in contrasts])
    difference = [100 * float(weigh(values, c).mean()) if len(values) else np.nan for c in contrasts]
    return [TrainingEffect(*row) for row in zip(contrasts, difference, p.tolist(), holm(p).tolist(), strict=True)]


def _whole(values: Array, contrast: Contrast) -> NDArray[np.int64]:
    """Scale a contrast of zeros and ones to whole numbers: all its weights have one size, or are 0."""
    scaled: NDArray[np.int64] = np.rint(weigh(values, contrast) / np.abs(contrast.weights).max()).astype(np.int64)
    return scaled


def fragile_cells(trained: pd.DataFrame, contrast: Contrast) -> list[tuple[str, ...]]:
    """List the contrast's cells that failed to train in over ``FRAGILE`` of the blocks."""
    failed = 1 - trained.to_numpy(dtype=float).mean(axis=0) if len(trained) else np.zeros(trained.shape[1])
    cells = zip(trained.columns.to_list(), failed, contrast.weights, strict=True)
    return [tuple(cell) for cell, proportion, weight in cells if weight and proportion > FRAGILE]


def where_all_trained(trained: pd.DataFrame, contrast: Contrast) -> pd.Series:
    """Say for each block whether every cell of the contrast trained."""
    used = [bool(weight) for weight in contrast.weights]
    return trained.loc[:, used].all(axis=1)
