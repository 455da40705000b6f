"""Two trained models on the same test texts: which answers more of them, and where they disagree most."""

from __future__ import annotations

import pandas as pd

from reports import frames
from reports.frames import Stores
from reports.pages.verdicts import points
from reports.stats.estimates import mirrored
from reports.stats.mcnemar import ModelComparison, compare, disagreements
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
    said = sentence(compare(answers[a], answers[b]), f"run {a}", f"run {b}")
    return f"{said}\n\n{_listed(answers[a], answers[b], a, b, most)}"


def sentence(found: ModelComparison, a: str = "run A", b: str = "run B") -> str:
    """Say in words how two trained models compare, about these models on these texts."""
    counts = f"{found.only_a:,} only {a}, {found.only_b:,} only {b}, exact p = {found.p:.2g}"
    size = found.difference
    if found.p >= 0.05:
        same = f"{a} and {b} cannot be told apart"
        return f"On these {found.reviews:,} reviews {same}: {points(size)} ({counts})."
    if size.value < 0:
        a, b, size = b, a, mirrored(size)
    more = f"{points(size)} more of these {found.reviews:,} reviews correctly"
    return f"{a[0].upper()}{a[1:]} answers {more} than {b} ({counts})."


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
