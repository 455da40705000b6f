"""Figures as inline SVG that take their colours and type from the page, so they follow light, dark and print.

Every figure is one small panel, drawn at the width of a phone; the page sets panels side by side where there is
room. Colours are drawn as stand-ins and replaced by CSS variables. Text stays text, in the page's own font.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-in colour -> the page's CSS variable.
INK, MUTED, RULE = "#010203", "#010204", "#010205"
ACCENT, LINE, OTHER, PAPER = "#010206", "#010207", "#010208", "#010209"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    ACCENT: "--accent",
    LINE: "--line",
    OTHER: "--other",
    PAPER: "--paper",
}
WIDTH = 350  # CSS pixels: what a phone of 390 has between its margins, so that text is seen as large as drawn
SMALL = 11.5  # CSS pixels: the smallest text of a figure
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "seqclf",  # ids are the same every time
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 12,
    "axes.titlesize": 12.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.major.width": 0.7,
    "text.color": INK,
    "figure.dpi": 72,
    "lines.linewidth": 1.1,
}
NO_METADATA = dict.fromkeys(["Date", "Creator", "Format", "Type"])  # a date would differ every time
_PRECISE = re.compile(r"(\.\d{2})\d+")
_GEOMETRY = re.compile(r' (?:d|x|y|transform|width|height)="[^"]*"')
_COLOUR = re.compile("|".join(VARIABLES))


def panel(draw: Callable[[Axes], None], alt: str, height: float = 230) -> Markup:
    """Draw one panel.

    Args:
        draw: puts data, title and labels on the axes.
        alt: what the panel shows, for those who cannot see it.
        height: in CSS pixels, at a width of ``WIDTH``.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser's fonts draw the text
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        draw(figure.add_subplot())
        figure.patch.set_alpha(0)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        out = io.StringIO()
        FigureCanvasSVG(figure)
        figure.savefig(out, format="svg", metadata=NO_METADATA)
    return _inline(out.getvalue(), alt)


def _inline(svg: str, alt: str) -> Markup:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.S)  # styles of the whole page
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.S)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # the same in every figure, and used by nobody
    svg = _GEOMETRY.sub(lambda found: _PRECISE.sub(r"\1", found[0]), svg)
    svg = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    size = re.search(r'viewBox="[^"]*"', svg)
    assert size
    head = f'<svg class="panel" role="img" aria-label="{escape(alt)}" {size[0]}>'
    return Markup(head + svg[svg.index(">") + 1 :].replace("xlink:href", "href"))


def learning(curves: pd.DataFrame, best: str) -> list[Markup]:
    """Draw accuracy and loss, training beside validation, of some runs; the best one stands out.

    Args:
        curves: of the runs to draw, as ``frames.curves`` gives them.
        best: key of the run that stands out; a dot marks the evaluation whose weights were kept.
    """
    panels = []
    for metric in ("accuracy", "loss"):
        scale, unit = (100, ", %") if metric == "accuracy" else (1, "")
        drawn = curves.assign(**{part: curves[f"{part}/{metric}"] * scale for part in ("train", "val")})
        edges = limits(drawn[["train", "val"]].to_numpy(), upward=metric == "accuracy")
        for part, name in (("train", "Training"), ("val", "Validation")):
            title = f"{name} {metric}{unit}"
            draw = partial(_draw_curves, curves=drawn, part=part, best=best, title=title, limits=edges)
            panels.append(panel(draw, title))
    return panels


def _draw_curves(
    axes: Axes, curves: pd.DataFrame, part: str, best: str, title: str, limits: tuple[float, float]
) -> None:
    many = curves["step"].max() > 5000
    unit, per = ("thousand training reviews seen", 1000) if many else ("training reviews seen", 1)
    curves = curves.assign(step=curves["step"] / per)
    others, first = curves[curves["key"] != best], curves[curves["key"] == best]
    for _, run in others.groupby("key"):
        axes.plot(run["step"], run[part], color=LINE)
    axes.plot(first["step"], first[part], color=ACCENT, linewidth=1.8)
    kept = first.nlargest(1, "val/accuracy")
    axes.plot(kept["step"], kept[part], "o", color=ACCENT, markersize=5, clip_on=False)
    axes.set_title(title)
    axes.set_ylim(limits)
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def limits(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], upward: bool) -> tuple[float, float]:
    """Return limits that hold all values but those far off: a run that diverges must not flatten the others."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    lower, upper = np.quantile(finite, [0.25, 0.75])
    far = max(3 * (upper - lower), 20 if upward else 0.5)  # Tukey's outer fence, but no closer than matters
    low = max(finite.min(), lower - far) if upward else finite.min()
    high = finite.max() if upward else min(finite.max(), upper + far)
    margin = max(0.05 * (high - low), 1e-3)
    return float(low - margin), float(high + margin)


def levels(runs: pd.DataFrame, setting: str) -> Markup:
    """Draw the validation accuracy of runs at each value of a setting.

    A filled dot is a complete run, the tick their median. A ring is a pruned run at the last value that it showed,
    which is no final score. What lies far left of the complete runs is counted at the panel's edge.
    """
    final, last = 100 * runs["best/val_accuracy"], 100 * runs["val/accuracy"]
    pruned = last.where(runs["outcome"] == "pruned")
    lower, middle = final.quantile([0.25, 0.5])
    left = max(min(final.min(), pruned.min()), lower - max(4 * (middle - lower), 1.5))
    values = runs[setting].astype("str")
    names = sorted(values.dropna().unique())

    def draw(axes: Axes) -> None:
        for row, name in enumerate(names):
            _draw_level(axes, row, final[values == name].dropna(), left, filled=True)
            _draw_level(axes, row, pruned[values == name].dropna(), left, filled=False)
        axes.set_yticks(range(len(names)), [shortened(name) for name in names])
        axes.tick_params("y", colors=INK)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left - 0.03 * (final.max() - left), final.max() + 0.05 * (final.max() - left) + 1e-3)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_title(f"By {shortened(setting)}")
        axes.set_xlabel("validation accuracy, %")
        axes.xaxis.set_major_locator(MaxNLocator(5))

    return panel(draw, f"Validation accuracy by {setting}", 88 + 44 * len(names))


def _draw_level(axes: Axes, row: int, scores: pd.Series[float], left: float, filled: bool) -> None:
    inside = scores[scores >= left].sort_values()
    outside = len(scores) - len(inside)
    spread = (np.arange(len(inside)) * 0.618 % 1 - 0.5) * (0.34 if filled else 0.2)  # even, and always the same
    y = row + (-0.16 if filled else 0.24)
    kind: Any = {"facecolor": ACCENT} if filled else {"facecolor": "none", "edgecolor": MUTED, "linewidth": 0.8}
    crowd = max(1.0, len(inside) / 60)  # many dots are small and faint, so that their density shows
    axes.scatter(inside, y + spread, max(16 / crowd, 5), alpha=max(0.75 / crowd, 0.25), **kind)
    if filled and len(scores):
        axes.vlines(scores.median(), row - 0.42, row + 0.1, color=INK, linewidth=1.6)
    if outside:
        label = f"‹ {outside} more" if filled else f"‹ {outside} pruned"
        axes.annotate(label, (left, y), fontsize=SMALL, color=MUTED, va="center")


def shares(values: pd.Series[float], title: str) -> Markup:
    """Draw shares of 1 as bars, in the order given, the number at each bar's end."""

    def draw(axes: Axes) -> None:
        rows = range(len(values))
        axes.barh(rows, values, height=0.5, color=ACCENT)
        for row, value in zip(rows, values, strict=True):
            axes.annotate(f"{100 * value:.0f} %", (value, row), (4, 0), textcoords="offset points", va="center")
        axes.set_yticks(rows, [shortened(str(name)) for name in values.index])
        axes.tick_params("y", colors=INK)
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.set_xlim(0, 1.15 * max(values.max(), 0.01))
        axes.set_title(title)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.grid(visible=False)

    return panel(draw, title, 40 + 24 * len(values))


def shortened(text: str, length: int = 26) -> str:
    """Cut a name so that it does not push the drawing away."""
    return text if len(text) <= length else text[: length - 1] + "…"
