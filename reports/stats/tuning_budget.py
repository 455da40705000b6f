"""Effects against the tuning budget: the difference between two arms after each was tuned by n random trials.

A mean over blocks compares arms at a random setting. Whoever tunes each arm asks another question: draw n
settings, keep each arm's best by validation, and compare the test accuracies of the two that were kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special, stats

from reports.stats.contrasts import VALIDATION, Contrast, Factors, blocks
from reports.stats.estimates import FEWEST_FOR_TEST, Array

BUDGETS = (1, 2, 4, 8)
"""Numbers of trials per arm."""
BLOCKS_PER_TRIAL = 3
"""Blocks that there must be for each trial of a budget: with fewer, the jackknife's interval covers too little."""


def tuned(validation: Array, test: Array, trials: int) -> Array:
    """Return each arm's expected test score after the best of so many trials by validation, over all subsets.

    That is a U-statistic (Hoeffding 1948): the mean over all subsets of ``trials`` blocks. A run is the best of a
    subset if all others come from below it, so that only its rank counts; equal validation scores share the
    probabilities of their ranks, as if drawn by lot.

    Args:
        validation: (blocks, arms) scores by which a trial is kept.
        test: (blocks, arms) scores that are compared.
        trials: of each subset, 1 to the number of blocks.

    Returns:
        (arms,)
    """
    count = len(validation)
    ranks = np.arange(count)  # this many lie below
    probabilities = special.comb(ranks, trials - 1) / special.comb(count, trials)
    found = []
    for scores, outcome in zip(validation.T, test.T, strict=True):
        places = stats.rankdata(scores, method="min").astype(int) - 1
        ties = np.bincount(places, minlength=count)
        sums = np.concatenate([[0.0], np.cumsum(probabilities)])
        shared = (sums[places + ties[places]] - sums[places]) / ties[places]
        found.append(float(shared @ outcome))
    return np.array(found)


def tuned_effect(validation: Array, test: Array, weights: Sequence[float], trials: int) -> tuple[float, float]:
    """Return a contrast of tuned arms, and its standard error by the jackknife over blocks.

    Args:
        validation: (blocks, arms) scores by which a trial is kept.
        test: (blocks, arms) scores that are compared.
        weights: of the arms.
        trials: of each arm.
    """
    count = len(validation)
    value = float(tuned(validation, test, trials) @ np.asarray(weights))
    without = np.array(
        [
            tuned(np.delete(validation, block, axis=0), np.delete(test, block, axis=0), trials)
            @ np.asarray(weights)
            for block in range(count)
        ]
    )
    error = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
    return value, error


def effects_by_budget(
    runs: pd.DataFrame,
    factors: Factors,
    contrasts: Sequence[Contrast],
    outcome: str = "test/accuracy",
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare arms after each was tuned by 1, 2, 4 and 8 random trials.

    Args:
        runs: one row per run: ``block``, one column per factor, the validation accuracy of the kept weights and
            the outcome (fractions), optionally ``diverged``.
        factors: as the study was created with them.
        contrasts: what to compare; every cell is an arm that is tuned alone.
        outcome: the column to compare.
        level: of the intervals, which are unadjusted.

    Returns:
        ``contrast`` (its name), ``trials``, ``effect`` (percentage points), ``low``, ``high`` (t limits, jackknife
        over blocks), ``blocks``. Budgets for which there are fewer than 3 blocks a trial are left out, and
        everything below 6 blocks.
    """
    test = blocks(runs, factors, outcome).table
    validation = blocks(runs, factors, VALIDATION).table
    both = test.index.intersection(validation.index)
    seen, scored = validation.loc[both].to_numpy(dtype=float), test.loc[both].to_numpy(dtype=float)
    rows = []
    for contrast in contrasts if len(both) >= FEWEST_FOR_TEST else ():
        for trials in BUDGETS:
            if BLOCKS_PER_TRIAL * trials > len(both):
                continue
            value, error = tuned_effect(seen, scored, contrast.weights, trials)
            half = float(stats.t.ppf((1 + level) / 2, len(both) - 1)) * error
            limits = {"low": value - half, "high": value + half, "blocks": len(both)}
            rows.append({"contrast": contrast.name, "trials": trials, "effect": value, **limits})
    return pd.DataFrame(rows, columns=["contrast", "trials", "effect", "low", "high", "blocks"])
