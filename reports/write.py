"""Writes the pages of what has been recorded so far, and says where they are."""

from __future__ import annotations

from pathlib import Path

from experiments.tracking.paths import RunPaths
from reports import frames
from reports.html import render
from reports.records import database
from seqclf_core.errors import UserError


def write(
    runs: Path,
    study: str | None = None,
    out: Path | None = None,
    tracking_uri: str | None = None,
    storage: str | None = None,
    ui: str | None = None,
) -> None:
    """Write the pages and print where they are.

    Args:
        runs: folder with all that is recorded.
        study: name of the study or experiment to report on; None: all of them.
        out: folder to write to; None: RUNS/report.
        tracking_uri: address of MLflow; None: $MLFLOW_TRACKING_URI, else mlflow.db under RUNS.
        storage: address of Optuna's database; None: $SEQCLF_OPTUNA_URI, else optuna.db under RUNS.
        ui: address of the MLflow user interface that runs link to; None: that of the tracking server.

    Raises:
        UserError: if there is nothing to report, or the stores cannot be read.
    """
    stores = frames.Stores.under(runs, tracking_uri, storage)
    address = (ui or database.address(stores.tracking)).rstrip("/")
    pages = render.write(stores, out or RunPaths(runs).report, study, address)
    if not pages:
        of = f" of {study!r}" if study else ""
        raise UserError(
            f"No runs{of} are recorded in {database.shown(stores.tracking)}. Start some with make study, "
            "send what is recorded and not in MLflow yet with make sync, or name another folder: make report "
            "RUNS=..."
        )
    for page in pages:
        for sentence in page.answer:
            print(sentence)
        print(page.path)
