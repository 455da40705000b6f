"""`make audit` where there is no network, or no fit one: a line that says so, at once, and nothing is changed.

With a network it is tried by hand: what pip-audit answers is not for a test that must be the same tomorrow.
"""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.audit import LOCK, pins, tell

ROOT = Path(__file__).parents[1]


class Service(BaseHTTPRequestHandler):
    """An advisory service, or what stands in its place: the server's ``answer`` says what comes."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def service():
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.answer = b"{}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def audit(port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.audit", "--service", f"http://127.0.0.1:{port}", "--timeout", "1"]
    # Whatever answers, pip finds nothing to install.
    without = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment = {**without, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)


def test_a_service_out_of_reach_is_told_in_a_line(service):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        port = silent.getsockname()[1]
        answers = [audit(port)]
    answers.append(audit(port))  # refused
    service.answer = b"<html>Please log in</html>"
    answers.append(audit(service.server_port))
    for each in answers:
        assert each.returncode == 2
        assert len(each.stderr.splitlines()) == 1
        assert "No package was audited: the advisory service" in each.stderr


def test_where_the_auditor_cannot_be_fetched_it_says_so(service):
    answer = audit(service.server_port)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "could not fetch pip-audit" in answer.stderr


def test_every_pin_is_asked_about():
    pinned = [line for line in LOCK.read_text().splitlines() if "==" in line and not line.startswith("#")]
    assert len(pins(LOCK)) == len(pinned) > 100
    assert all(line.startswith(pin) and " " not in pin for pin, line in zip(pins(LOCK), pinned, strict=True))


def test_what_is_found_is_named_with_the_version_that_mends_it(capsys):
    sound = {"name": "numpy", "version": "2.4.0", "vulns": []}
    known = {"id": "CVE-2026-1", "aliases": ["GHSA-x"], "fix_versions": ["3.2"], "description": "long"}
    assert tell([sound]) == 0
    assert tell([sound, {"name": "werkzeug", "version": "3.1.9", "vulns": [known]}]) == 1
    assert tell([sound, {"name": "own", "skip_reason": "not on PyPI"}]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "None of 1 pinned packages has a known vulnerability.",
        "werkzeug 3.1.9: CVE-2026-1, GHSA-x; mended in 3.2",
        "1 of 2 pinned packages has a known vulnerability.",
        "own was not looked up: not on PyPI",
        "None of 1 pinned packages has a known vulnerability.",
    ]
