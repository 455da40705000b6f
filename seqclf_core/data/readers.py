"""Parquet, CSV and JSON Lines files: their rows as they really are.

Parquet goes through ``datasets``. CSV and JSON Lines do not, because there it guesses a type per column and
changes texts: with 5.2, the review ``NA`` became no review, ``007`` became 7.0 and ``2020-01-01`` a time of day.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from seqclf_core.data.parquet import parquet_columns, parquet_rows
from seqclf_core.data.rows import RawPart, RawRow, shown
from seqclf_core.errors import DataError

SUFFIXES = (".parquet", ".csv", ".jsonl", ".ndjson", ".json")
"""The kinds of file that can be read."""


def open_files(files: Sequence[Path], cache: Path, label_names: Sequence[str] | None = None) -> RawPart:
    """Open files of one kind that make up one part of the data, in this order.

    Args:
        files: at least one; their names end with one of ``SUFFIXES``.
        cache: folder for what is worth keeping between two readings.
        label_names: what whole numbers in the label column stand for, where the source says so elsewhere.

    Raises:
        DataError: if a file cannot be read; names it.
    """
    suffixes = {file.suffix.lower() for file in files}
    if len(suffixes) != 1 or not suffixes <= set(SUFFIXES):
        raise DataError(f"{files[0]}: expected a file that ends with {', '.join(SUFFIXES)}.")
    name = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    try:
        match suffixes.pop():
            case ".parquet":
                columns = parquet_columns(files[0])
                return RawPart(name, columns, lambda group: parquet_rows(files, group, cache, label_names))
            case ".csv":
                return RawPart(name, _csv_header(files[0]), lambda group: _csv_rows(files, group))
            case _:
                return RawPart(name, _json_keys(files[0]), lambda group: _json_rows(files, group))
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}.") from error


# CSV ------------------------------------------------------------------------------------------------------------


def _csv_lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the number of the line on which it starts."""
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses texts over 128 KiB
    try:
        # surrogateescape: a wrong byte spoils its own row, which is then named, and not the whole file
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    record = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise DataError(
                        f"{file}, line {line}: this is not CSV: {error}. "
                        "A text with commas, quotes or line breaks stands in quotes, its own quotes doubled."
                    ) from error
                if record:  # a blank line is no record
                    yield line, record
    finally:
        csv.field_size_limit(limit)


def _csv_header(file: Path) -> tuple[str, ...]:
    names = next((tuple(record) for _, record in _csv_lines(file)), ())
    for name in ("text", "label"):
        if names.count(name) > 1:
            raise DataError(f"{file}: its first line names the column {name!r} twice.")
    return names


def _csv_rows(files: Sequence[Path], group: str | None) -> Iterator[RawRow]:
    for file in files:
        records = _csv_lines(file)
        _, names = next(records, (1, []))
        # Whether there are labels at all, the first file says.
        for name in (
            "text",
            *(["label"] if "label" in _csv_header(files[0]) else []),
            *([group] if group else []),
        ):
            if name not in names:
                raise DataError(f"{file}: its first line names no column {name!r}.")
        for row, (line, record) in enumerate(records):
            place = f"{file}, line {line} (row {row})"
            if len(record) == len(names):
                fields = dict(zip(names, record, strict=True))
                yield RawRow(place, fields["text"], fields.get("label"), fields[group] if group else None)
            else:
                problem = f"it has {len(record)} fields where the first line names {len(names)}"
                yield RawRow(place, problem=problem)


# JSON Lines -----------------------------------------------------------------------------------------------------


def _json_objects(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield each line's number and its object, or what is wrong with it."""
    with file.open("rb") as stream:
        for line, data in enumerate(stream, start=1):
            if not data.strip():
                continue
            try:
                value = json.loads(data.decode("utf-8-sig" if line == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                yield line, f"the line is not valid UTF-8 ({error.reason} at position {error.start})"
            except (ValueError, RecursionError) as error:
                yield line, f"the line is not JSON: {error}"
            else:
                yield line, value if isinstance(value, dict) else f"expected a JSON object, got {shown(value)}"


def _json_keys(file: Path) -> tuple[str, ...]:
    """Return the keys that occur in the first objects; a single one may lack some, being a bad row."""
    objects = (value for _, value in _json_objects(file) if isinstance(value, dict))
    keys = dict.fromkeys(key for value in islice(objects, 100) for key in value)
    return tuple(keys) or ("text", "label")


def _json_rows(files: Sequence[Path], group: str | None) -> Iterator[RawRow]:
    for file in files:
        for row, (line, value) in enumerate(_json_objects(file)):
            place = f"{file}, line {line} (row {row})"
            if isinstance(value, str):
                yield RawRow(place, problem=value)
            else:
                yield RawRow(place, value.get("text"), value.get("label"), value.get(group) if group else None)
