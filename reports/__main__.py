"""Tables, curves and a page of what has been recorded so far: ``make report``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.tracking.paths import RunPaths
from seqclf_core.cli import run_command
from seqclf_core.errors import UserError


@dataclass(frozen=True)
class Options:
    """Write a page per study from what has been recorded so far: HTML that needs no network, and runs.csv."""

    runs: Path = Path("runs")
    """Folder that holds what was recorded."""
    study: Annotated[str | None, tyro.conf.arg(aliases=["--name"])] = None
    """The study or experiment to report on; none: all."""
    out: Path | None = None
    """Folder to write to; none: RUNS/report."""
    tracking_uri: str | None = None
    """MLflow's address; none: $MLFLOW_TRACKING_URI, else mlflow.db in RUNS."""
    storage: str | None = None
    """Optuna's database; none: $SEQCLF_OPTUNA_URI, else optuna.db in RUNS."""
    ui: str | None = None
    """Address of the MLflow UI that runs link to; none: the tracking server, where there is one."""


def main() -> None:
    """Write the pages that the command line asks for."""
    write(tyro.cli(Options, prog="python -m reports"))


def write(options: Options) -> None:
    """Write the pages and print where they are.

    Raises:
        UserError: if there is nothing to report, or the stores cannot be read.
    """
    from reports import frames
    from reports.html import render
    from reports.records import database  # pandas and matplotlib take longer than --help may

    stores = frames.Stores.under(options.runs, options.tracking_uri, options.storage)
    ui = (options.ui or database.address(stores.tracking)).rstrip("/")
    pages = render.write(stores, options.out or RunPaths(options.runs).report, options.study, ui)
    if not pages:
        of = f" of {options.study!r}" if options.study else ""
        raise UserError(
            f"No runs{of} are recorded in {database.shown(stores.tracking)}. Start some with make study, deliver "
            "what was recorded and not yet delivered with make sync, or name another folder: make report RUNS=..."
        )
    for page in pages:
        for sentence in page.answer:
            print(sentence)
        print(page.path)


if __name__ == "__main__":
    run_command(main)
