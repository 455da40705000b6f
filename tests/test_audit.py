"""`make audit`: what is known is named, and where nobody can be asked it fails and says nothing of "none".

With a network it is tried by hand: what the service answers is not for a test that must be the same tomorrow.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
RECIPE = re.search(r"^audit:.*\n\t@exec \$\(PY\) (.*) \$\(ARGS\)$", MAKEFILE, re.MULTILINE)[1]
KNOWN = {
    "id": "TEST-2026-1",
    "aliases": ["CVE-2026-1"],
    "summary": "A test",
    "affected": [{"package": {"name": "numpy", "ecosystem": "PyPI"}, "ranges": [
        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}
    ]}],
}  # fmt: skip


class Service(BaseHTTPRequestHandler):
    """An advisory service, or what stands in its place: the server's ``answers`` say what comes."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.server.asked.add(asked)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answers.get(asked, self.server.otherwise))

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def service():
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.answers, server.otherwise, server.asked = {}, b"{}", set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def audit(port: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Do what `make audit` does, with another service."""
    address = f"http://127.0.0.1:{port}/v1/query"
    command = [sys.executable, *shlex.split(RECIPE), "--osv-url", address, "--timeout", "2"]
    # Three packages, so that it takes a second.
    packages = tmp_path / "packages"
    for name in ("numpy", "pandas", "scipy"):
        about = packages / f"{name}-1.0.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    command = [word for word in command if word != "--local"] + ["--path", str(packages)]
    return subprocess.run(command, cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, timeout=100)


def test_where_nobody_can_be_asked_it_fails(service, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        answers = [audit(silent.getsockname()[1], tmp_path)]
        port = silent.getsockname()[1]
    answers.append(audit(port, tmp_path))  # refused
    service.otherwise = b"<html>Please log in</html>"
    answers.append(audit(service.server_port, tmp_path))
    for each in answers:
        assert each.returncode != 0
        assert "No known vulnerabilities" not in each.stdout + each.stderr


def test_what_is_known_is_named_with_the_version_that_mends_it(service, tmp_path):
    sound = audit(service.server_port, tmp_path)
    assert (sound.returncode, service.asked) == (0, {"numpy", "pandas", "scipy"}), sound.stderr
    assert "No known vulnerabilities" in sound.stderr
    service.answers = {"numpy": json.dumps({"vulns": [KNOWN]}).encode()}
    found = audit(service.server_port, tmp_path)
    assert found.returncode == 1
    assert re.search(r"numpy\s+1\.0\s+(CVE-2026-1|TEST-2026-1)\s+99\.0", found.stdout)


def test_it_asks_about_what_is_installed_here():
    assert "--local" in RECIPE.split()
