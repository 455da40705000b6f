"""Simulations of the factors study: do intervals cover, do tests keep their level and find what is there?"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.contrasts import Contrast, weigh
from reports.stats.estimates import (
    count_flip,
    equivalent,
    holm,
    mean_interval,
    median_interval,
    plain,
    signed_rank,
    t_limits,
    trimmed,
)
from reports.stats.power import blocks_for_equivalence, degrees_of_freedom, minimum_detectable_effect, upper_sd
from reports.stats.training_rates import TRAINED, where_all_trained
from tests.reports.stats.checks import CLOSED, RESAMPLED, Check, covers, limits, percent
from tests.reports.stats.simulated import INTERACTION, LOSS, POOLING, World


def population(world: World, contrast: Contrast) -> float:
    """Return what the trimmed mean estimates: its value over very many blocks."""
    values, _ = world.draw(np.random.default_rng(99), 1, 400_000)
    return float(trimmed(weigh(values, contrast))[0][0])


def t_on_normal(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    for blocks in (5, 12, 24):
        values = weigh(World(pooling=0.8).draw(rng, int(CLOSED * scale), blocks)[0], POOLING)
        hits = covers(t_limits(*plain(values), 0.95), 0.8)
        yield percent(f"t interval of the mean, normal, n={blocks}: covers", hits, 94, 96, CLOSED)


TRIMMED_WORLDS = {
    "normal": (World(pooling=0.8), POOLING),
    "skewed": (World(pooling=0.8, skew=True), POOLING),
    "5 % of blocks fail": (World(pooling=0.8, failing=0.05), POOLING),
    "14 % of blocks fail": (World(pooling=0.8, failing=0.14), POOLING),
    "effect varies with the rate": (World(loss=0.3, by_rate=0.3), LOSS),
    "ties": (World(pooling=0.5, step=0.25), POOLING),
    "interaction": (World(interaction=1.0), INTERACTION),
}


def trimmed_t(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    for name, (world, contrast) in TRIMMED_WORLDS.items():
        truth = population(world, contrast)
        for blocks in (12, 24):
            values = weigh(world.draw(rng, int(CLOSED * scale), blocks)[0], contrast)
            hits = covers(t_limits(*trimmed(values), 0.95), truth)
            yield percent(f"trimmed t, {name}, n={blocks}: covers", hits, 93, 97, CLOSED)


def trimmed_bias_and_width(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    for name, contrast, truth, sd in (("pooling", POOLING, 0.8, 0.5), ("interaction", INTERACTION, 1.2, 1.0)):
        world = World(pooling=0.8, interaction=1.2)
        mean, error, df = trimmed(weigh(world.draw(rng, int(CLOSED * scale), 24)[0], contrast))
        low, high = t_limits(mean, error, df, 0.95)
        yield Check(f"{name}: mean of the estimates - truth", float(mean.mean()) - truth, -0.02, 0.02)
        normal = 2 * stats.t.ppf(0.975, 23) * sd / np.sqrt(24)  # of the t interval, for contrasts of this sd
        yield Check(f"{name}: width over that of the t interval", float((high - low).mean()) / normal, 1.0, 1.15)


def median_covers(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    world, sims = World(pooling=0.8, failing=0.05), int(RESAMPLED * scale)
    truth = float(np.median(weigh(world.draw(rng, 1, 400_000)[0], POOLING)))
    for blocks in (6, 12, 24):
        found = limits([median_interval(row) for row in weigh(world.draw(rng, sims, blocks)[0], POOLING)])
        yield percent(f"median, n={blocks}: covers", covers(found, truth), 94, 99, RESAMPLED)


def trained_mean(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """The mean over blocks where every cell trained; over all blocks the same interval covers far less."""
    kept = []
    for accuracy in World(pooling=0.8, failing=0.14).draw(rng, int(RESAMPLED * scale), 24)[0]:
        trained = pd.DataFrame(accuracy > TRAINED)
        kept.append(mean_interval(weigh(accuracy, POOLING)[where_all_trained(trained, POOLING)]))
    yield percent("mean over trained blocks: covers", covers(limits(kept), 0.8), 93, 97, RESAMPLED)


def power_as_computed(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    for blocks, alpha in ((12, 0.05), (24, 0.05), (24, 0.05 / 3)):
        draw = World().draw(rng, int(CLOSED * scale), blocks)[0]
        sd = float(np.std(trimmed(weigh(draw, POOLING))[0]))
        effect = minimum_detectable_effect(sd, degrees_of_freedom(blocks), alpha)
        draw = World(pooling=effect).draw(rng, int(CLOSED * scale), blocks)[0]
        mean, error, df = trimmed(weigh(draw, POOLING))
        found = 100 * float(np.mean(np.abs(mean / error) > stats.t.ppf(1 - alpha / 2, df)))
        yield Check(f"power at the smallest visible effect, n={blocks}, level {alpha:.3f}", found, 77, 83)
    # A verdict also needs Holm's correction and the interval; ranks make up for what that costs.
    values = weigh(draw, POOLING)[:RESAMPLED]
    verdict = (each(signed_rank, values) < alpha) & ~covers(t_limits(*trimmed(values), 0.95), 0)
    yield Check("verdicts at the smallest visible effect, n=24", 100 * float(verdict.mean()), 77, 90)
    values = weigh(World().draw(rng, int(CLOSED * scale), 24)[0], POOLING)
    _, error, df = trimmed(values)
    upper = np.array([upper_sd(float(one), df) for one in error])
    true = float(np.std(trimmed(values)[0]))
    yield Check("standard deviation's upper 80 % limit: is above it", 100 * float(np.mean(upper > true)), 77, 83)


def equivalence(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    sims = int(CLOSED * scale)
    for blocks in (12, 30):
        mean, error, df = trimmed(weigh(World(loss=0.3).draw(rng, sims, blocks)[0], LOSS))
        wrong = equivalent(*t_limits(mean, error, df, 0.9), 0.3)
        yield percent(f"equivalence declared at a difference of the margin, n={blocks}", wrong, 0, 5.7, CLOSED)
    for sd, blocks in ((0.3, 12), (0.5, 30), (1.0, 112)):
        mean, error, df = trimmed(weigh(World(seed_sd=sd).draw(rng, sims, blocks)[0], LOSS))
        right = equivalent(*t_limits(mean, error, df, 0.9), 0.3)
        yield percent(f"equivalence declared at no difference, sd {sd}, n={blocks}", right, 78, 85, CLOSED)
        needed = blocks_for_equivalence(float(np.std(mean)) * np.sqrt(blocks), 0.3)
        yield Check(f"blocks for equivalence, sd {sd}", needed, blocks - 2, blocks + 2)


def each(test: Callable[[np.ndarray], float], samples: np.ndarray) -> np.ndarray:
    """Apply a test to each row."""
    return np.array([test(sample) for sample in samples])


def trimmed_flip(samples: np.ndarray) -> np.ndarray:
    """Flip signs in all ways with the trimmed t as statistic: the test that ranks replaced."""
    blocks = samples.shape[-1]
    signs = 1.0 - 2 * ((np.arange(2 ** (blocks - 1))[:, None, None] >> np.arange(blocks)) & 1)

    def statistic(values: np.ndarray) -> np.ndarray:
        mean, error, _ = trimmed(values)
        return mean**2 / (mean**2 + error**2)

    parts = np.array_split(samples, max(1, len(samples) // 50))
    return np.concatenate([(statistic(signs * part) >= statistic(part) - 1e-12).mean(axis=0) for part in parts])


def sign_flips(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    for name, world, blocks in (("normal", World(), 12), ("ties", World(step=0.5), 12), ("normal", World(), 24)):
        p = each(signed_rank, weigh(world.draw(rng, int(CLOSED * scale), blocks)[0], POOLING))
        yield percent(f"signed ranks, {name}, n={blocks}: p < 0.05", p < 0.05, 2.5, 5.8, CLOSED)
    sims = int(RESAMPLED * scale)
    for blocks, effect in ((7, 1.0), (12, 0.6)):
        values = weigh(World(pooling=effect).draw(rng, sims, blocks)[0], POOLING)
        found, by_trimmed = each(signed_rank, values) < 0.05 / 3, trimmed_flip(values) < 0.05 / 3
        yield Check(
            f"more found by ranks than by trimmed t, n={blocks}", 100 * (found.mean() - by_trimmed.mean()), 2, 100
        )


def false_verdicts(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """No trimmed mean differs from 0, though in the second world one arm fails in 14 % of blocks."""
    for name, failing, blocks in (("nothing fails", 0.0, 12), ("14 % fail", 0.14, 12), ("14 % fail", 0.14, 24)):
        shift = population(World(failing=failing), POOLING)
        draw = World(failing=failing, pooling=-shift).draw(rng, int(RESAMPLED * scale), blocks)[0]
        values = [weigh(draw, contrast) for contrast in (POOLING, LOSS, INTERACTION)]
        p = holm(np.stack([each(signed_rank, one) for one in values], axis=-1))
        if failing == 0:
            yield percent(
                "any of three tests wrong where nothing differs", (p < 0.05).any(axis=-1), 2, 6.5, RESAMPLED
            )
        without = np.stack([~covers(t_limits(*trimmed(one), 0.95), 0) for one in values], axis=-1)
        wrong = ((p < 0.05) & without).any(axis=-1)
        yield percent(f"any of three verdicts wrong, {name}, n={blocks}", wrong, 1.5, 6.5, RESAMPLED)


def looking_twice(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    values = weigh(World().draw(rng, int(CLOSED * scale) * 2, 24)[0], POOLING)
    wrong = np.zeros(len(values), dtype=bool)
    for blocks in (12, 24):
        mean, error, df = trimmed(values[:, :blocks])
        wrong |= np.abs(mean / error) > stats.t.ppf(0.975, df)
    yield percent("testing at 12 blocks and again at 24 errs", wrong, 7.5, 10, CLOSED)


def training_rate(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    differences = rng.choice([-2, -1, 0, 1, 2], size=(int(RESAMPLED * scale), 24), p=[0.1, 0.1, 0.6, 0.1, 0.1])
    p = np.array([count_flip(row) for row in differences])
    yield percent("training rates, no difference: p < 0.05", p < 0.05, 1.5, 6.5, RESAMPLED)
