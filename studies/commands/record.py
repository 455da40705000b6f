"""``seqclf record``: the whole recipe, from word vectors to an ensemble, or what is missing of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.cli import parse
from seqclf_core.config import RunConfig
from seqclf_core.environment import prepare_process
from seqclf_core.errors import UserError
from seqclf_core.masking import mask
from studies.record_base import BASE


@dataclass(frozen=True)
class Options:
    """Do the whole recipe of the record, or resume it where it stopped.

    Word vectors, NBSVM, teachers, soft labels on unlabelled texts, students, what each ingredient adds, a refit on
    all labels, and an ensemble: each part is recorded, and done once.
    """

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    """Settings of the LSTMs."""
    seeds: int = 5
    """Number of seeds of the recipe."""
    ablation_seeds: int = 3
    """Number of seeds of each arm that leaves an ingredient out; 0 leaves these arms out."""
    vector_epochs: int = 5
    """Passes over all text for the word vectors."""
    workers: int | None = None
    """Number of runs at a time; without it, as many as processors and memory allow, or one per GPU."""
    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""
    storage: str | None = None
    """Address of Optuna's database; without it, $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""
    report: bool = True
    """Write the pages of its studies when they end."""


def main(arguments: Sequence[str]) -> int:
    """Do what is missing of the recipe."""
    prepare_process()
    options = parse(Options, arguments, "record", Options(config=BASE))
    if options.seeds < 1 or options.ablation_seeds < 0 or (options.workers is not None and options.workers < 1):
        raise UserError("the record takes at least 1 seed and 1 worker, and no negative number of ablation seeds")
    print(f"Recipe under {options.runs}: looking for what is done already.", flush=True)
    from experiments.tracking.paths import RunPaths
    from studies.recipe import follow, prepare

    recipe = prepare(
        options.config, RunPaths(options.runs), seeds=options.seeds, ablation_seeds=options.ablation_seeds,
        workers=options.workers, vector_epochs=options.vector_epochs, tracking_uri=options.tracking_uri,
        storage=options.storage, report=options.report, command=mask(shlex.join(["seqclf", "record", *arguments])),
    )  # fmt: skip
    return follow(recipe)
