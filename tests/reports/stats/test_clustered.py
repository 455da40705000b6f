"""Scores for other reviews: movies are what is drawn, and several seeds are a second draw."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.clustered import accuracy, clustered_p, codes, mean_of_reviews


def answers(movies: int = 200, each: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make answers that reviews of a movie share in part."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(movies), each)
    chance = np.clip(0.85 + rng.normal(0, 0.12, movies)[of], 0, 1)
    return (rng.random(len(of)) < chance).astype(float), of


def test_reviews_of_a_movie_widen_the_interval_by_the_design_effect():
    right, of = answers()
    by_movie, alone = accuracy(right, of), accuracy(right, None)
    width = [found.interval.high - found.interval.low for found in (by_movie, alone)]
    assert by_movie.design_effect > 1.2
    assert width[0] / width[1] == pytest.approx(np.sqrt(by_movie.design_effect), rel=0.02)
    assert alone.design_effect == 1
    assert (by_movie.by_movie, alone.by_movie) == (True, False)
    binomial = 1.96 * 100 * np.sqrt(right.mean() * (1 - right.mean()) / len(right))
    assert width[1] / 2 == pytest.approx(binomial, rel=0.01)


def test_a_cluster_bootstrap_gives_the_same_error():
    right, of = answers()
    rng = np.random.default_rng(1)
    sums, sizes = np.bincount(of, weights=right), np.bincount(of)
    drawn = rng.integers(0, len(sizes), (4000, len(sizes)))
    bootstrap = 100 * (sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)).std()
    found = accuracy(right, of).interval
    assert (found.high - found.low) / 2 / 1.97 == pytest.approx(bootstrap, rel=0.05)


def test_seeds_add_their_own_error_and_take_away_that_of_answers():
    rng = np.random.default_rng(0)
    _, of = answers()
    hard = rng.normal(0, 1, len(of))
    runs = (hard[:, None] + rng.normal(0, 0.5, (len(of), 5)) < 1).astype(float)
    five, one = accuracy(runs, of).interval, accuracy(runs[:, 0], of).interval
    assert five.value == pytest.approx(100 * runs.mean())
    assert five.high - five.low < one.high - one.low
    apart = runs.copy()
    apart[:1500, 4] = 0  # a seed that failed
    assert accuracy(apart, of).interval.high - accuracy(apart, of).interval.low > one.high - one.low


def test_a_difference_without_one_has_no_small_p():
    right, of = answers()
    other, _ = answers(seed=0)
    assert clustered_p(right - other, of) == 1
    worse = right * (np.random.default_rng(3).random(len(right)) < 0.9)
    assert clustered_p(right - worse, of) < 1e-6


def test_unknown_movies_and_too_few_give_no_clusters():
    movies = pd.Series([4, 4, 7], index=pd.Index([0, 1, 5], name="row"))
    assert codes(movies, pd.Index([5, 0, 1])).tolist() == [0, 1, 1]
    assert codes(movies, pd.Index([5, 6])) is None
    assert codes(None, pd.Index([5])) is None
    assert np.isnan(mean_of_reviews(np.array([1.0, 0.0]), np.array([0, 0])).interval.low)
