"""Simulations of what is said about new reviews, searches, validation scores and tuning."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.contrasts import VALIDATION, Blocks
from reports.stats.estimates import t_limits
from reports.stats.finalists import KIND, selection_effect
from reports.stats.generalisation import tau_b, two_way
from reports.stats.held_out import crossed, differences
from reports.stats.optimisation import slope
from reports.stats.power import degrees_of_freedom
from reports.stats.tuning import tuning_curve
from tests.reports.stats.checks import RESAMPLED, Check, covers, limits, percent
from tests.reports.stats.simulated import CELLS, LOSS, World, reviews


def new_reviews(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    sims = int(RESAMPLED * scale)
    found = [two_way(*reviews(rng, blocks=12, movies=60, effect=0.8)) for _ in range(sims)]
    hits = covers(limits([one.interval for one in found]), 0.8)
    yield percent("new reviews, 60 movies, n=12: covers", hits, 93, 97, RESAMPLED)
    center, error = (np.array(x) for x in zip(*((f.interval.value, f.from_blocks) for f in found), strict=True))
    narrow = covers(t_limits(center, error, degrees_of_freedom(12), 0.95), 0.8)
    yield percent("the interval for these reviews alone covers new ones", narrow, 0, 80, RESAMPLED)


def search_selection(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """A search of 60 configurations keeps the best 3 by validation, which favours each by its own amount.

    The finalists share their seeds, and what a seed does to one it does in part to all.
    """
    kind = dict(zip(KIND, ("mean", "bce", 3, 400), strict=True))
    found, seed_truth, gap_truth = [], [], []
    for _ in range(int(RESAMPLED * scale)):
        true, favour = rng.normal(87, 0.5, 60), 1 + rng.normal(0, 0.3, 60)
        searched = true + favour + rng.normal(0, 0.4, 60)
        best = np.argsort(searched)[-3:]
        shared = np.tile(rng.normal(0, 0.3, 5), 3)
        fresh = pd.DataFrame({"config": np.repeat([f"c{i}" for i in best], 5), "seed": [*range(5)] * 3, **kind})
        fresh[VALIDATION] = (np.repeat((true + favour)[best], 5) + shared + rng.normal(0, 0.3, 15)) / 100
        fresh["test/accuracy"] = (np.repeat(true[best], 5) + rng.normal(0, 0.4, 15)) / 100
        others = pd.DataFrame({VALIDATION: searched / 100, "block": range(60), **kind})
        others["test/accuracy"] = (true + rng.normal(0, 0.4, 60)) / 100
        found.append(selection_effect({f"c{i}": searched[i] / 100 for i in best}, fresh, others))
        seed_truth.append(float((searched - true - favour)[best].mean()))
        gap_truth.append(float(favour[best].mean() - 1))
    for name, part, truth in (("seed", "seed", seed_truth), ("validation part", "validation", gap_truth)):
        intervals = [getattr(one, part) for one in found]
        error = np.array([one.value for one in intervals]) - truth
        yield Check(f"selection effect of the {name}: mean error", float(error.mean()), -0.04, 0.04)
        hits = covers(limits(intervals), np.array(truth))
        yield percent(f"selection effect of the {name}: covers", hits, 93, 97, RESAMPLED)


def held_out(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Finalists that suit their validation reviews, and blocks that each hold out 15 % of the movies anew.

    The truth is of these reviews and this split: what the finalists' gap to test is above the blocks'.
    """
    for blocks, seeds in ((24, 5), (12, 5), (24, 3)):
        found, truth = [], []
        for _ in range(int(RESAMPLED * scale)):
            of = np.repeat(np.arange(150), rng.integers(4, 17, 150))
            held = [np.isin(of, rng.permutation(150)[:22]) for _ in range(blocks + 1)]
            easy = (1.6 + rng.normal(0, 0.5, 150)[of] + rng.normal(0, 0.8, len(of)))[held[0]]
            on_test = 1.6 + np.repeat(rng.normal(0, 0.5, 100), 10) + rng.normal(0, 0.8, 1000)
            level = rng.normal(0, 0.15, blocks)  # of the block's settings
            others = (easy[:, None] + level + rng.normal(0, 0.5, (len(easy), blocks)) > 0).astype(float)
            others[~np.array([one[held[0]] for one in held[1:]]).T] = np.nan
            tests = (on_test[:, None] + level + rng.normal(0, 0.5, (1000, blocks)) > 0).mean(axis=0)
            suited, suited_test = (
                easy + 0.35 + rng.normal(0, 0.3, len(easy)),
                on_test + 0.2 + rng.normal(0, 0.3, 1000),
            )
            shift = rng.normal(0, 0.03, seeds)
            own = (suited[:, None] + shift + rng.normal(0, 0.4, (len(easy), seeds)) > 0).astype(float)
            own_test = (suited_test[:, None] + shift + rng.normal(0, 0.4, (1000, seeds)) > 0).mean(axis=0)
            apart = differences(own, own_test, others, tests)
            found.append(crossed(apart[~np.isnan(apart).any(axis=1)]))
            of_own = stats.norm.cdf(suited / 0.4).mean() - stats.norm.cdf(suited_test / 0.4).mean()
            spread = np.hypot(0.5, 0.15)
            of_others = stats.norm.cdf(easy / spread).mean() - stats.norm.cdf(on_test / spread).mean()
            truth.append(100 * float(of_own - of_others))
        hits = covers(limits(found), np.array(truth))
        name = f"validation part, blocks of other splits, {blocks} blocks, {seeds} seeds"
        yield percent(f"{name}: covers", hits, 93, 97, RESAMPLED)
        error = np.array([one.value for one in found]) - truth
        yield Check(f"{name}: mean error", float(error.mean()), -0.25, 0.25)


def rank_correlation(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    sims = int(RESAMPLED * scale)
    for rho in (0.0, 0.6, 0.9):
        both = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(sims, 30))
        intervals = [tau_b(pair[:, 0], pair[:, 1]) for pair in both]
        hits = covers(limits(intervals), 2 / np.pi * np.arcsin(rho))
        yield percent(f"tau-b, rho {rho}, n=30: covers", hits, 93, 97, RESAMPLED)


def slopes(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    sims = int(RESAMPLED * scale)
    for name, world in (("normal", World(by_rate=0.3)), ("10 % fail", World(by_rate=0.3, failing=0.1))):
        accuracy, rate = world.draw(rng, sims, 24)
        columns = pd.MultiIndex.from_tuples(CELLS)
        hits = []
        for one, lr in zip(accuracy, 2.0**rate, strict=True):
            fit = slope(Blocks(pd.DataFrame(one, columns=columns), ()), LOSS, pd.Series(lr))
            assert fit is not None
            hits.append(fit.per_doubling.low <= 0.3 <= fit.per_doubling.high)
        yield percent(f"slope on the learning rate, {name}, n=24: covers", np.array(hits), 93, 97, RESAMPLED)


def tuning_band(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Scores are uniform on [0.5, 0.9]: the median best of n is their 0.5^(1/n) quantile.

    The band holds for all quantiles at once; a curve uses the upper half of them, so it covers more than 95 %.
    """
    hits = []
    for _ in range(int(RESAMPLED * scale)):
        curve = tuning_curve(rng.uniform(0.5, 0.9, 30))
        true = 50 + 40 * 0.5 ** (1 / curve["trials"].to_numpy())
        hits.append(bool(((curve["low"] <= true) & (true <= curve["high"])).all()))
    yield percent("tuning curve's band, all n together: covers", np.array(hits), 95, 100, RESAMPLED)
