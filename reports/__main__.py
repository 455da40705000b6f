"""Tables, curves and a page of what has been recorded so far: ``make report``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.errors import UserError


@dataclass(frozen=True)
class Options:
    """Write a page per study from what has been recorded so far: HTML that needs no network, and runs.csv."""

    runs: Path = Path("runs")
    """Folder that holds what was recorded."""
    study: Annotated[str | None, tyro.conf.arg(aliases=["--name"])] = None
    """The study or experiment to report on; default all."""
    out: Path | None = None
    """Folder to write to; default RUNS/report."""
    tracking_uri: str | None = None
    """MLflow's address; default $MLFLOW_TRACKING_URI, else mlflow.db in RUNS."""
    storage: str | None = None
    """Optuna's database; default optuna.db in RUNS."""
    ui: str = ""
    """Address of the MLflow UI that runs link to; default the tracking server, where there is one."""


def main(options: Options) -> int:
    """Write the pages and print where they are.

    Returns:
        The exit status: 0, or 2 where there is nothing to report or the stores cannot be read.
    """
    from reports import frames, render  # pandas and matplotlib take longer than --help may

    stores = frames.Stores.under(options.runs, options.tracking_uri, options.storage)
    out = options.out or options.runs / "report"
    ui = options.ui or (stores.tracking if stores.tracking.startswith(("http://", "https://")) else "")
    try:
        pages = render.write(stores, out, options.study, ui.rstrip("/"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not pages:
        of = f" of {options.study!r}" if options.study else ""
        print(
            f"error: no runs{of} are recorded in {stores}. Start some with make study, deliver what was recorded "
            "and not yet delivered with make sync, or name another folder: make report RUNS=...",
            file=sys.stderr,
        )
        return 2
    for page in pages:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m reports")))
