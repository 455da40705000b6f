"""Finalists and blocks with other validation splits are compared on the reviews that both held out."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.held_out import crossed, differences, held_out_gap

RUNS = pd.DataFrame({"key": ["f/0", "f/1"], "config": "a", "seed": [1, 2]})
BLOCKS = pd.DataFrame({"key": ["b/0", "b/1", "b/2"], "config": "a", "block": [0, 1, 2]})


def answered(key: str, part: str, right: dict[int, bool]) -> pd.DataFrame:
    """Return predictions of positive reviews: row -> whether it is answered correctly."""
    rows = pd.DataFrame({"row": list(right), "label": 1, "probability": np.where(list(right.values()), 0.9, 0.1)})
    return rows.assign(key=key, part=part)


def predictions(easy: bool = True) -> pd.DataFrame:
    """Everybody is right on rows 0 to 9, and wrong on 10 to 19; half of the test is answered by all."""
    hard = {row: row < 10 for row in range(20)}
    own = {row: right for row, right in hard.items() if not easy or row < 10}
    parts = [answered(key, "val", own) for key in RUNS["key"]]
    for place, key in enumerate(BLOCKS["key"]):
        parts.append(answered(key, "val", {row: hard[row] for row in range(place, 20, 2)}))
    parts += [
        answered(key, "test", {row: row % 2 == 0 for row in range(8)}) for key in [*RUNS["key"], *BLOCKS["key"]]
    ]
    return pd.concat(parts, ignore_index=True)


def test_an_easy_split_is_no_selection_effect():
    """The finalists' split has easy reviews alone: 100 % there against 50 % in the blocks, by accuracy."""
    assert held_out_gap(RUNS, BLOCKS, predictions()).value == pytest.approx(0)


def test_blocks_that_hold_out_hard_reviews_alone_are_compared_on_these():
    """All answer alike: right on half of the finalists' split, and wrong on what the blocks hold out of it."""
    some = predictions(easy=False)
    of_blocks = some["key"].isin(BLOCKS["key"]) & (some["part"] == "val")
    found = held_out_gap(RUNS, BLOCKS, some[~of_blocks | (some["row"] >= 10)])
    assert found.value == pytest.approx(0)


def test_what_finalists_know_of_their_own_split_is_one():
    """Right on 5 reviews on which no other model is right, where neither differs on test."""
    some = predictions(easy=False)
    knows = some["key"].isin(RUNS["key"]) & (some["part"] == "val") & some["row"].between(10, 14)
    some.loc[knows, "probability"] = 0.9
    found = held_out_gap(RUNS, BLOCKS, some)
    assert found.value == pytest.approx(25, abs=4)  # 5 of 20 reviews; a block holds out 2 or 3 of 10
    assert found.low > 0


def test_other_texts_or_nothing_in_common_say_nothing():
    some = predictions()
    assert held_out_gap(RUNS, BLOCKS, some.iloc[:0]) is None
    assert held_out_gap(RUNS, BLOCKS, some[~some["key"].isin(BLOCKS["key"])]) is None
    apart = some.assign(row=some["row"].where(some["key"].isin(RUNS["key"]) | (some["part"] == "test"), 99))
    assert held_out_gap(RUNS, BLOCKS, apart) is None
    others = some["key"].isin(BLOCKS["key"])
    assert held_out_gap(RUNS, BLOCKS, some.assign(label=some["label"].where(~others, 0))) is None


def test_blocks_and_seeds_are_both_drawn():
    blocks, seeds = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([-0.5, 0.0, 0.5])
    found = crossed(blocks[:, None] + seeds)
    error = np.sqrt(blocks.var(ddof=1) / 4 + seeds.var(ddof=1) / 3)
    assert found.value == pytest.approx(0.5)
    assert (found.high - found.low) / 2 == pytest.approx(error * 2.6, rel=0.1)  # t on about 5 degrees of freedom
    assert np.isnan(crossed(blocks[:, None]).low)


def test_a_block_that_holds_out_none_of_the_reviews_is_missing():
    others = np.array([[1.0, np.nan], [0.0, np.nan]])
    found = differences(np.array([[1.0], [1.0]]), np.array([0.5]), others, np.array([0.5, 0.5]))
    assert found[0, 0] == pytest.approx(50)
    assert np.isnan(found[1, 0])
