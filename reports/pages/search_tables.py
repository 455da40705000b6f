"""What the figures of a search show, as small tables: no drawing here, and nothing that a figure does not use.

All take rows of ``reports.frames.runs``. Accuracies are in per cent; ``accuracy`` of a complete run is that of its
kept weights, of any other run that of its last evaluation, which is no final score.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import Any

import numpy as np
import pandas as pd


def scored(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that have an accuracy, as a column ``accuracy``."""
    complete = runs["outcome"] == "complete"
    accuracy = 100 * runs["best/val_accuracy"].where(complete, runs["val/accuracy"])
    return runs.assign(accuracy=accuracy.astype(float)).dropna(subset=["accuracy"])


def history(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with a score in order, and the best so far.

    Returns:
        ``key``, ``name``, ``outcome``, ``number`` (of the trial, else the place in order of start), ``accuracy``,
        and ``best_so_far``, over complete runs alone; NaN before the first of them.
    """
    number = runs["trial"].astype(float)
    if number.isna().any() or number.duplicated().any():
        number = pd.Series(np.arange(len(runs), dtype=float), index=runs.index)
    found = scored(runs.assign(number=number)).sort_values("number", ignore_index=True)
    best = found["accuracy"].where(found["outcome"] == "complete").cummax().ffill()
    return found.assign(best_so_far=best)[["key", "name", "outcome", "number", "accuracy", "best_so_far"]]


def is_number(column: pd.Series[Any]) -> bool:
    """Say whether a setting has numbers for values."""
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def slice_of(runs: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Return ``key``, ``name``, ``outcome``, ``value`` of a setting and ``accuracy`` of runs that have both."""
    found = scored(runs).assign(value=runs[setting]).dropna(subset=["value"])
    return found[["key", "name", "outcome", "value", "accuracy"]].reset_index(drop=True)


def position(column: pd.Series[Any], log: bool = False) -> tuple[pd.Series[float], list[tuple[float, str]]]:
    """Place a setting's values on an axis from 0 to 1.

    Args:
        column: values of a setting: numbers, or names in the order of the alphabet.
        log: whether numbers are placed by their logarithm.

    Returns:
        The place of each value, and what is written at which places. One value alone lies in the middle.
    """
    if not is_number(column):
        texts = column.astype("str")
        names = sorted(texts.dropna().unique())
        at = {name: place / (len(names) - 1) if len(names) > 1 else 0.5 for place, name in enumerate(names)}
        return texts.map(at).astype(float), [(place, name) for name, place in at.items()]
    values = column.astype(float)
    scale = pd.Series(np.log(values) if log else values)
    low, high = float(scale.min()), float(scale.max())
    ends = [(0.0, f"{values.min():.3g}"), (1.0, f"{values.max():.3g}")]
    if high > low:
        return (scale - low) / (high - low), ends
    return scale * 0 + 0.5, [(0.5, f"{values.min():.3g}")]


def timeline(runs: pd.DataFrame) -> pd.DataFrame:
    """Lay runs into lanes, so that none overlaps another: as many lanes as ran at once.

    Returns:
        ``key``, ``name``, ``outcome``, ``start`` and ``end`` in seconds since the first start, and ``lane`` (0, 1,
        ...): the lowest that was free. A run that is still going ends where the last thing is known to happen.
    """
    known = runs.dropna(subset=["started"]).sort_values("started", kind="stable", ignore_index=True)
    first, last = known["started"].min(), known[["started", "ended"]].max().max()
    start = (known["started"] - first).dt.total_seconds()
    end = (known["ended"].fillna(last) - first).dt.total_seconds()
    lanes: list[int] = []
    free: list[int] = []
    busy: list[tuple[float, int]] = []  # when a lane is free again
    for at, until in zip(start, end, strict=True):
        while busy and busy[0][0] <= at:
            heappush(free, heappop(busy)[1])
        lane = heappop(free) if free else len(busy)
        heappush(busy, (max(until, at), lane))
        lanes.append(lane)
    return known[["key", "name", "outcome"]].assign(start=start, end=end, lane=lanes)


def cost(runs: pd.DataFrame) -> pd.DataFrame:
    """Return ``key``, ``name``, ``outcome``, ``accuracy``, ``seconds`` of work and ``parameters`` of the model."""
    found = scored(runs)
    parameters = found["used.parameters"] if "used.parameters" in found else pd.Series(pd.NA, index=found.index)
    found = found.assign(seconds=found["worked"].astype(float), parameters=parameters.astype("Float64"))
    return found[["key", "name", "outcome", "accuracy", "seconds", "parameters"]].reset_index(drop=True)


def zoom(curves: pd.DataFrame, metric: str, of: pd.Series[str]) -> tuple[float, float]:
    """Return limits of an axis on which the later halves of some curves fill the panel; of one curve, the whole.

    Args:
        curves: rows of ``reports.frames.curves``.
        metric: the column that is drawn.
        of: keys of the runs that must be told apart; the others may leave the panel.

    Returns:
        Lower and upper limit: from the 5 % quantile to the best value for an accuracy, and the other way round for
        a loss, where low is good.
    """
    last = curves.groupby("key")["evaluation"].transform("max")
    alone = len(curves["key"].unique()) == 1
    shown = curves.loc[alone | ((curves["evaluation"] > last / 2) & curves["key"].isin(of)), metric]
    values = shown[np.isfinite(shown)]
    if values.empty:
        return 0.0, 1.0
    upward = metric.endswith("accuracy")
    low = float(values.quantile(0.05) if upward and not alone else values.min())
    high = float(values.max() if upward or alone else values.quantile(0.95))
    margin = max(0.06 * (high - low), 1e-3)
    return low - margin, high + margin


def outside(curves: pd.DataFrame, metric: str, edges: tuple[float, float]) -> int:
    """Count the curves that leave the panel somewhere."""
    values = curves[metric]
    leaves = (values < edges[0]) | (values > edges[1])
    return int(curves.loc[leaves, "key"].nunique())


def span_unit(seconds: float) -> tuple[float, str]:
    """Choose the unit in which a time span is a number that a person reads.

    >>> span_unit(90), span_unit(3000), span_unit(90_000)
    ((1, 'seconds'), (60, 'minutes'), (3600, 'hours'))
    """
    if not math.isfinite(seconds) or seconds < 300:
        return 1, "seconds"
    return (60, "minutes") if seconds < 3 * 3600 else (3600, "hours")
