"""Probabilities are scored as the textbooks say, and accuracy is shown by length."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from reports.stats.calibration import accuracy_by_length, calibration, equal_bins, reliability
from tests.reports.stats.simulated import study


def predictions(count: int, twist: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Labels are drawn with probabilities; what is stored are these, with log-odds times ``twist``."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, count)
    label = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(int)
    return pd.DataFrame({"label": label, "probability": 1 / (1 + np.exp(-twist * odds))})


def test_scores_are_those_of_scikit_learn():
    table = predictions(2000)
    found = calibration(table)
    assert found.brier == pytest.approx(brier_score_loss(table["label"], table["probability"]))
    assert found.log_loss == pytest.approx(log_loss(table["label"], table["probability"]))


def test_honest_probabilities_beat_overconfident_ones():
    honest, bold = calibration(predictions(20_000)), calibration(predictions(20_000, twist=3))
    assert honest.brier < bold.brier
    assert honest.log_loss < bold.log_loss
    assert honest.expected_error < 0.02 < bold.expected_error
    curve = reliability(predictions(20_000))
    inside = (curve["low"] <= curve["predicted"]) & (curve["predicted"] <= curve["high"])
    assert inside.mean() > 0.8
    assert curve["reviews"].sum() == 20_000
    assert curve["predicted"].is_monotonic_increasing


def test_certainty_that_is_wrong_costs_much_but_not_everything():
    table = pd.DataFrame({"label": [1, 0], "probability": [0.0, 1.0]})
    found = calibration(table)
    assert found.brier == 1
    assert found.expected_error == 1
    assert np.isfinite(found.log_loss)


def test_equal_probabilities_share_a_bin():
    table = pd.DataFrame({"label": [0, 1] * 50, "probability": [0.5] * 100})
    assert len(reliability(table)) == 1
    assert calibration(table).expected_error == 0
    values = np.array([1.0, 1.0, 1.0, 2.0, 3.0, 4.0])
    assert list(equal_bins(values, 3)) == [0, 0, 0, 1, 2, 2]


def test_accuracy_by_length_finds_where_a_pooling_loses():
    rng = np.random.default_rng(0)
    runs = study(12)
    lengths = pd.Series(rng.integers(10, 1000, size=400), name="tokens")
    pieces = []
    for key, pooling in zip(runs["key"], runs["model.pooling"], strict=True):
        probability = np.where((lengths > 600) & (pooling == "last"), 0.7, 0.9)
        right = rng.random(400) < probability
        label = rng.integers(0, 2, 400)
        probability = np.where(right == (label == 1), 0.8, 0.2)
        pieces.append(pd.DataFrame({"key": key, "row": range(400), "label": label, "probability": probability}))
    means, differences = accuracy_by_length(pd.concat(pieces), runs, lengths, "model.pooling", bins=4)
    assert len(means) == 8
    assert means.groupby("model.pooling")["reviews"].sum().tolist() == [400, 400]
    assert (differences["level"] == "mean").all()
    long, short = differences.iloc[-1], differences.iloc[0]
    assert long["shortest"] > 600
    assert long["low"] > 10
    assert short["low"] < 0 < short["high"]
