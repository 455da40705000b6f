"""Parquet files through ``datasets``: their rows as they really are, labels under the names they stand for."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from seqclf_core.data.rows import RawRow
from seqclf_core.errors import DataError


def parquet_columns(file: Path) -> tuple[str, ...]:
    """Return the names of a file's columns.

    Raises:
        DataError: if the file cannot be read as parquet.
    """
    with _names_the_file(file), file.open("rb") as stream:
        names = tuple(pq.read_schema(stream).names)
    for name in ("text", "label"):
        if names.count(name) > 1:
            raise DataError(f"{file}: it has the column {name!r} twice.")
    return names


def parquet_rows(
    files: Sequence[Path], group: str | None, cache: Path, label_names: Sequence[str] | None
) -> Iterator[RawRow]:
    """Read the rows of files, one file after the other.

    Args:
        files: parquet files with the columns ``text``, the group column where one is named, and ``label``; where
            the first has none, there are no labels.
        group: name of the group column.
        cache: folder where ``datasets`` keeps the columns as memory-mapped Arrow, by content.
        label_names: what whole numbers in the label column stand for, where the files do not say so themselves.

    Raises:
        DataError: if a file cannot be read, or a column holds neither text nor numbers; names the file.
    """
    labelled = "label" in parquet_columns(files[0])
    columns = ["text", *(["label"] if labelled else []), *([group] if group else [])]
    for file in files:
        with _names_the_file(file):
            table, own_names = _parquet_table(file, columns, cache)
        names = own_names or label_names
        row = 0
        for batch in table.to_batches(max_chunksize=1_000):
            nothing: list[object] = [None] * len(batch)
            texts, labels, values = (
                _values(batch[column]) if column in columns else nothing for column in ("text", "label", group)
            )
            for text, label, value in zip(texts, labels, values, strict=True):
                yield RawRow(f"{file}, row {row}", text, _named(label, names), value)
                row += 1


def _parquet_table(file: Path, columns: list[str], cache: Path) -> tuple[pa.Table, list[str] | None]:
    """Read columns through ``datasets``, which keeps them as memory-mapped Arrow; return its label names too."""
    with file.open("rb") as stream:
        # Its own cache goes by name and time of change; a folder per content cannot be stale.
        content = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        schema = pq.read_schema(stream)
    fields = [schema.field(column) for column in columns]
    for field in fields:
        if not _is_plain(field.type):
            raise DataError(f"{file}: the column {field.name!r} holds {field.type}; expected text or numbers.")
    features = datasets.Features.from_arrow_schema(pa.schema(fields, metadata=schema.metadata))
    with _quiet():
        # from_parquet, unlike load_dataset("parquet", ...), asks no server to count the download.
        dataset = datasets.Dataset.from_parquet(
            str(file), cache_dir=str(cache / "datasets" / content), columns=columns, features=features
        )
    label = dataset.features.get("label")
    return dataset.data.table, label.names if isinstance(label, datasets.ClassLabel) else None


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return is_text or is_bytes or is_number or bool(pa.types.is_null(kind))


def _values(column: pa.Array) -> list[object]:
    """Return an array's values; texts as bytes, since Arrow does not promise that they are UTF-8."""
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())
    elif pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    values: list[object] = column.to_pylist()
    return values


def _named(label: object, names: Sequence[str] | None) -> object:
    """Return a label as it reads: the name that a class number stands for, or itself."""
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    if names and isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    return label


@contextmanager
def _names_the_file(file: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # readers of foreign bytes promise no list of exceptions; the file is what is wrong
        reason = str(error.__cause__ or error)
        raise DataError(f"{file}: cannot be read as parquet, it may be broken or cut short: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and its own report of an error, which we raise anyway, off the screen."""
    bars, level = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()
