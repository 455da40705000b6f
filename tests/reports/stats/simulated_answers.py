"""Simulations of tuned arms, of what matters most, of shared seeds and of what is measured over blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.contrasts import VALIDATION
from reports.stats.over_blocks import rank_agreement, validation_over_blocks
from reports.stats.sensitivity import Range, what_matters
from reports.stats.tuning_budget import tuned, tuned_effect
from tests.reports.stats.checks import RESAMPLED, Check, covers, limits, percent


def arms(rng: np.random.Generator, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return validation and test accuracies (blocks, 2): the first arm peaks higher, and falls off faster."""
    rate = rng.uniform(-1, 1, (blocks, 1))
    mean = 87 + np.hstack([1.0 - 3 * rate**2, -0.5 * rate**2]) + rng.normal(0, 0.5, (blocks, 1))
    validation = mean + rng.normal(0, 0.6, mean.shape)
    return validation, mean + rng.normal(0, 0.3, mean.shape)


def tuning_budget(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    """The truth is that of very many blocks."""
    many = arms(np.random.default_rng(1), 200_000)
    for trials, blocks in ((1, 12), (2, 12), (4, 12), (4, 24), (8, 24)):
        truth = float(tuned(*many, trials) @ [1, -1])
        found = np.array(
            [tuned_effect(*arms(rng, blocks), (1, -1), trials) for _ in range(int(RESAMPLED * scale))]
        )
        bias, error = float(found[:, 0].mean()) - truth, float(stats.sem(found[:, 0]))
        yield Check(f"tuned by {trials}, n={blocks}: bias in standard errors of it", bias / error, -4, 4)
        hits = np.abs(found[:, 0] - truth) <= stats.t.ppf(0.975, blocks - 1) * found[:, 1]
        yield percent(f"tuned by {trials}, n={blocks}: covers", hits, 93, 97.5, RESAMPLED)


def sensitivity(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    truth = np.array([2.4, -1.0, 0.75, -0.5, 0, 0, 0])
    names = [f"setting {place}" for place in range(len(truth))]
    drawn = dict.fromkeys(names, Range(0.0, 1.0))
    for blocks in (12, 24):
        hits = []
        for _ in range(int(RESAMPLED * scale)):
            settings = pd.DataFrame(rng.uniform(size=(blocks, len(truth))), columns=names)
            means = pd.Series(settings.to_numpy() @ truth + rng.normal(0, 0.4, blocks))
            found = what_matters(means, settings, drawn)
            assert found is not None
            table = found.table.set_index("setting").loc[names]
            hits.append((table["low"] <= truth) & (truth <= table["high"]))
        yield percent(f"effect over the drawn range, n={blocks}: covers", np.array(hits), 93, 97, RESAMPLED)


def blocks_of_runs(rng: np.random.Generator, blocks: int) -> pd.DataFrame:
    """Return four runs a block, whose settings move both accuracies, and whose validation part moves one."""
    setting = np.repeat(rng.normal(0, 1.0, blocks), 4)
    part = np.repeat(rng.normal(0, 0.6, blocks), 4)
    true = 87 + setting + rng.normal(0, 0.4, 4 * blocks)
    return pd.DataFrame(
        {
            "block": np.repeat(np.arange(blocks), 4),
            VALIDATION: (true + 1 + part + rng.normal(0, 0.3, 4 * blocks)) / 100,
            "test/accuracy": (true + rng.normal(0, 0.2, 4 * blocks)) / 100,
        }
    )


def over_blocks(rng: np.random.Generator, scale: float) -> Iterator[Check]:
    tau = float(np.mean([rank_agreement(blocks_of_runs(rng, 24)) for _ in range(2000)]))
    found = [validation_over_blocks(blocks_of_runs(rng, 24)) for _ in range(int(RESAMPLED * scale))]
    gaps, taus = ([getattr(one, name) for one in found] for name in ("gap", "tau"))
    yield percent("gap over 24 blocks: covers", covers(limits(gaps), 1.0), 93, 97, RESAMPLED)
    yield percent("tau-b over 24 blocks: covers", covers(limits(taus), tau), 93, 97.5, RESAMPLED)
