"""Simulations of fractions, labels, sources of chance, clustered reviews, and of the whole family of contrasts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.clustered import accuracy, clustered_p
from reports.stats.contrasts import simple_effects, weigh
from reports.stats.estimates import (
    equivalent,
    holm,
    mean_interval,
    proportion_interval,
    signed_rank,
    t_limits,
    trimmed,
)
from reports.stats.fraction import over_kinds
from reports.stats.labels import crossing
from reports.stats.variance import single_runs, sources
from studies.fractions import signs
from tests.reports.stats.checks import CLOSED, RESAMPLED, Check, covers, limits, percent
from tests.reports.stats.simulated import FACTORS, INTERACTION, LOSS, POOLING, World

SEVEN = [POOLING, LOSS, INTERACTION, *simple_effects(FACTORS)]
"""All that a study of two factors tests together."""


def family_of_seven(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Nothing differs, or an interaction makes three of the seven false: how often is any true one rejected?"""
    sims = int(RESAMPLED * scale)
    for blocks in (12, 24):
        values = World().draw(rng, sims, blocks)[0]
        p = holm(np.stack([[signed_rank(row) for row in weigh(values, one)] for one in SEVEN], axis=-1))
        wrong = (p < 0.05).any(axis=-1)
        yield percent(f"any of seven tests wrong where nothing differs, n={blocks}", wrong, 1, 6.5, RESAMPLED)
    # With mean pooling the losses differ by 1, with last state they do not: true nulls are the latter alone.
    values = World(loss=0.5, interaction=1.0).draw(rng, sims, 24)[0]
    p = holm(np.stack([[signed_rank(row) for row in weigh(values, one)] for one in SEVEN], axis=-1))
    last = ("model.pooling", "last")
    still = [place for place, one in enumerate(SEVEN) if one.factors == ("model.loss",) and last in one.at]
    wrong = (p[:, still] < 0.05).any(axis=-1)
    yield percent("the simple effect that is 0 rejected under an interaction, n=24", wrong, 0, 6.5, RESAMPLED)


def simple_effects_cover(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Under an interaction each simple effect has its own truth, which the main effect's interval misses."""
    world = World(loss=0.5, interaction=1.0)
    for blocks in (12, 24):
        values = world.draw(rng, int(CLOSED * scale), blocks)[0]
        for one in SEVEN[3:]:
            if one.factors == ("model.loss",):
                truth = 1.0 if ("model.pooling", "mean") in one.at else 0.0
                hits = covers(t_limits(*trimmed(weigh(values, one)), 0.95), truth)
                yield percent(
                    f"simple effect of the loss {dict(one.at)['model.pooling']}, n={blocks}: covers",
                    hits,
                    93,
                    97,
                    CLOSED,
                )
        misses = covers(t_limits(*trimmed(weigh(values, LOSS)), 0.95), 1.0)
        yield percent(f"the main effect covers a simple one, n={blocks}", misses, 0, 60, CLOSED)


def equivalence_of_simple_effects(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """A simple effect of the size of the margin is called equivalent in at most 5 %."""
    for blocks in (12, 24):
        values = World(loss=0.3, seed_sd=0.3).draw(rng, int(CLOSED * scale), blocks)[0]
        one = next(each for each in SEVEN[3:] if each.factors == ("model.loss",))
        wrong = equivalent(*t_limits(*trimmed(weigh(values, one)), 0.9), 0.3)
        yield percent(f"simple effect of the margin called equivalent, n={blocks}", wrong, 0, 5.7, CLOSED)


def _fraction(
    rng: np.random.Generator, blocks: int, interactions: dict[tuple[int, int], float], fail: float
) -> list:
    """Return each effect's values of both kinds of block: six main effects, and seven columns of interactions."""
    base = signs(6)
    columns = [(place,) for place in range(6)] + [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3)]
    kinds: list[tuple[list, list]] = [([], []) for _ in columns]
    for block in range(blocks):
        cells = base if block % 2 == 0 else -base
        scores = rng.normal(0, 2) + rng.normal(0, 0.5, 8) + 0.5 * cells[:, 0]
        for (one, other), size in interactions.items():
            scores = scores + size / 4 * cells[:, one] * cells[:, other]
        if rng.random() < fail:
            scores[rng.integers(8)] -= 36
        for effect, both in zip(columns, kinds, strict=True):
            sign = cells[:, list(effect)].prod(axis=1)
            both[block % 2].append(len(effect) * (scores[sign > 0].mean() - scores[sign < 0].mean()))
    return [[np.array(kind) for kind in both] for both in kinds]


def fraction_effects(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Six factors, an interaction of 2 points between the first two, in some worlds single runs that fail."""
    for blocks, fail in ((12, 0.0), (24, 0.0), (24, 0.05)):
        mains, columns, wrong = [], [], []
        for _ in range(int(RESAMPLED * scale)):
            found = np.array([over_kinds(each) for each in _fraction(rng, blocks, {(0, 1): 2.0}, fail)])
            half = stats.t.ppf(0.975, found[:, 2]) * found[:, 1]
            truth = np.array([1.0, *[0.0] * 5, 2.0, *[0.0] * 6])
            hits = np.abs(found[:, 0] - truth) <= half
            mains.append(hits[:6])
            columns.append(hits[6:])
            p = holm(2 * stats.t.sf(np.abs(found[:, 0] / found[:, 1]), found[:, 2]))
            wrong.append((p[truth == 0] < 0.05).any())
        name = f"n={blocks}" + (f", a run fails in {100 * fail:.0f} % of blocks" if fail else "")
        yield percent(f"fraction, main effects, {name}: covers", np.array(mains), 93, 97, RESAMPLED)
        yield percent(f"fraction, columns of interactions, {name}: covers", np.array(columns), 93, 97, RESAMPLED)
        yield percent(f"fraction, {name}: any of thirteen tests wrong", np.array(wrong), 0, 6.5, RESAMPLED)


def clustered_scores(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Reviews of a movie share its fate; the truth is that of all movies there might be."""
    single, alone, effect, seeds, false = [], [], [], [], []
    for _ in range(int(RESAMPLED * scale)):
        of = np.repeat(np.arange(300), rng.integers(1, 15, 300))
        movie, review = rng.normal(0, 0.4, 300)[of], rng.normal(0, 0.8, len(of))
        runs = movie + review + rng.normal(0, 0.4, (6, len(of))) < 1.0
        right = runs.T.astype(float)
        found = accuracy(right[:, 0], of)
        single.append(found.interval)
        effect.append(found.design_effect)
        alone.append(accuracy(right[:, 0], None).interval)
        shift = rng.normal(0, 0.05, 5)  # what a seed does to all of its answers
        together = (movie + review + rng.normal(0, 0.4, (5, len(of))) + shift[:, None] < 1.0).T.astype(float)
        seeds.append(accuracy(together, of).interval)
        false.append(clustered_p(right[:, 0] - right[:, 1], of))
    truth = 100 * float(stats.norm.cdf(1 / np.sqrt(0.4**2 + 0.8**2 + 0.4**2)))
    shifted = 100 * float(stats.norm.cdf(1 / np.sqrt(0.4**2 + 0.8**2 + 0.4**2 + 0.05**2)))
    yield percent("score of a run, 300 movies: covers", covers(limits(single), truth), 93, 97, RESAMPLED)
    yield percent("the same, reviews one by one: covers", covers(limits(alone), truth), 0, 92, RESAMPLED)
    yield Check("its design effect, mean", float(np.mean(effect)), 1.4, 2.0)
    yield percent(
        "mean of 5 seeds, other seeds and movies: covers", covers(limits(seeds), shifted), 93, 97.5, RESAMPLED
    )
    yield percent("two equal models, p over movies < 0.05", np.array(false) < 0.05, 3, 6.5, RESAMPLED)


def label_crossing(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """A curve overtakes another between 2,000 and 8,000 labels; a crossing counts where it is seen."""
    sizes = [500, 2000, 8000, 20000]
    gains = np.array([-4.0, -1.0, 1.0, 2.0])
    truth = float(np.exp((np.log(2000) + np.log(8000)) / 2))
    for seeds in (5, 10):
        hits, seen, paired = [], [], []
        for _ in range(int(RESAMPLED * scale)):
            draw = gains + rng.normal(0, 0.4, (seeds, 1)) + rng.normal(0, 0.4, (seeds, 4))
            paired.append(mean_interval(draw[:, 1]))
            found = crossing(pd.DataFrame(draw, columns=sizes))
            seen.append(found.seen)
            if found.seen:
                hits.append(found.low <= truth <= found.high)
        yield percent(
            f"crossing of two curves, {seeds} seeds: covers where seen", np.array(hits), 93, 97, RESAMPLED
        )
        yield Check(f"crossing of two curves, {seeds} seeds: seen", 100 * float(np.mean(seen)), 60, 100)
        hits = covers(limits(paired), -1.0)
        yield percent(f"paired difference at a size, {seeds} seeds: covers", hits, 93, 97, RESAMPLED)


def chance_sources(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Five sources of known standard deviations; the sizes are near those of IMDB."""
    true = {"init": 0.3, "order": 0.25, "dropout": 0.2, "split": 0.3, "settings": 1.5}
    total = sum(sd**2 for sd in true.values())
    run = float(np.sqrt(0.3**2 + 0.25**2 + 0.2**2))
    for seeds in (5, 10):
        sds, shares, single, right = [], [], [], []
        for _ in range(int(RESAMPLED * scale)):
            values = {name: (88 + rng.normal(0, sd, seeds)).tolist() for name, sd in true.items()}
            for found in sources(values):
                sds.append(found.sd.low <= true[found.name] <= found.sd.high)
                proportion = true[found.name] ** 2 / total
                shares.append(found.proportion.low <= proportion <= found.proportion.high)
            worth = single_runs(values)
            assert worth is not None
            single.append(worth.by_chance.low <= 1.959964 * np.sqrt(2) * run <= worth.by_chance.high)
            right.append(worth.right.low <= stats.norm.cdf(1 / (np.sqrt(2) * run)) <= worth.right.high)
        yield percent(f"sd of a source, {seeds} runs: covers", np.array(sds), 93, 97, RESAMPLED)
        yield percent(f"proportion of variance, {seeds} runs: covers", np.array(shares), 93, 98.5, RESAMPLED)
        yield percent(
            f"difference of two runs by chance, {seeds} runs: covers", np.array(single), 93, 99.5, RESAMPLED
        )
        yield percent(f"chance to be right, {seeds} runs: covers", np.array(right), 93, 99.5, RESAMPLED)


def proportions(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """Clopper & Pearson's interval covers at least 95 %, and more where there are few."""
    for n, true in ((12, 0.7), (24, 0.7), (24, 0.9)):
        counts = rng.binomial(n, true, int(RESAMPLED * scale))
        hits = covers(limits([proportion_interval(int(count), n) for count in counts]), true)
        yield percent(f"proportion {true} of {n} blocks, exact: covers", hits, 94, 100, RESAMPLED)
