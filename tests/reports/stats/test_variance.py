"""Sources of random variation: their parts of the variance, and what a comparison of single runs is worth."""

import numpy as np
import pytest

from reports.stats.variance import sd_interval, single_runs, sources

VALUES = {
    "init": [88.0, 88.4, 87.6, 88.2, 87.8],
    "order": [88.0, 88.2, 87.8, 88.1, 87.9],
    "dropout": [88.0, 88.1, 87.9, 88.05, 87.95],
    "settings": [88.0, 86.0, 89.0, 84.0, 87.0],
}


def test_proportions_add_up_and_the_largest_comes_first():
    found = sources(VALUES)
    assert found[0].name == "settings"
    assert sum(each.proportion.value for each in found) == pytest.approx(1)
    for each in found:
        assert each.proportion.low < each.proportion.value < each.proportion.high
        assert each.sd.low < each.sd.value < each.sd.high
        assert each.sd.value == pytest.approx(np.std(VALUES[each.name], ddof=1))


def test_a_single_run_varies_with_all_seeds_of_a_run_and_with_nothing_else():
    worth = single_runs(VALUES)
    variances = [np.var(VALUES[name], ddof=1) for name in ("init", "order", "dropout")]
    assert worth.sd.value == pytest.approx(np.sqrt(sum(variances)))
    assert worth.by_chance.value == pytest.approx(1.96 * np.sqrt(2 * sum(variances)), rel=1e-3)
    assert 0.5 < worth.right.low < worth.right.value < worth.right.high < 1
    assert worth.seeds.low <= worth.seeds.value <= worth.seeds.high


def test_what_was_not_varied_twice_gives_no_number():
    assert sources({"init": [88.0]}) == []
    assert single_runs({"init": [88.0, 88.1], "order": [88.0, 88.1]}) is None
    assert np.isnan(sd_interval(np.array([1.0])).value)


def test_the_same_scores_have_the_same_limits():
    assert sources(VALUES) == sources(VALUES)


def test_the_limits_of_a_standard_deviation_are_those_of_chi_square():
    found = sd_interval(np.array([87.0, 87.5, 88.0, 88.5, 89.0]))
    assert found.low == pytest.approx(found.value * np.sqrt(4 / 11.143), rel=1e-3)
    assert found.high == pytest.approx(found.value * np.sqrt(4 / 0.4844), rel=1e-3)
