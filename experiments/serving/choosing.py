"""Which of the models under RUNS answers, and which should be the champion. By validation; from files alone.

A champion: where there are finalists, the settings with the best mean validation accuracy over their fresh seeds
are chosen, as in the report, and of their seeds the best by validation. The best single run would be chosen partly
for a lucky seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from experiments.serving.champion import Champion, copy_of, read_champion, verified
from experiments.serving.selection import RankKey, rank_key
from experiments.tracking import journal, names
from experiments.tracking.journal import Closed, Entry, Happened
from experiments.tracking.paths import RunPaths, set_mlflow_environment
from experiments.tracking.plan import StudyPlan
from seqclf_core.errors import UserError
from seqclf_core.events import Finished


@dataclass(frozen=True)
class FinishedModel:
    """What a finished run left."""

    folder: Path
    key: str
    """Key of the run, such as ``imdb/0007``."""
    val_accuracy: float
    val_loss: float | None
    data_scope: str
    """Scope of the run's data: whole, limited or synthetic."""
    pooling: str
    """Pooling of an LSTM, as the setting ``model.pooling`` names it; empty for another kind of model."""

    @property
    def rank_key(self) -> RankKey:
        """What models are sorted by, the best first."""
        return rank_key(self.val_accuracy, self.val_loss, self.key)

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
    for path in RunPaths(runs).works.glob("*/*/events.json"):
        folder = path.parent / "model"
        try:
            started, *_, finished = json.loads(path.read_text(encoding="utf-8"))["events"]
            settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            data_scope = started["data"]["data_scope"]
            pooling = settings["config"]["model"].get("pooling", "")
            key = f"{path.parent.parent.name}/{path.parent.name}"
            scores = (
                finished["metrics"].get("best/val_accuracy", float("nan")),
                finished["metrics"].get("best/val_loss"),
            )
            found.append(FinishedModel(folder, key, *scores, data_scope, pooling))
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
    return min(usable, key=lambda model: model.rank_key)


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


def answering_model(paths: RunPaths, name: str | None, tracking_uri: str | None = None) -> Path:
    """Return the model folder that answers: the champion's, or the best model's where there is no champion.

    Args:
        paths: the folder with all that is recorded.
        name: of a study or experiment, whose best model then answers in the champion's place.
        tracking_uri: address of the MLflow to fetch the champion from, where its copy is missing here.

    Raises:
        UserError: if there is no model, or the champion is not what was recorded; says what to do.
    """
    champion = read_champion(paths) if name is None else None
    return champion_folder(paths, champion, tracking_uri) if champion else best_model(paths.runs, name)


def champion_to_serve(paths: RunPaths, tracking_uri: str | None) -> Path:
    """Return the folder of the champion.

    Raises:
        UserError: if none is registered, or its files are not those that were recorded; says what to do.
    """
    champion = read_champion(paths)
    if champion is None:
        raise UserError(
            f"There is no champion in {paths.runs}: `seqclf champion` registers one. Of one registered elsewhere "
            f"copy {paths.champion_record.name}: its files are then fetched from MLflow and checked."
        )
    return champion_folder(paths, champion, tracking_uri)


def champion_folder(paths: RunPaths, champion: Champion, tracking_uri: str | None = None) -> Path:
    """Return the folder of the champion's copy, fetched from MLflow where it is missing here.

    Raises:
        UserError: if its files are not those that were recorded; says what to do.
    """
    if not copy_of(paths, champion).exists():
        set_mlflow_environment()
        from experiments.serving.fetching import fetch_champion  # noqa: PLC0415 - MLflow: seconds, rarely needed

        fetch_champion(paths, champion, tracking_uri)
    return verified(paths, champion)


@dataclass(frozen=True)
class Finalist:
    """Settings that ran on several fresh seeds, in a study that is finished."""

    settings: str
    """Key of the search's trial that they are from: ``imdb/0007``."""
    study: str
    scores: dict[str, float]
    """Key of a run -> its validation accuracy; complete runs only."""
    losses: list[float]
    """Validation losses of the same runs."""
    fit_for_all: bool
    """As of a ``FinishedModel``."""

    @property
    def mean(self) -> float:
        """Mean validation accuracy over seeds."""
        return fmean(self.scores.values())

    @property
    def rank_key(self) -> RankKey:
        """What finalists are sorted by, the best first."""
        return rank_key(self.mean, fmean(self.losses), self.settings)


@dataclass(frozen=True)
class Choice:
    """The model that should be the champion."""

    model: FinishedModel
    finalist: Finalist | None = None
    """Finalist whose best seed was chosen; None where a single run was chosen."""
    members: dict[str, float] = field(default_factory=dict)
    """Key of each member of an ensemble -> its weight; empty where a single run was chosen."""

    def __str__(self) -> str:
        if self.members:
            parts = " + ".join(f"{weight:.2f} {key}" for key, weight in self.members.items())
            return f"The ensemble {parts} (validation accuracy {self.model.val_accuracy:.4f})"
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
    require_fit(choice, name)
    return choice


def require_fit(choice: Choice, name: str | None) -> None:
    """Raise where a model may not stand for all.

    Raises:
        UserError: if it did not learn from whole data, or pools by a named mistake.
    """
    if not choice.model.fit_for_all:
        raise UserError(
            f"The best model under the name {name!r} learned from {choice.model.data_scope} data with pooling "
            f"{choice.model.pooling}; a champion learns from a whole data set, and not by a named mistake. "
            f"`make predict NAME={name}` uses this one as it is."
        )


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
        plan = StudyPlan.from_tags(journal.opened(entries).header.tags) if entries else None
        if plan is None or not plan.of:
            continue
        if isinstance(entries[-1], Closed):
            found += _finalists_of(paths, folder.name)
        elif name is not None:
            raise UserError(
                f"The study {name!r} is not finished, and a mean over fewer seeds is no match for others. Run the "
                "command that started it again: it goes on."
            )
    return sorted(found, key=lambda each: each.rank_key)


def _finalists_of(paths: RunPaths, study: str) -> Iterator[Finalist]:
    ends: dict[str, dict[str, Finished]] = {}
    fit: dict[str, bool] = {}
    for path in sorted((paths.journals / study).glob("*.jsonl")):
        entries = journal.read(path)
        end = _end(entries)
        if end is None or names.FINALIST not in (header := journal.opened(entries).header).tags:
            continue
        settings = header.tags[names.FINALIST]
        ends.setdefault(settings, {})[header.key] = end
        whole, pooling = header.tags.get(names.DATA_SCOPE) == "whole", header.params.get("model.pooling")
        fit[settings] = whole and pooling != "last_position"
    for settings, of_runs in ends.items():
        scores = {key: end.metrics["best/val_accuracy"] for key, end in of_runs.items()}
        yield Finalist(
            settings, study, scores, [end.metrics["best/val_loss"] for end in of_runs.values()], fit[settings]
        )


def _end(entries: Sequence[Entry]) -> Finished | None:
    """Return how a run ended; None of one that is not complete."""
    if not entries or not isinstance(last := entries[-1], Closed) or last.outcome != "complete":
        return None
    ends = [e.event for e in entries if isinstance(e, Happened) and isinstance(e.event, Finished)]
    return ends[-1] if ends else None


def _best_seed(finalist: Finalist, models: Sequence[FinishedModel]) -> FinishedModel:
    kept = [model for model in models if model.key in finalist.scores]
    if not kept:
        raise UserError(
            f"The best finalist by mean validation accuracy is {finalist.settings} in the study "
            f"{finalist.study!r}, and the weights of its runs are gone. Name a study whose weights are there "
            f"(make champion NAME={finalist.settings.split('/')[0]}), or run the finalists again: make finalists "
            f"NAME={finalist.study}-again."
        )
    return min(kept, key=lambda model: model.rank_key)
