"""Which of the models under RUNS answers: the registered champion, or the best finished one by validation."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.errors import SavedError, UserError

CHAMPION = "champion.json"
"""Under RUNS: points to a copy of the registered champion."""


@dataclass(frozen=True)
class FinishedModel:
    """What a finished run left."""

    folder: Path
    key: str
    """Of the run: ``imdb/0007``."""
    val_accuracy: float
    data_scope: str
    """Of its data: whole, limited or synthetic."""
    pooling: str

    @property
    def fit_for_all(self) -> bool:
        """Whether it may stand for all models: of a whole data set, and not the mistake kept to measure."""
        return self.data_scope == "whole" and self.pooling != "last_position"


def finished_models(runs: Path) -> list[FinishedModel]:
    """Return the models of all finished runs whose weights are kept.

    Args:
        runs: the folder with all that is recorded.
    """
    found = []
    for path in (runs / "work").glob("*/*/events.json"):
        folder = path.parent / "model"
        try:
            started, *_, finished = json.loads(path.read_text(encoding="utf-8"))["events"]
            settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            data_scope, pooling = started["data"]["data_scope"], settings["config"]["model"]["pooling"]
            key = f"{path.parent.parent.name}/{path.parent.name}"
            found.append(FinishedModel(folder, key, finished["val_accuracy"], data_scope, pooling))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a run that has not ended, or whose folder is damaged: not a candidate
    return found


def best_of(models: Sequence[FinishedModel], name: str | None, runs: Path) -> FinishedModel:
    """Return the best model by validation accuracy.

    Args:
        models: to choose from.
        name: of a study or experiment; None looks at all that are fit for it.
        runs: where they are from, for the message.

    Raises:
        UserError: if there is none; says what to do.
    """
    usable = [each for each in models if (each.fit_for_all if name is None else each.key.startswith(f"{name}/"))]
    if not usable:
        wanted = f"under the name {name!r}" if name else "that learned from a whole data set"
        raise UserError(
            f"There is no finished model {wanted} in {runs}. Run `make study` first"
            + ("" if name else ", or name a study on limited or synthetic data: NAME=...")
            + "."
        )
    return max(usable, key=lambda model: (model.val_accuracy, model.key))


def best_model(runs: Path, name: str | None) -> Path:
    """Return the folder of the best finished model by validation accuracy.

    Args:
        runs: the folder with all that is recorded.
        name: of a study or experiment; None looks at all that learned from whole data, but for those that pool by
            a named mistake.

    Raises:
        UserError: if there is none; says what to do.
    """
    return best_of(finished_models(runs), name, runs).folder


def champion(runs: Path) -> Path | None:
    """Return the folder of the champion's copy; None where none is registered.

    Raises:
        SavedError: if what points to it cannot be read.
    """
    path = runs / CHAMPION
    try:
        return runs / str(json.loads(path.read_text(encoding="utf-8"))["folder"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SavedError(f"{path} cannot be read ({error}); `make champion` writes it anew") from error
