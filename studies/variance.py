"""Where does the variance of scores come from? Each source is varied alone; nothing is pruned; resumable.

    make study STUDY=variance               # 10 runs for each of five sources
    make study STUDY=variance SEEDS=20

Initial weights, order of the texts, dropout, split and settings are varied one at a time, all others held, as in
Bouthillier et al. 2021, "Accounting for Variance in Machine Learning Benchmarks". What two single runs differ by
without any reason is what a comparison of single runs has to exceed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution

from experiments.tracking import names
from experiments.tracking.plan import StudyPlan
from seqclf_core.errors import UserError
from studies import factors
from studies.study import Planned, Study, sampling

BASE = factors.BASE
LARGEST = 2**31 - 1
SEED_OF = {
    "init": "train.init_seed",
    "order": "train.order_seed",
    "dropout": "train.dropout_seed",
    "split": "data.split_seed",
}
"""Source of random variation -> the setting that holds its seed."""
SOURCES = (*SEED_OF, "settings")
SETTINGS: dict[str, BaseDistribution] = {
    name: given for name, given in factors.SHARED.items() if name not in ("seed", "data.split_seed")
}
"""Distribution of each setting of a random configuration, the same as in a study of factors."""


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    seeds: int = 10
    """Number of runs for each source, those already done included; fewer than 5 tell little."""


def build_study(params: Params, seed: int = 0, storage: str = "") -> Study:
    """Declare the runs.

    Raises:
        UserError: if there are fewer than two runs for each source.
    """
    if params.seeds < 2:
        raise UserError(
            f"a standard deviation takes at least 2 runs for each source; {params.seeds} were asked for"
        )
    held = {SEED_OF[source]: _seed(seed, at, 0) for at, source in enumerate(SEED_OF)}
    usual = {name: BASE.flat()[name] for name in SETTINGS}
    planned = [
        Planned(
            name=f"{source} {place}",
            settings={**usual, **held, **_varied(source, seed, at, place)},
            tags={names.VARIED: source, names.BLOCK: str(place)},
        )
        for place in range(1, params.seeds + 1)
        for at, source in enumerate(SOURCES)
    ]
    return Study(
        question="Where does the variance of scores come from, and what is a comparison of single runs worth?",
        base=BASE,
        sample=sampling({**SETTINGS, **{name: IntDistribution(0, LARGEST) for name in SEED_OF.values()}}),
        seed=seed,
        total=len(planned),
        planned=tuple(planned),
        fixed_trials=True,
        plan=StudyPlan(study_type="variance", seeds=params.seeds, outcome=names.TEST_ACCURACY),
        counted=("SEEDS", len(SOURCES)),
        subject=", ".join(SOURCES),
    )


def _varied(source: str, seed: int, at: int, place: int) -> dict[str, Any]:
    if source == "settings":
        return factors.draw_block(SETTINGS, seed, place)
    return {SEED_OF[source]: _seed(seed, at, place)}


def _seed(seed: int, at: int, place: int) -> int:
    """Return a seed: a pure function of the study's seed, the source and the run's place in it."""
    return int(np.random.default_rng([seed, at, place]).integers(LARGEST))
