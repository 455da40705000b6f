"""Studies that take seconds: real Optuna on SQLite, real journals, real runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import Trial

from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from studies.engine.executors import Executor
from studies.engine.inline import Inline
from studies.engine.scheduler import Scheduler
from studies.engine.storage import open_storage, open_study
from studies.study import Planned, Study
from tests.studies.engine.stepping import OpenScheduler


def sample(trial: Trial) -> None:
    """Draw two settings."""
    trial.suggest_float("train.lr", 1e-3, 5e-2, log=True)
    trial.suggest_categorical("model.pooling", ["last", "mean"])


@pytest.fixture
def study(small: RunConfig) -> Study:
    """A search over two settings, with the known start as first trial, that prunes nothing."""
    return Study(
        question="What learns?",
        base=small.override({"train.epochs": 1}),
        sample=sample,
        total=4,
        planned=(Planned("start", {"train.lr": 0.02, "model.pooling": "last"}),),
    )


@pytest.fixture
def open_scheduler(tmp_path: Path, study: Study, cache: Path) -> OpenScheduler:
    """Open a study in this test's own folder, as often as wanted."""

    def open_it(
        study: Study = study, total: int = 4, executor: Executor | None = None, name: str = "test",
        runs: Path = tmp_path / "runs",
    ) -> Scheduler:  # fmt: skip
        study = replace(study, total=total)
        paths = RunPaths(runs)
        paths.runs.mkdir(exist_ok=True)
        if not paths.cache.exists():
            paths.cache.symlink_to(cache)
        data = load_corpus(study.base.data, cache).summary
        opened = open_study(open_storage(paths.optuna_uri), name, study, data)
        return Scheduler(
            name=name, study=study, optuna=opened, paths=paths, executor=executor or Inline(),
            tags={"seqclf.data_scope": "whole"}, patience=60.0,
        )  # fmt: skip

    return open_it
