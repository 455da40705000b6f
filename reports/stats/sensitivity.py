"""What matters most: how much accuracy changes over the drawn range of each setting that the blocks share.

The settings of a block are drawn independently of each other, so that one regression of the blocks' means on all
of them tells them apart. Only random draws can say this: a search goes where scores are good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

FEWEST_FREE = 4
"""Degrees of freedom that the blocks must leave after the regression."""
NO_SETTINGS = ("seed", "data.split_seed")
"""Names of drawn values that are left out of the regression: seeds, whose numbers have no order."""


@dataclass(frozen=True)
class Range:
    """Where a setting was drawn from."""

    low: float
    high: float
    log: bool = False
    """Whether its logarithm was uniform."""

    def scaled(self, values: pd.Series) -> pd.Series:
        """Return where values lie in the range, from 0 to 1, on the scale on which they were drawn."""
        values = values.astype(float)
        if self.log:
            logs: pd.Series = np.log(values / self.low) / np.log(self.high / self.low)
            return logs
        return (values - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Sensitivity:
    """What the shared settings do."""

    table: pd.DataFrame
    """One row per setting, the largest effect first: ``setting``, ``from``, ``to``, ``effect`` (percentage points
    from the low to the high end of its range), ``low`` and ``high`` (95 % t limits, unadjusted)."""
    r_squared: float
    """Proportion of the variance of the blocks' means that the settings explain together, adjusted for their
    number."""
    blocks: int


def ranges(searched: Mapping[str, str]) -> dict[str, Range]:
    """Read the numeric ranges of a plan: name -> distribution, as Optuna's JSON."""
    found = {}
    for name, text in searched.items():
        attributes = json.loads(text)["attributes"]
        if name not in NO_SETTINGS and "low" in attributes and attributes["high"] > attributes["low"]:
            found[name] = Range(float(attributes["low"]), float(attributes["high"]), bool(attributes["log"]))
    return found


def what_matters(means: pd.Series, settings: pd.DataFrame, drawn: Mapping[str, Range]) -> Sensitivity | None:
    """Regress the blocks' mean accuracy on their shared settings, by ordinary least squares.

    Args:
        means: accuracy in per cent, mean over a block's cells; index ``block``.
        settings: index ``block``, one column per setting.
        drawn: the range of each setting.

    Returns:
        None where the blocks leave fewer than 4 degrees of freedom, or a setting was the same in all.
    """
    blocks, free = len(means), len(means) - len(drawn) - 1
    if not drawn or free < FEWEST_FREE:
        return None
    scaled = np.column_stack([drawn[name].scaled(settings.loc[means.index, name]) for name in drawn])
    design = np.column_stack([np.ones(blocks), scaled])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    outcome = means.to_numpy(dtype=float)
    estimate, *_ = np.linalg.lstsq(design, outcome, rcond=None)
    residual = float(((outcome - design @ estimate) ** 2).sum()) / free
    errors = np.sqrt(residual * np.diag(np.linalg.inv(design.T @ design)))
    half = stats.t.ppf(0.975, free) * errors
    rows = [
        {
            "setting": name,
            "from": given.low,
            "to": given.high,
            "effect": estimate[place],
            "low": estimate[place] - half[place],
            "high": estimate[place] + half[place],
        }
        for place, (name, given) in enumerate(drawn.items(), start=1)
    ]
    table = pd.DataFrame(rows).sort_values("effect", key=np.abs, ascending=False, ignore_index=True)
    total = float(outcome.var(ddof=1))
    return Sensitivity(table, 1 - residual / total if total else 0.0, blocks)
