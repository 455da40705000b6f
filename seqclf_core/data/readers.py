"""Files of rows as columns of Arrow: parquet, Arrow, CSV, tab-separated, JSON Lines, a JSON array; also ``.gz``.

Every cell stays what the file says: 'NA' is a text, '007' keeps its zeros. Parquet and Arrow are read by pyarrow.
CSV and JSON are read by Python's ``csv`` and ``json`` and handed to Arrow a column at a time: pyarrow's readers
take ``"so" good`` for ``so good`` without a word, give up a file for one broken line, do not know a record's line,
and allow one type per JSON column.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from seqclf_core.errors import DataError

TABLES = (".parquet", ".arrow")
TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
SUFFIXES = (*TABLES, *TEXTS, *(f"{suffix}.gz" for suffix in TEXTS))
"""The kinds of file that can be read."""

MAX_UNPACKED = 2 * 2**30
"""Bytes that a packed file may unpack to; the whole of IMDB has 0.3 GB."""

OTHER_ENCODING = "a file in another encoding is read with --data.encoding, such as latin-1"

Column: TypeAlias = pa.Array | pa.ChunkedArray | list[object]
"""The cells of a column as they were found; a list where they are of several types, or are not valid Unicode."""


@dataclass(frozen=True)
class RawTable:
    """The rows of one source, such as a file, not yet validated."""

    name: str
    """Name of the source in messages to the user."""
    columns: tuple[str, ...]
    column: Callable[[str], Column]
    """Return the cells of one of the columns."""
    num_rows: int
    place: Callable[[int], str]
    """Return where a row stands, for a person: file, line and row."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """Rows that could not be read, each with the reason; their cells mean nothing."""
    class_names: Sequence[str] | None = None
    """Names of the labels 0, 1, ... in the label column; None where the file does not give them."""


def suffix_of(name: str) -> str:
    """Return which of ``SUFFIXES`` a file's name ends with, in lower case; empty where it is none of them."""
    return next(
        (suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(suffix)), ""
    )


def open_file(file: Path, encoding: str = "auto", columns: Sequence[str] = ()) -> RawTable:
    """Open a file of rows.

    Args:
        file: its name ends with one of ``SUFFIXES``.
        encoding: a codec's name; auto means UTF-8, or UTF-16 where the file begins with its byte order mark.
        columns: names of the columns of CSV or tab-separated files that do not begin with a line of names.

    Raises:
        DataError: if the file cannot be read; names it.
    """
    suffix = suffix_of(file.name)
    if not suffix:
        raise DataError(f"{file}: expected a file that ends with {', '.join(SUFFIXES)}.")
    if suffix in TABLES:
        return _open_table(file, suffix)
    content = read_text(file, encoding)
    kind = suffix.removesuffix(".gz")
    if kind in (".csv", ".tsv"):
        return _open_csv(file, content, kind, columns)
    return _open_json(file, content)


def read_text(file: Path, encoding: str) -> bytes:
    """Return a text file's content as UTF-8, unpacked and without byte order mark; bytes that are no UTF-8 stay.

    Raises:
        DataError: if the file cannot be read, unpacked or decoded.
    """
    try:
        if file.name.lower().endswith(".gz"):
            with gzip.open(file) as stream:
                content = stream.read(MAX_UNPACKED + 1)
            if len(content) > MAX_UNPACKED:
                raise DataError(f"{file}: it unpacks to more than {MAX_UNPACKED} bytes. Unpack it yourself.")
        else:
            content = file.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file}: cannot be unpacked, it may be broken or cut short: {error}.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}.") from error
    if encoding == "auto" and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    if encoding == "auto":
        if 3 * content[:999].count(0) > len(content[:999]):
            raise DataError(f"{file}: this looks like UTF-16. Add --data.encoding utf-16-le, or save it as UTF-8.")
        return content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode(encoding).removeprefix("\ufeff").encode()
    except (LookupError, UnicodeError) as error:
        raise DataError(
            f"{file}: cannot be read with --data.encoding {encoding}: {error}. "
            "Usual ones are utf-8, utf-16, latin-1 and cp1252."
        ) from error


# Parquet and Arrow ---------------------------------------------------------------------------------------


def _open_table(file: Path, suffix: str) -> RawTable:
    with _names_the_file(file, suffix[1:]):
        if suffix == ".parquet":
            table, metadata = None, pq.read_metadata(file)
            schema, num_rows = metadata.schema.to_arrow_schema(), metadata.num_rows
        else:
            table = _read_arrow(file.read_bytes())
            schema, num_rows = table.schema, table.num_rows

    def column(name: str) -> pa.ChunkedArray:
        kind = schema.field(name).type
        if not _is_plain(kind):
            raise DataError(f"{file}: the column {name!r} holds {kind}; expected text or numbers.")
        with _names_the_file(file, suffix[1:]):
            with file.open("rb") as stream:
                cells = (table or pq.ParquetFile(stream).read([name])).column(name)
            if pa.types.is_dictionary(cells.type):
                cells = cells.cast(cells.type.value_type)
            return cells.cast(pa.string()) if pa.types.is_string_view(cells.type) else cells

    return RawTable(
        str(file), tuple(schema.names), column, num_rows, lambda row: f"{file}, row {row}",
        class_names=_class_names(schema),
    )  # fmt: skip


def _read_arrow(content: bytes) -> pa.Table:
    kind = pa.ipc.open_file if content.startswith(b"ARROW1") else pa.ipc.open_stream
    return kind(pa.py_buffer(content)).read_all()


def _class_names(schema: pa.Schema) -> list[str] | None:
    """Return the class names that ``datasets`` keeps in a schema's metadata, of the only column that has some."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = [feature["names"] for feature in features.values() if feature.get("_type") == "ClassLabel"]
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return found[0] if len(found) == 1 else None


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return is_text or is_bytes or is_number or bool(pa.types.is_null(kind))


@contextmanager
def _names_the_file(file: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        if error.errno is None:  # Arrow's own, of what is in the file
            raise DataError(f"{file}: cannot be read as {kind}, it may be broken or cut short: {error}") from error
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error
    except Exception as error:  # readers of foreign bytes promise no list of exceptions; the file is what is wrong
        raise DataError(f"{file}: cannot be read as {kind}, it may be broken or cut short: {error}") from error


# CSV and tab-separated -----------------------------------------------------------------------------------


def _open_csv(file: Path, content: bytes, kind: str, columns: Sequence[str]) -> RawTable:
    # surrogateescape: a wrong byte spoils its own row, which is then named, and not the whole file
    lines = list(io.StringIO(content.decode(errors="surrogateescape"), newline=""))
    delimiter = "\t" if kind == ".tsv" else _delimiter(lines[0] if lines else "")
    records = list(_records(lines, delimiter))
    names = tuple(columns)
    if not names and records:
        _, first, problem = records.pop(0)
        if problem:
            raise DataError(f"{file}, line 1: {problem}.")
        names = tuple(name.strip() for name in first)
    starts, cells, problems = [], [], {}
    for row, (line, record, problem) in enumerate(records):
        if not problem and len(record) != len(names):
            problem = f"it has {len(record)} fields where " + (
                f"--data.columns names {len(names)}" if columns else f"the first line names {len(names)}"
            )
        if problem:
            problems[row] = problem
        starts.append(line)
        cells.append([None] * len(names) if problem else record)
    by_column = list(zip(*cells, strict=True)) or [()] * len(names)
    return RawTable(
        str(file), names, lambda name: _as_column(by_column[names.index(name)]), len(cells),
        lambda row: f"{file}, line {starts[row] + 1} (row {row})", problems,
    )  # fmt: skip


def _delimiter(first: str) -> str:
    """Return what divides the fields of CSV: a comma, or what spreadsheets write in its place."""
    return next((each for each in (",", "\t", ";") if each in first), ",")


def _records(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield each record's first line, counted from 0, its fields, and what is wrong with it where something is.

    A quote that stands where none may spoils its own line: the next record begins on the line after it.
    """
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses texts over 128 KiB
    begin = 0
    try:
        while begin < len(lines):
            reader = csv.reader(islice(lines, begin, None), delimiter=delimiter, strict=True)
            line = begin
            try:
                for record in reader:
                    if record:  # a blank line is no record
                        yield line, record, ""
                    line = begin + reader.line_num
                return
            except csv.Error as error:
                # Tab-separated files are mostly written without quoting: there a quote is a character.
                plain = lines[line].rstrip("\r\n").split(delimiter) if delimiter == "\t" else []
                problem = f"a quote stands where none may ({error}); such texts stand in quotes, their own doubled"
                yield line, plain, "" if plain else problem
                begin = line + 1
    finally:
        csv.field_size_limit(limit)


# JSON ----------------------------------------------------------------------------------------------------


def _open_json(file: Path, content: bytes) -> RawTable:
    if content.lstrip().startswith(b"[") and (values := _json_array(content)) is not None:
        numbers = None
    else:
        numbers, values = [], []
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line.strip():
                numbers.append(number)
                values.append(_json_value(line))
    problems = {
        row: value if isinstance(value, str) else f"expected a JSON object, got {shown(value)}"
        for row, value in enumerate(values)
        if not isinstance(value, dict)
    }
    objects = [value if isinstance(value, dict) else {} for value in values]
    # A single object may lack some, being a bad row.
    columns = tuple(dict.fromkeys(key for value in objects[:100] for key in value)) or ("text", "label")
    return RawTable(
        str(file), columns, lambda name: _as_column([value.get(name) for value in objects]), len(objects),
        lambda row: f"{file}, {f'line {numbers[row]} (row {row})' if numbers else f'row {row}'}", problems,
    )  # fmt: skip


def _json_array(content: bytes) -> list[object] | None:
    """Return what a JSON array holds; None where this is none, such as a JSON Lines file with a bad first line."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return [value if isinstance(value, dict) else f"expected an object, got {shown(value)}" for value in values]


def _json_value(line: bytes) -> object:
    """Return a line's value, or a message what is wrong with it."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"the line is not valid UTF-8 ({error.reason} at position {error.start}); {OTHER_ENCODING}"
    except (ValueError, RecursionError) as error:
        return f"the line is not JSON: {error}"
    return f"expected a JSON object, got {shown(value)}" if isinstance(value, str) else value


def _as_column(cells: Sequence[object]) -> Column:
    try:
        return pa.array(cells, pa.large_string())
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        return list(cells)


def shown(value: object) -> str:
    """Return a value as a message can carry it: escaped, and cut where it is long."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
