"""What more trials buy: the median best score after n random trials, with a band that holds for all n at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from opda.nonparametric import EmpiricalDistribution

from reports.stats.contrasts import POINTS, scored
from seqclf_core.errors import UserError

FEWEST_TRIALS = 24


def require_random_draws(trials: pd.DataFrame, sampler: str) -> None:
    """Refuse trials that do not speak for the whole search space.

    Curves over trials, importance and proportions of variance describe the space only if each trial was drawn from
    it at random and ran to its end: a sampler that learns visits good places more often, a pruner hides bad ends.

    Args:
        trials: one row per trial, with ``outcome`` (complete, pruned or failed).
        sampler: how the study draws: ``random`` is fit for this.

    Raises:
        UserError: if the sampler is another, or a trial was pruned.
    """
    if sampler != "random":
        raise UserError(
            f"These trials were drawn by {sampler!r}, which goes where scores are good; this answer needs random "
            "draws. Take a factors study, or a search with the random sampler."
        )
    pruned = int((trials["outcome"] == "pruned").sum())
    if pruned:
        raise UserError(
            f"{pruned} of {len(trials)} trials were pruned, so their scores are not known; this answer needs the "
            "end of every trial. Take a study without pruning."
        )


def tuning_curves(trials: pd.DataFrame, by: Sequence[str], sampler: str, level: float = 0.95) -> pd.DataFrame:
    """Return the median best validation accuracy after 1, 2, ... random trials, for each cell.

    The band is that of Learned-Miller & DeStefano (2008) around the distribution of scores, turned into tuning
    curves by Lourie, Cho & He (2024); it holds for all n together. Each curve ends where its upper limit reaches
    100 %: beyond, the data say nothing.

    Args:
        trials: one row per trial: ``outcome``, ``best/val_accuracy`` (fraction), the columns of ``by``, optionally
            ``diverged`` (see ``contrasts.scored``); what has no score and did not diverge is left out.
        by: columns whose combinations get a curve each, such as the factors.
        sampler: how the trials were drawn; see ``require_random_draws``.
        level: of the band.

    Returns:
        The columns of ``by``, ``trials`` (n), ``median``, ``low``, ``high`` in per cent, and ``runs``. Cells of
        fewer than 24 runs are left out.
    """
    require_random_draws(trials, sampler)
    trials = trials.assign(_score=scored(trials, "best/val_accuracy")).dropna(subset="_score")
    pieces = []
    for cell, scores in trials.groupby(list(by), sort=True)["_score"]:
        if len(scores) < FEWEST_TRIALS:
            continue
        curve = tuning_curve(scores.to_numpy(), level)
        names = pd.DataFrame([cell] * len(curve), columns=list(by))
        pieces.append(pd.concat([names, curve.assign(runs=len(scores))], axis=1))
    columns = [*by, "trials", "median", "low", "high", "runs"]
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=columns)


def tuning_curve(scores: np.ndarray[tuple[int], np.dtype[np.float64]], level: float = 0.95) -> pd.DataFrame:
    """Return one curve; see ``tuning_curves``.

    Args:
        scores: (n,) fractions of independent random draws, n >= 24.
        level: of the band.

    Raises:
        UserError: if there are fewer than 24 scores.
    """
    if len(scores) < FEWEST_TRIALS:
        raise UserError(f"A tuning curve was asked of {len(scores)} trials; its band says little below 24.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal scores only make the band wider than it need be
        lower, middle, upper = EmpiricalDistribution.confidence_bands(
            scores, level, a=0.0, b=1.0, generator=_generator(len(scores)), method="ld_equal_tailed", n_jobs=1
        )
    trials = np.arange(1, len(scores) + 1)
    table = pd.DataFrame(
        {
            "trials": trials,
            "median": middle.quantile_tuning_curve(trials) * POINTS,
            # The lower limit of a distribution function is the upper limit of its quantiles.
            "low": upper.quantile_tuning_curve(trials) * POINTS,
            "high": lower.quantile_tuning_curve(trials) * POINTS,
        }
    )
    return table[table["high"] < POINTS].reset_index(drop=True)


@cache
def _generator(n: int) -> np.random.Generator:
    """Return one generator per sample size: opda caches its simulated band by it."""
    return np.random.default_rng(n)
