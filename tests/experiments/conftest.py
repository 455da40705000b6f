"""Stores with an empty MLflow database."""

import shutil

import pytest

from experiments.tracking.paths import RunPaths


@pytest.fixture
def own_tracker(tmp_path, empty_database, monkeypatch) -> RunPaths:
    """Stores that no variable of the environment leads away from."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return RunPaths(tmp_path)
