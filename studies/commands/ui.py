"""``seqclf ui``: serve MLflow's user interface on what is recorded, to this machine's user alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.tracking.paths import RunPaths, set_mlflow_environment
from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Serve MLflow's user interface on what is recorded, until Ctrl-C."""

    runs: Path = Path("runs")
    """Folder with everything that is recorded."""
    port: int | None = None
    """Port to serve at; without it, 5000 or the next one that is free."""
    host: str = "127.0.0.1"
    """This machine only; for another one, the refusal says how to make a tunnel."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI or the database in the folder."""


def main(arguments: Sequence[str]) -> int:
    """Serve until the server ends or Ctrl-C."""
    options = parse(Options, arguments, "ui")
    print(f"Starting MLflow's user interface on {options.runs}.", flush=True)
    set_mlflow_environment()  # before MLflow is imported
    from experiments.tracking.ui import show

    return show(RunPaths(options.runs), options.tracking_uri, options.host, options.port)
