"""Which finished model should be the champion. By validation only; from files, without MLflow or Optuna.

Where there are finalists, the settings with the best mean validation accuracy over their fresh seeds are chosen,
as in the report, and of their seeds the best by validation. The best single run would be chosen partly for a lucky
seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from experiments.serving.selection import FinishedModel, best_of, finished_models
from experiments.tracking import journal
from experiments.tracking.journal import Closed, Entry, Happened
from experiments.tracking.paths import RunPaths
from seqclf_core.errors import UserError
from seqclf_core.events import Finished


@dataclass(frozen=True)
class Finalist:
    """Settings that ran on several fresh seeds, in a study that is finished."""

    settings: str
    """Key of the search's trial that they are from: ``imdb/0007``."""
    study: str
    scores: dict[str, float]
    """Key of a run -> its validation accuracy; complete runs only."""
    fit_for_all: bool
    """As of a ``FinishedModel``."""

    @property
    def mean(self) -> float:
        """Mean validation accuracy over seeds."""
        return fmean(self.scores.values())


@dataclass(frozen=True)
class Choice:
    """The model that should be the champion."""

    model: FinishedModel
    finalist: Finalist | None = None
    """Whose seed it is; None where a single run was chosen."""

    def __str__(self) -> str:
        said = f"{self.model.key} (validation accuracy {self.model.val_accuracy:.4f})"
        if self.finalist is None:
            return said
        seeds = len(self.finalist.scores)
        return (
            f"{said}, the best seed of {self.finalist.settings}, the best finalist by mean validation accuracy "
            f"({self.finalist.mean:.4f} over {seeds} seed{'' if seeds == 1 else 's'}),"
        )


def choose(paths: RunPaths, name: str | None) -> Choice:
    """Return the model that should be the champion.

    Args:
        paths: the folder with all that is recorded.
        name: of a study or experiment; None: finished finalists where there are some, else all on whole data.

    Raises:
        UserError: if there is none, the study of that name is not finished finalists yet, the weights of the best
            finalist are gone, or the best under this name did not learn from whole data.
    """
    models = finished_models(paths.runs)
    ranked = [each for each in finalists(paths, name) if each.fit_for_all or name is not None]
    if ranked:
        best = ranked[0]
        choice = Choice(_best_seed(best, models), best)
    else:
        choice = Choice(best_of(models, name, paths.runs))
    if not choice.model.fit_for_all:
        raise UserError(
            f"The best model under the name {name!r} learned from {choice.model.data_scope} data with pooling "
            f"{choice.model.pooling}; a champion learns from a whole data set, and not by a named mistake. "
            f"`make predict NAME={name}` uses this one as it is."
        )
    return choice


def finalists(paths: RunPaths, name: str | None = None) -> list[Finalist]:
    """Return the finalists of finished studies, best mean validation accuracy over seeds first.

    Args:
        paths: the folder with all that is recorded.
        name: of a study; None: of all.

    Raises:
        UserError: if the study of that name has finalists and is not finished.
    """
    found: list[Finalist] = []
    for folder in [paths.journals / name] if name else sorted(paths.journals.glob("*")):
        entries = journal.read(folder / "study.jsonl")
        if not entries or "seqclf.of" not in journal.opened(entries).header.tags:
            continue
        if isinstance(entries[-1], Closed):
            found += _finalists_of(paths, folder.name)
        elif name is not None:
            raise UserError(
                f"The study {name!r} is not finished, and a mean over fewer seeds is no match for others. Run the "
                "command that started it again: it goes on."
            )
    return sorted(found, key=lambda each: -each.mean)


def _finalists_of(paths: RunPaths, study: str) -> Iterator[Finalist]:
    scores: dict[str, dict[str, float]] = {}
    fit: dict[str, bool] = {}
    for path in sorted((paths.journals / study).glob("*.jsonl")):
        entries = journal.read(path)
        score = _score(entries)
        if score is None or "seqclf.finalist" not in (header := journal.opened(entries).header).tags:
            continue
        settings = header.tags["seqclf.finalist"]
        scores.setdefault(settings, {})[header.key] = score
        whole, pooling = header.tags.get("seqclf.data_scope") == "whole", header.params.get("model.pooling")
        fit[settings] = whole and pooling != "last_position"
    for settings in sorted(scores):
        yield Finalist(settings, study, scores[settings], fit[settings])


def _score(entries: Sequence[Entry]) -> float | None:
    """Return the validation accuracy of a run; None of one that is not complete."""
    if not entries or not isinstance(last := entries[-1], Closed) or last.outcome != "complete":
        return None
    ends = [e.event for e in entries if isinstance(e, Happened) and isinstance(e.event, Finished)]
    return ends[-1].val_accuracy if ends else None


def _best_seed(finalist: Finalist, models: Sequence[FinishedModel]) -> FinishedModel:
    kept = [model for model in models if model.key in finalist.scores]
    if not kept:
        raise UserError(
            f"The best finalist by mean validation accuracy is {finalist.settings} in the study "
            f"{finalist.study!r}, and the weights of its runs are gone. Name a study whose weights are there "
            f"(make champion NAME={finalist.settings.split('/')[0]}), or run the finalists again: make finalists "
            f"NAME={finalist.study}-again."
        )
    return max(kept, key=lambda model: (model.val_accuracy, model.key))
