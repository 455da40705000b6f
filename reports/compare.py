"""Two trained models on the same test texts: which answers more of them, and where they disagree most."""

from __future__ import annotations

import pandas as pd

from reports import frames
from reports.frames import Stores
from reports.stats.mcnemar import compare, disagreements
from seqclf_core.errors import UserError


def comparison(stores: Stores, a: str, b: str, most: int = 10) -> str:
    """Compare two runs in words and a table.

    Args:
        stores: where to read.
        a: key of the one run.
        b: key of the other.
        most: how many disagreements to list.

    Raises:
        UserError: if a run is not recorded, has no predictions, or had other data than the other.
    """
    if a == b:
        raise UserError(f"{a} was given twice; a comparison needs two different runs.")
    answers = {key: _predictions(stores, key) for key in (a, b)}
    _check_data(stores, a, b)
    sentence = compare(answers[a], answers[b]).sentence(f"run {a}", f"run {b}")
    return f"{sentence}\n\n{_listed(answers[a], answers[b], a, b, most)}"


def _predictions(stores: Stores, key: str) -> pd.DataFrame:
    found = frames.predictions([key], stores, parts=["test"])
    if found.empty:
        raise UserError(f"The run {key} has no predictions: only complete runs answer the test reviews.")
    return found


def _check_data(stores: Stores, a: str, b: str) -> None:
    """Rows are numbers in a source: the same number in another source is another review."""
    source = frames.runs(stores).set_index("key")["source"]
    if source[a] != source[b]:
        raise UserError(
            f"{a} read {source[a]} and {b} read {source[b]}; only runs on the same reviews can be compared."
        )


def _listed(first: pd.DataFrame, second: pd.DataFrame, a: str, b: str, most: int) -> str:
    found = disagreements(first, second, most)
    if found.empty:
        return "They disagree on no review."
    shown = found.assign(label=found["label"].map({0: "negative", 1: "positive"}))
    shown = shown.assign(right=shown["right"].map({"a": a, "b": b}))
    shown.columns = ["row", "label", f"p({a})", f"p({b})", "right"]
    head = "Where they disagree most confidently: the review's row in the source's test part, and the probability"
    table = shown.to_string(index=False, float_format="{:.3f}".format)
    return f"{head} that it is positive by each.\n\n{table}"
