"""How the Makefile makes .venv: once, whole, from the pins, with a Python that fits. Run for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.make_project import bare_project, environment, make, reached, wheel


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return bare_project(tmp_path)


def pinned(project: Path) -> str:
    """The version that is installed in .venv."""
    ask = "import pinned; print(pinned.number)"
    return subprocess.check_output([project / ".venv/bin/python", "-c", ask], text=True).strip()


def test_venv_is_made_once_and_follows_the_pins(bare):
    first = make(bare, "study", PYTHON=sys.executable)
    assert reached(first)["python"] == str(bare / ".venv/bin/python")
    assert "Setting up .venv" in first.stdout
    assert pinned(bare) == "1.0"
    assert len(make(bare, "study").stdout.splitlines()) == 1  # nothing but the command itself

    (bare / "requirements.lock").write_text(wheel(bare, "2.0"))
    starts = [
        subprocess.Popen(["make", "study"], cwd=bare, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = "".join(process.communicate()[0] for process in starts)
    assert [process.returncode for process in starts] == [0, 0]
    assert said.count("Bringing .venv up to date") == 1
    assert pinned(bare) == "2.0"

    (bare / "requirements.lock").write_text("nobody-has-this==1.0\n")
    for _ in range(2):  # what cannot be fetched leaves the old packages alone, and is said every time
        failed = make(bare, "study")
        assert failed.returncode == 2
        assert "run make again" in failed.stderr
        assert pinned(bare) == "2.0"


def test_an_interrupted_installation_starts_over(bare):
    state = bare / ".venv/.pins"
    start = environment(PYTHON=sys.executable)
    process = subprocess.Popen(["make", "study"], cwd=bare, env=start, start_new_session=True)
    while not (state.exists() and state.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (bare / ".venv/half.txt").touch()
    assert "Setting up .venv" in make(bare, "study").stdout
    assert not (bare / ".venv/half.txt").exists()
    assert pinned(bare) == "1.0"


def pretend(folder: Path, script: str) -> Mapping[str, str]:
    """Put a shell script in the place of every Python that make looks for; return the PATH to it."""
    folder.mkdir()
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("number", ["3.10", "3.14", "2.7"])
def test_a_python_that_does_not_fit_is_named(bare, tmp_path, number):
    answer = make(bare, "study", **pretend(tmp_path / "bin", f"echo {number}"))
    assert answer.returncode == 2
    assert "Python 3.11, 3.12 or 3.13 is needed" in answer.stderr
    assert f"python3 is {number}" in answer.stderr
    assert not (bare / ".venv").exists()


def test_a_python_without_venv_says_what_to_install(bare, tmp_path):
    script = 'case "$2" in *ensurepip*) exit 1 ;; esac; echo 3.12'
    answer = make(bare, "study", **pretend(tmp_path / "bin", script))
    assert answer.returncode == 2
    assert "apt install python3.12-venv" in answer.stderr
    assert not (bare / ".venv").exists()
