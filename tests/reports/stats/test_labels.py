"""Learning curves over labels: their bands, paired differences, and where one overtakes another."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.labels import at_sizes, crossing, curve, differences, paired_p

SIZES = [500, 2000, 8000, 20000]


def scores(gains: list[float], sd: float = 0.1, seeds: int = 5) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(0, sd, (seeds, len(SIZES)))
    return pd.DataFrame(np.array(gains) + noise, columns=SIZES, index=range(seeds))


def test_a_curve_has_a_band_over_seeds_and_none_of_one_seed():
    found = curve(scores([80, 84, 87, 88]))
    assert (found["low"] < found["mean"]).all()
    assert found["seeds"].tolist() == [5] * 4
    assert curve(scores([80, 84, 87, 88], seeds=1))["low"].isna().all()


def test_a_crossing_lies_where_the_difference_changes_its_sign():
    found = crossing(scores([-3, -1, 1, 2]))
    assert found.seen
    assert found.value == pytest.approx(4000, rel=0.1)  # half of the way from 2,000 to 8,000 on a log scale
    assert 2000 < found.low < found.value < found.high < 8000


@pytest.mark.parametrize("gains", [[-3, -2, -1.5, -1], [1, 2, 3, 4], [0, 0, 0, 0], [3, 1, -1, -2]])
def test_without_both_sides_no_crossing_is_seen(gains):
    assert not crossing(scores(gains)).seen


def test_models_are_compared_seed_by_seed_where_both_have_all():
    easy = np.linspace(-5, 5, 5)[:, None]  # what a draw of texts does to both
    first, second = scores([82, 85, 88, 89]) + easy, scores([80, 84, 88, 90]) + easy
    gains = differences(first, second.drop(columns=500).drop(index=0))
    assert gains.shape == (4, 3)
    assert at_sizes(gains)[2000].value == pytest.approx(1)
    assert at_sizes(gains)[2000].high - at_sizes(gains)[2000].low < 0.5
    p = paired_p(scores([5, 0, 0, 0]))
    assert p[0] < 0.001 < p[1:].min()


def test_one_seed_gives_no_test():
    assert np.isnan(paired_p(scores([1, 2, 3, 4], seeds=1))).all()
