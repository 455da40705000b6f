"""Finalists are ranked by validation; what selection did is told apart by seed and part."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.finalists import KIND, finalists, selection_effect
from seqclf_core.errors import UserError

KINDS = dict(zip(KIND, ("mean", "bce", 3, 400), strict=True))


def fresh(gap: float = 0.01, sd: float = 0.002, seeds: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {
            "config": name,
            "seed": seed,
            **KINDS,
            "best/val_accuracy": true + gap + rng.normal(0, sd),
            "test/accuracy": true,
        }
        for name, true in (("a", 0.87), ("b", 0.89), ("c", 0.88))
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


UNSELECTED = pd.DataFrame(
    {
        "block": range(30),
        **KINDS,
        "best/val_accuracy": np.linspace(0.8, 0.88, 30),
        "test/accuracy": np.linspace(0.79, 0.87, 30) + np.random.default_rng(1).normal(0, 0.001, 30),
    }
)


def test_the_order_is_that_of_validation_whatever_the_test_says():
    runs = fresh(sd=0)
    runs.loc[runs["config"] == "a", "test/accuracy"] = 0.99
    table = finalists(runs)
    assert list(table["config"]) == ["b", "c", "a"]
    assert list(table["seeds"]) == [5, 5, 5]


def test_the_interval_is_student_s_on_the_seeds():
    runs = fresh()
    runs["test/accuracy"] += np.tile([-0.002, -0.001, 0, 0.001, 0.002], 3)
    row = finalists(runs).iloc[0]
    sd = np.std([-0.2, -0.1, 0, 0.1, 0.2], ddof=1)
    assert row["test"] == pytest.approx(89)
    assert row["test_sd"] == pytest.approx(sd)
    assert row["high"] - row["test"] == pytest.approx(2.776 * sd / np.sqrt(5), rel=1e-3)


def test_one_seed_has_a_mean_and_no_spread():
    table = finalists(fresh(seeds=1))
    assert table["test"].notna().all()
    assert table[["val_sd", "test_sd", "low", "high"]].isna().all(axis=None)


def test_a_gap_to_the_test_part_is_not_the_luck_of_a_seed():
    """Validation flatters every run by 3 points here, but the search was not lucky."""
    runs = fresh(gap=0.03)
    means = runs.groupby("config")["best/val_accuracy"].mean()
    found = selection_effect(dict(means), runs, UNSELECTED)
    assert found.seed.value == pytest.approx(0, abs=1e-9)
    assert found.validation.value == pytest.approx(2, abs=0.15)  # the others' gap is 1 point


def test_what_the_search_saw_above_fresh_seeds_is_the_seed_s_selection_effect():
    runs = fresh()
    searched = {name: mean + 0.01 for name, mean in runs.groupby("config")["best/val_accuracy"].mean().items()}
    found = selection_effect(searched, runs, UNSELECTED)
    assert found.seed.value == pytest.approx(1)
    assert found.seed.low < 1 < found.seed.high
    assert found.validation.low < 0 < found.validation.high


def test_too_little_to_say_is_said():
    single = selection_effect({"a": 0.9, "b": 0.9, "c": 0.9}, fresh(seeds=1), UNSELECTED)
    assert np.isnan(single.seed.low)
    failed = UNSELECTED.assign(**{"best/val_accuracy": 0.5})
    assert selection_effect({"a": 0.9, "b": 0.9, "c": 0.9}, fresh(), failed).validation is None
    with pytest.raises(UserError, match="'c'"):
        selection_effect({"a": 0.9, "b": 0.9}, fresh(), UNSELECTED)


def test_shared_seeds_are_the_unit_and_not_the_runs():
    """Three finalists whose runs rise and fall together with the seed are five draws, not fifteen."""
    runs = fresh(sd=0)
    runs["best/val_accuracy"] += runs["seed"].map(dict(enumerate([-0.004, -0.002, 0, 0.002, 0.004])))
    found = selection_effect({"a": 0.88, "b": 0.9, "c": 0.89}, runs, UNSELECTED)
    sd = np.std([-0.4, -0.2, 0, 0.2, 0.4], ddof=1)
    assert found.seed.n == 5
    assert found.seed.high - found.seed.value == pytest.approx(2.776 * sd / np.sqrt(5), rel=1e-3)


def test_only_unselected_runs_of_the_same_kind_are_a_reference():
    """Last-state runs have another gap here; mixed in, they would turn no effect into one."""
    last = UNSELECTED.assign(**{"model.pooling": "last"})
    last["best/val_accuracy"] -= 0.01
    runs, searched = fresh(), {"a": 0.88, "b": 0.9, "c": 0.89}
    mixed = selection_effect(searched, runs, pd.concat([UNSELECTED, last]))
    assert mixed == selection_effect(searched, runs, UNSELECTED)
    assert selection_effect(searched, runs, last).validation is None


def test_cells_of_a_block_are_one_draw():
    four = pd.concat([UNSELECTED] * 4)
    searched = {"a": 0.88, "b": 0.9, "c": 0.89}
    assert selection_effect(searched, fresh(), four) == selection_effect(searched, fresh(), UNSELECTED)
