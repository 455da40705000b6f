"""BCE against cross-entropy (or any two levels) as optimisation: how fast, how many examples, at which rates?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight

from reports.stats.contrasts import Blocks, Contrast, Factors, blocks
from reports.stats.estimates import FEWEST_FOR_TEST, Interval, count_flip, trimmed_interval


@dataclass(frozen=True)
class Slope:
    """How a block's contrast changes with a setting that its cells share."""

    per_doubling: Interval
    """Points by which the contrast rises when the setting doubles."""
    center: float
    """Geometric mean of the setting."""
    at_center: float
    """The fitted contrast there."""


def slope(table: Blocks, contrast: Contrast, settings: pd.Series, level: float = 0.95) -> Slope | None:
    """Regress a contrast on the logarithm of a shared setting, such as ``train.lr``, block by block.

    Two logits under Adam move the margin about twice as fast as one, so a difference between the losses may be one
    of learning rate: then it changes with the rate. The slope is the median of the pairwise slopes, with Sen's
    interval, which a failed run does not carry off (Theil 1950; Sen 1968).

    Args:
        table: complete blocks.
        contrast: one of the family.
        settings: the setting's positive value, index ``block``.
        level: of the interval.

    Returns:
        None for fewer than 6 blocks, or where the setting is the same in all.
    """
    x = np.log2(settings.loc[table.table.index].to_numpy(dtype=float))
    y = table.contrast(contrast)
    if len(x) < FEWEST_FOR_TEST or np.ptp(x) == 0:
        return None
    center = float(x.mean())
    fit = stats.theilslopes(y, x - center, alpha=level, method="joint")
    rise = Interval(float(fit.slope), float(fit.low_slope), float(fit.high_slope), level, len(x))
    return Slope(rise, float(2**center), float(fit.intercept))


def ratio(runs: pd.DataFrame, factors: Factors, contrast: Contrast, quantity: str) -> Interval:
    """Say how many times as large a positive quantity is at a contrast's level as at its reference.

    The trimmed mean over blocks and its interval, taken of logarithms, so that a slow machine that slows a whole
    block drops out.

    Args:
        runs: one row per run: ``block``, one column per factor, the quantity, such as ``seconds``.
        factors: as the study was created with them.
        contrast: a main effect of ``family(factors)``.
        quantity: the column.
    """
    logs = runs[["block", *factors]].assign(log=np.log(runs[quantity].astype(float)))
    found = trimmed_interval(blocks(logs, factors, "log", scale=1).contrast(contrast))
    value, low, high = (float(np.exp(limit)) for limit in (found.value, found.low, found.high))
    return Interval(value, low, high, found.level, found.n)


def examples_to_reach(curves: pd.DataFrame, loss: float) -> pd.DataFrame:
    """Say after how many training examples each run's validation loss first was at most ``loss``.

    A run that never got there is right-censored at its last evaluation: it would have needed more than that. NaN
    reaches nothing. Counts are rounded up to the evaluation.

    Args:
        curves: one row per evaluation: ``key``, ``step`` (training examples seen), ``val/loss``.
        loss: fixed beforehand, in nats.

    Returns:
        Index ``key``; ``examples``, ``reached`` (bool).
    """
    last = curves.groupby("key")["step"].max()
    first = curves[curves["val/loss"] <= loss].groupby("key")["step"].min().reindex(last.index)
    return pd.DataFrame({"examples": first.fillna(last).astype(int), "reached": first.notna()})


def median_examples(examples: pd.DataFrame, runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the median number of examples to reach the loss, per level, with runs that never did in the count.

    The median is that of Kaplan & Meier (1958), its limits those of Brookmeyer & Crowley (1982).

    Args:
        examples: from ``examples_to_reach``.
        runs: ``key`` and the columns of ``by``.
        by: columns whose combinations get a row each.

    Returns:
        The columns of ``by``, ``runs``, ``reached`` (count), ``median``, ``low``, ``high``; NaN where not reached
        by enough runs to say.
    """
    table = runs[["key", *by]].merge(examples, left_on="key", right_index=True)
    rows = []
    for level, group in table.groupby(list(by)):
        fit = SurvfuncRight(group["examples"].to_numpy(dtype=float), group["reached"].to_numpy(dtype=int))
        with np.errstate(divide="ignore", invalid="ignore"):  # where all or none got there, limits are infinite
            low, high = fit.quantile_ci(0.5) if group["reached"].any() else (np.nan, np.nan)
        median = fit.quantile(0.5) if group["reached"].any() else np.nan
        counts = {"runs": len(group), "reached": int(group["reached"].sum())}
        rows.append({**dict(zip(by, level, strict=True)), **counts, "median": median, "low": low, "high": high})
    return pd.DataFrame(rows)


def faster(examples: pd.DataFrame, runs: pd.DataFrame, factors: Factors, factor: str) -> pd.DataFrame:
    """Test whether one level of a factor reaches the loss in fewer examples, pair by pair within blocks.

    Two runs that differ in this factor alone are compared where it can be said which was first: one that was
    censored is behind one that got there no later. Blocks are tested by ``count_flip``.

    Args:
        examples: from ``examples_to_reach``.
        runs: ``key``, ``block`` and one column per factor.
        factors: as the study was created with them.
        factor: the one to compare.

    Returns:
        Per pair of levels: ``level``, ``reference``; in how many pairs of runs the level was ``first``, ``last``
        or it is ``open`` (ties and unknown); ``p`` (two-sided, unadjusted).
    """
    keys = ["block", *(name for name in factors if name != factor)]
    table = runs[["key", factor, *keys]].merge(examples, left_on="key", right_index=True)
    rows = []
    for reference, level in combinations(factors[factor], 2):
        one, other = (table[table[factor] == side] for side in (level, reference))
        pairs = one.merge(other, on=keys, suffixes=("_a", "_b"), validate="1:1")
        first = pairs["reached_a"] & _before(pairs, "a", "b")
        last = pairs["reached_b"] & _before(pairs, "b", "a")
        lead = first.astype(int) - last.astype(int)
        counts = {"first": int(first.sum()), "last": int(last.sum()), "open": int((lead == 0).sum())}
        p = count_flip(np.asarray(lead.groupby(pairs["block"]).sum(), dtype=np.int64))
        rows.append({"level": level, "reference": reference, **counts, "p": p})
    return pd.DataFrame(rows)


def _before(pairs: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Say where one run reached the loss before the other did, or no later than the other was given up."""
    earlier = pairs[f"examples_{one}"] < pairs[f"examples_{other}"]
    return earlier | (~pairs[f"reached_{other}"] & (pairs[f"examples_{one}"] == pairs[f"examples_{other}"]))
