"""How good are a search's best configurations really, and how much of the search's score was luck?

The best of many scores is high partly by luck: of its seed, and of a validation part that happens to suit it.
Fresh seeds on the same split show the first; a gap to the test part, against that of runs nobody selected, the
second.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd
from scipy import stats

from experiments.serving.selection import ranking
from reports.stats.contrasts import POINTS
from reports.stats.estimates import Interval, mean_interval, t_limits
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
class Luck:
    """How much of the finalists' search score was luck, in points, mean over the finalists."""

    seed: Interval
    """Search validation minus fresh-seed validation on the same split: luck of the seed."""
    validation: Interval | None
    """Finalists' gap between validation and test minus that of unselected runs: luck of the validation part.
    None without enough unselected runs."""


def luck(searched: Mapping[str, float], runs: pd.DataFrame, unselected: pd.DataFrame) -> Luck:
    """Split the luck of a search in two.

    The finalists are taken as they are: the intervals are about these configurations, over fresh seeds (the seeds'
    variance is pooled over configurations; Welch 1947 and Satterthwaite 1946 for the second part).

    Args:
        searched: ``config`` -> validation accuracy (fraction) that the search saw, by which it was chosen.
        runs: the finalists' runs on fresh seeds, on the search's split: ``config``, ``best/val_accuracy``,
            ``test/accuracy`` (fractions).
        unselected: runs that no score selected, on the same split: of a factors study, or a search's random start.

    Raises:
        UserError: if a finalist has no score from the search.
    """
    missing = sorted(set(runs["config"]) - set(searched))
    if missing:
        raise UserError(f"The finalists {missing} have no score from a search; give the one each was chosen by.")
    seeds = runs.groupby("config")["best/val_accuracy"].mean()
    seed_luck = float(np.mean([searched[str(config)] - mean for config, mean in seeds.items()])) * POINTS
    error, df = _pooled(runs["best/val_accuracy"] * POINTS, runs["config"])
    low, high = t_limits(seed_luck, error, df, 0.95)
    seed = Interval(seed_luck, float(low), float(high), 0.95, len(runs))

    others = trained_runs(unselected)
    if len(others) < 2:
        return Luck(seed, None)
    gaps, other_gaps = ((r["best/val_accuracy"] - r["test/accuracy"]) * POINTS for r in (runs, others))
    error, df = _pooled(gaps, runs["config"])
    other_error = float(stats.sem(other_gaps))
    total = math.hypot(error, other_error)
    freedom = total**4 / (error**4 / df + other_error**4 / (len(others) - 1)) if total else df
    gap_luck = float(gaps.groupby(runs["config"]).mean().mean() - other_gaps.mean())
    low, high = t_limits(gap_luck, total, freedom, 0.95)
    return Luck(seed, Interval(gap_luck, float(low), float(high), 0.95, len(runs)))


def _pooled(values: pd.Series, groups: pd.Series) -> tuple[float, float]:
    """Return the standard error of the mean of the groups' means, and its degrees of freedom, by one variance."""
    sizes = values.groupby(groups).size()
    df = int(len(values) - len(sizes))
    if df == 0:
        return np.nan, np.nan
    within = float((values - values.groupby(groups).transform("mean")).pow(2).sum()) / df
    return math.sqrt(within * float((1 / sizes).sum())) / len(sizes), df
