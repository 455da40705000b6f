"""`seqclf serve`: what it answers, what it refuses, and how it bears bad clients. One real server for all."""

import json
import re
import shlex
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from experiments.serving import serve as serve_module
from experiments.serving.app import BODY_BYTES
from experiments.serving.app import TEXTS as TEXTS_AT_MOST
from experiments.tracking.paths import RunPaths
from seqclf_core.inference import Classifier
from tests.experiments.serving.served import TEXTS, Served, make_model, make_record, seqclf, serving
from tests.reports.pages.browser import CHROMIUM, chromium

FORM = "application/x-www-form-urlencoded"
SECRET = "SomethingThatWasSent"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Served]:
    paths = RunPaths(tmp_path_factory.mktemp("runs"))
    make_record(paths, model)
    with serving(paths.runs) as server:
        yield server
    assert not list(paths.runs.glob("*.db"))  # it reads, and makes no database


def test_it_answers_as_the_model_does(served: Served, model: Path) -> None:
    wanted = Classifier.load(model).predict(TEXTS)
    assert served.predictions(TEXTS) == pytest.approx(wanted, abs=1e-6)
    assert served.predictions(["\ud800", ""])
    assert served.predictions(["word " * 20_000])


def test_the_printed_curl_works(served: Served) -> None:
    command = re.search(r"curl .*", served.said)
    assert command
    arguments = shlex.split(command[0])
    done = subprocess.run([*arguments, "--silent"], capture_output=True, text=True, check=True, timeout=30)
    assert len(json.loads(done.stdout)["predictions"]) == 2


def test_without_the_token_nothing_is_answered(served: Served) -> None:
    for shown in ("", "Bearer ", "Bearer wrong", f"Basic {served.token}", served.token, "Bearer ü"):
        status, said = served.ask({"inputs": TEXTS}, Authorization=shown)
        assert status == 401
        assert "Bearer TOKEN" in said
        assert served.token not in said


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 900_000, "application/json", 400),
        (b'{"inputs": ["' + SECRET.encode() + b'\xff"]}', "application/json", 400),
        ({"inputs": [float("nan"), None, 5, [SECRET]]}, "application/json", 400),
        ({"inputs": SECRET}, "application/json", 400),
        ({"inputs": []}, "application/json", 400),
        ({SECRET: 1}, "application/json", 400),
        ({"inputs": [SECRET], SECRET: 1}, "application/json", 400),
        (SECRET, "application/json", 400),
        ({"inputs": [SECRET] * (TEXTS_AT_MOST + 1)}, "application/json", 413),
        ({"inputs": ["x" * (BODY_BYTES + 1)]}, "application/json", 413),
        (b"x" * 20_000_000, "application/json", 413),
        ({"inputs": [SECRET]}, "text/csv", 415),
        ({"inputs": [SECRET]}, FORM, 415),
        (b"\xff\xfe", "application/json; charset=utf-16", 400),
    ],
    ids=range(16),
)
def test_a_bad_request_is_refused_and_not_repeated(served: Served, body: object, kind: str, expected: int) -> None:
    status, said = served.ask(body, Content_Type=kind)
    assert status == expected
    assert json.loads(said)["error"]
    assert SECRET not in said
    assert len(said) < 400
    assert served.predictions(TEXTS[:1])  # it goes on


def test_other_addresses_and_methods_are_refused(served: Served) -> None:
    for path in ("/docs", "/openapi.json", "/version", f"/{SECRET}"):
        status, said = served.ask(None, path)
        assert (status, json.loads(said)) == (404, {"error": "Not Found"})
    assert served.ask(None)[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.org"},
        {"Origin": "null"},  # of a page in a sandboxed frame
        {"Origin": "http://evil.org", "Host": "evil.org"},  # a name that leads to this machine
        {"Host": "127.0.0.1.evil.org"},
        {"Origin": "http://evil.org", "Content_Type": "text/plain"},  # for which no browser asks first
        {"Origin": "http://127.0.0.1:1"},  # another server of this machine
        {"Origin": "http://[::1]"},
        {"Sec_Fetch_Site": "cross-site"},  # an image, which names no origin
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(served: Served, headers: dict[str, str]) -> None:
    expected = 400 if "Host" in headers else 403
    assert served.ask({"inputs": TEXTS}, **headers)[0] == expected
    assert served.ask(None, f"/?token={served.token}", **headers)[0] == expected


def test_the_form_works_without_network_or_script(served: Served) -> None:
    own = {"Origin": f"http://127.0.0.1:{served.port}", "Sec_Fetch_Site": "same-origin"}
    status, page = served.ask(None, f"/?token={served.token}")
    assert status == 200
    assert served.token in page
    assert "&#34;inputs&#34;" in page  # it says which keys a program sends
    assert not re.search(r"https?://|<script|src=", page)
    text = '"><script>alert(1)</script>'
    sent = urllib.parse.urlencode({"text": text, "token": served.token}).encode()
    status, page = served.ask(sent, "/", Content_Type=FORM, **own)
    assert status == 200
    assert re.search(r"(positive|negative): the probability that it is positive is 0\.\d{4}", page)
    assert "alert" not in page


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_the_form_works_in_a_browser(served: Served) -> None:
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 390, "height": 700})
        for address in (f"/?token={served.token}", "/"):
            tab.goto(f"http://127.0.0.1:{served.port}{address}")
            tab.fill("#text", "A superb film <b>bright</b>")
            if "token" not in address:
                tab.fill("input[type=password]", served.token)
            tab.click("button")
            assert re.match(r"(positive|negative): the probability", tab.text_content("[role=status]"))
        assert tab.evaluate("document.documentElement.scrollWidth") == 390


def test_the_form_asks_for_the_token(served: Served) -> None:
    status, page = served.ask(None, '/?token="><script>alert(1)</script>'.replace(" ", "%20"))
    assert status == 200
    assert 'type="password"' in page
    assert "alert" not in page
    assert served.token not in page
    for body, kind, expected in (
        (b"text=good&token=wrong", FORM, 401),
        (f"text=+&token={served.token}".encode(), FORM, 400),
        (b"&".join([b"a=1"] * 100), FORM, 400),
        (b"text=%ff\xff", FORM, 400),
        (b"text=good", "multipart/form-data; boundary=x", 415),
        (b"x" * (BODY_BYTES + 1), FORM, 413),
    ):
        assert served.ask(body, "/", Content_Type=kind)[0] == expected


def test_a_slow_client_is_dropped(served: Served) -> None:
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n"
    )
    whole = f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(3)]
    began = time.monotonic()
    for client, sent in zip(clients, ("", head, whole + '{"inputs"'), strict=True):
        client.sendall(sent.encode())
    assert served.predictions(TEXTS)  # nobody waits for them
    for client in clients:
        client.settimeout(serve_module.REQUEST_SECONDS * 4)
        with client, suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert time.monotonic() - began > serve_module.REQUEST_SECONDS / 2  # they had their time


def test_many_clients_are_all_answered(served: Served) -> None:
    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(lambda _: served.predictions(TEXTS), range(200)))
    assert all(answer == pytest.approx(answers[0], abs=1e-6) for answer in answers)
    assert psutil.Process(served.pid).num_fds() < 60  # their connections are closed


def test_no_champion_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    answer = seqclf("serve", "--runs", tmp_path / "runs", PYTHONPROFILEIMPORTTIME="1")
    assert answer.returncode == 2
    said = [line for line in answer.stderr.splitlines() if not line.startswith("import time:")]
    assert len(said) == 1
    assert "`seqclf champion`" in said[0]
    loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert not loaded & {"torch", "mlflow", "optuna"}
    assert not (tmp_path / "runs").exists()


def test_a_port_that_is_taken_is_told(served: Served, tmp_path: Path, model: Path) -> None:
    make_record(RunPaths(tmp_path), model)
    answer = seqclf("serve", "--runs", tmp_path, "--port", str(served.port))
    assert answer.returncode == 2
    assert "Name another one" in answer.stderr
