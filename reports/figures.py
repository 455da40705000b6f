"""Figures for a notebook: tables of ``reports.frames`` in, Matplotlib axes out, to be changed as one likes.

    from reports import figures, frames

    axes = figures.curves(frames.curves(study="imdb"))
    axes.set_ylim(0.8, 0.95)

Each draws on the axes that it is given, else on new ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from experiments.tracking import names
from reports.stats import discrimination
from seqclf_core.errors import UserError

COLOURS = ("#1f5fa8", "#b4541a", "#62666c")
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


def roc(said: Mapping[str, pd.DataFrame], colours: Sequence[str] = COLOURS, axes: Axes | None = None) -> Axes:
    """Draw how many positive texts are found at how many false alarms; the dot is a probability of one half.

    Args:
        said: name of a line -> ``frames.predictions`` of one run on one part.
        colours: of the lines, in turn.
        axes: to draw on.
    """
    axes = axes or new_axes(4.4, 4.4)
    axes.plot([0, 1], [0, 1], color=colours[-1], linewidth=0.8)
    for (name, predictions), colour in zip(said.items(), colours, strict=False):
        curve, point = discrimination.roc(predictions), discrimination.confusion(predictions)
        axes.plot(curve["false_alarms"], curve["recall"], color=colour, label=name)
        axes.plot([point.false_alarms], [point.recall], "o", color=colour)
    axes.legend(frameon=False, loc="lower right")
    axes.set(xlabel="negative texts taken for positive", ylabel="positive texts found")
    return axes


def lengths(said: Mapping[str, pd.DataFrame], colours: Sequence[str] = COLOURS, axes: Axes | None = None) -> Axes:
    """Draw accuracy by length of text, with 95 % limits.

    Args:
        said: name of a line -> its rows of ``reports.stats.discrimination.by_length``.
        colours: of the lines, in turn.
        axes: to draw on.
    """
    axes = axes or new_axes()
    for (name, table), colour in zip(said.items(), colours, strict=False):
        middle = (table["shortest"] + table["longest"]) / 2
        axes.plot(middle, 100 * table["accuracy"], "o-", color=colour, label=name, markersize=4)
        axes.vlines(middle, 100 * table["low"], 100 * table["high"], color=colour, linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, loc="lower right")
    axes.set(xlabel="tokens of the text", ylabel="accuracy, %")
    return axes


def confusion(predictions: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw how often each label is answered by each decision.

    Args:
        predictions: ``frames.predictions`` of one run on one part.
        axes: to draw on.
    """
    axes = axes or new_axes(4.0, 4.0)
    found = discrimination.confusion(predictions)
    counts = [[found.true_negative, found.false_positive], [found.false_negative, found.true_positive]]
    axes.imshow(counts, cmap="Blues", alpha=0.6, vmin=0)
    for row, of_label in enumerate(counts):
        for column, count in enumerate(of_label):
            axes.annotate(f"{count:,}", (column, row), ha="center", va="center")
    axes.set_xticks([0, 1], ["negative", "positive"])
    axes.set_yticks([0, 1], ["negative", "positive"])
    axes.set(xlabel="the model says", ylabel="the label says")
    axes.grid(visible=False)
    return axes


def new_axes(width: float = 6.4, height: float = 4.0) -> Axes:
    """Return the axes of a new figure, which a notebook shows at the end of its cell."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it chooses a way to show figures; files need none

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _check(table: pd.DataFrame, *columns: str) -> None:
    for name in columns:
        if name not in table:
            raise UserError(f"There is no column {name!r}; expected one of {', '.join(map(str, table))}.")
