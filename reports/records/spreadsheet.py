"""Tables as CSV, in which no cell is a formula."""

from __future__ import annotations

import pandas as pd

BEGINNINGS = ("=", "+", "-", "@", "\t", "\n")
"""A spreadsheet takes a text that begins with one of these for a formula, and would compute it."""


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV; a text that a spreadsheet would compute gets an apostrophe before it.

    Names of studies, settings, tags and texts come from others. Numbers stay as they are.
    """
    inert = table.rename(columns=_inert)
    for name, kind in inert.dtypes.items():
        if not pd.api.types.is_numeric_dtype(kind):
            inert[name] = inert[name].map(_inert)
    return inert.to_csv(index=False)


def _inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", "\n")  # which is not quoted, and begins a row
    return f"'{cell}" if cell.startswith(BEGINNINGS) else cell
