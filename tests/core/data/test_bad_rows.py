"""A row that cannot be used is named, with its file and place; or skipped and counted where that was asked for."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqclf_core.errors import DataError
from tests.core.data.review_files import ROWS, folder, load


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "  <br /><BR>\n", "label": 1}, "the text is empty"),
        ({"text": None, "label": 1}, "there is no text"),
        ({"text": 5, "label": 1}, "the text is 5; expected a string"),
        ({"text": "half \ud800 a pair", "label": 1}, "the text is not valid UTF-8"),
        ({"text": "t", "label": 2}, "unknown label '2'"),
        ({"text": "t", "label": "maybe"}, "unknown label 'maybe'"),
        ({"text": "t", "label": None}, "there is no label"),
        ({"text": "t"}, "there is no label"),
        ({"text": "t", "label": [1]}, r"unknown label \[1\]"),
        ({"text": "t", "label": float("nan")}, "unknown label nan"),
        ({"text": "t", "label": 1, "movie": None}, "there is no movie"),
        ({"text": "t", "label": 1, "movie": {}}, "movie is {}"),
    ],
)
def test_a_bad_row_is_named_or_skipped_and_counted(tmp_path, row, message):
    data = folder(tmp_path / "data", [*ROWS, {"movie": "tt1", **row}, ROWS[0]], suffix=".jsonl")
    with pytest.raises(DataError, match=rf"train\.jsonl, line 31 \(row 30\): {message}"):
        load(data)
    reviews = load(data, on_bad_row="skip")
    assert reviews.skipped == 1
    assert reviews.train["row"].to_pylist() == [*range(30), 31]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"caf\xe9,1,tt1\n", r"line 122 \(row 30\): the text is not valid UTF-8"),
        (b"too,many,fields,here\n", r"line 122 \(row 30\): it has 4 fields where the first line names 3"),
        (b"few\n", "it has 1 fields"),
        (b",1,tt1\n", "there is no text|the text is empty"),
        (b"t,,tt1\n", "there is no label"),
    ],
)
def test_a_bad_line_of_csv_is_named_or_skipped(tmp_path, line, message):
    data = folder(tmp_path / "data", [{**row, "text": row["text"] + "\r\n.\n."} for row in ROWS])
    with (data / "train.csv").open("ab") as file:
        file.write(line)
    with pytest.raises(DataError, match=message):
        load(data)
    assert load(data, on_bad_row="skip").skipped == 1


@pytest.mark.parametrize("stray", ['"a cut-off review', '"he said "hm" twice",1,tt1', '"never closed,1,tt1'])
def test_a_stray_quote_is_one_bad_row(tmp_path, stray):
    data = folder(tmp_path / "data")
    lines = (data / "train.csv").read_text().splitlines(keepends=True)
    (data / "train.csv").write_text("".join([*lines[:21], stray + "\n", *lines[21:]]))
    with pytest.raises(DataError, match=r"train\.csv, line 22 \(row 10\): a quote stands where none may"):
        load(data)
    reviews = load(data, on_bad_row="skip")
    assert reviews.skipped == 1
    assert reviews.train["text"].to_pylist() == [row["text"] for row in ROWS]


@pytest.mark.parametrize(
    "line", [b'{"text": "cut o', b"[1, 2]\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"9" * 9999]
)
def test_a_bad_line_of_json_is_named_or_skipped(tmp_path, line):
    data = folder(tmp_path / "data", suffix=".jsonl")
    with (data / "train.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(DataError, match=r"train\.jsonl, line 31 \(row 30\): "):
        load(data)
    assert load(data, on_bad_row="skip").skipped == 1


def test_a_first_row_may_be_a_bad_one_too(tmp_path):
    data = folder(tmp_path / "data", [{"text": "no label"}, *ROWS], suffix=".jsonl")
    assert load(data, on_bad_row="skip").train["row"].to_pylist() == list(range(1, 31))


def test_bad_bytes_in_parquet_are_named(tmp_path):
    raw = pa.array([b"fine", b"caf\xe9"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    for part in ("train", "test"):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": text, "label": [0, 1]}), tmp_path / "data" / f"{part}.parquet")
    with pytest.raises(DataError, match=r"train\.parquet, row 1: the text is not valid UTF-8"):
        load(tmp_path / "data")
