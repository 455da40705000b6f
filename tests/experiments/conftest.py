"""Stores with an empty MLflow database, whose tables take seconds to make and are made once."""

import shutil
from pathlib import Path

import pytest

from experiments.tracking.database import prepare_database
from experiments.tracking.paths import RunPaths


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    paths = RunPaths(tmp_path_factory.mktemp("empty"))
    prepare_database(f"sqlite:///{paths.runs / 'mlflow.db'}")
    return paths.runs / "mlflow.db"


@pytest.fixture
def own_tracker(tmp_path, empty_database, monkeypatch) -> RunPaths:
    """Stores that no variable of the environment leads away from."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return RunPaths(tmp_path)
