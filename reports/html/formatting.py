"""Numbers and times as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, SupportsFloat

import pandas as pd


def percent(proportion: SupportsFloat, digits: int = 2) -> str:
    """Write a proportion (0 to 1) in per cent, without the sign.

    >>> percent(0.88641)
    '88.64'
    """
    return f"{100 * float(proportion):.{digits}f}"


def point(value: SupportsFloat) -> str:
    """Write a number of points, or of per cent.

    >>> point(88.6414)
    '88.64'
    """
    return f"{float(value):.2f}"


def between(low: float, high: float, digits: int = 2) -> str:
    """Write two limits, a dash where there are none.

    >>> between(0.4, 1.234), between(math.nan, math.nan)
    ('[0.40, 1.23]', '–')
    """
    return "–" if pd.isna(low) or pd.isna(high) else f"[{low:,.{digits}f}, {high:,.{digits}f}]"


def loss(value: SupportsFloat) -> str:
    """Write a loss with the digits that mean something.

    >>> loss(0.29314)
    '0.293'
    """
    return f"{float(value):.3f}"


def setting(value: object) -> str:
    """Write the value of a setting, a number with at most three significant digits after its zeros.

    >>> [setting(value) for value in (128, 0.00213456, 0.3, True, "mean")]
    ['128', '0.00213', '0.3', 'yes', 'mean']
    """
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def alike(column: pd.Series[Any]) -> Callable[[Any], str]:
    """Return how to write the values of a setting below each other: fractions with one number of decimals.

    >>> write = alike(pd.Series([0.3, 0.09, 0.412345]))
    >>> [write(value) for value in (0.3, 0.09, 0.412345)]
    ['0.300', '0.090', '0.412']
    """
    if not pd.api.types.is_float_dtype(column):
        return setting
    size = float(column.abs()[column != 0].median())
    decimals = max(0, 2 - math.floor(math.log10(size))) if math.isfinite(size) else 0
    return lambda value: f"{value:.{decimals}f}"


def duration(seconds: SupportsFloat) -> str:
    """Write a time span in its largest unit, and the next one while that still matters.

    >>> [duration(seconds) for seconds in (8.4, 95, 1729, 4000, 200_000)]
    ['8 s', '1 min 35 s', '29 min', '1 h 6 min', '2 d 7 h']
    """
    whole = round(float(seconds))
    for size, unit, smaller, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= 10 * size:
            return f"{round(whole / size)} {unit}"
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"


def count(value: SupportsFloat) -> str:
    """Write a whole number, its thousands apart.

    >>> count(21250)
    '21,250'
    """
    return f"{round(float(value)):,}"


def about(value: SupportsFloat) -> str:
    """Write a large number by its first digits.

    >>> [about(value) for value in (1_234_567_890, 45_678_901, 1234)]
    ['1.2 billion', '46 million', '1,200']
    """
    number = float(value)
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.2g} {name}" if number < 100 * size else f"{number / size:,.0f} {name}"
    return f"{float(f'{number:.2g}'):,.0f}"


def plural(number: int, one: str, many: str = "") -> str:
    """Write how many there are.

    >>> plural(1, "run"), plural(7, "run")
    ('1 run', '7 runs')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def opening(text: str) -> str:
    """Begin a sentence with these words.

    >>> opening("mean pooling beats BCE")
    'Mean pooling beats BCE'
    """
    return text[:1].upper() + text[1:]


def moment(time: pd.Timestamp) -> str:
    """Write a time to the minute, in UTC.

    >>> moment(pd.Timestamp("2026-11-18 11:06:40", tz="UTC"))
    '18 Nov 2026, 11:06 UTC'
    """
    return f"{time.day} {time.strftime('%b %Y, %H:%M')} UTC"


def span(start: pd.Timestamp, end: pd.Timestamp) -> str:
    """Write from when to when, in UTC.

    >>> span(pd.Timestamp("2026-11-18 11:06", tz="UTC"), pd.Timestamp("2026-11-18 11:35", tz="UTC"))
    '18 Nov 2026, 11:06 to 11:35 UTC'
    """
    if moment(start) == moment(end):
        return moment(start)
    if start.date() == end.date():
        return f"{moment(start).removesuffix(' UTC')} to {end.strftime('%H:%M')} UTC"
    return f"{moment(start).removesuffix(' UTC')} to {moment(end)}"
