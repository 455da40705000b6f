"""What the runs of a study are called and tagged with."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.trial import Trial

from experiments.tracking import names
from experiments.tracking.journal import Header
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan
from experiments.tracking.recorder import provenance
from seqclf_core.config import RunConfig
from studies.engine.storage import PLANNED
from studies.study import Study


def study_header(name: str, study: Study, plan: StudyPlan, tags: Mapping[str, str]) -> Header:
    """Return the header of a study's own run, the parent of its trials."""
    about = {names.STUDY: name, names.QUESTION: plan.question, **study.notes, **plan.tags()}
    return Header(
        key=RunPaths.study_key(name),
        name=name,
        experiment=name,
        role="study",
        params=study.base.flat(),
        tags={**tags, **about},
    )


def trial_header(name: str, study: Study, trial: Trial, tags: Mapping[str, str]) -> Header:
    """Return the header of a trial that was drawn."""
    config = study.config(trial)
    planned = trial.user_attrs.get(PLANNED)
    own = next(({names.PLANNED: each.name, **each.tags} for each in study.planned if each.name == planned), {})
    return Header(
        key=f"{name}/{trial.number:04d}",
        name=_name(trial, config),
        experiment=name,
        role="trial",
        parent=RunPaths.study_key(name),
        params=config.flat(),
        tags={**tags, names.STUDY: name, names.TRIAL: str(trial.number), **own},
    )


def _name(trial: Trial, config: RunConfig) -> str:
    model = config.model
    seed = f" s{config.seed}" if "seed" in trial.params else ""
    return f"{trial.number:04d} {model.pooling} {model.loss} e{model.embed_dim} h{model.hidden_dim}{seed}"


def study_tags(kind: str) -> dict[str, str]:
    """Return the tags that every run of a study carries."""
    return {names.DATA_SCOPE: kind, **provenance()}
