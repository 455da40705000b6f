"""What stands for a run in a figure: a line, a dot, a ring or a bar that names the run and lights up with its row.

Matplotlib draws a panel's axes; the marks are written into its SVG here, since each needs the key of its run and a
text that a browser shows under the pointer. A thousand of them take a few milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Shape = Literal["line", "dot", "ring", "bar"]
RADIUS = 3.6  # CSS pixels
LISTED = 12  # values that are said of a line; of a longer one every second, third ...


@dataclass(frozen=True)
class Mark:
    """One run in one panel, in the units of the panel's axes."""

    run: str
    """Key of the run, by which marks and rows of tables know each other."""
    text: str
    """Description of the mark, shown where a reader points at it."""
    x: Sequence[float] | Array
    y: Sequence[float] | Array
    shape: Shape = "line"
    role: str = ""
    """``best``, ``pruned`` or ``failed``: how it is set apart."""
    size: float = 0
    """Height of a bar in CSS pixels."""


def said(name: str, what: str, values: Iterable[float], digits: int = 2) -> str:
    """Say which run a line is of, and its values.

    >>> said("0007 mean bce", "validation accuracy, %", [71.5, 73.942])
    '0007 mean bce. Validation accuracy, %: 71.50, 73.94'
    """
    finite = [value for value in values if math.isfinite(value)]
    every = -(-len(finite) // LISTED) or 1
    kept = finite[::-1][::every][::-1]  # the last one always
    numbers = ", ".join(f"{value:.{digits}f}" for value in kept)
    return f"{name}. {what[:1].upper()}{what[1:]}: {numbers}" if numbers else name


def markup(marks: Sequence[Mark], axes: Axes, height: float, clip: bool) -> Markup:
    """Return the SVG of marks, those that are set apart last, so that they lie above the others.

    Args:
        marks: in the units of the axes.
        axes: where they lie; its figure has been drawn, at one dot per CSS pixel.
        height: of the figure in CSS pixels.
        clip: whether what lies outside the axes is cut off.
    """
    above = sorted(marks, key=lambda mark: mark.role == "best")
    body = "\n".join(shape for mark in above if (shape := _shape(mark, axes, height)))
    if not clip or not body:
        return Markup(body)
    box = axes.get_window_extent()
    x, y = box.x0, height - box.y1
    frame = f"{x:.1f} {y:.1f} {box.width:.1f} {box.height:.1f}"
    # A nested svg cuts off at its edges and, unlike a clipPath, needs no id that is unique on the page.
    return Markup(
        f'<svg x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" viewBox="{frame}">'
        f"\n{body}\n</svg>"
    )


def _shape(mark: Mark, axes: Axes, height: float) -> str:
    places = np.column_stack([np.asarray(mark.x, float), np.asarray(mark.y, float)])
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        return ""
    seen = axes.transData.transform(places)
    points = [(f"{x:.1f}", f"{height - y:.1f}") for x, y in seen]
    name = " ".join(_classes(mark))
    head = f'<g class="{name}" data-run="{escape(mark.run)}"><title>{escape(mark.text)}</title>'
    if mark.shape in ("dot", "ring") or len(points) == 1:
        x, y = points[-1]
        return f'{head}<circle cx="{x}" cy="{y}" r="{RADIUS}"/></g>'
    if mark.shape == "bar":
        (left, y), (right, _) = seen[0], seen[-1]
        width = max(right - left - 1, 1.5)  # a gap to the next bar
        up = height - y - mark.size / 2
        return f'{head}<rect x="{left:.1f}" y="{up:.1f}" width="{width:.1f}" height="{mark.size:.1f}"/></g>'
    path = "M" + "L".join(f"{x} {y}" for x, y in points)
    return f'{head}<path class="hit" d="{path}"/><path d="{path}"/></g>'  # a thin line is hard to point at


def _classes(mark: Mark) -> Iterator[str]:
    yield "run"
    yield mark.shape
    if mark.role:
        yield mark.role
