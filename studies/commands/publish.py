"""``seqclf publish``: put a finished study into a folder of a repository, as tables and the pages they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Publish a study or experiment: tables of its runs without texts, and pages made from these alone."""

    study: Annotated[str, tyro.conf.arg(aliases=["--name"])]
    """Name of the study or experiment."""
    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    to: Path = Path("reports/imdb")
    """Folder of all that is published; a study that is there already is replaced."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""
    storage: str | None = None
    """Address of Optuna's database; without it, $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""


def main(arguments: Sequence[str]) -> None:
    """Write the tables, then all pages of that folder, and say where they are.

    Raises:
        UserError: if nothing is recorded of the study, or it has not ended.
    """
    options = parse(Options, arguments, "publish")
    print(f"Publishing {options.study} of {options.runs} in {options.to}.", flush=True)
    from reports import frames, publish

    stores = frames.Stores.under(options.runs, options.tracking_uri, options.storage)
    publish.publish(stores, options.study, options.to)
    for page in publish.write(options.to):
        print(page)
