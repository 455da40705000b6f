"""A locale that is not UTF-8: commands work all the same, and a name that is not UTF-8 is refused in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
QUICK = ["--train.epochs", "1", "--train.evals-per-epoch", "1", "--data.limit", "60", "--model.embed-dim", "8"]


def seqclf(*arguments: str | bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "studies.commands", *arguments, "--runs", str(folder)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **ASCII}, capture_output=True, check=False)


@pytest.mark.parametrize("name", ["déjà vu"])
def test_names_and_texts_beyond_ascii_work(tmp_path: Path, name: str) -> None:
    done = seqclf("experiment", "baseline", "--data.source", "synthetic", *QUICK, folder=tmp_path / name)
    assert (done.returncode, b"test accuracy" in done.stdout) == (0, True), done.stderr.decode()
    done = seqclf("predict", "--name", "baseline-synthetic", "--text", "un très bon film", folder=tmp_path / name)
    assert (done.returncode, done.stdout.count(b"0.")) == (0, 1), done.stderr.decode()


@pytest.mark.parametrize("arguments", [[b"--data.source", b"caf\xe9"], [b"--name=\xe9"]])
def test_a_name_that_is_not_utf8_is_refused_in_a_line(tmp_path: Path, arguments: list[bytes]) -> None:
    done = seqclf("study", "imdb", *arguments, folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.decode("utf-8").splitlines()
    assert "\\xe9" in line
    assert "is not UTF-8" in line
