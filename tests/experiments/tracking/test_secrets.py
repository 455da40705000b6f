"""Credentials in addresses reach neither MLflow nor any file, wherever they stand; the defaults are safe."""

import os
from pathlib import Path

import pytest

from experiments.tracking.journal import Header
from experiments.tracking.paths import MLFLOW_SETTINGS, RunPaths, set_mlflow_environment
from experiments.tracking.recorder import Recorder
from experiments.tracking.sync import sync_once
from tests.experiments.tracking.journal_samples import DATA, STARTED, everything_in

ADDRESS = "https://ann:s3cret@host/imdb?token=s3cret&x=1"


def test_no_store_holds_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = RunPaths(tmp_path)
    header = Header(
        key="imdb/0001", name=f"0001 {ADDRESS}", experiment="imdb", role="experiment",
        params={"data.source": ADDRESS}, tags={"seqclf.command": f"python -m studies --data.source={ADDRESS}"},
    )  # fmt: skip
    started = STARTED.model_copy(update={"data": DATA.model_copy(update={"source": ADDRESS})})
    with Recorder.open(paths.journal(header.key), header) as recorder:
        recorder.record(started)
        recorder.close("failed", f"cannot read {ADDRESS}")
    assert not sync_once(tmp_path).unsent
    found = everything_in(paths.tracking_uri())["imdb/0001"]
    assert found["params"]["data.source"] == "https://***@host/imdb?token=***&x=1"  # type: ignore[index]
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        assert b"s3cret" not in path.read_bytes(), path


def test_mlflow_reads_no_pickles_and_phones_nobody_unless_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in MLFLOW_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    set_mlflow_environment()
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
