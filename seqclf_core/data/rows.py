"""The door: a row of a source becomes a review, or is named as bad.

Every source hands its rows over as it found them; what a text, a label and a group may be is decided here, once.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pyarrow as pa

from seqclf_core.errors import DataError

LABELS = {
    "0": 0, "0.0": 0, "false": 0, "neg": 0, "negative": 0,
    "1": 1, "1.0": 1, "true": 1, "pos": 1, "positive": 1,
}  # fmt: skip
"""What a label may be called, in lower case."""

_BREAKS = re.compile(r"(?:\s|<br\s*/?>)*", re.IGNORECASE)
_TOGETHER = 2**27  # bytes of text per Arrow chunk, which cannot hold more than 2 GiB


class RawRow(NamedTuple):
    """One row of a source, not yet judged."""

    place: str
    """File and row, for a person."""
    text: object = None
    label: object = None
    group: object = None
    problem: str = ""
    """Why the source itself could not read the row; empty where it could."""


@dataclass(frozen=True)
class RawPart:
    """The training, test or unlabelled part of a source, not yet judged."""

    name: str
    """Where it comes from, for a person."""
    columns: tuple[str, ...]
    rows: Callable[[str | None], Iterator[RawRow]]
    """Read the rows, with the values of this column as their groups."""


class _BadRow(Exception):
    """What is wrong with a row."""


def judge(part: RawPart, group_column: str | None, on_bad_row: Literal["stop", "skip"]) -> tuple[pa.Table, int]:
    """Read a part and judge every row.

    Returns:
        A table of ``text`` (string), ``label`` (int64, 0 or 1), ``row`` (int64, counted from 0 over all rows
        of the part) and, with a group column, ``group`` (string); and how many bad rows were skipped.

    Raises:
        DataError: if a column is missing or, unless bad rows are to be skipped, a row is bad; names file and row.
    """
    for column in ("text", "label", *([group_column] if group_column else [])):
        if column not in part.columns:
            raise DataError(
                f"{part.name}: there is no column {column!r}; its columns are {_list(part.columns)}. "
                "Reviews need a column 'text' and a column 'label'; rename yours, "
                "or name the group column with --data.group-column."
            )
    schema = pa.schema([("text", pa.string()), ("label", pa.int64()), ("row", pa.int64())])
    if group_column:
        schema = schema.append(pa.field("group", pa.string()))
    batches: list[pa.RecordBatch] = []
    good: list[tuple[object, ...]] = []
    size = skipped = 0
    for number, raw in enumerate(part.rows(group_column)):
        try:
            text = _text(raw)
            review = (text, _label(raw), number)
            good.append((*review, _group(raw, group_column)) if group_column else review)
            size += len(text)
        except _BadRow as problem:
            if on_bad_row == "stop":
                raise _stop(raw, problem) from None
            skipped += 1
        if size > _TOGETHER:
            batches.append(_batch(good, schema))
            good, size = [], 0
    if good:
        batches.append(_batch(good, schema))
    return pa.Table.from_batches(batches, schema), skipped


def texts(part: RawPart, on_bad_row: Literal["stop", "skip"]) -> tuple[list[str], int]:
    """Read the texts of a part whose labels are not looked at; return them, and how many bad ones were skipped.

    Raises:
        DataError: if there is no column of texts or, unless bad rows are to be skipped, a text is bad.
    """
    if "text" not in part.columns:
        raise DataError(f"{part.name}: there is no column 'text'; its columns are {_list(part.columns)}.")
    found, skipped = [], 0
    for raw in part.rows(None):
        try:
            found.append(_text(raw))
        except _BadRow as problem:
            if on_bad_row == "stop":
                raise _stop(raw, problem) from None
            skipped += 1
    return found, skipped


def _stop(raw: RawRow, problem: _BadRow) -> DataError:
    return DataError(
        f"{raw.place}: {problem}. Correct the row, or leave bad rows out with --data.on-bad-row skip."
    )


def _batch(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _text(raw: RawRow) -> str:
    if raw.problem:
        raise _BadRow(raw.problem)
    if raw.text is None:
        raise _BadRow("there is no text")
    text = _utf8(raw.text, "text")
    # Nothing but breaks would leave a model without a single token to read.
    if _BREAKS.fullmatch(text):
        raise _BadRow("the text is empty")
    return text


def _label(raw: RawRow) -> int:
    if raw.label is None or raw.label == "":
        raise _BadRow("there is no label")
    label = LABELS.get(str(raw.label).strip().lower()) if isinstance(raw.label, str | int | float) else None
    if label is None:
        raise _BadRow(f"unknown label {shown(raw.label)}; expected 0 or 1, neg or pos, negative or positive")
    return label


def _group(raw: RawRow, column: str) -> str:
    if raw.group in (None, "", b"") or raw.group != raw.group:  # NaN is not equal to itself
        raise _BadRow(f"there is no {column}, the group that a split keeps together")
    if isinstance(raw.group, str | bytes):
        return _utf8(raw.group, column)
    if isinstance(raw.group, int | float):
        return str(raw.group)
    raise _BadRow(f"{column} is {shown(raw.group)}; expected text or a number")


def _utf8(value: object, what: str) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, str):
            value.encode()  # refuses halves of surrogate pairs, which no file of UTF-8 can hold
            return value
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise _BadRow(f"the {what} is not valid UTF-8 ({error.reason} at position {error.start})") from None
    raise _BadRow(f"the {what} is {shown(value)}; expected a string")


def shown(value: object) -> str:
    """Return a value as a message can carry it: escaped, and cut where it is long."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(shown(name) for name in names[:20]) or "none"
