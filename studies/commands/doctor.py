"""``seqclf doctor``: say where the stores disagree with the journals, and repair them when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.tracking.paths import RunPaths
from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Say where Optuna, MLflow, journals, weights and cache disagree, and repair them with --fix."""

    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    fix: bool = False
    """Repair what can be repaired."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Address of Optuna's database; without it, $SEQCLF_OPTUNA_URI, else optuna.db under RUNS."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""


def main(arguments: Sequence[str]) -> int:
    """Print what disagrees; status 1 where something is left that does."""
    options = parse(Options, arguments, "doctor")
    print(f"Examining what is recorded under {options.runs}.", flush=True)
    from studies.doctor.examine import examine

    paths = RunPaths(options.runs)
    diagnosis = examine(
        paths, paths.storage_uri(options.storage), paths.tracking_uri(options.tracking_uri), options.fix
    )
    if not diagnosis.found:
        print("Optuna, MLflow, journals, weights and cache agree.")
    elif not options.fix:
        print(f"Found: {diagnosis.found}. `make doctor FIX=1` repairs what can be repaired.")
    else:
        print(f"Repaired: {diagnosis.found - diagnosis.left} of {diagnosis.found}.")
    return 1 if diagnosis.left else 0
