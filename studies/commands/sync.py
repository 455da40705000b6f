"""``seqclf sync``: send to MLflow what has been recorded and is not there yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.tracking.paths import set_mlflow_environment
from seqclf_core.cli import parse
from seqclf_core.masking import mask


@dataclass(frozen=True)
class Options:
    """Send to MLflow what has been recorded and is not there yet."""

    runs: Path = Path("runs")
    """Folder with everything that is recorded."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI or the database in the folder."""


def main(arguments: Sequence[str]) -> int:
    """Send it, and say what was sent and what was not."""
    options = parse(Options, arguments, "sync")
    print(f"Sending what MLflow has not got yet of {options.runs}.", flush=True)
    set_mlflow_environment()  # before MLflow is imported
    from experiments.tracking.sync import said, sync_once

    result = sync_once(options.runs, options.tracking_uri)
    print(said(result))
    for path, reason in result.unsent.items():
        print(mask(f"  {path}: {reason}"), file=sys.stderr)
    return 1 if result.unsent else 0
