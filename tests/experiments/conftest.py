"""Stores with an empty MLflow database, whose tables take seconds to make and are made once."""

import shutil
from pathlib import Path

import pytest

from experiments.tracking.database import prepare_database
from experiments.tracking.paths import Stores


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    stores = Stores(tmp_path_factory.mktemp("empty"))
    prepare_database(stores, f"sqlite:///{stores.runs / 'mlflow.db'}")
    return stores.runs / "mlflow.db"


@pytest.fixture
def own_tracker(tmp_path, empty_database, monkeypatch) -> Stores:
    """Stores that no variable of the environment leads away from."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return Stores(tmp_path)
