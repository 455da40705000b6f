"""Figures of a search, in which every run is a mark of its own: it says what it is, and lights up with its row.

Each is one panel of ``reports.html.svg``; tables of ``reports.pages.search_tables`` in, markup out.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from reports.html.marks import Mark, Shape, said
from reports.html.svg import ACCENT, INK, MUTED, PAPER, RULE, SMALL, limits, panel, shortened

METRICS = {
    "train/accuracy": "Training accuracy, %",
    "val/accuracy": "Validation accuracy, %",
    "train/loss": "Training loss",
    "val/loss": "Validation loss",
}
"""Metric of a learning curve -> its title; accuracies are drawn in per cent."""
ACCURACY = "validation accuracy, %"
MOST_LANES = 48
"""Lanes of a timeline that are as high as a bar; more than these share its height."""


def _role(outcome: str, best: bool = False) -> str:
    return "best" if best else outcome if outcome in ("pruned", "failed") else ""


def _shape(outcome: str) -> Shape:
    return "dot" if outcome == "complete" else "ring"


def learning(
    curves: pd.DataFrame, runs: pd.DataFrame, best: str, edges: Mapping[str, tuple[float, float]]
) -> list[Markup]:
    """Draw accuracy and loss, training beside validation, of all runs; the best one stands out.

    Args:
        curves: as ``frames.curves`` gives them, accuracies in per cent.
        runs: ``name`` and ``outcome`` of each, by key.
        best: key of the run that stands out; a dot marks the evaluation whose weights were kept.
        edges: metric -> limits of its axis.
    """
    per, unit = (
        (1000, "thousand training reviews seen") if curves["step"].max() > 5000 else (1, "training reviews seen")
    )
    own = curves[curves["key"] == best]
    kept = own.loc[[own["val/accuracy"].idxmax()]] if own["val/accuracy"].notna().any() else own.iloc[:0]
    of_runs = [
        (str(key), run["step"].to_numpy() / per, {metric: run[metric].to_numpy() for metric in METRICS})
        for key, run in curves.groupby("key", sort=False)
    ]
    known = runs[["name", "outcome"]].astype("str").to_dict("index")
    panels = []
    for metric, title in METRICS.items():
        digits = 2 if metric.endswith("accuracy") else 3
        marks = []
        for key, steps, values in of_runs:
            text = said(known[key]["name"], title.lower(), values[metric], digits)
            role = _role(known[key]["outcome"], key == best)
            marks.append(Mark(key, text, steps, values[metric], "line", role))
        marks += [Mark(best, "The weights that were kept", [row["step"] / per], [row[metric]], "dot", "best")
                  for _, row in kept.iterrows()]  # fmt: skip

        def draw(axes: Axes, title: str = title, limits: tuple[float, float] = edges[metric]) -> None:
            axes.set_title(title)
            axes.set_xlabel(unit)
            axes.set_xlim(0, 1.02 * curves["step"].max() / per)
            axes.set_ylim(limits)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))

        panels.append(panel(draw, title, marks=marks, clip=True))
    return panels


def history(table: pd.DataFrame, keys: Container[str] | None = None) -> Markup:
    """Draw each run's score in the order of the search, and the best so far as a stair.

    Args:
        table: as ``search_tables.history`` gives it.
        keys: runs to draw; None: all. The stair is that of all.
    """
    low, high = limits(table["accuracy"].to_numpy(dtype=float), upward=True)
    title = "Validation accuracy by trial, %"

    def draw(axes: Axes) -> None:
        best = table.dropna(subset=["best_so_far"])
        axes.step(best["number"], best["best_so_far"], where="post", color=ACCENT, linewidth=1.6)
        axes.set_title(title)
        axes.set_xlabel("trial; the line is the best so far")
        axes.set_xlim(table["number"].min() - 0.6, table["number"].max() + 0.6)
        axes.set_ylim(low, high)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))

    return panel(draw, title, marks=_dots(table, table["number"], low, keys))


def _dots(table: pd.DataFrame, x: pd.Series[Any], low: float, keys: Container[str] | None = None) -> list[Mark]:
    """Return a mark per run at its accuracy; one that lies below the panel stands at its lower edge."""
    height = table["accuracy"].clip(lower=low)
    rows = zip(table["key"], table["name"], table["outcome"], table["accuracy"], x, height, strict=True)
    return [
        Mark(key, _scored(name, outcome, accuracy), [at], [up], _shape(outcome), _role(outcome))
        for key, name, outcome, accuracy, at, up in rows
        if keys is None or key in keys
    ]


def _scored(name: str, outcome: str, accuracy: float) -> str:
    where = "on validation" if outcome == "complete" else f"at its last evaluation, {outcome}"
    return f"{name}. {accuracy:.2f} % {where}"


def numbers(table: pd.DataFrame, setting: str, log: bool) -> Markup:
    """Draw accuracy by a setting that has numbers for values.

    Args:
        table: as ``search_tables.slice_of`` gives it.
        setting: its name.
        log: whether its axis is logarithmic.
    """
    labels = f"By {shortened(setting)}" + (", logarithmic" if log else "")
    return against(table.assign(value=table["value"].astype(float)), "value", labels, "", log)


def against(table: pd.DataFrame, column: str, title: str, unit: str, log: bool = False) -> Markup:
    """Draw accuracy against a number of each run.

    Args:
        table: ``key``, ``name``, ``outcome``, ``accuracy`` and the column.
        column: what the horizontal axis shows.
        title: above the panel.
        unit: below its axis.
        log: whether it is logarithmic.
    """
    low, high = limits(table["accuracy"].to_numpy(dtype=float), upward=True)
    x = table[column].astype(float)

    def draw(axes: Axes) -> None:
        axes.set_title(title)
        axes.set_xlabel(unit)
        axes.set_ylabel(ACCURACY)
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if log:
            _log(axes, float(x.min()), float(x.max()))
        else:
            margin = 0.04 * (x.max() - x.min()) or 0.5
            axes.set_xlim(x.min() - margin, x.max() + margin)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(lambda value, _: short(value))

    return panel(draw, title, marks=_dots(table, x, low))


def _log(axes: Axes, low: float, high: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low / (high / low) ** 0.04, high * (high / low) ** 0.04)
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [step * 10.0**power for power in range(-12, 13) for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // 6) or 1]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: short(value))


def short(value: float) -> str:
    """Write a number in the little room below an axis.

    >>> [short(value) for value in (0.0005, 0.35, 64, 2400, 1_500_000)]
    ['0.0005', '0.35', '64', '2,400', '1.5 M']
    """
    size = abs(value)
    return f"{value / 1e6:g} M" if size >= 1e6 else f"{value:,.0f}" if size >= 1000 else f"{value:.4g}"


def levels(table: pd.DataFrame, setting: str, keys: Container[str] | None = None) -> Markup:
    """Draw accuracy by a setting that has names for values, a row for each.

    A filled dot is a complete run, the tick their median. A ring is a run at the last value that it showed, which
    is no final score. What lies far left of the complete runs is counted at the panel's edge.

    Args:
        table: as ``search_tables.slice_of`` gives it.
        setting: its name.
        keys: runs to draw; None: all. Medians and counts are those of all.
    """
    complete = table["outcome"] == "complete"
    final = table.loc[complete, "accuracy"]
    lower, middle, top = (
        final.quantile([0.25, 0.5, 1]) if len(final) else table["accuracy"].quantile([0.25, 0.5, 1])
    )
    left = max(table["accuracy"].min(), lower - max(4 * (middle - lower), 1.5))
    width = max(top - left, 1e-2)
    names = sorted(table["value"].astype("str").unique())
    row = table["value"].astype("str").map({name: place for place, name in enumerate(names)})
    spread = table.groupby([row, complete]).cumcount().to_numpy() * 0.618 % 1 - 0.5  # even, and always the same
    y = row + np.where(complete, -0.16 + 0.34 * spread, 0.24 + 0.2 * spread)
    inside = table["accuracy"] >= left

    def draw(axes: Axes) -> None:
        for place in range(len(names)):
            here = final[row[final.index] == place]
            if len(here):
                axes.vlines(here.median(), place - 0.42, place + 0.1, color=INK, linewidth=1.6)
            for filled, at in ((True, -0.16), (False, 0.24)):
                count = int(((row == place) & (complete == filled) & ~inside).sum())
                if count:
                    label = f"‹ {count} more" if filled else f"‹ {count} not complete"
                    axes.annotate(label, (left, place + at), fontsize=SMALL, color=MUTED, va="center")
        axes.set_yticks(range(len(names)), [shortened(name, 18) for name in names])
        axes.tick_params("y", colors=INK)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left - 0.03 * width, top + 0.05 * width)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_title(f"By {shortened(setting)}")
        axes.set_xlabel(ACCURACY)
        axes.xaxis.set_major_locator(MaxNLocator(5))

    rows = zip(table["key"], table["name"], table["outcome"], table["accuracy"], y, inside, strict=True)
    marks = [
        Mark(key, _scored(name, outcome, accuracy), [max(accuracy, left)], [up], _shape(outcome), _role(outcome))
        for key, name, outcome, accuracy, up, _ in rows
        if keys is None or key in keys
    ]
    return panel(draw, f"Validation accuracy by {setting}", 96 + 46 * len(names), marks)


def parallel(
    runs: pd.DataFrame,
    axes_of: Sequence[tuple[str, pd.Series[float], Sequence[tuple[float, str]]]],
    good: set[str],
) -> Markup:
    """Draw each run as a line through its settings, one axis below the other, down to its accuracy.

    Args:
        runs: ``key``, ``name``, ``outcome`` and ``accuracy`` of each.
        axes_of: for each axis its name, the place of every run on it from 0 to 1 (NaN: the line ends above), and
            what is written at which places.
        good: keys of the runs that stand out.
    """
    title = "Settings and accuracy of every run"

    paper: Any = {"bbox": {"facecolor": PAPER, "edgecolor": "none", "pad": 1, "alpha": 0.8}}  # lines cross it

    def draw(axes: Axes) -> None:
        for row, (name, _, ticks) in enumerate(axes_of):
            axes.plot([0, 1], [row, row], color=MUTED, linewidth=0.8)
            axes.annotate(shortened(name, 40), (0, row), (0, 7), textcoords="offset points", color=INK, **paper)
            room = max(4, 44 // max(1, len(ticks)))
            for at, text in ticks if len(ticks) <= 6 else (ticks[0], ticks[-1]):
                side = "left" if at == 0 else "right" if at == 1 else "center"
                axes.annotate(
                    shortened(text, room), (at, row), (0, -13), textcoords="offset points", ha=side, color=MUTED,
                    fontsize=SMALL, **paper,
                )  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(len(axes_of) - 0.6, -0.5)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines["bottom"].set_visible(False)
        axes.grid(visible=False)
        axes.set_title(title)

    places = np.column_stack([place.to_numpy(dtype=float) for _, place, _ in axes_of])
    rows = zip(runs["key"], runs["name"], runs["outcome"], runs["accuracy"], places, strict=True)
    marks = [
        Mark(key, _scored(name, outcome, accuracy), line.tolist(), list(range(len(axes_of))), "line",
             _role(outcome, key in good))
        for key, name, outcome, accuracy, line in rows
    ]  # fmt: skip
    return panel(draw, title, 40 + 58 * len(axes_of), marks)


def timeline(table: pd.DataFrame, per: float, unit: str) -> Markup:
    """Draw when each run went, a bar from its start to its end.

    Args:
        table: as ``search_tables.timeline`` gives it.
        per: seconds in a unit of the horizontal axis.
        unit: its name.
    """
    lanes = int(table["lane"].max()) + 1
    title = "What ran when"

    def draw(axes: Axes) -> None:
        axes.set_title(title)
        axes.set_xlabel(f"{unit} since the start")
        axes.set_ylabel("runs at once")
        axes.set_xlim(0, max(table["end"].max() / per, 1e-3) * 1.005)
        axes.set_ylim(lanes + 0.5, 0.5)
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=RULE)

    size = 12 * min(1, MOST_LANES / lanes)
    rows = table[["key", "name", "outcome", "start", "end", "lane"]].itertuples(index=False, name=None)
    marks = [
        Mark(
            key, f"{name}. {outcome.capitalize()}, {start / per:.1f} to {end / per:.1f} {unit}",
            [start / per, end / per], [lane + 1, lane + 1], "bar", _role(outcome), size,
        )
        for key, name, outcome, start, end, lane in rows
    ]  # fmt: skip
    return panel(draw, title, 86 + 18 * min(lanes, MOST_LANES), marks, clip=True)
