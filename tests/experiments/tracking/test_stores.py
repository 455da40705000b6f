"""RUNS remembers stores that are elsewhere, without passwords; a command that looks at others says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.tracking.paths import RunPaths, sqlite_uri
from experiments.tracking.stores import same, without_password
from seqclf_core.errors import UserError

STORAGE = "postgres://ann:s3cret@db.example.org/optuna?sslpassword=s3cret&sslmode=require"
TRACKING = "https://ann:s3cret@mlflow.example.org/?token=s3cret"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    for name in ("SEQCLF_OPTUNA_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return RunPaths(tmp_path)


def test_what_is_remembered_is_used_until_something_else_is_given(
    paths: RunPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.remember_stores(STORAGE, TRACKING)
    assert "s3cret" not in paths.stores.read_text()
    assert paths.storage_uri() == "postgresql://ann@db.example.org/optuna?sslmode=require"
    assert paths.tracking_uri() == "https://mlflow.example.org/"

    monkeypatch.setenv("SEQCLF_OPTUNA_URI", STORAGE)  # the same place, with the password
    assert paths.storage_uri() == STORAGE
    assert paths.tracking_uri("https://bob:other@mlflow.example.org") == "https://bob:other@mlflow.example.org"
    assert capsys.readouterr().err == ""

    for _ in range(2):
        assert paths.tracking_uri("https://bob:s3cret@elsewhere.org") == "https://bob:s3cret@elsewhere.org"
    said = capsys.readouterr().err
    assert said.count("MLflow is https://***@elsewhere.org for this command") == 1
    assert "recorded so far is in https://mlflow.example.org/" in said
    assert "s3cret" not in said

    before = paths.stores.read_text()
    paths.remember_stores("postgresql://bob:x@db.example.org/optuna?sslmode=require")
    assert paths.stores.read_text() == before, "another person, and the same place"
    paths.remember_stores(tracking_uri="https://elsewhere.org")
    assert json.loads(paths.stores.read_text())["tracking_uri"] == "https://elsewhere.org"


def test_stores_under_runs_are_not_written_down_so_that_it_can_be_moved(
    paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.remember_stores(paths.storage_uri(), paths.tracking_uri())
    assert not paths.stores.exists()
    paths.mlflow_database.touch()
    assert paths.tracking_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert f"recorded so far is in {sqlite_uri(paths.mlflow_database)}" in capsys.readouterr().err
    paths.remember_stores(tracking_uri="postgresql://ann@db/mlflow")
    assert json.loads(paths.stores.read_text())["artifacts"] == "artifacts"
    paths.remember_stores(tracking_uri=sqlite_uri(paths.mlflow_database))
    assert not paths.stores.exists()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"storage": 3}'])
def test_a_damaged_file_is_named(paths: RunPaths, damage: str) -> None:
    paths.stores.write_text(damage)
    with pytest.raises(UserError, match=r"stores\.json cannot be read"):
        paths.storage_uri()


def test_an_address_that_nobody_can_read_is_kept_without_what_may_be_a_password() -> None:
    for odd in ("http://ann:s3cret@[x", "postgresql://ann:s3c@ret:x@h:port/d"):
        assert "s3c" not in without_password(odd)
        assert same(odd, odd)
    assert without_password("databricks") == "databricks"
