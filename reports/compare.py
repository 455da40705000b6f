"""Two trained models on the same test reviews: ``make compare A=imdb/0007 B=imdb/0012``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from reports.frames import Stores


@dataclass(frozen=True)
class Options:
    """Say which of two trained models answers more test reviews correctly, and where they disagree most.

    This is about two models, not about the settings that made them: another seed makes another model. And a pair
    that was picked by its test scores cannot be compared by them.
    """

    a: str
    """Key of the one run, such as imdb/0007."""
    b: str
    """Key of the other."""
    runs: Path = Path("runs")
    """Folder that holds what was recorded."""
    most: int = 10
    """How many disagreements to list."""
    tracking_uri: str | None = None
    """MLflow's address; none: $MLFLOW_TRACKING_URI, else mlflow.db in RUNS."""


def main() -> None:
    """Print the comparison."""
    options = tyro.cli(Options, prog="python -m reports.compare")
    from reports.frames import Stores  # pandas takes longer than --help may

    stores = Stores.under(options.runs, options.tracking_uri)
    print(comparison(stores, options.a, options.b, options.most))


def comparison(stores: "Stores", a: str, b: str, most: int = 10) -> str:
    """Compare two runs in words and a table.

    Args:
        stores: where to read.
        a: key of the one run.
        b: key of the other.
        most: how many disagreements to list.

    Raises:
        UserError: if a run is not recorded, has no predictions, or had other data than the other.
    """
    from reports.stats.mcnemar import compare

    if a == b:
        raise UserError(f"{a} was given twice; a comparison needs two different runs.")
    answers = {key: _predictions(stores, key) for key in (a, b)}
    _check_data(stores, a, b)
    sentence = compare(answers[a], answers[b]).sentence(f"run {a}", f"run {b}")
    return f"{sentence}\n\n{_listed(answers[a], answers[b], a, b, most)}"


def _predictions(stores: "Stores", key: str) -> "pd.DataFrame":
    from reports import frames

    found = frames.predictions([key], stores, parts=["test"])
    if found.empty:
        raise UserError(f"The run {key} has no predictions: only complete runs answer the test reviews.")
    return found


def _check_data(stores: "Stores", a: str, b: str) -> None:
    """Rows are numbers in a source: the same number in another source is another review."""
    from reports import frames

    source = frames.runs(stores).set_index("key")["source"]
    if source[a] != source[b]:
        raise UserError(
            f"{a} read {source[a]} and {b} read {source[b]}; only runs on the same reviews can be compared."
        )


def _listed(first: "pd.DataFrame", second: "pd.DataFrame", a: str, b: str, most: int) -> str:
    from reports.stats.mcnemar import disagreements

    found = disagreements(first, second, most)
    if found.empty:
        return "They disagree on no review."
    shown = found.assign(label=found["label"].map({0: "negative", 1: "positive"}))
    shown = shown.assign(right=shown["right"].map({"a": a, "b": b}))
    shown.columns = ["row", "label", f"p({a})", f"p({b})", "right"]
    head = "Where they disagree most confidently: the review's row in the source's test part, and the probability"
    table = shown.to_string(index=False, float_format="{:.3f}".format)
    return f"{head} that it is positive by each.\n\n{table}"


if __name__ == "__main__":
    run_command(main)
