"""Tables as CSV, in which no cell is a formula."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from seqclf_core.errors import UserError

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


def from_csv(file: Path) -> pd.DataFrame:
    """Return a table that ``to_csv`` wrote, all cells as texts and empty ones as missing.

    Raises:
        UserError: if the file cannot be read.
    """
    try:
        table = pd.read_csv(file, dtype="str", keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read as a table ({error}). Expected CSV with a line of names."
        ) from error
    escaped = tuple(f"'{beginning}" for beginning in BEGINNINGS)
    for name in table:
        cells = table[name]
        table[name] = cells.where(~cells.str.startswith(escaped, na=False), cells.str[1:])
    return table


def _inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", "\n")  # which is not quoted, and begins a row
    return f"'{cell}" if cell.startswith(BEGINNINGS) else cell
