"""How good are a search's best configurations really, and how much of the search's score came from selection?

The best of many scores is optimistic: it was selected for its seed, and for a validation split that suits it.
Fresh seeds on the same split show the first; a gap to the test split, against that of runs nobody selected, the
second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd

from experiments.serving.selection import ranking
from reports.stats.contrasts import POINTS, VALIDATION
from reports.stats.estimates import Array, Interval, mean_interval, t_limits
from reports.stats.generalisation import trained_runs
from seqclf_core.errors import UserError


def finalists(runs: pd.DataFrame) -> pd.DataFrame:
    """Rank configurations by their mean validation accuracy over fresh seeds; test is shown, never chosen by.

    Args:
        runs: one row per run on a fresh seed: ``config``, ``best/val_accuracy``, ``test/accuracy``
            (fractions), and ``best/val_loss``, by which equal ones are told apart.

    Returns:
        One row per ``config``, best by validation first, in per cent: ``seeds``, ``val``, ``val_sd``, ``val_low``
        and ``val_high``, ``test``, ``test_sd``, ``low`` and ``high`` (95 % t intervals of the means, seeds - 1
        degrees of freedom; NaN for one seed).
    """
    rows, scores = [], []
    for config, group in runs.groupby("config", sort=True):
        val, test = (group[name].to_numpy(dtype=float) * POINTS for name in ("best/val_accuracy", "test/accuracy"))
        interval, validation = mean_interval(test), mean_interval(val)
        loss = fmean(group["best/val_loss"]) if "best/val_loss" in group else None
        scores.append((fmean(group["best/val_accuracy"]), loss, str(config)))
        rows.append(
            {
                "config": config,
                "seeds": len(group),
                "val": validation.value,
                "val_low": validation.low,
                "val_high": validation.high,
                "val_sd": np.std(val, ddof=1) if len(val) > 1 else np.nan,
                "test": interval.value,
                "test_sd": np.std(test, ddof=1) if len(test) > 1 else np.nan,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return pd.DataFrame(rows).iloc[ranking(scores)].reset_index(drop=True)


@dataclass(frozen=True)
class SelectionEffect:
    """Part of the finalists' search score that came from selection, in percentage points, mean over them."""

    seed: Interval
    """Search validation minus fresh-seed validation on the same split; the seed is the unit."""
    validation: Interval | None
    """Finalists' gap between validation and test minus that of unselected runs of the same kind. None without
    enough of these."""
    held_out: bool = False
    """Whether the unselected runs had validation splits of their own, and are compared on the reviews that both
    held out (``held_out.held_out_gap``)."""


KIND = ("model.pooling", "model.loss", "train.epochs", "data.max_length")
"""Settings in which an unselected run must be like a finalist: gaps differ between them."""


def selection_effect(
    searched: Mapping[str, float], runs: pd.DataFrame, unselected: pd.DataFrame
) -> SelectionEffect:
    """Tell apart what selection by one seed, and by one validation split, did to the scores of a search's best.

    The finalists are taken as they are: the intervals are about these configurations. All of them run on the same
    seeds, so that one seed's runs rise and fall together: a seed's mean over finalists is one draw (t on
    seeds - 1). Unselected runs of one block share settings and a seed: a block's mean is one draw (Welch 1947).

    Args:
        searched: ``config`` -> validation accuracy (fraction) that the search saw, by which it was chosen.
        runs: the finalists' runs on fresh seeds, on the search's split: ``config``, ``seed``, validation and test
            accuracy (fractions), and the columns of ``KIND``.
        unselected: runs that no score selected, on the same split: ``block`` and the same columns.

    Raises:
        UserError: if a finalist has no score from the search.
    """
    missing = sorted(set(runs["config"]) - set(searched))
    if missing:
        raise UserError(f"The finalists {missing} have no score from a search; give the one each was chosen by.")
    excess = runs["config"].map(searched).astype(float) - runs[VALIDATION]
    seed = mean_interval(_per_unit(excess, runs["seed"], runs["config"]))
    others = of_same_kind(runs, unselected)
    if set(others["config"]) != set(runs["config"]):
        return SelectionEffect(seed, None)
    gaps, reference = (
        _per_unit(some[VALIDATION] - some["test/accuracy"], some[unit], some["config"])
        for some, unit in ((runs, "seed"), (others, "block"))
    )
    if len(reference) < 2:
        return SelectionEffect(seed, None)
    return SelectionEffect(seed, _difference(gaps, reference))


def of_same_kind(runs: pd.DataFrame, unselected: pd.DataFrame) -> pd.DataFrame:
    """Return the unselected runs that trained and are of a finalist's kind, once for each such finalist.

    Args:
        runs: the finalists' runs, with ``config`` and the columns of ``KIND``.
        unselected: rows with the columns of ``KIND`` and both accuracies.
    """
    kinds = runs.drop_duplicates("config")[["config", *KIND]]
    return kinds.merge(trained_runs(unselected).drop(columns="config", errors="ignore"), on=list(KIND))


def _per_unit(values: pd.Series, units: pd.Series, configs: pd.Series) -> Array:
    """Return each unit's mean over all configurations in percentage points; units that lack one are left out."""
    table = values.groupby([units, configs]).mean().unstack().dropna()  # noqa: PD010
    means: Array = table.mean(axis=1).to_numpy(dtype=float) * POINTS
    return means


def _difference(first: Array, second: Array) -> Interval:
    """Return the difference of two means with Welch's interval (1947)."""
    value = float(first.mean() - second.mean())
    if len(first) < 2:
        return Interval(value, np.nan, np.nan, 0.95, len(first))
    errors = [float(values.var(ddof=1)) / len(values) for values in (first, second)]
    total = sum(errors)
    free = [error**2 / (len(values) - 1) for error, values in zip(errors, (first, second), strict=True)]
    freedom = total**2 / sum(free) if total else len(first) - 1
    low, high = t_limits(value, math.sqrt(total), freedom, 0.95)
    return Interval(value, float(low), float(high), 0.95, len(first))
