"""``seqclf compare``: two trained models on the same test texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Say which of two trained models answers more test texts correctly, and show where they disagree most.

    This is about two models, not about the settings that made them: another seed makes another model. And a pair
    that was picked by its test scores cannot be compared by them.
    """

    a: str
    """Key of the one run, such as imdb/0007."""
    b: str
    """Key of the other run."""
    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    most: int = 10
    """Number of texts to show on which they disagree."""
    tracking_uri: str | None = None
    """Address of MLflow; without it, $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""


def main(arguments: Sequence[str]) -> None:
    """Print the comparison.

    Raises:
        UserError: if a run is not recorded, has no predictions, or had other data than the other.
    """
    options = parse(Options, arguments, "compare")
    print(f"Reading the answers of {options.a} and {options.b}.\n", flush=True)
    from reports.frames import Stores
    from reports.pages.two_models import comparison

    stores = Stores.under(options.runs, options.tracking_uri)
    print(comparison(stores, options.a, options.b, options.most))
