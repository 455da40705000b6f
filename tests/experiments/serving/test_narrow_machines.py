"""RUNS that cannot be written to, and few file descriptors: an answer, or one line that says why not."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from tests import forked
from tests.experiments.serving.served import ROOT, TEXTS, make_record, serving
from tests.experiments.serving.test_champion import record

NOBODY = 65534
AS_NOBODY = """
import os, sys, importlib
from pathlib import Path
import experiments.serving.predict, experiments.serving.registry, experiments.serving.serve, seqclf_core.inference
from seqclf_core.cli import run_command
from seqclf_core.errors import UserError
from studies.commands import champion, predict

# What is imported late, and would need more rights than are left.
seqclf_core.inference.Classifier.load(Path(sys.argv[1])).predict(["x"])
for each in (champion, predict):
    try:
        each.main(["--runs", "/nonexistent"])
    except UserError:
        pass
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
command = importlib.import_module(f"studies.commands.{sys.argv[2]}")
run_command(lambda: command.main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, small_run: RunConfig, cache: Path) -> RunPaths:
    """A recorded run, and its model as the champion, without MLflow."""
    folder = tmp_path_factory.mktemp("narrow")
    paths = RunPaths(folder / "runs")
    record(paths, small_run, "imdb/0000", cache)
    make_record(paths, paths.work("imdb/0000") / "model", "imdb/0000")
    return paths


@pytest.fixture(scope="module")
def small_run(reviews_folder: Path) -> RunConfig:
    return RunConfig().override(
        {"data.source": str(reviews_folder), "model.embed_dim": 4, "model.hidden_dim": 4, "train.epochs": 1}
    )


def limited(*arguments: str | Path, files: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studies.commands", *map(str, arguments)]
    shell = f'ulimit -n {files}; exec "$@"'
    return subprocess.run(
        ["sh", "-c", shell, "sh", *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.parametrize(("files", "statuses"), [(32, {0}), (12, {0, 2})])
def test_few_file_descriptors_are_enough_or_told(paths: RunPaths, files: int, statuses: set[int]) -> None:
    for command, expected in ((("predict", "--text", "good"), statuses), (("champion",), {0, 2})):
        answer = limited(*command, "--runs", paths.runs, files=files)
        assert answer.returncode in expected, answer.stderr
        assert "Traceback" not in answer.stderr
        assert answer.returncode == 0 or len(answer.stderr.splitlines()) == 1


def test_a_server_says_how_many_files_it_needs(paths: RunPaths) -> None:
    answer = limited("serve", "--runs", paths.runs, files=32)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "ulimit -n 1024" in answer.stderr


def test_a_crowd_of_idle_connections_passes(paths: RunPaths) -> None:
    with serving(paths.runs) as served:
        idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(700)]
        for each in idle:
            each.settimeout(60)
            with each, suppress(ConnectionResetError):
                assert each.recv(1) == b""
        assert served.predictions(TEXTS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_cannot_be_written_to_is_read_and_told(paths: RunPaths) -> None:
    for parent in (paths.runs, *paths.runs.parents[:-2]):
        parent.chmod(parent.stat().st_mode | 0o555)
    before = sorted(path for path in paths.runs.rglob("*"))

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        loaded = str(paths.work("imdb/0000") / "model")
        command = [sys.executable, "-c", AS_NOBODY, loaded, *arguments, "--runs", str(paths.runs)]
        return forked.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)

    answer = ask("predict", "--text", "good")  # weights are written for their owner alone
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert "cannot be read: Permission denied" in answer.stderr
    for path in before:
        path.chmod(path.stat().st_mode | 0o444)
    answer = ask("predict", "--text", "good")
    assert answer.returncode == 0, answer.stderr
    answer = ask("champion")
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert "could not be kept" in answer.stderr
    assert sorted(path for path in paths.runs.rglob("*")) == before
