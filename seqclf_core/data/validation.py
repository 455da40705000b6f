"""What a text, a label and a group may be: columns as found -> columns fit for use, and the faults of bad rows.

Whole columns are judged at once; row by row goes only what is not as it should be, so that it can be named.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqclf_core.data.readers import OTHER_ENCODING, Column, shown
from seqclf_core.errors import DataError

Problems = dict[int, str]
"""Row -> what is wrong with it."""

LABELS = {
    "0": 0, "0.0": 0, "false": 0, "neg": 0, "negative": 0,
    "1": 1, "1.0": 1, "true": 1, "pos": 1, "positive": 1,
}  # fmt: skip
"""Accepted spelling of a label, in lower case -> the label."""
_BREAKS = re.compile(r"(?:\s|<br\s*/?>)*", re.IGNORECASE)
_MAY_BE_EMPTY = r"(?i)^(?:[\x00-\x20]|<br\s*/?>|[^\x00-\x7f])*$"
"""Few texts match; whether the rest of their characters are spaces, Arrow does not tell as Python does."""


def check_texts(column: Column, problems: Problems) -> pa.LargeStringArray:
    """Return texts as valid UTF-8; rows without one, or with nothing in it, become problems."""
    cells = _cells(column, problems, "the text is {}; expected a string", numbers=False)
    for row in np.flatnonzero(cells.is_null()):
        problems.setdefault(int(row), "there is no text")
    texts = _utf8(cells, "text", problems)
    # Nothing but breaks would leave a model without a single token to read.
    for row in np.flatnonzero(pc.match_substring_regex(texts, _MAY_BE_EMPTY).fill_null(False)):
        if _BREAKS.fullmatch(texts[int(row)].as_py()):
            problems.setdefault(int(row), "the text is empty")
    return texts


def check_labels(
    column: Column, name: str, problems: Problems, names: Sequence[str] | None, values: Mapping[str, int]
) -> pa.Int64Array:
    """Return labels as 0 or 1; rows with another one become problems.

    Args:
        column: as it was found.
        name: of the column.
        problems: gets the rows that are bad.
        names: what the numbers 0, 1, ... stand for, where the source says so.
        values: what ``data.labels`` says, from ``label_values``.
    """
    cells = _cells(column, problems, "unknown label {}", numbers=True).dictionary_encode()
    found = [cell.decode(errors="replace").strip() for cell in cells.dictionary.to_pylist()]
    meanings = np.array([*(_meaning(label, names, values) for label in found), -1])
    codes = cells.indices.fill_null(len(found)).to_numpy()
    labels = meanings[codes]
    others = [label for label in found if label]
    messages = {code: _unknown(label, name, others, values) for code, label in enumerate(found) if label}
    for row in np.flatnonzero(labels < 0).tolist():
        problems.setdefault(row, messages.get(codes[row], "there is no label"))
    return pa.array(np.maximum(labels, 0))


def _meaning(label: str, names: Sequence[str] | None, values: Mapping[str, int]) -> int:
    """Return 0 or 1, or -1 where a label means neither."""
    if values:
        return values.get(label.lower(), -1)
    if names and re.fullmatch(r"[0-9]+(\.0)?", label):
        number = int(float(label))
        label = names[number] if number < len(names) else ""
    return LABELS.get(label.lower(), -1)


def _unknown(label: str, name: str, found: Sequence[str], values: Mapping[str, int]) -> str:
    """Say what is wrong with a label, and what would help."""
    expected = " or ".join(values) or "0 or 1, neg or pos, negative or positive"
    problem = f"unknown label {shown(label)}; expected {expected}"
    if len(found) == 2:
        low, high = (shlex.quote(f"{value}={number}") for number, value in enumerate(sorted(found)))
        return (
            f"{problem}. The column {name!r} has the two labels {listed(found)}: say which is positive, "
            f"as in --data.labels {low},{high}"
        )
    return (
        f"{problem}. The column {name!r} has {len(found)} different labels ({listed(found[:5])}); two can be told "
        "apart: name them with --data.labels 'VALUE=1,OTHER=0', and leave out others with --data.on-bad-row skip"
    )


def label_values(labels: str) -> dict[str, int]:
    """Return what ``data.labels`` says: value, in lower case -> 0 or 1; nothing where it is auto."""
    if labels == "auto":
        return {}
    pairs = [each.rpartition("=") for each in labels.split(",")]
    found = {value.strip().lower(): number.strip() for value, _, number in pairs}
    if set(found.values()) != {"0", "1"} or len(found) != len(pairs) or "" in found:
        raise DataError(f"--data.labels {labels}: expected which value is which, such as positive=1,negative=0.")
    return {value: int(number) for value, number in found.items()}


def check_groups(column: Column, name: str, problems: Problems) -> pa.LargeStringArray:
    """Return groups as texts; rows without one become problems."""
    if not isinstance(column, list) and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    cells = _cells(column, problems, f"{name} is {{}}; expected text or a number", numbers=True)
    empty = pc.equal(pc.binary_length(cells), 0).fill_null(True)
    for row in np.flatnonzero(empty):
        problems.setdefault(
            int(row),
            f"there is no {name}, the group that a split keeps together (--data.group-column none does without)",
        )
    return _utf8(cells, name, problems)


def _cells(column: Column, problems: Problems, wrong: str, *, numbers: bool) -> pa.LargeBinaryArray:
    """Return cells as bytes, since Arrow does not promise that a string is UTF-8; null where there is none.

    Args:
        column: as it was found.
        problems: gets the rows of cells that are of another kind.
        wrong: what to say of these; ``{}`` stands for the cell.
        numbers: whether numbers are taken as texts of their digits.
    """
    if not isinstance(column, list) and (numbers or not _is_number(column.type)):
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        return (column.cast(pa.large_string()) if _is_number(column.type) else column).cast(pa.large_binary())
    cells: list[bytes | None] = []
    for row, value in enumerate(column if isinstance(column, list) else column.to_pylist()):
        plain = isinstance(value, str) or (numbers and isinstance(value, bool | int | float) and value == value)
        cells.append(str(value).encode(errors="surrogatepass") if plain else None)
        if not plain and value is not None:
            problems.setdefault(row, wrong.format(shown(value)))
    return pa.array(cells, pa.large_binary())


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _utf8(cells: pa.LargeBinaryArray, what: str, problems: Problems) -> pa.LargeStringArray:
    try:
        return cells.cast(pa.large_string())
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        for row, cell in enumerate(cells.to_pylist()):
            try:
                texts.append(None if cell is None else cell.decode())
            except UnicodeDecodeError as error:
                texts.append(None)
                problems.setdefault(
                    row,
                    f"the {what} is not valid UTF-8 ({error.reason} at position {error.start}); {OTHER_ENCODING}",
                )
        return pa.array(texts, pa.large_string())


def listed(names: Iterable[str]) -> str:
    """Return names as a message can carry them."""
    return ", ".join(shown(name) for name in list(names)[:20]) or "none"
