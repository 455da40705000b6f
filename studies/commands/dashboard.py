"""``seqclf dashboard``: serve Optuna's dashboard on the studies that are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Serve Optuna's dashboard on the studies that are recorded, until Ctrl-C; it is installed apart."""

    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    port: int | None = None
    """Port to serve at; without it, 8080 or the next one that is free."""
    storage: str | None = None
    """Address of Optuna's database; without it, $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""


def main(arguments: Sequence[str]) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: if it is not installed, nothing is recorded yet, or the port is taken.
    """
    options = parse(Options, arguments, "dashboard")
    print(f"Starting Optuna's dashboard on {options.runs}.", flush=True)
    from experiments.tracking.paths import RunPaths
    from studies.engine.dashboard import show

    paths = RunPaths(options.runs)
    show(paths, paths.storage_uri(options.storage), options.port)
