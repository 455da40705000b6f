"""``seqclf report``: write pages of what is recorded so far, and put them with their studies' runs in MLflow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.cli import parse
from seqclf_core.errors import UserError


@dataclass(frozen=True)
class Options:
    """Write a page per study of what is recorded so far: HTML that needs no network, and tables as CSV."""

    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    study: Annotated[str | None, tyro.conf.arg(aliases=["--name"])] = None
    """Name of the study or experiment to report on; without it, all of them."""
    studies: str = ""
    """Names of studies to compare, apart by spaces: a page of these alone, each effect data set by data set."""
    beside: tuple[Path, ...] = ()
    """Other folders of runs, whose studies stand on that page too."""
    out: Path | None = None
    """Folder to write to; without it, RUNS/report."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""
    storage: str | None = None
    """Address of Optuna's database; without it, $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""
    ui: str | None = None
    """Address of the MLflow user interface that runs link to; without it, that of the tracking server."""


def main(arguments: Sequence[str]) -> None:
    """Write the pages, then put those under RUNS into MLflow; pages in a folder of one's own stay there alone.

    A tracker that is down costs nothing: the pages are written, and `make sync` brings them there later.

    Raises:
        UserError: if there is nothing to report, or the stores cannot be read.
    """
    options = parse(Options, arguments, "report")
    compared = bool(options.studies.split() or options.beside)
    if compared and options.study:
        raise UserError("either one study is reported on (NAME=) or several are compared (STUDIES=, --beside)")
    print(f"Reading what is recorded under {options.runs}.", flush=True)
    from reports.write import write

    write(**{**vars(options), "studies": options.studies.split()})
    if options.out is not None or compared:
        return
    from experiments.tracking.sync import sync_reports  # MLflow, when what the pages took is free again

    result = sync_reports(options.runs, options.tracking_uri)
    if result.pages:
        print("In MLflow it is with the study's own run: Artifacts, report.")
    for reason in sorted(set(result.unsent.values())):
        print(f"MLflow has not got the page yet; `make sync` brings it there: {reason}", file=sys.stderr)
