"""Figures of factors studies and finalists: paired slopes, effects with intervals, bands, lines, points.

Each is one panel of ``reports.html.svg``; tables in, markup out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from reports.html.svg import ACCENT, INK, LINE, MUTED, OTHER, PAPER, RULE, SMALL, limits, panel, shortened

NAME_WIDTH = 44
"""Characters of a line of a name that stands in a panel."""
COLOURS = (ACCENT, OTHER, INK, MUTED)
"""Colours of lines, in order; more lines than colours repeat them, dashed."""


@dataclass(frozen=True)
class Labels:
    """What stands around a panel."""

    title: str
    x: str = ""
    y: str = ""


def _style(number: int) -> dict[str, Any]:
    dashes = "solid" if number < len(COLOURS) else (0, (4, 2))
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": dashes}


def paired(table: pd.DataFrame, labels: Labels) -> Markup:
    """Draw a line per block from level to level, and the mean of all.

    Args:
        table: one row per block, one column per level, in per cent.
        labels: of the panel.
    """
    values = table.to_numpy()
    low, high = limits(values, upward=True)
    cut = int((values < low).any(axis=1).sum())

    def draw(axes: Axes) -> None:
        places = np.arange(table.shape[1])
        axes.plot(places, np.maximum(values, low).T, "o-", color=LINE, markersize=3.5, linewidth=0.9)
        if len(values):
            axes.plot(places, np.median(values, axis=0), "o-", color=ACCENT, linewidth=2, markersize=6)
        axes.set_xticks(places, [str(level) for level in table.columns])
        axes.tick_params("x", colors=INK)
        axes.set_xlim(-0.35, table.shape[1] - 0.65)
        axes.set_ylim(low, high)
        if cut:
            axes.annotate(
                f"{cut} cut off below", (0.02, 0.03), xycoords="axes fraction", color=MUTED, fontsize=SMALL
            )
        _label(axes, labels)

    return panel(draw, labels.title)


def forest(rows: Sequence[tuple[str, float, float, float]], margin: float, labels: Labels) -> Markup:
    """Draw effects with their intervals, one below the other, beside zero and the margin around it.

    Args:
        rows: name, value, lower and upper limit (NaN where there is no interval).
        margin: half the width of the band in which a difference does not matter; 0 draws none.
        labels: of the panel.
    """

    names = [textwrap.fill(name, NAME_WIDTH) for name, *_ in rows]
    more_lines = max(name.count("\n") for name in names)

    def draw(axes: Axes) -> None:
        if margin:
            axes.axvspan(-margin, margin, color=RULE, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        for row, (name, (_, value, low, high)) in enumerate(zip(names, rows, strict=True)):
            axes.plot([low, high], [row, row], color=ACCENT, linewidth=2)
            axes.plot([value], [row], "o", color=ACCENT, markersize=6)
            axes.annotate(
                name, (0, row), (2, 8), xycoords=("axes fraction", "data"), textcoords="offset points",
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1}, in_layout=False,
            )  # fmt: skip
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.5, -0.8 - 0.3 * more_lines)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        _label(axes, labels)

    return panel(draw, labels.title, 80 + (44 + 16 * more_lines) * len(rows))


def forest_by(rows: pd.DataFrame, margin: float, labels: Labels) -> Markup:
    """Draw each effect with its interval on every data set, a colour for each, beside zero and the margin.

    Args:
        rows: ``label`` (of the effect), ``data_set``, ``value``, ``low`` and ``high``.
        margin: half the width of the band in which a difference does not matter; 0 draws none.
        labels: of the panel.
    """
    names = sorted(rows["data_set"].unique())
    groups = list(rows.groupby("label", sort=False))

    def draw(axes: Axes) -> None:
        if margin:
            axes.axvspan(-margin, margin, color=RULE, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        place, told = 0.0, set[str]()
        for name, group in groups:
            axes.annotate(
                shortened(str(name), 52), (0, place), (2, 9), xycoords=("axes fraction", "data"),
                textcoords="offset points",
            )  # fmt: skip
            for row in group.to_dict("records"):
                own = str(row["data_set"])
                style = _style(names.index(own))
                axes.plot([row["low"], row["high"]], [place, place], linewidth=2, **style)
                known = None if own in told else shortened(own, 40)
                axes.plot([row["value"]], [place], "o", color=style["color"], markersize=6, label=known)
                told.add(own)
                place += 0.42
            place += 0.6
        axes.set_yticks([])
        axes.set_ylim(place + 0.55 * len(names), -0.9)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.legend(frameon=False, fontsize=SMALL, handlelength=1.0, labelcolor=INK, loc="lower left")
        _label(axes, labels)

    return panel(draw, labels.title, 110 + 30 * len(rows) + 22 * len(groups) + 18 * len(names))


def standings(table: pd.DataFrame, every: Mapping[str, Sequence[float]]) -> list[Markup]:
    """Draw scores one below the other, on validation and, on the same scale, on test.

    Args:
        table: rows of ``reports.pages.comparison.rows``.
        every: study -> validation accuracy of each of its runs, in per cent.
    """
    seen = [table[["val", "val_low", "val_high", "test"]].to_numpy().ravel(), *map(np.array, every.values())]
    low, high = limits(np.concatenate(seen).astype(float), upward=True)
    panels = []
    for part, title in (("val", "Validation accuracy, %"), ("test", "Test accuracy, %: shown, not chosen by")):

        def draw(axes: Axes, part: str = part, title: str = title) -> None:
            axes.set_xlim(low, high)
            first = ~table.duplicated("study")
            for row, score in enumerate(table.to_dict("records")):
                if part == "val" and first.iloc[row] and len(every[str(score["study"])]) > 1:
                    _strip(axes, row, every[str(score["study"])], low)
                _standing(axes, row, part, {str(name): value for name, value in score.items()}, low)
            axes.set_yticks([])
            axes.set_ylim(len(table) - 0.4, -0.75)
            axes.grid(visible=False, axis="y")
            axes.grid(visible=True, axis="x")
            axes.xaxis.set_major_locator(MaxNLocator(5))
            _label(axes, Labels(title))

        panels.append(panel(draw, title.partition(",")[0] + " of studies", 70 + 46 * len(table)))
    return panels


def _strip(axes: Axes, row: int, scores: Sequence[float], left: float) -> None:
    inside = np.sort([score for score in scores if score >= left])
    spread = (np.arange(len(inside)) * 0.618 % 1 - 0.5) * 0.22
    axes.scatter(inside, row + 0.3 + spread, max(9 / max(1, len(inside) / 80), 3), facecolor=LINE, alpha=0.8)


def _standing(axes: Axes, row: int, part: str, score: Mapping[str, Any], left: float) -> None:
    colour, value = (ACCENT if part == "val" else OTHER), score[part]
    name = " · ".join(text for text in (score["study"], score["scored"]) if text)
    axes.annotate(
        shortened(name, 52), (0, row), (2, 9), xycoords=("axes fraction", "data"), textcoords="offset points",
        fontsize=SMALL, color=INK,
    )  # fmt: skip
    if pd.isna(value):
        return
    if value < left:
        axes.annotate(f"‹ {value:.1f}", (left, row), (2, 0), textcoords="offset points", color=colour, va="center")
        return
    axes.plot([max(score[f"{part}_low"], left), score[f"{part}_high"]], [row, row], color=colour, linewidth=2)
    face = PAPER if score["optimistic"] else colour
    axes.plot([value], [row], "o", color=colour, markerfacecolor=face, markersize=6.5, markeredgewidth=1.6)


def lines(series: Mapping[str, pd.DataFrame], labels: Labels, diagonal: bool = False, log: bool = False) -> Markup:
    """Draw lines that are told apart by a legend.

    Args:
        series: name -> ``x``, ``y`` and optionally ``low`` and ``high``, which become a band.
        labels: of the panel.
        diagonal: whether to draw the line of equality.
        log: whether x is logarithmic, with a mark at each point and a tick at each x.
    """

    def draw(axes: Axes) -> None:
        if diagonal:
            axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.5)
        for number, (name, table) in enumerate(series.items()):
            style = _style(number)
            marker = "o" if log else ""
            axes.plot(table["x"], table["y"], marker=marker, markersize=4, label=name, linewidth=1.6, **style)
            if "low" in table:
                axes.fill_between(
                    table["x"], table["low"], table["high"], color=style["color"], alpha=0.14, linewidth=0
                )
        if log:
            ticks = sorted({x for table in series.values() for x in table["x"]})
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(ticks))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_minor_locator(NullLocator())
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=SMALL, handlelength=1.6, labelcolor=INK)
        _label(axes, labels)

    return panel(draw, labels.title)


def steps(table: pd.DataFrame, labels: Labels, edges: tuple[float, float]) -> Markup:
    """Draw a curve over whole numbers with its band.

    Args:
        table: ``x`` (1, 2, ...), ``y``, ``low``, ``high``.
        labels: of the panel.
        edges: of the vertical axis, so that panels can be compared.
    """

    def draw(axes: Axes) -> None:
        axes.fill_between(table["x"], table["low"], table["high"], color=ACCENT, alpha=0.14, linewidth=0)
        axes.plot(table["x"], table["y"], "o-", color=ACCENT, linewidth=1.6, markersize=4)
        axes.set_ylim(edges[0] - 0.1, edges[1] + 0.1)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _label(axes, labels)

    return panel(draw, labels.title)


def binned(table: pd.DataFrame, factor: str, names: Mapping[str, str], labels: Labels) -> Markup:
    """Draw a mean with its interval per bin and level, bins side by side.

    Args:
        table: ``factor``, ``longest``, ``accuracy``, ``low``, ``high``.
        factor: the column whose levels are told apart.
        names: level -> what a person calls it.
        labels: of the panel.
    """

    def draw(axes: Axes) -> None:
        bins = sorted(table["longest"].unique())
        count = table[factor].nunique()
        for number, (level, group) in enumerate(table.groupby(factor, sort=False)):
            group = group.set_index("longest").loc[bins]
            x = np.arange(len(bins)) + 0.16 * (number - (count - 1) / 2)
            style = _style(number)
            axes.plot(x, group["accuracy"], marker="o", markersize=4, label=names[str(level)], **style)
            axes.vlines(x, group["low"], group["high"], color=style["color"], linewidth=1)
        axes.set_xticks(range(len(bins)), [f"{each:,}" for each in bins], fontsize=SMALL)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.11 * -(-count // 2) * (high - low))  # room for the legend, above all points
        axes.legend(frameon=False, fontsize=SMALL, handlelength=1.6, labelcolor=INK, loc="upper left", ncols=2)
        _label(axes, labels)

    return panel(draw, labels.title)


def scatter(x: Any, y: Any, labels: Labels, line: pd.DataFrame | None = None, log: bool = False) -> Markup:
    """Draw points, and optionally a line through them.

    Args:
        x: of each point.
        y: of each point.
        labels: of the panel.
        line: ``x`` and ``y`` of its ends.
        log: whether x is logarithmic.
    """

    def draw(axes: Axes) -> None:
        axes.scatter(x, y, 18, facecolor=ACCENT, alpha=0.75)
        if line is not None:
            axes.plot(line["x"], line["y"], color=OTHER, linewidth=1.6)
        if log:
            axes.set_xscale("log")
            low, high = min(x), max(x)
            ticks = [tick for tick in (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2) if low <= tick <= high]
            axes.xaxis.set_major_locator(FixedLocator(ticks))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _label(axes, labels)

    return panel(draw, labels.title)


def _label(axes: Axes, labels: Labels) -> None:
    axes.set_title(labels.title)
    axes.set_xlabel(labels.x)
    axes.set_ylabel(labels.y)
