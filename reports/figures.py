"""Figures for a notebook: tables of ``reports.frames`` in, Matplotlib axes out, to be changed as one likes.

    from reports import figures, frames

    axes = figures.curves(frames.curves(study="imdb"))
    axes.set_ylim(0.8, 0.95)

Each draws on the axes that it is given, else on new ones.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.tracking import names
from seqclf_core.errors import UserError

NAMED = 6
"""So many lines have a name of their own in the legend; more are drawn alike, the best one stands out."""


def curves(table: pd.DataFrame, metric: str = names.VAL_ACCURACY, axes: Axes | None = None) -> Axes:
    """Draw a metric of runs while they trained, a line per run.

    Args:
        table: of ``frames.curves``.
        metric: its column, such as ``val/loss``.
        axes: to draw on.

    Raises:
        UserError: if the table has no such column.
    """
    axes = axes or new_axes()
    _check(table, metric)
    lines = {str(key): rows.dropna(subset=[metric]) for key, rows in table.groupby("key")}
    for key, rows in lines.items():
        label = key if len(lines) <= NAMED else None
        axes.plot(rows["step"], rows[metric], label=label, alpha=1.0 if label else 0.5)
    if 1 < len(lines) <= NAMED:
        axes.legend(frameon=False)
    axes.set(xlabel="training examples seen", ylabel=metric)
    return axes


def scatter(runs: pd.DataFrame, x: str, y: str = names.BEST_VAL_ACCURACY, axes: Axes | None = None) -> Axes:
    """Draw a point per run: one column against another.

    Args:
        runs: of ``frames.runs``; those without a value in one of the two columns are left out.
        x: column, such as ``train.lr``; learning rates are set on a logarithmic axis.
        y: column, such as ``test/accuracy``.
        axes: to draw on.

    Raises:
        UserError: if the table has no such columns.
    """
    axes = axes or new_axes()
    _check(runs, x, y)
    points = runs.dropna(subset=[x, y])
    across = points[x] if pd.api.types.is_numeric_dtype(points[x]) else points[x].astype("str")
    axes.scatter(across.to_numpy(), points[y].to_numpy(dtype=float), alpha=0.75)
    if x == "train.lr":
        axes.set_xscale("log")
    axes.set(xlabel=x, ylabel=y)
    return axes


def new_axes(width: float = 6.4, height: float = 4.0) -> Axes:
    """Return the axes of a new figure, which a notebook shows at the end of its cell."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it chooses a way to show figures; files need none

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _check(table: pd.DataFrame, *columns: str) -> None:
    for name in columns:
        if name not in table:
            raise UserError(f"There is no column {name!r}; expected one of {', '.join(map(str, table))}.")
