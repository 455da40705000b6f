"""Simulations of intervals that single pages print: matched heads, two models, ensembles, labels, costs."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.clustered import accuracy
from reports.stats.contrasts import Blocks, cells, family
from reports.stats.discrimination import by_length
from reports.stats.labels import paired_p
from reports.stats.matched import matched_losses
from reports.stats.mcnemar import compare, ensemble
from reports.stats.optimisation import median_examples, ratio
from reports.stats.variance import single_runs
from tests.reports.stats.checks import RESAMPLED, Check, covers, limits, percent
from tests.reports.stats.simulated import CELLS, FACTORS

HEADS = {
    "model.loss": ("bce", "cross_entropy"),
    "train.head_lr_scale": ("1.0", "2.0"),
    "model.head_init_scale": ("1.0", "1.4142"),
}


def matched_heads(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Accuracy depends on how fast a head really learns, and on nothing else that the losses differ by."""
    found = cells(HEADS)
    fast = np.array([(loss == "cross_entropy") + (rate == "2.0") for loss, rate, _ in found])
    columns = pd.MultiIndex.from_tuples(found, names=list(HEADS))
    for blocks in (12, 24):
        each = []
        for _ in range(int(RESAMPLED * scale)):
            noise = rng.normal(0, 2, (blocks, 1)) + rng.normal(0, 0.5, (blocks, len(found)))
            each.append(matched_losses(Blocks(pd.DataFrame(86 + 0.4 * fast + noise, columns=columns), ()), HEADS))
        for name, truth in (("equal", 0.4), ("interval", 0.0), ("change", 0.4)):
            hits = covers(limits([getattr(one, name) for one in each if one]), truth)
            told = {
                "equal": "at equal heads",
                "interval": "at matched heads",
                "change": "what matching takes away",
            }
            yield percent(f"losses, {told[name]}, n={blocks}: covers", hits, 93, 97, RESAMPLED)


def _answers(rng: np.random.Generator, models: int, movie_sd: float = 0.4) -> tuple[list[pd.DataFrame], pd.Series]:
    """Draw the probabilities that models give the right label of reviews of 200 movies, and each one's movie."""
    of = np.repeat(np.arange(200), rng.integers(1, 15, 200))
    easy = 1 + rng.normal(0, movie_sd, 200)[of] + rng.normal(0, np.sqrt(0.8 - movie_sd**2), len(of))
    rows = {"row": np.arange(len(of)), "label": 1}
    draws = [stats.norm.cdf(easy + rng.normal(0, 0.5, len(of))) for _ in range(models)]
    frames = [pd.DataFrame({**rows, "probability": p, "key": str(at)}) for at, p in enumerate(draws)]
    return frames, pd.Series(of)


def two_models(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Two models that are equally good on all reviews there might be, with movies known, and without any."""
    known, alone = [], []
    for _ in range(int(RESAMPLED * scale)):
        (a, b), movies = _answers(rng, 2)
        known.append(compare(a, b, movies).difference)
        (a, b), _ = _answers(rng, 2, movie_sd=0.0)
        alone.append(compare(a, b).difference)
    yield percent("two models, movies known: covers", covers(limits(known), 0.0), 93, 97, RESAMPLED)
    yield percent("two models, independent reviews, exact: covers", covers(limits(alone), 0.0), 94, 98, RESAMPLED)


def ensembles(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Five models averaged are right about as if their noise were that of their mean: the truth from many."""
    found, right = [], []
    for _ in range(int(RESAMPLED * scale)):
        frames, movies = _answers(rng, 5)
        one = (ensemble(pd.concat(frames))["probability"] >= 0.5).to_numpy(dtype=float)
        right.append(one.mean())
        found.append(accuracy(one, movies.to_numpy()).interval)
    truth = 100 * float(np.mean(right))
    yield percent("score of an ensemble of 5: covers", covers(limits(found), truth), 93, 97, RESAMPLED)


def lengths(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Accuracy by length of one run is of reviews one by one: in a bin, few reviews share a movie."""
    hits = []
    truth = float(stats.norm.cdf(1 / np.sqrt(0.8 + 0.25)))
    for _ in range(int(RESAMPLED * scale)):
        [one], _ = _answers(rng, 1)
        tokens = pd.Series(rng.integers(20, 800, len(one)))
        table = by_length(one, tokens)
        hits += [*((table["low"] <= truth) & (truth <= table["high"]))]
    yield percent("accuracy of one length bin, 200 movies: covers", np.array(hits), 92, 98, RESAMPLED)


def label_family(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Where a start is worth nothing at any of four sizes, it is said to be at any in at most 5 %."""
    for seeds in (5, 10):
        wrong = []
        for _ in range(int(2 * RESAMPLED * scale)):
            draw = rng.normal(0, 0.4, (seeds, 1)) + rng.normal(0, 0.4, (seeds, 4))
            wrong.append((paired_p(pd.DataFrame(draw, columns=[500, 2000, 8000, 20000])) < 0.05).any())
        yield percent(f"any of four sizes wrong, {seeds} seeds", np.array(wrong), 1, 6.5, RESAMPLED)


def costs(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Time per step where whole blocks are slow, and examples to a loss that a third never reach."""
    pooling = family(FACTORS)[0]
    times, medians, reached = [], [], []
    for _ in range(int(RESAMPLED * scale)):
        slow = rng.lognormal(0, 0.5, (12, 1)) * rng.lognormal(0, 0.05, (12, 4)) * np.array([1, 1, 1.1, 1.1])
        rows = [
            {"block": block, **dict(zip(FACTORS, cell, strict=True)), "seconds": slow[block, at]}
            for block in range(12)
            for at, cell in enumerate(CELLS)
        ]
        times.append(ratio(pd.DataFrame(rows), FACTORS, pooling, "seconds"))
        took = rng.lognormal(9, 0.6, 24)
        last = rng.permutation(np.repeat([9_000.0, 60_000.0], 12))
        seen = pd.DataFrame(
            {"examples": np.minimum(took, last), "reached": took <= last}, index=map(str, range(24))
        )
        row = median_examples(seen, pd.DataFrame({"key": seen.index, "cell": "a"}), ["cell"]).iloc[0]
        reached.append(not np.isnan(row["median"]))
        high = np.inf if np.isnan(row["high"]) else row["high"]
        medians.append(row["low"] <= np.exp(9) <= high)
    yield percent("ratio of times, slow blocks, n=12: covers", covers(limits(times), 1.1), 93, 97, RESAMPLED)
    yield percent("median examples to a loss, censored, n=24: covers", np.array(medians), 93, 98.5, RESAMPLED)
    yield Check("its median is known", 100 * float(np.mean(reached)), 80, 100)


def needed_seeds(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """How many seeds find a difference of a point, from five runs of each source."""
    true = {"init": 0.6, "order": 0.5, "dropout": 0.4}
    run = np.sqrt(sum(sd**2 for sd in true.values()))
    seeds = max(2.0, np.ceil(2 * ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * run) ** 2))
    hits = []
    for _ in range(int(RESAMPLED * scale)):
        worth = single_runs({name: (88 + rng.normal(0, sd, 5)).tolist() for name, sd in true.items()})
        assert worth is not None
        hits.append(worth.seeds.low <= seeds <= worth.seeds.high)
    yield percent("seeds to find a point, 5 runs of each source: covers", np.array(hits), 93, 99.5, RESAMPLED)
