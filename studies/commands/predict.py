"""``seqclf predict``: score texts with the champion, or with the best finished model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Print the probability that a text is positive, by the champion or the best finished model."""

    text: str | None = None
    """A text to score."""
    file: Path | None = None
    """File with a text in each line; without text and file, standard input is read."""
    runs: Path = Path("runs")
    """Folder in which everything is recorded."""
    name: str | None = None
    """Name of a study or experiment; without it, the champion if one is registered, else the best model of all."""
    model: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Model folder to use instead."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Address of the MLflow to fetch the champion from, where its copy under RUNS is missing."""


def main(arguments: Sequence[str]) -> None:
    """Score the texts."""
    options = parse(Options, arguments, "predict")
    from experiments.serving.choosing import answering_model
    from experiments.tracking.paths import RunPaths

    folder = options.model or answering_model(RunPaths(options.runs), options.name, options.tracking_uri)
    print(f"Loading the model, {folder}.", file=sys.stderr, flush=True)  # answers alone are on standard output
    from experiments.serving.predict import predict  # torch takes seconds; a missing model is told before

    predict(folder, options.text, options.file)
