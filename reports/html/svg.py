"""Figures as inline SVG that take their colours and type from the page, so they follow light, dark and print.

Every figure is one small panel, drawn at the width of a phone; the page sets panels side by side where there is
room. Colours are drawn as stand-ins and replaced by CSS variables. Text stays text, in the page's own font.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.html.marks import Mark, markup

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
MARKS = "marks"
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


def panel(
    draw: Callable[[Axes], None], alt: str, height: float = 230, marks: Sequence[Mark] = (), clip: bool = False
) -> Markup:
    """Draw one panel.

    Args:
        draw: puts data, title and labels on the axes, and sets their limits where there are marks.
        alt: what the panel shows, for those who cannot see it.
        height: in CSS pixels, at a width of ``WIDTH``.
        marks: of runs, above what ``draw`` draws.
        clip: whether marks are cut off at the edges of the axes.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser's fonts draw the text
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        draw(axes := figure.add_subplot())
        axes.add_line(Line2D([], [], gid=MARKS, zorder=2.5))  # a place above lines and below text
        figure.patch.set_alpha(0)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        out = io.StringIO()
        FigureCanvasSVG(figure)
        figure.savefig(out, format="svg", metadata=NO_METADATA)
    above, place, below = str(_inline(out.getvalue(), alt)).partition(f'<g id="{MARKS}"/>')
    assert place
    return Markup(f"{above}<g>\n{markup(marks, axes, height, clip)}</g>{below}")


def _inline(svg: str, alt: str) -> Markup:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.S)  # styles of the whole page
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.S)
    svg = re.sub(rf'<g id="(?!{MARKS}")[^"]*">', "<g>", svg)  # the same in every figure, and used by nobody
    svg = _GEOMETRY.sub(lambda found: _PRECISE.sub(r"\1", found[0]), svg)
    svg = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    size = re.search(r'viewBox="[^"]*"', svg)
    assert size
    head = f'<svg class="panel" role="img" aria-label="{escape(alt)}" {size[0]}>'
    return Markup(head + svg[svg.index(">") + 1 :].replace("xlink:href", "href"))


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


def shortened(text: str, length: int = 26) -> str:
    """Cut a name so that it does not push the drawing away."""
    return text if len(text) <= length else text[: length - 1] + "…"
