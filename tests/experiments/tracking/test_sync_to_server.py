"""Sync with a real MLflow server that fails in every way."""

import shutil
import socket
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import Sync, sync_once
from experiments.tracking.sync_process import start_sync
from tests.experiments.tracking.faulty_proxy import faulty_proxy
from tests.experiments.tracking.journal_samples import everything_in, record_study
from tests.faulty_server import server as mlflow_server


@pytest.fixture
def server(tmp_path_factory):
    """The real thing, on a folder where nothing is yet: its folder and port."""
    runs = tmp_path_factory.mktemp("server")
    with mlflow_server(runs) as port:
        yield RunPaths(runs), port


@pytest.fixture
def paths(tmp_path) -> RunPaths:
    paths = RunPaths(tmp_path)
    record_study(paths, trials=2)
    return paths


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_whatever_the_server_does_everything_arrives_once(server, paths, tmp_path):
    there, port = server
    with faulty_proxy(port) as proxy:
        sync = Sync(paths, proxy.address)
        for fault in ("hang", "answer 500", "answer a page"):
            proxy.fault = fault
            result = sync.once()
            assert len(result.unsent) == 3
            assert result.entries == 0
        proxy.fault = "lose replies"
        while Sync(paths, proxy.address).once().unsent:
            sync.once()  # and another one, which remembers
        proxy.fault = "none"
        assert not sync_once(paths.runs, proxy.address).unsent

    alone = RunPaths(tmp_path / "alone")
    shutil.copytree(paths.journals, alone.journals)
    shutil.copytree(paths.runs / "work", alone.runs / "work")
    sync_once(alone.runs, alone.tracking_uri())
    assert everything_in(there.tracking_uri()) == everything_in(alone.tracking_uri())


def test_a_page_arrives_whatever_the_server_does(server, paths, tmp_path):
    _, port = server
    page = paths.page("imdb")
    page.parent.mkdir(parents=True)
    page.write_text("<p>What came out")
    with faulty_proxy(port) as proxy:
        for fault in ("hang", "answer 500", "answer a page", "lose replies"):
            proxy.fault = fault
            Sync(paths, proxy.address).once(pages_only=True)
        proxy.fault = "none"
        assert not sync_once(paths.runs, proxy.address).unsent
    client = MlflowClient(f"http://127.0.0.1:{port}")
    experiment = client.get_experiment_by_name("imdb")
    [run] = client.search_runs([experiment.experiment_id], "tags.`seqclf.key` = 'imdb/study'")
    arrived = client.download_artifacts(run.info.run_id, "report/index.html", str(tmp_path))
    assert Path(arrived).read_text() == page.read_text()
    assert sync_once(paths.runs, f"http://127.0.0.1:{port}").pages == 0


def test_a_server_that_is_away_is_told_without_the_password(paths):
    address = f"http://ann:s3cret@127.0.0.1:{unused_port()}"
    result = sync_once(paths.runs, address)
    assert len(result.unsent) == 3
    assert "s3cret" not in str(result)
    assert "127.0.0.1" in str(result)

    sync = start_sync(paths.runs, address)
    assert not sync.stop(timeout=60)
    log = paths.sync_log.read_text()
    assert "3 runs wait" in log
    assert "s3cret" not in log
    assert "s3cret" not in " ".join(map(str, sync.process.args))
