"""What others named or wrote is no formula in the tables that we write."""

import io

import numpy as np
import pandas as pd
import pytest

from reports.records.spreadsheet import to_csv


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=cmd|"/c calc"!A1', "=HYPERLINK(1)"]
)
def test_a_text_that_looks_like_a_formula_is_inert(cell: str) -> None:
    table = pd.DataFrame({cell: [1], "name": [cell], "tag": pd.Series([cell], dtype="category")})
    read = pd.read_csv(io.StringIO(to_csv(table)), dtype=str)
    inert = "'" + cell.replace("\r", "\n")
    assert list(read.columns) == [inert, "name", "tag"]
    assert read.loc[0, "name"] == read.loc[0, "tag"] == inert


def test_no_row_begins_within_a_cell() -> None:
    assert to_csv(pd.DataFrame({"name": ["a\r=1+1\r\n=2"]})) == 'name\n"a\n=1+1\n\n=2"\n'


def test_what_is_no_such_text_is_written_as_before() -> None:
    table = pd.DataFrame(
        {
            "loss": [-0.5, np.nan],
            "mixed": ["plain", -3],
            "flag": [True, False],
            "when": pd.to_datetime(["2026-01-01", None]),
            "word": ["a=b", None],
        }
    )
    assert to_csv(table) == table.to_csv(index=False)
