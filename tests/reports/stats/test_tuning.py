"""Tuning curves come from random draws alone, and end where the data end."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.tuning import tuning_curve, tuning_curves
from seqclf_core.errors import UserError

SCORES = np.random.default_rng(0).beta(20, 4, size=30)


def trials(outcome: str = "complete") -> pd.DataFrame:
    return pd.DataFrame(
        {"best/val_accuracy": SCORES, "outcome": outcome, "model.pooling": "last", "model.loss": "bce"}
    )


def test_a_curve_rises_within_its_band_and_ends_before_the_upper_limit_is_everything():
    curve = tuning_curve(SCORES)
    assert (curve["low"] <= curve["median"]).all()
    assert (curve["median"] <= curve["high"]).all()
    assert (curve[["median", "low", "high"]].diff().dropna() >= 0).all(axis=None)
    assert curve["high"].max() < 100
    assert list(curve["trials"]) == list(range(1, len(curve) + 1))
    assert 0 < len(curve) < 30
    assert curve["median"].iloc[0] == pytest.approx(100 * np.sort(SCORES)[14])


def test_the_same_scores_give_the_same_band_and_ties_are_allowed():
    pd.testing.assert_frame_equal(tuning_curve(SCORES), tuning_curve(SCORES[::-1]))
    assert len(tuning_curve(np.repeat([0.5, 0.8, 0.86], 10)))


def test_cells_get_a_curve_each_and_small_ones_none():
    two = pd.concat([trials(), trials().iloc[:23].assign(**{"model.pooling": "mean"})])
    curves = tuning_curves(two, ["model.pooling", "model.loss"], sampler="random")
    assert set(curves["model.pooling"]) == {"last"}
    assert (curves["runs"] == 30).all()
    assert tuning_curves(two.iloc[:5], ["model.pooling"], sampler="random").empty


def test_a_diverged_run_counts_as_chance():
    lost = trials().assign(diverged=False)
    lost.loc[np.argmax(SCORES), ["best/val_accuracy", "diverged"]] = [np.nan, True]
    chance = trials()
    chance.loc[np.argmax(SCORES), "best/val_accuracy"] = 0.5
    of = ["model.pooling"]
    pd.testing.assert_frame_equal(tuning_curves(lost, of, "random"), tuning_curves(chance, of, "random"))


def test_draws_that_are_not_random_are_refused():
    with pytest.raises(UserError, match="TPESampler"):
        tuning_curves(trials(), ["model.pooling"], sampler="TPESampler")
    with pytest.raises(UserError, match="pruned"):
        tuning_curves(trials("pruned"), ["model.pooling"], sampler="random")
    with pytest.raises(UserError, match="23"):
        tuning_curve(SCORES[:23])
