"""How good does an LSTM become, and what does each ingredient of the recipe add? Arms x seeds; resumable.

    make record                                                  # the whole recipe, this study a part of it
    make study STUDY=record ARGS="--vectors FOLDER"              # its teachers: forward twice, backward once
    make study STUDY=record ARGS="--vectors FOLDER --labels FOLDER"   # its students, and one arm less each

The recipe: skip-gram vectors, an LSTM whose last state, mean and maximum the head reads side by side, and soft
labels on unlabelled texts from a teacher of LSTMs and NBSVM. Seeds draw weights, order and dropout; an arm and the
recipe share them, so that they are compared pair by pair. Nothing is pruned or stopped early.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution

from experiments.tracking import names
from experiments.tracking.plan import Level, StudyPlan
from seqclf_core.data.soft_labels import TEXTS
from seqclf_core.errors import UserError
from seqclf_core.files import sha256_of
from seqclf_core.places import beside
from seqclf_core.vectors import VECTORS, load_vectors
from studies.record_base import BASE
from studies.study import Planned, Study, sampling

RECIPE = "recipe"
"""Name of the arm that leaves nothing out."""
TEACHERS = (("forward", 0), ("forward", 1), ("backward", 2))
"""Direction of reading, and place of the seed, of each teacher: they are to err on different texts."""
TOGETHER = 2**31 - 1


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    vectors: str = ""
    """Folder of the word vectors that models start from (make experiment NAME=word_vectors)."""
    labels: str = ""
    """Folder of the soft labels that students learn from (NAME=self_training); without it, teachers learn."""
    seeds: int = 5
    """Number of seeds of the recipe, those already done included."""
    ablation_seeds: int = 3
    """Number of seeds of each arm that leaves an ingredient out; at most as many as of the recipe."""
    epochs: int = 3
    """Passes over the training split where there are no soft labels."""
    student_epochs: int = 2
    """Passes of a student: with unlabelled texts, each is more than three times as long on IMDB."""


def build_study(params: Params, seed: int = 0, storage: str = "", works: Path | None = None) -> Study:
    """Declare the runs.

    Args:
        params: what is asked for.
        seed: of the study.
        storage: not needed: all is known beforehand.
        works: folder of all runs' own folders; what lies in it is named beside them, so that it can be moved.

    Raises:
        UserError: if no vectors are named, or what is named is none.
    """
    if not params.vectors:
        raise UserError(
            "No word vectors were named. `make record` does the whole recipe; `make experiment NAME=word_vectors` "
            "learns the vectors and prints their folder, which goes into ARGS=--vectors"
        )
    if params.seeds < 1 or params.ablation_seeds < 0:
        raise UserError(
            "the record takes at least 1 seed, and 0 or more seeds for each part left out; "
            f"{params.seeds} and {params.ablation_seeds} were asked for"
        )
    vectors = Path(params.vectors).expanduser().absolute()
    load_vectors(vectors)
    subject = f"vectors {sha256_of(vectors / VECTORS)[:16]}"
    labels = Path(params.labels).expanduser().absolute() if params.labels else None
    if labels:
        if not (labels / TEXTS).is_file():
            raise UserError(
                f"--labels {params.labels}: that folder has no file {TEXTS}; expected a folder of soft labels"
            )
        subject += f", soft labels {sha256_of(labels / TEXTS)[:16]}"
    start = beside(vectors, works) if works else str(vectors)
    labelled = (beside(labels, works) if works else str(labels)) if labels else ""
    drawn = [
        int(np.random.default_rng([seed, place]).integers(TOGETHER))
        for place in range(max(params.seeds, len(TEACHERS)))
    ]
    planned = students(params, start, labelled, drawn) if labelled else teachers(params, start, drawn)
    return Study(
        question="What does each ingredient of the recipe add?" if labels else "Which LSTMs can teach?",
        base=BASE,
        sample=sampling(
            {
                "model.init_from": CategoricalDistribution([start, None]),
                "model.pooling": CategoricalDistribution(["concat", "last"]),
                "data.reading": CategoricalDistribution(["forward", "backward"]),
                "train.soft_labels": CategoricalDistribution([labelled, None] if labelled else [None]),
                "train.epochs": IntDistribution(1, 1000),
                "seed": IntDistribution(0, TOGETHER),
            }
        ),
        seed=seed,
        total=len(planned),
        planned=tuple(planned),
        fixed_trials=True,
        plan=StudyPlan(
            study_type="record" if labels else "search",
            blocks=params.seeds,
            seeds=params.seeds,
            outcome=names.TEST_ACCURACY,
        ),
        counted=("ARGS=--seeds", 1),
        subject=subject,
    )


def teachers(params: Params, vectors: str, seeds: list[int]) -> list[Planned]:
    """Plan the LSTMs that teach together with NBSVM."""
    common: dict[str, Level] = {
        "model.init_from": vectors,
        "model.pooling": BASE.model.pooling,
        "train.soft_labels": None,
        "train.epochs": params.epochs,
    }
    return [
        Planned(
            name=f"{reading} {place}",
            settings={**common, "data.reading": reading, "seed": seeds[place]},
            repeats=f"{reading} {place}",  # each keeps its weights
        )
        for reading, place in TEACHERS
    ]


def arms(params: Params, vectors: str, labels: str) -> dict[str, dict[str, Any]]:
    """Return the arms: name -> its settings; the first is the recipe, each other one leaves an ingredient out."""
    recipe: dict[str, Any] = {
        "model.init_from": vectors,
        "model.pooling": BASE.model.pooling,
        "data.reading": "forward",
        "train.soft_labels": labels,
        "train.epochs": params.student_epochs,
    }
    return {
        RECIPE: recipe,
        "without soft labels": {**recipe, "train.soft_labels": None, "train.epochs": params.epochs},
        "without vectors": {**recipe, "model.init_from": None},
        "last state alone": {**recipe, "model.pooling": "last"},
    }


def students(params: Params, vectors: str, labels: str, seeds: list[int]) -> list[Planned]:
    """Plan the recipe on all seeds first, then each arm that leaves something out."""
    found = []
    for arm, settings in arms(params, vectors, labels).items():
        number = params.seeds if arm == RECIPE else min(params.seeds, params.ablation_seeds)
        found += [
            Planned(
                name=f"{arm} {place}",
                settings={**settings, "seed": seeds[place]},
                tags={names.BLOCK: str(place), names.ARM: arm},
                repeats=f"{arm} {place}" if arm == RECIPE else arm,  # the recipe's keep their weights
            )
            for place in range(number)
        ]
    return found
