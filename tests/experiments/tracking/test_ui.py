"""Who is let in by ``make ui``, where it works, and that it ends with its owner. Real processes and requests."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from experiments.tracking.artifacts import refuse_foreign
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from experiments.tracking.sync_process import ROOT
from experiments.tracking.ui import find_port
from seqclf_core.errors import UserError
from tests import forked
from tests.experiments.tracking.journal_samples import record_study
from tests.faulty_server import unused_port

UI = [sys.executable, "-m", "studies.commands", "ui"]


@contextmanager
def ui(runs, **environment):
    """Start ``make ui``; yield its port, its token and the lines that it prints."""
    port = unused_port()
    command = [*UI, "--runs", str(runs), "--port", str(port)]
    with forked.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **environment}
    ) as process:
        first = process.stdout.readline() + process.stdout.readline()
        found = re.search(rf"http://127.0.0.1:{port}/\?token=(\S+)", first)
        assert found, first
        try:
            yield port, found[1], process
        finally:
            process.terminate()


OF_OTHER_SERVERS = {
    "http_proxy": "http://127.0.0.1:9",
    "MLFLOW_STATIC_PREFIX": "/mlflow",
    "MLFLOW_ARTIFACTS_ONLY": "true",
    "MLFLOW_GUNICORN_OPTS": "--nothing",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "elsewhere",
}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A study's runs behind the UI, in a folder whose name is hard on addresses: folder, port, token, links."""
    paths = RunPaths(tmp_path_factory.mktemp("ui") / "q?x%20y #1")
    record_study(paths, trials=2)
    sync_once(paths.runs)
    with ui(paths.runs, **OF_OTHER_SERVERS) as (port, token, process):
        yield paths, port, token, [process.stdout.readline() for _ in range(4)]


@pytest.fixture
def served(started):
    """Folder, port and token."""
    return started[:3]


def ask(port, path="/", token=None, method="GET", body=None, **headers):
    """Return status, headers and body of an answer; nothing is followed, no proxy is asked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    named = {
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    if token:
        named["Authorization"] = f"Bearer {token}"
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


SEARCH = "/api/2.0/mlflow/experiments/search"
CREATE = "/api/2.0/mlflow/experiments/create"


def create(port, token=None, name="theirs", **headers):
    return ask(
        port, CREATE, token, "POST", json.dumps({"name": name, "artifact_location": "file:///tmp"}), **headers
    )[0]


def test_it_prints_a_link_to_each_view_under_model_training(started):
    _, port, token, (study, *links) = started
    assert study.strip() == "imdb"
    assert [link.split()[0] for link in links] == ["Leaderboard", "Curves", "Search"]
    page = rf"http://127\.0\.0\.1:{port}/\?token={token}#/experiments/\d+/runs\?workflowType=machine_learning&"
    for link in links:
        assert re.match(page + "viewStateShareKey=seqclf-", link.split()[1])


def test_it_comes_up_whatever_the_environment_says_of_other_servers(served):
    _, port, token = served
    status, _, page = ask(port, token=token)
    assert status == 200
    assert b"<!doctype html>" in page


def test_who_does_not_know_the_token_gets_nothing(served):
    _, port, token = served
    for path in (
        "/",
        SEARCH,
        "/health",
        "/version",
        "/static-files/main.js",
        "/get-artifact?path=x&run_uuid=y",
        "/graphql",
    ):
        assert ask(port, path)[0] == 401, path
        assert ask(port, path, token[:-1])[0] == 401, path
        assert ask(port, path, Cookie=f"seqclf-ui-{port}={token}x")[0] == 401, path
    assert ask(port, "/?token=guess")[0] == 401
    assert create(port) == 401
    assert create(port, "") == 401


def test_the_link_leaves_a_cookie_that_scripts_cannot_read(served):
    _, port, token = served
    status, headers, page = ask(port, f"/?token={token}")
    assert (status, headers["referrer-policy"]) == (200, "no-referrer")
    assert b"location.replace" in page
    assert token.encode() not in page
    cookie, *limits = headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax"} <= set(limits)
    assert ask(port, Cookie=cookie)[0] == 200
    assert ask(port, Cookie=f"other=1; {cookie}")[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:8888", "http://127.0.0.1:1", "http://localhost", "http://[::1]:{port}", "http://[::1]",
        "https://localhost:{port}", "null", "http://evil.example", "http://localhost.evil.example:{port}",
        "http://127.0.0.1.evil.example:{port}", "http://LOCALHOST:{port}", "file://", "",
    ],
)  # fmt: skip
def test_a_page_from_elsewhere_is_refused_though_the_browser_sends_the_cookie(served, origin):
    _, port, token = served
    origin = origin.format(port=port)
    assert create(port, token, Origin=origin) == 403
    assert ask(port, SEARCH + "?max_results=1", token, Origin=origin)[0] == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "192.168.1.7:{port}",
        "[::1]:{port}",
        "10.0.0.1",
    ],
)
def test_a_name_that_was_bent_to_this_machine_is_refused(served, host):
    _, port, token = served
    host = host.format(port=port)
    assert create(port, token, Host=host) == 403
    assert ask(port, "/health", token, Host=host)[0] == 403


def test_what_a_page_elsewhere_embeds_is_refused_and_a_link_that_is_followed_is_not(served):
    _, port, token = served
    elsewhere = {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}
    assert ask(port, "/get-artifact?path=config.json&run_uuid=x", token, **elsewhere)[0] == 403
    assert ask(port, "/", token, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200


def test_the_chat_that_runs_commands_is_off(served):
    _, port, token = served
    assert ask(port, "/ajax-api/3.0/mlflow/assistant/config", token)[0] == 403
    assert ask(port, "/ajax-api/3.0/mlflow/assistant/message", token, "POST", "{}")[0] == 403


def test_its_own_page_may_do_what_it_does(served):
    _, port, token = served
    assert create(port, token, "mine", Origin=f"http://localhost:{port}", Sec_Fetch_Site="same-origin") == 200


def test_files_of_runs_are_served_and_links_are_not(served):
    paths, port, token = served
    [run] = run_of(paths, "imdb/0000")
    file = "/get-artifact?" + urllib.parse.urlencode({"path": "config.json", "run_uuid": run})
    status, _, body = ask(port, file, token)
    assert status == 200
    assert json.loads(body)["data"]["source"] == "synthetic" or "data" in json.loads(body)
    folder = paths.artifacts / run / "artifacts"
    secret = paths.runs / "secret"
    secret.write_text("S3CRET")
    (folder / "link").symlink_to(secret)
    (folder / "inside").symlink_to(folder / "config.json")
    (folder / "folder").symlink_to(paths.runs)
    for path in ("link", "inside", "folder/secret", "../../../secret", "../../secret", str(secret)):
        status, _, body = ask(
            port, "/get-artifact?" + urllib.parse.urlencode({"path": path, "run_uuid": run}), token
        )
        assert status >= 400, path
        assert b"S3CRET" not in body


def test_an_experiment_elsewhere_serves_nothing(served, tmp_path):
    _, port, token = served
    (tmp_path / "file").write_text("S3CRET")
    body = json.dumps({"name": str(tmp_path), "artifact_location": tmp_path.as_uri()})
    _, _, made = ask(port, CREATE, token, "POST", body)
    body = json.dumps({"experiment_id": json.loads(made)["experiment_id"]})
    _, _, made = ask(port, "/api/2.0/mlflow/runs/create", token, "POST", body)
    run = json.loads(made)["run"]["info"]
    folder = Path(urllib.parse.urlsplit(run["artifact_uri"]).path)
    folder.mkdir(parents=True)
    (folder / "file").symlink_to(tmp_path / "file")
    (folder / "plain").write_text("S3CRET")
    for path in ("file", "plain"):
        status, _, body = ask(port, f"/get-artifact?path={path}&run_uuid={run['run_id']}", token)
        assert status >= 400
        assert b"S3CRET" not in body


@pytest.mark.parametrize("path", ["a", "a/b", "a/link/c", "a/../../x", "/etc/passwd", "a/dead"])
def test_only_plain_paths_below_the_folder_are_let_through(tmp_path, path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    (tmp_path / "a" / "dead").symlink_to("/nowhere")
    if path in ("a", "a/b"):
        refuse_foreign(tmp_path / path, tmp_path)
    else:
        with pytest.raises(Exception, match="no links"):
            refuse_foreign(tmp_path / path, tmp_path)


ATTACK = """
import http.client, json, os
http.client.HTTPConnection("127.0.0.1", PORT).connect()  # whatever is imported for it, is now
os.setgroups([])
os.setgid(65534)
os.setuid(65534)

def ask(path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    kind = {"Content-Type": "application/json"}
    connection.request("POST" if body else "GET", path, body and json.dumps(body), kind)
    return connection.getresponse().status

for api in ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"):
    print(ask(api + "experiments/create", {"name": "x", "artifact_location": "file:///tmp/x"}))
    print(ask(api + "registered-models/create", {"name": "seqclf"}))
    print(ask(api + "model-versions/create", {"name": "seqclf", "source": "file:///tmp/x"}))
    print(ask(api + "experiments/search", {"max_results": 1}))
print(ask("/get-artifact?path=config.json&run_uuid=0"))
for pid in filter(str.isdigit, os.listdir("/proc")):
    for file in ("cmdline", "environ") if int(pid) != os.getpid() else ():
        try:
            found = open(f"/proc/{pid}/{file}").read()
        except OSError:
            continue
        assert "UI_TOKEN=" not in found
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_gets_nothing(served):
    """Both ways that were found: an experiment whose files lie in his own folder, and a new version of a model."""
    _, port, _ = served
    attack = ATTACK.replace("PORT", str(port))
    done = forked.run([sys.executable, "-c", attack], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["401"] * 9


def run_of(paths, key):
    client = MlflowClient(paths.tracking_uri())
    experiment = client.get_experiment_by_name(key.split("/")[0])
    return [
        run.info.run_id for run in client.search_runs([experiment.experiment_id], f"tags.`seqclf.key` = '{key}'")
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_its_server_ends_with_it_however_that_ends(tmp_path, number):
    port = unused_port()
    command = [*UI, "--runs", str(tmp_path), "--port", str(port)]
    with (tmp_path / "errors").open("w") as errors, forked.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert "Starting" in process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        servers = psutil.Process(process.pid).children(recursive=True)
        assert len(servers) == 1
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
    for none in (0, -1, 70_000):
        with pytest.raises(UserError, match="is no port"):
            find_port(none)
    first = find_port(None)
    with socket.create_server(("127.0.0.1", first)):  # which, as the server, takes a port that was just closed
        assert find_port(None) > first


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_no_other_machine_is_let_in(host, tmp_path):
    command = [*UI, "--runs", str(tmp_path), "--host", host]
    done = forked.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "ssh -L" in done.stderr
    assert "Traceback" not in done.stderr
