"""Decisions by label, the curve of all thresholds and accuracy by length, against scikit-learn and by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from reports.stats.discrimination import area, by_length, confusion, roc


def drawn(count: int, digits: int, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, count)
    odds = draw.normal(0, 1, count) + 1.5 * (label - 0.5)
    probability = np.round(1 / (1 + np.exp(-odds)), digits)
    return pd.DataFrame({"row": np.arange(count), "label": label, "probability": probability})


@pytest.mark.parametrize("digits", [1, 2, 15])  # many ties, some, none
def test_the_curve_and_its_area_are_those_of_scikit_learn(digits: int) -> None:
    table = drawn(500, digits)
    curve = roc(table)
    x, y, _ = roc_curve(table["label"], table["probability"], drop_intermediate=False)
    every = set(zip(x.round(12), y.round(12), strict=True))
    corners = list(zip(curve["false_alarms"].round(12), curve["recall"].round(12), strict=True))
    assert corners[0] == (0, 0)
    assert corners[-1] == (1, 1)
    assert set(corners) <= every
    assert area(curve) == pytest.approx(roc_auc_score(table["label"], table["probability"]), abs=1e-12)
    found = confusion(table)
    gaps = np.abs(curve["false_alarms"] - found.false_alarms) + np.abs(curve["recall"] - found.recall)
    assert digits != 15 or gaps.min() < 0.02  # the operating point lies on the curve


def test_decisions_are_counted_by_label_and_one_half_is_positive() -> None:
    table = drawn(300, 1)
    assert (table["probability"] == 0.5).any()
    matrix = confusion_matrix(table["label"], table["probability"] >= 0.5)
    found = confusion(table)
    assert matrix.ravel().tolist() == [
        found.true_negative, found.false_positive, found.false_negative, found.true_positive
    ]  # fmt: skip
    assert found.accuracy == pytest.approx(((table["probability"] >= 0.5) == (table["label"] == 1)).mean())
    assert found.recall == pytest.approx(matrix[1, 1] / matrix[1].sum())


def test_accuracy_by_length_counts_every_text_once() -> None:
    table = drawn(400, 15)
    tokens = pd.Series(np.random.default_rng(1).integers(5, 60, 400), index=table["row"])
    found = by_length(table, tokens, bins=5)
    assert found["reviews"].sum() == 400
    assert (found["shortest"].to_numpy()[1:] > found["longest"].to_numpy()[:-1]).all()
    right = (table["probability"] >= 0.5) == (table["label"] == 1)
    short = right[tokens.to_numpy() <= found["longest"][0]]
    assert found["accuracy"][0] == pytest.approx(short.mean())
    assert ((found["low"] < found["accuracy"]) & (found["accuracy"] < found["high"])).all()
    one = by_length(table, pd.Series(7, index=table["row"]))
    assert one["reviews"].tolist() == [400]
