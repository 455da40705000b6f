"""How good is a chosen recipe, once it learns from the validation split too? The same run again, on all labels.

make experiment NAME=refit OF=imdb/0007

Takes the settings of a finished run, and learns from training and validation split together: the same schedule to
its end, nothing stopped early, the last weights kept. There is no validation score, so that nothing can be chosen
by it: choose first, refit then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.experiment import Experiment, NamedRun, Place, Result
from experiments.tracking import names
from experiments.tracking.paths import RunPaths
from seqclf_core.config import DataConfig, RunConfig, Settings
from seqclf_core.data.cache import Corpus
from seqclf_core.errors import SavedError, UserError
from seqclf_core.run import run
from seqclf_core.training.checkpoint import read_settings


class RefitSettings(Settings):
    """Which run to do again."""

    data: DataConfig = DataConfig()
    of: str = ""
    """Key of the finished run whose settings are taken; of its data only the place may be another."""
    soft_labels: str | None = None
    """Folder of soft labels in the place of the run's own, such as those of refitted teachers; none: its own."""


def runs(config: RefitSettings, place: Place) -> list[NamedRun]:
    """Make the run.

    Raises:
        UserError: if no run is named, or it has no LSTM's model.
    """
    if not config.of:
        raise UserError("No run was named to refit: make experiment NAME=refit OF=imdb/0007")
    folder = RunPaths(place(config).parents[2]).work(config.of) / "model"
    try:
        chosen, _, _ = read_settings(folder)
    except SavedError as error:
        raise UserError(f"OF={config.of}: {error}") from error
    return [
        NamedRun(
            "on both splits", refitted(chosen, config.data.source, config.soft_labels), {names.REFIT: config.of}
        )
    ]


def refitted(chosen: RunConfig, source: str, soft_labels: str | None = None) -> RunConfig:
    """Return the settings that learn from the validation split too.

    Args:
        chosen: settings of the run that was chosen.
        source: where its data are now.
        soft_labels: in the place of its own; None: its own.
    """
    changes: dict[str, Any] = {"train.learn_from": "train_and_val", "data.source": source}
    if soft_labels is not None:
        changes["train.soft_labels"] = soft_labels
    return chosen.override(changes)


def told(results: Sequence[Result], _: Corpus) -> str:
    """Say what came out, and that it was not validated."""
    (result,) = results
    assert result.finished
    tested = result.finished.metrics["test/accuracy"]
    return f"  Learned from training and validation split, without validation: test accuracy {tested:.4f}"


EXPERIMENT = Experiment(
    purpose="How good is a chosen recipe, once it learns from the validation split too?",
    base=RefitSettings(),
    runs=runs,
    stream=run,
    conclude=told,
)
