"""Delivery to a real MLflow server that fails in every way, and who may talk to that server."""

import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import ROOT, Sync, deliver, start_sync
from experiments.tracking.ui import find_port
from seqclf_core.errors import UserError
from tests.experiments.tracking.faulty_proxy import faulty_proxy
from tests.experiments.tracking.journal_samples import everything_in, record_study


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The real thing, as ``make ui`` starts it on a folder where nothing is yet: its folder and port."""
    runs = tmp_path_factory.mktemp("server")
    port = find_port(None)
    command = [sys.executable, "-m", "experiments.tracking.ui", "--runs", str(runs), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        yield RunPaths(runs), port
        process.terminate()


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
        delivery = Sync(paths, proxy.address)
        for fault in ("hang", "answer 500", "answer a page"):
            proxy.fault = fault
            result = delivery.once()
            assert len(result.undelivered) == 3
            assert result.entries == 0
        proxy.fault = "lose replies"
        while Sync(paths, proxy.address).once().undelivered:
            delivery.once()  # and another one, which remembers
        proxy.fault = "none"
        assert not deliver(paths.runs, proxy.address).undelivered

    alone = RunPaths(tmp_path / "alone")
    shutil.copytree(paths.journals, alone.journals)
    shutil.copytree(paths.runs / "work", alone.runs / "work")
    deliver(alone.runs, alone.tracking_uri())
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
        assert not deliver(paths.runs, proxy.address).undelivered
    client = MlflowClient(f"http://127.0.0.1:{port}")
    experiment = client.get_experiment_by_name("imdb")
    [run] = client.search_runs([experiment.experiment_id], "tags.`seqclf.key` = 'imdb/study'")
    arrived = client.download_artifacts(run.info.run_id, "report/index.html", str(tmp_path))
    assert Path(arrived).read_text() == page.read_text()
    assert deliver(paths.runs, f"http://127.0.0.1:{port}").pages == 0


def test_a_server_that_is_away_is_told_without_the_password(paths):
    address = f"http://ann:s3cret@127.0.0.1:{unused_port()}"
    result = deliver(paths.runs, address)
    assert len(result.undelivered) == 3
    assert "s3cret" not in str(result)
    assert "127.0.0.1" in str(result)

    deliverer = start_sync(paths.runs, address)
    assert not deliverer.stop(timeout=60)
    log = paths.sync_log.read_text()
    assert "3 runs wait" in log
    assert "s3cret" not in log
    assert "s3cret" not in " ".join(map(str, deliverer.process.args))


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 200),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Host": "evil.example"}, 403),
        ("GET", {"Host": "192.168.1.7:5000"}, 403),
        ("GET", {"Host": "10.0.0.1"}, 403),
    ],
)
def test_only_this_machine_is_served(server, method, headers, status):
    _, port = server
    path = "api/2.0/mlflow/experiments/search" if method == "POST" else ""
    body = b'{"max_results": 5}' if method == "POST" else None
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            found = reply.status
    except urllib.error.HTTPError as error:
        found = error.code
    assert found == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_its_server_ends_with_it_however_that_ends(tmp_path, number):
    port = find_port(None)
    command = [sys.executable, "-m", "experiments.tracking.ui", "--runs", str(tmp_path), "--port", str(port)]
    with (tmp_path / "errors").open("w") as errors, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in the background
    ) as process:  # fmt: skip
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        servers = psutil.Process(process.pid).children(recursive=True)
        assert len(servers) >= 2
        process.send_signal(number)
    _, alive = psutil.wait_procs(servers, timeout=30)
    assert not alive
    assert find_port(port) == port
    assert "Fatal" not in (tmp_path / "errors").read_text()


def test_the_next_free_port_is_taken_unless_one_was_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="PORT="):
            find_port(taken.getsockname()[1])
    first = find_port(None)
    with socket.create_server(("127.0.0.1", first)):  # which, as the server, takes a port that was just closed
        assert find_port(None) > first


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_no_other_machine_is_let_in(host, tmp_path):
    command = [sys.executable, "-m", "experiments.tracking.ui", "--runs", str(tmp_path), "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "ssh -L" in done.stderr
    assert "Traceback" not in done.stderr
