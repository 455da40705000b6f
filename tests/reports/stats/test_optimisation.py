"""Examples to a loss are right-censored, slopes survive failed runs."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.contrasts import blocks
from reports.stats.optimisation import examples_to_reach, faster, median_examples, ratio, slope
from tests.reports.stats.simulated import FACTORS, LOSS, World, runs_frame, study


def curves(runs: pd.DataFrame, speed: dict[str, float]) -> pd.DataFrame:
    """Loss falls from 0.7 by a rate that depends on the level of the loss; ten evaluations of 1000 examples."""
    steps = np.arange(1, 11) * 1000
    pieces = [
        pd.DataFrame({"key": key, "step": steps, "val/loss": 0.7 - speed[loss] * steps / 1000})
        for key, loss in zip(runs["key"], runs["model.loss"], strict=True)
    ]
    return pd.concat(pieces)


def test_the_first_evaluation_at_the_loss_counts():
    table = pd.DataFrame({"key": "a", "step": [10, 20, 30], "val/loss": [0.5, 0.4, 0.3]})
    assert examples_to_reach(table, 0.4).loc["a"].tolist() == [20, True]
    assert examples_to_reach(table, 0.1).loc["a"].tolist() == [30, False]
    assert examples_to_reach(table.assign(**{"val/loss": np.nan}), 0.4).loc["a"].tolist() == [30, False]


def test_runs_that_never_got_there_are_counted_and_raise_the_median():
    runs = study(10)
    table = curves(runs, {"bce": 0.05, "cross_entropy": 0.05})
    stuck = runs["key"].iloc[::3]
    table.loc[table["key"].isin(stuck), "val/loss"] = 0.69
    found = median_examples(examples_to_reach(table, 0.4), runs, ["model.loss"])
    assert found["runs"].tolist() == [20, 20]
    assert (found["reached"] < 20).all()
    assert (found["median"] == 6000).all()
    none = median_examples(examples_to_reach(table, 0.0), runs, ["model.loss"])
    assert none["median"].isna().all()
    assert (none["reached"] == 0).all()


def test_the_faster_level_is_found_within_blocks():
    runs = study(12)
    examples = examples_to_reach(curves(runs, {"bce": 0.1, "cross_entropy": 0.05}), 0.4)
    found = faster(examples, runs, FACTORS, "model.loss").iloc[0]
    assert (found["level"], found["reference"]) == ("bce", "cross_entropy")
    assert (found["first"], found["last"], found["open"]) == (24, 0, 0)
    assert found["p"] == pytest.approx(2 / 2**12)


def test_pairs_that_cannot_be_ordered_say_nothing():
    runs = study(8)
    examples = examples_to_reach(curves(runs, {"bce": 0.01, "cross_entropy": 0.01}), 0.4)
    assert not examples["reached"].any()
    found = faster(examples, runs, FACTORS, "model.loss").iloc[0]
    assert (found["first"], found["last"], found["open"], found["p"]) == (0, 0, 16, 1)
    # One was stopped at 3000 without getting there: that it would have been slower than 5000 nobody knows.
    examples = examples.assign(examples=3000)
    bce = runs.loc[runs["model.loss"] == "bce", "key"]
    examples.loc[bce] = [5000, True]
    assert faster(examples, runs, FACTORS, "model.loss").iloc[0]["open"] == 16
    examples.loc[bce] = [3000, True]
    assert faster(examples, runs, FACTORS, "model.loss").iloc[0]["first"] == 16


def test_a_slope_is_found_in_spite_of_failed_runs():
    accuracy, rate = World(by_rate=0.5, seed_sd=0.2).draw(np.random.default_rng(0), 1, 24)
    accuracy[0, 3, :2] = [50, 86]
    runs = runs_frame(accuracy[0], rate[0])
    settings = runs.groupby("block")["train.lr"].first()
    found = slope(blocks(runs, FACTORS), LOSS, settings)
    assert found.per_doubling.low < 0.5 < found.per_doubling.high
    assert found.per_doubling.low > 0
    assert settings.min() < found.center < settings.max()


def test_a_setting_that_never_changes_has_no_slope():
    runs = study(8)
    assert slope(blocks(runs, FACTORS), LOSS, pd.Series(0.002, index=range(8))) is None
    assert slope(blocks(study(5), FACTORS), LOSS, study(5).groupby("block")["train.lr"].first()) is None


def test_a_ratio_leaves_out_what_slows_a_whole_block():
    runs = study(12)
    slow = runs["block"].map(lambda block: 1 + block)
    runs["seconds"] = 10.0 * slow * np.where(runs["model.loss"] == "bce", 1.0, 1.25)
    found = ratio(runs, FACTORS, LOSS, "seconds")
    assert found.value == pytest.approx(0.8)
    assert found.low == pytest.approx(found.high)
