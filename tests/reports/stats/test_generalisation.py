"""New reviews widen an interval, movies more so; validation is held against test on trained runs only."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.stats.contrasts import blocks
from reports.stats.estimates import trimmed_interval
from reports.stats.generalisation import (
    correct_answers,
    for_new_reviews,
    split_gaps,
    tau_b,
    two_way,
)
from reports.stats.over_blocks import validation_over_blocks
from seqclf_core.errors import UserError
from tests.reports.stats.simulated import FACTORS, POOLING, reviews, study


def predicted(runs: pd.DataFrame, count: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return predictions of every run on the same reviews, and the runs with the accuracies these give."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 1, count)
    label = rng.integers(0, 2, count)
    pieces = []
    for key, accuracy in zip(runs["key"], runs["test/accuracy"], strict=True):
        right = hard + rng.normal(0, 1, count) < np.sqrt(2) * stats.norm.ppf(accuracy)
        probability = np.where(right == (label == 1), 0.9, 0.1)
        pieces.append(
            pd.DataFrame({"key": key, "row": np.arange(count), "label": label, "probability": probability})
        )
    table = pd.concat(pieces, ignore_index=True)
    share = correct_answers(table).mean()
    return table, runs.assign(**{"test/accuracy": runs["key"].map(share)})


def test_the_interval_for_new_reviews_has_the_headline_s_center_and_is_wider():
    predictions, runs = predicted(study(12, pooling=2.0), 600)
    found = for_new_reviews(runs, correct_answers(predictions), FACTORS, POOLING)
    headline = trimmed_interval(blocks(runs, FACTORS).contrast(POOLING))
    assert found.interval.value == pytest.approx(headline.value)
    assert found.from_reviews > 0
    assert found.interval.high - found.interval.low > headline.high - headline.low


def test_a_run_without_predictions_counts_for_blocks_and_not_for_reviews():
    predictions, runs = predicted(study(12), 200)
    runs = runs.assign(diverged=False)
    runs.loc[5, ["test/accuracy", "diverged"]] = [np.nan, True]
    correct = correct_answers(predictions[predictions["key"] != runs["key"].iloc[5]])
    found = for_new_reviews(runs, correct, FACTORS, POOLING)
    headline = trimmed_interval(blocks(runs, FACTORS).contrast(POOLING))
    assert (found.interval.value, found.interval.n) == (headline.value, 12)
    assert np.isfinite(found.from_reviews)


def test_runs_on_other_reviews_are_refused():
    predictions, _ = predicted(study(2), 50)
    for wrong in (predictions.iloc[1:], pd.concat([predictions, predictions.iloc[:1]])):
        with pytest.raises(UserError, match="each must answer each"):
            correct_answers(wrong)


def test_reviews_of_one_movie_count_as_one_piece_of_luck():
    rng = np.random.default_rng(0)
    values, movies = reviews(rng, blocks=12, movies=60, effect=0.8)
    alone = two_way(values, np.arange(len(movies)))
    together = two_way(values, movies)
    assert together.interval.value == alone.interval.value
    assert together.from_reviews > 1.5 * alone.from_reviews
    assert together.from_blocks == alone.from_blocks


def test_without_movies_the_error_is_the_planned_formula():
    """SE² = s²(block means)/B + s²(review means)/N - s²(residual)/(B N), where nothing is trimmed (B < 5)."""
    values = np.random.default_rng(1).normal(size=(4, 50)) + np.random.default_rng(2).normal(size=(1, 50))
    residual = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    planned = (
        values.mean(1).var(ddof=1) / 4
        + values.mean(0).var(ddof=1) / 50
        - (residual**2).sum() / (3 * 49) / (4 * 50)
    )
    found = two_way(values, np.arange(50))
    assert found.from_blocks**2 + found.from_reviews**2 == pytest.approx(planned)


def test_a_failed_run_does_not_pass_for_luck_with_reviews():
    values = np.random.default_rng(1).normal(0.5, 1, size=(12, 300))
    failed = values.copy()
    failed[3] = np.random.default_rng(2).choice([-100.0, 100.0], size=300)
    failed[3] += values.mean(axis=1).max() + 1 - failed[3].mean()
    movies = np.arange(300)
    assert two_way(failed, movies).from_reviews < 3 * two_way(values, movies).from_reviews + 0.1


def test_equal_answers_have_no_error():
    found = two_way(np.zeros((6, 20)), np.arange(20))
    assert (found.interval.low, found.interval.high) == (0, 0)


def test_one_block_or_one_movie_tells_nothing_about_new_ones():
    values = np.random.default_rng(0).normal(size=(6, 20))
    assert np.isnan(two_way(values[:1], np.arange(20)).interval.low)
    assert np.isnan(two_way(values, np.zeros(20, dtype=np.int64)).interval.low)
    predictions, runs = predicted(study(1), 50)
    assert np.isnan(for_new_reviews(runs, correct_answers(predictions), FACTORS, POOLING).interval.low)


def scored(count: int, gap: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    test = rng.normal(0.87, 0.01, count)
    return pd.DataFrame({"best/val_accuracy": test + gap + rng.normal(0, 0.002, count), "test/accuracy": test})


def against(runs: pd.DataFrame):
    """Hold validation against test, each run a block of its own."""
    return validation_over_blocks(runs.assign(block=range(len(runs))))


def test_validation_is_held_against_test():
    found = against(scored(40, gap=0.01))
    assert found.gap.low < 1 < found.gap.high
    assert found.gap_sd == pytest.approx(0.2, rel=0.4)
    assert 0 <= found.regret < 2
    assert found.tau.low < found.tau.value < found.tau.high <= 1


def test_runs_that_did_not_train_say_nothing_about_the_gap():
    failed = pd.DataFrame({"best/val_accuracy": [0.5, 0.5, np.nan], "test/accuracy": [0.5, 0.52, 0.5]})
    assert against(pd.concat([scored(30, 0.01), failed])) == against(scored(30, 0.01))
    assert against(pd.concat([scored(19, 0.01), failed])) is None


def test_a_tie_in_validation_is_drawn_by_lot():
    runs = scored(20, 0.01)
    runs.loc[[3, 7], "best/val_accuracy"] = 0.95
    runs.loc[[3, 7], "test/accuracy"] = [0.90, 0.94]
    assert against(runs).regret == pytest.approx(2.0)


def test_kendall_s_tau_at_the_edges():
    line = np.arange(20.0)
    assert tau_b(line, line).high == 1
    assert 0 < tau_b(line, line).low < 1
    assert tau_b(line, -line).low == -1
    assert tau_b(line, -line).high < 0
    assert np.isnan(tau_b(line, np.ones(20)).low)


def test_splits_are_compared_on_the_same_settings_and_seeds():
    one = scored(12, 0.03, seed=1).assign(block=range(12), **{"data.split_method": "random"})
    other = scored(12, 0.01, seed=2).assign(block=range(12), **{"data.split_method": "group"})
    table, pairs = split_gaps(pd.concat([one, other.iloc[:11]]))
    assert list(table["split_method"]) == ["group", "random"]
    assert table.set_index("split_method").loc["random", "gap"] == pytest.approx(3, abs=0.3)
    assert pairs["random - group"].n == 11
    assert pairs["random - group"].low < 2 < pairs["random - group"].high


def test_the_order_of_rows_does_not_matter():
    predictions, runs = predicted(study(8), 100)
    correct = correct_answers(predictions.sample(frac=1, random_state=2))
    shuffled = for_new_reviews(runs.sample(frac=1, random_state=1), correct, FACTORS, POOLING)
    assert shuffled == for_new_reviews(runs, correct_answers(predictions), FACTORS, POOLING)
