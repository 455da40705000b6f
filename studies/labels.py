"""How many labels does it take? Texts x start x seeds; nothing pruned; resumable.

    make study STUDY=labels                     # 500, 2,000, 8,000 and all labels, 5 seeds each, from scratch
    make study STUDY=labels TAGGER=FOLDER       # and each of them also with a tagger's weights
    make experiment NAME=nbsvm ARGS="--data.train-limit 500"    # the linear models on the same axis

A seed draws the texts that are learned from, the initial weights and the order; both starts share them, so that
they are compared pair by pair. With fewer labels there are more passes over them. The validation split is whole,
as long as it is: what is kept of a run is chosen with more labels than the smallest cells learn from.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution

from experiments.tracking import names
from experiments.tracking.plan import Contrast, StudyPlan
from seqclf_core.config import RunConfig
from seqclf_core.errors import SavedError, UserError
from seqclf_core.training.checkpoint import WEIGHTS, load_tagger
from studies.study import Planned, Study, sampling

BASE = RunConfig().override(
    {
        "model.embed_dim": 64,
        "model.hidden_dim": 112,
        "model.loss": "cross_entropy",
        "train.batch_size": 16,
        "train.lr": 5e-3,
        "train.ema_decay": 0.99,
        "train.on_divergence": "score",
    }
)
EPOCHS = ((500, 32), (2_000, 16), (8_000, 8))
"""Labels up to which so many passes are made; above them 4. All are stopped early by validation."""
TOGETHER = 2**31 - 1


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    sizes: str = "500,2000,8000,all"
    """Numbers of labelled texts to learn from, balanced; all: the whole training split."""
    seeds: int = 5
    """Number of seeds for each, those already done included."""
    tagger: str = ""
    """Folder of a tagger whose weights the second start has; without it, all runs start from scratch."""


def build_study(params: Params, seed: int = 0, storage: str = "") -> Study:
    """Declare the runs.

    Raises:
        UserError: if a size is no number, or what is named as a tagger is none.
    """
    sizes = parse_sizes(params.sizes)
    if params.seeds < 1:
        raise UserError(f"a study takes at least 1 seed; {params.seeds} were asked for")
    starts: list[str | None] = [None]
    base, subject = BASE, ""
    if params.tagger:
        folder = Path(params.tagger).expanduser().absolute()
        try:
            tagger = load_tagger(folder)[1].flat()
        except SavedError as error:
            raise UserError(f"TAGGER={params.tagger}: {error}") from error
        widths = ("model.embed_dim", "model.hidden_dim", "model.num_layers", "model.bidirectional")
        base = base.override({name: tagger[name] for name in widths})
        starts = [None, str(folder)]
        subject = f"a tagger with weights {hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]}"
    levels: dict[str, tuple[Any, ...]] = {"data.train_limit": sizes, "model.init_from": tuple(starts)}
    drawn = [np.random.default_rng([seed, place]) for place in range(params.seeds)]
    seeds = [(int(each.integers(TOGETHER)), int(each.integers(TOGETHER))) for each in drawn]
    planned = [
        Planned(
            name=f"seed {place} labels {size or 'all'} {'transfer' if start else 'scratch'}",
            settings={
                "data.train_limit": size,
                "data.train_limit_seed": texts,
                "model.init_from": start,
                "train.epochs": next((epochs for most, epochs in EPOCHS if size and size <= most), 4),
                "seed": weights,
            },
            tags={names.BLOCK: str(place)},
        )
        for place, (texts, weights) in enumerate(seeds)
        for size in sizes
        for start in starts
    ]
    declared = [
        Contrast(factor="model.init_from", levels=(starts[1], None), at={"data.train_limit": size})
        for size in sizes
        if len(starts) == 2
    ]
    return Study(
        question="How many labels does a classifier need"
        + (", and when does a tagger's start pay?" if subject else "?"),
        base=base,
        sample=sampling(
            {
                "data.train_limit": CategoricalDistribution(sizes),
                "data.train_limit_seed": IntDistribution(0, TOGETHER),
                "model.init_from": CategoricalDistribution(starts),
                "train.epochs": CategoricalDistribution(sorted({4, *(epochs for _, epochs in EPOCHS)})),
                "seed": IntDistribution(0, TOGETHER),
            }
        ),
        seed=seed,
        total=len(planned),
        planned=tuple(planned),
        fixed_trials=True,
        plan=StudyPlan(
            study_type="labels",
            factors={name: each for name, each in levels.items() if len(each) > 1},
            blocks=params.seeds,
            seeds=params.seeds,
            outcome=names.TEST_ACCURACY,
            declared=tuple(declared),
        ),
        counted=("SEEDS", len(sizes) * len(starts)),
        subject=f"{params.sizes} {subject}".strip(),
    )


def parse_sizes(text: str) -> tuple[int | None, ...]:
    """Read ``500,2000,all``; None stands for all.

    Raises:
        UserError: if a size is neither "all" nor a number of at least 2, or one stands twice.
    """
    sizes = []
    for part in text.split(","):
        word = part.strip()
        if word != "all" and (not word.isdecimal() or int(word) < 2):
            raise UserError(
                f"{word!r} is no number of labels; expected numbers of at least 2, or all: 500,2000,all"
            )
        sizes.append(None if word == "all" else int(word))
    if len(set(sizes)) < len(sizes):
        raise UserError(f"{text}: a number of labels stands twice")
    return tuple(sizes)
