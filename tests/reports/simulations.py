"""Does every interval cover, every test keep its level? Each function simulates one claim on the real code.

`python -m tests.simulate` runs all, `pytest` the same with fewer repetitions of the slow ones. Closed forms are
repeated 4,000 times, so that 95 % is known to 0.7 points; resampling 1,000 times.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from reports.contrasts import Blocks, Contrast, weigh
from reports.estimates import (
    Interval,
    count_flip,
    equivalent,
    holm,
    mean_interval,
    median_interval,
    plain,
    sign_flip,
    t_limits,
    trimmed,
)
from reports.finalists import luck
from reports.generalisation import tau_b, two_way
from reports.optimisation import slope
from reports.power import blocks_for_equivalence, degrees_of_freedom, smallest_visible, upper_spread
from reports.training_rates import TRAINED, where_all_trained
from reports.tuning import tuning_curve
from tests.reports.simulated import CELLS, INTERACTION, LOSS, POOLING, World, reviews

CLOSED, RESAMPLED = 4000, 1000


@dataclass(frozen=True)
class Check:
    """A simulated quantity and the range it must lie in."""

    what: str
    got: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        return self.low <= self.got <= self.high


Simulation = Callable[[np.random.Generator, float], Iterator[Check]]


def percent(what: str, hits: np.ndarray, low: float, high: float, full: int) -> Check:
    """Check a share in per cent; its range grows with the error of fewer repetitions than ``full``."""
    typical = (low + high) / 200
    slack = 200 * np.sqrt(typical * (1 - typical)) * max(0.0, len(hits) ** -0.5 - full**-0.5)
    return Check(what, 100 * float(np.mean(hits)), max(0.0, low - slack), min(100.0, high + slack))


def covers(limits: tuple[np.ndarray, np.ndarray], truth: float) -> np.ndarray:
    """Say which intervals hold the truth."""
    return (limits[0] <= truth) & (truth <= limits[1])


def limits(intervals: list[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper limits."""
    return np.array([one.low for one in intervals]), np.array([one.high for one in intervals])


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
    "ties": (World(pooling=0.5, step=0.5), POOLING),
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
        spread = float(np.std(trimmed(weigh(draw, POOLING))[0]))
        effect = smallest_visible(spread, degrees_of_freedom(blocks), alpha)
        draw = World(pooling=effect).draw(rng, int(CLOSED * scale), blocks)[0]
        mean, error, df = trimmed(weigh(draw, POOLING))
        found = 100 * float(np.mean(np.abs(mean / error) > stats.t.ppf(1 - alpha / 2, df)))
        yield Check(f"power at the smallest visible effect, n={blocks}, level {alpha:.3f}", found, 77, 83)
    values = weigh(World().draw(rng, int(CLOSED * scale), 24)[0], POOLING)
    _, error, df = trimmed(values)
    upper = np.array([upper_spread(float(one), df) for one in error])
    true = float(np.std(trimmed(values)[0]))
    yield Check("spread's upper 80 % limit: is above the spread", 100 * float(np.mean(upper > true)), 77, 83)


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


def sign_flips(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    sims = int(RESAMPLED * scale)
    for name, world in (("normal", World()), ("ties", World(step=0.5))):
        p = sign_flip(weigh(world.draw(rng, sims, 12)[0], POOLING))
        yield percent(f"sign flips, {name}, n=12: p < 0.05", p < 0.05, 2.5, 6.5, RESAMPLED)
    p = sign_flip(weigh(World().draw(rng, sims, 18)[0], POOLING), draws=999)
    yield percent("sign flips, random patterns, n=18: p < 0.05", p < 0.05, 3, 6.5, RESAMPLED)
    p = sign_flip(weigh(World(pooling=0.5).draw(rng, sims, 12)[0], POOLING))
    yield percent("sign flips, an effect of one sd, n=12: found", p < 0.05, 77, 87, RESAMPLED)


def familywise(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    draw = World().draw(rng, int(RESAMPLED * scale), 12)[0]
    p = np.stack([sign_flip(weigh(draw, contrast)) for contrast in (POOLING, LOSS, INTERACTION)], axis=-1)
    wrong = (holm(p) < 0.05).any(axis=-1)
    yield percent("any of three verdicts wrong where nothing differs", wrong, 2, 6.5, RESAMPLED)


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


def new_reviews(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    sims = int(RESAMPLED * scale)
    found = [two_way(*reviews(rng, blocks=12, movies=60, effect=0.8)) for _ in range(sims)]
    hits = covers(limits([one.interval for one in found]), 0.8)
    yield percent("new reviews, 60 movies, n=12: covers", hits, 93, 97, RESAMPLED)
    center, error = (np.array(x) for x in zip(*((f.interval.value, f.from_blocks) for f in found), strict=True))
    narrow = covers(t_limits(center, error, degrees_of_freedom(12), 0.95), 0.8)
    yield percent("the interval for these reviews alone covers new ones", narrow, 0, 80, RESAMPLED)


def search_luck(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """A search of 60 configurations keeps the best 3 by validation; validation flatters each by its own amount."""
    found, seed_truth, gap_truth = [], [], []
    for _ in range(int(RESAMPLED * scale)):
        true, flattery = rng.normal(87, 0.5, 60), 1 + rng.normal(0, 0.3, 60)
        searched = true + flattery + rng.normal(0, 0.4, 60)
        best = np.argsort(searched)[-3:]
        fresh = pd.DataFrame({"config": np.repeat([f"c{i}" for i in best], 5)})
        fresh["val/accuracy"] = (np.repeat((true + flattery)[best], 5) + rng.normal(0, 0.4, 15)) / 100
        fresh["test/accuracy"] = (np.repeat(true[best], 5) + rng.normal(0, 0.4, 15)) / 100
        others = pd.DataFrame({"val/accuracy": searched / 100})
        others["test/accuracy"] = (true + rng.normal(0, 0.4, 60)) / 100
        found.append(luck({f"c{i}": searched[i] / 100 for i in best}, fresh, others))
        seed_truth.append(float((searched - true - flattery)[best].mean()))
        gap_truth.append(float(flattery[best].mean() - 1))
    for name, part, truth in (("seed", "seed", seed_truth), ("validation part", "validation", gap_truth)):
        intervals = [getattr(one, part) for one in found]
        error = np.array([one.value for one in intervals]) - truth
        yield Check(f"luck of the {name}: mean error", float(error.mean()), -0.04, 0.04)
        low, high = limits(intervals)
        hits = (low <= truth) & (truth <= high)
        yield percent(f"luck of the {name}: covers", hits, 93, 97, RESAMPLED)


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


SIMULATIONS: dict[str, Simulation] = {
    f.__name__: f
    for f in (
        t_on_normal,
        trimmed_t,
        trimmed_bias_and_width,
        median_covers,
        trained_mean,
        power_as_computed,
        equivalence,
        sign_flips,
        familywise,
        looking_twice,
        training_rate,
        new_reviews,
        search_luck,
        rank_correlation,
        slopes,
        tuning_band,
    )
}


def simulate(name: str, scale: float = 1.0) -> list[Check]:
    """Run one simulation; the same name and scale give the same numbers."""
    return list(SIMULATIONS[name](np.random.default_rng(20_240), scale))
