"""``seqclf champion``: register the best finished model by validation, to predict with and to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Register the best finished model by validation accuracy as the champion.

    Of finalists, that is the best seed of the settings with the best mean over seeds.
    """

    runs: Path = Path("runs")
    """Folder in which everything is recorded."""
    name: str | None = None
    """Name of a study or experiment; without it, finished finalists where there are any, else all models."""
    ensemble: tuple[str, ...] = ()
    """Keys of runs whose models answer together, such as imdb/0007 imdb/0012, with weights by validation."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""


def main(arguments: Sequence[str]) -> None:
    """Choose and register the champion, and say which it is."""
    options = parse(Options, arguments, "champion")
    print(f"Looking for the best finished model under {options.runs}.", flush=True)
    from experiments.tracking.paths import RunPaths, set_mlflow_environment

    set_mlflow_environment()  # before MLflow is imported
    from experiments.serving.registry import make_champion

    print(make_champion(RunPaths(options.runs), options.name, options.tracking_uri, options.ensemble))
