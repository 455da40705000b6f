"""RUNS that is no folder, and names that are none: every command says so in one line, and makes nothing."""

import os
import sys
from pathlib import Path

import pytest

from studies.commands.__main__ import NO_HOME
from tests import forked
from tests.experiments.serving.served import ROOT, seqclf

WITH_RUNS = {
    "study": ["imdb", "--data.source", "synthetic"],
    "experiment": ["majority", "--data.source", "synthetic"],
    "compare": ["--a", "imdb/0000", "--b", "imdb/0001"],
    "ui": [],
    "dashboard": [],
    "report": [],
    "champion": [],
    "serve": [],
    "predict": ["--text", "good"],
    "sync": [],
    "clean": [],
    "doctor": [],
}
WITH_NAMES = {
    "study": ["imdb", "--data.source", "synthetic", "--name"],
    "champion": ["--name"],
    "predict": ["--text", "good", "--name"],
}


def error_of(*arguments: str | Path) -> str:
    done = seqclf(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("command", WITH_RUNS)
def test_runs_that_is_a_file_is_refused_in_a_line(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    said = error_of(command, *WITH_RUNS[command], "--runs", file)
    assert f"{file} is a file" in said
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "mine")]


@pytest.mark.parametrize("command", WITH_NAMES)
def test_a_name_with_a_slash_is_refused_or_found_to_be_none_and_nothing_is_made(
    command: str, tmp_path: Path
) -> None:
    said = error_of(command, *WITH_NAMES[command], "team/first", "--runs", tmp_path / "runs")
    assert "team/first" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_a_name_and_a_home_can_work(tmp_path: Path) -> None:
    child = "import os; from studies.commands.__main__ import settle_home; os.environ.pop('HOME', None); "
    child += "os.setuid(12345); settle_home(); print(os.environ['HOME'])"
    done = forked.run([sys.executable, "-c", child], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == NO_HOME
    answer = seqclf("sync", "--runs", tmp_path / "runs", HOME=NO_HOME)
    assert (answer.returncode, answer.stderr) == (0, "")
