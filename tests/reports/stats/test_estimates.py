"""Intervals and tests of one sample agree with other implementations, and stay sane at the edges."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from reports.stats.estimates import (
    count_flip,
    equivalent,
    holm,
    mean_interval,
    median_interval,
    proportion_interval,
    signed_rank,
    trimmed,
    trimmed_interval,
)

SAMPLE = np.random.default_rng(3).normal(0.4, 1, size=24)


def test_the_mean_s_interval_is_student_s():
    other = stats.ttest_1samp(SAMPLE, 0).confidence_interval(0.95)
    interval = mean_interval(SAMPLE)
    assert (interval.low, interval.high) == pytest.approx((other.low, other.high))


def test_the_trimmed_mean_is_that_of_scipy_with_yuen_s_error():
    mean, error, df = trimmed(SAMPLE)
    assert mean == pytest.approx(stats.trim_mean(SAMPLE, 0.2))
    winsorized = np.asarray(stats.mstats.winsorize(SAMPLE, limits=(4 / 24, 4 / 24)))
    assert error == pytest.approx(winsorized.std(ddof=1) / ((1 - 8 / 24) * np.sqrt(24)))
    assert df == 24 - 8 - 1


def test_a_failed_run_barely_moves_the_trimmed_mean():
    failed = SAMPLE.copy()
    failed[np.argmax(failed)] = 36
    assert trimmed_interval(failed) == trimmed_interval(SAMPLE)


@pytest.mark.parametrize("interval", [trimmed_interval, mean_interval, median_interval])
def test_too_small_a_sample_has_an_estimate_and_no_interval(interval):
    assert np.isnan(interval(np.array([])).value)
    one = interval(np.array([0.7]))
    assert one.value == 0.7
    assert np.isnan(one.low)
    assert np.isnan(one.high)
    assert not one.excludes(0)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_equal_values_make_an_interval_without_width(value):
    same = np.full(12, value)
    for interval in (trimmed_interval(same), mean_interval(same), median_interval(same)):
        assert interval.low == interval.value == interval.high == value


def test_the_median_s_limits_are_order_statistics_of_equal_rank():
    ordered = np.sort(SAMPLE)
    interval = median_interval(SAMPLE)
    low, high = np.searchsorted(ordered, [interval.low, interval.high])
    assert low + high == 23
    assert 1 - 2 * stats.binom.cdf(low, 24, 0.5) >= 0.95
    assert np.isnan(median_interval(SAMPLE[:5]).low)


def test_a_share_s_interval_is_exact():
    other = stats.binomtest(18, 23).proportion_ci(0.95, method="exact")
    interval = proportion_interval(18, 23)
    assert (interval.low, interval.high) == pytest.approx((other.low, other.high))
    assert (proportion_interval(0, 0).low, proportion_interval(0, 0).high) == (0, 1)
    assert proportion_interval(5, 5).high == 1


@pytest.mark.parametrize("n", [6, 9, 12, 24])
def test_signed_ranks_are_wilcoxon_s_exact_test(n):
    assert signed_rank(SAMPLE[:n]) == pytest.approx(stats.wilcoxon(SAMPLE[:n], method="exact").pvalue)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.1, 0.5, 2.0]), min_size=6, max_size=9))
@settings(max_examples=40, deadline=None)
def test_signed_ranks_with_ties_and_zeros_try_every_pattern_of_signs(sample):
    values = np.array(sample)
    ranks = stats.rankdata(np.abs(values)) * np.sign(values)
    signs = np.array(list(product([-1, 1], repeat=len(values))))
    expected = np.mean(np.abs(signs @ ranks) >= abs(ranks.sum()) - 1e-9)
    assert signed_rank(values) == pytest.approx(expected)
    assert signed_rank(-values) == signed_rank(values * 3) == signed_rank(values)


def test_signed_ranks_at_the_edges():
    assert np.isnan(signed_rank(SAMPLE[:5]))
    assert np.isnan(signed_rank(np.array([])))
    assert signed_rank(np.zeros(8)) == 1
    assert signed_rank(np.ones(6)) == pytest.approx(2 / 2**6)
    assert signed_rank(np.array([0.1, 0.2, 0.3, 0.1 + 0.2, 0.3, 0.4])) == pytest.approx(2 / 2**6)
    assert 0 < signed_rank(np.arange(1.0, 101)) < 1e-25


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=6, max_size=25))
@settings(max_examples=40, deadline=None)
def test_counts_of_ones_are_mcnemar_s_exact_test(differences):
    values = np.array(differences)
    table = [[0, int((values == 1).sum())], [int((values == -1).sum()), 0]]
    assert count_flip(values) == pytest.approx(min(1, mcnemar(table, exact=True).pvalue))


def test_counts_of_more_are_enumerated():
    values = np.array([2, 1, -1, 2, 0, 1, 1])
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(values))).reshape(len(values), -1)
    expected = np.mean(np.abs(values @ signs) >= abs(values.sum()))
    assert count_flip(values) == pytest.approx(expected)
    assert np.isnan(count_flip(values[:5]))
    assert count_flip(np.zeros(6, dtype=np.int64)) == 1


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(0).uniform(0, 0.2, size=(5, 4))
    np.testing.assert_allclose(holm(p), [multipletests(row, method="holm")[1] for row in p])
    assert np.isnan(holm(np.array([0.1, np.nan]))).all()
    assert list(holm(np.array([0.04]))) == [0.04]


@pytest.mark.parametrize(
    ("low", "high", "inside"), [(-0.2, 0.2, True), (-0.4, 0.2, False), (-0.2, 0.4, False), (-0.3, 0.1, False)]
)
def test_equivalence_needs_both_sides(low, high, inside):
    assert equivalent(low, high, 0.3) == inside


def test_an_unknown_limit_is_never_equivalent():
    assert not equivalent(np.nan, np.nan, 0.3)
