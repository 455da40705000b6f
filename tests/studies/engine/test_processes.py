"""The whole command, real processes and signals: whatever is killed, the same trials go on to the exact total."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import forked
from tests.studies.engine.study_command import ROOT, Command, children_in_mlflow, disorder, trials

TOTAL = 5


@pytest.mark.timeout(600)
def test_a_study_that_is_interrupted_in_every_way_ends_exact(reviews_folder: Path, tmp_path: Path) -> None:
    command = Command(reviews_folder, tmp_path / "my runs", TOTAL, ["--workers", "2", "--train.epochs", "8"])
    command.start()
    command.wait_for_news()
    command.step_clock(-3600)

    second = forked.run(command.arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert re.search(rf"is being run by process {command.process.pid} on .* since \d{{4}}-", second.stderr)

    command.workers()[0].send_signal(signal.SIGKILL)
    command.wait_for_news()
    began = time.monotonic()
    command.process.send_signal(signal.SIGINT)
    code, output = command.end(timeout=30)
    assert code == 130
    assert "same command continues it" in output
    assert time.monotonic() - began < 20

    command.start()
    command.wait_for_news()
    orphans = command.workers()
    command.process.send_signal(signal.SIGKILL)
    command.end()
    _, alive = psutil.wait_procs(orphans, timeout=10)
    assert not alive, "workers outlived their owner"

    command.start()
    command.wait_for_news()
    for process in [*command.workers(), command.process]:
        process.send_signal(signal.SIGKILL)
    command.end()

    command.start()
    code, output = command.end()
    assert code == 0, output
    states = [trial.state.name for trial in trials(command.runs)]
    assert len(states) == TOTAL
    assert set(states) <= {"COMPLETE", "PRUNED"}
    status = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED"}
    known = children_in_mlflow(command.runs)
    assert {number: each[0] for number, each in known.items()} == {n: status[s] for n, s in enumerate(states)}
    for trial in trials(command.runs):
        metrics = known[trial.number][1]
        per_evaluation = 6
        assert metrics >= per_evaluation * len(trial.intermediate_values)

    assert not disorder(command.runs, command.runs)

    command.start()
    code, output = command.end()
    assert code == 0
    assert f"it has {TOTAL} trials" in output
    assert len(trials(command.runs)) == TOTAL


def test_help_answers_without_torch() -> None:
    script = """
import runpy, sys
sys.argv = ["seqclf", "study", "--help"]
try:
    runpy.run_module("studies.commands", run_name="__main__")
except SystemExit:
    print("torch" in sys.modules, "mlflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--model.hidden-dim" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["imbd"], "There is no study 'imbd'"),
        (["imdb", "--train.lr", "-1"], "Input should be greater than 0"),
        (["imdb", "--trials", "0"], "at least 1"),
        (["imdb", "--name", "../x"], "cannot name a study"),
        (["imdb", "--data.source", "/no/such/place"], "/no/such/place"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "studies.commands", "study", *arguments, "--runs", str(tmp_path)]
    done = forked.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
                      env={**os.environ, "COLUMNS": "200"})  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
