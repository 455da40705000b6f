"""Studies that take seconds: real Optuna on SQLite, real journals, real runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import Trial

from experiments.tracking.paths import Stores
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from studies.engine.executors import Executor, Inline
from studies.engine.scheduler import Owner
from studies.engine.storage import open_storage, open_study
from studies.study import Planned, Study
from tests.studies.engine.stepping import OpenOwner


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
def open_owner(tmp_path: Path, study: Study, cache: Path) -> OpenOwner:
    """Open a study in this test's own folder, as often as wanted."""

    def open_it(
        study: Study = study, total: int = 4, executor: Executor | None = None, name: str = "test",
        runs: Path = tmp_path / "runs",
    ) -> Owner:  # fmt: skip
        study = replace(study, total=total)
        stores = Stores(runs)
        stores.runs.mkdir(exist_ok=True)
        if not stores.cache.exists():
            stores.cache.symlink_to(cache)
        data = load_corpus(study.base.data, cache).summary
        opened = open_study(open_storage(stores.optuna_uri), name, study, data)
        return Owner(
            name=name, study=study, optuna=opened, stores=stores, executor=executor or Inline(),
            tags={"seqclf.kind": "whole"}, patience=60.0,
        )  # fmt: skip

    return open_it
