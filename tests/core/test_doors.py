"""Whatever lies in a file, the door gives the right reviews or says what is wrong; it never fails another way."""

import csv
import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqclf_core.config import DataConfig
from seqclf_core.data.folders import Folder
from seqclf_core.data.readers import open_file
from seqclf_core.data.reviews import Reader
from seqclf_core.data.validation import LABELS
from seqclf_core.errors import DataError

few = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

any_text = st.text(st.characters(exclude_categories=()), max_size=20)  # halves of surrogate pairs and NUL too
good_text = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).map(
    lambda text: f"a{text}"
)
good_row = st.fixed_dictionaries({"text": good_text, "label": st.sampled_from(list(LABELS))})
PAIR = [{"text": "good", "label": "1"}, {"text": "bad", "label": "0"}]


def load(name, content, on_bad_row="stop"):
    """Return the texts and labels of a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"train{name}")
        file.write_bytes(content)
        config = DataConfig(on_bad_row=on_bad_row, group_column="none")
        reviews = Reader(config, Folder({}, (), None)).read([open_file(file)])
        return [*zip(reviews["text"].to_pylist(), reviews["label"].to_pylist(), strict=True)]


def written(name, rows):
    if name == ".parquet":
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), stream)
        return stream.getvalue()
    if name == ".csv":
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue().encode()
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


KINDS = pytest.mark.parametrize("name", [".csv", ".jsonl", ".parquet"])


@KINDS
@few
@given(rows=st.lists(good_row, max_size=5))
def test_good_rows_come_in_exactly_as_they_are(name, rows):
    rows = [*PAIR, *rows]
    assert load(name, written(name, rows)) == [(row["text"], LABELS[row["label"]]) for row in rows]


@KINDS
@few
@given(content=st.binary(max_size=200), skip=st.booleans())
def test_any_bytes_end_well(name, content, skip):
    with suppress(DataError):
        load(name, content, "skip" if skip else "stop")


@KINDS
@few
@given(where=st.integers(0, 10_000), what=st.binary(max_size=4), gone=st.integers(0, 20))
def test_a_damaged_file_ends_well(name, where, what, gone):
    content = written(name, [*PAIR, {"text": 'with "quotes", commas\nand lines', "label": "pos"}])
    where %= len(content) + 1
    with suppress(DataError):
        reviews = load(name, content[:where] + what + content[where + gone :])
        assert all(text.strip() and label in (0, 1) for text, label in reviews)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(any_text, inner, max_size=2),
    max_leaves=3,
)


@few
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["text", "label", "movie", "x"]), json_values) | json_values, max_size=4
    ),
    skip=st.booleans(),
)
def test_any_values_in_json_end_well(rows, skip):
    with suppress(DataError):
        reviews = load(".jsonl", written(".jsonl", [*PAIR, *rows]), "skip" if skip else "stop")
        assert reviews[:2] == [("good", 1), ("bad", 0)]
        assert skip or len(reviews) == 2 + len(rows)


types = st.sampled_from(
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.int8(),
        pa.uint64(),
        pa.float16(),
        pa.float64(),
        pa.bool_(),
        pa.null(),
        pa.date32(),
        pa.timestamp("ns", "UTC"),
        pa.decimal128(5, 1),
        pa.list_(pa.int8()),
        pa.struct([("a", pa.int8())]),
        pa.dictionary(pa.int8(), pa.string()),
    ]
)


@few
@given(text=types, label=types, movie=types, rows=st.integers(0, 3))
def test_any_types_in_parquet_end_well(text, label, movie, rows):
    table = pa.table(
        {name: pa.nulls(rows, kind) for name, kind in (("text", text), ("label", label), ("movie", movie))}
    )
    stream = io.BytesIO()
    try:
        pq.write_table(table, stream)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return  # what cannot be written need not be read
    with suppress(DataError):  # rows of nulls are bad ones; no rows are not
        assert load(".parquet", stream.getvalue()) == []


def test_every_type_that_can_hold_texts_and_labels_is_read():
    for text in (
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
    ):
        for label in (pa.int8(), pa.uint64(), pa.float32(), pa.bool_(), pa.string(), pa.large_string()):
            numbers = pa.array([1, 0]).cast(label)
            table = pa.table(
                {"text": pa.array(["good", "bad"]).cast(text), "label": numbers, "other": [[{"a": 1}], []]}
            )
            stream = io.BytesIO()
            pq.write_table(table, stream)
            assert load(".parquet", stream.getvalue()) == [("good", 1), ("bad", 0)]


@KINDS
def test_a_text_of_a_million_words_comes_in_whole(name):
    rows = [*PAIR, {"text": "word " * 1_000_000, "label": "pos"}]
    assert load(name, written(name, rows))[2] == ("word " * 1_000_000, 1)


def test_class_numbers_beyond_their_names_are_unknown():
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
    table = pa.table({"text": ["a", "b"], "label": [0, 9]}).replace_schema_metadata(features.arrow_schema.metadata)
    stream = io.BytesIO()
    pq.write_table(table, stream)
    with pytest.raises(DataError, match="row 1: unknown label '9'"):
        load(".parquet", stream.getvalue())
