"""The whole command, real processes and signals: whatever is killed, the same trials go on to the exact total."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import psutil
import pytest

ROOT = Path(__file__).parents[2]
TOTAL = 5


class Command:
    """`python -m studies imdb` on small data, in a folder of its own."""

    def __init__(self, reviews: Path, runs: Path) -> None:
        self.runs = runs
        self.arguments = [
            sys.executable, "-m", "studies", "imdb", "--name", "test", "--runs", str(runs), "--trials", str(TOTAL),
            "--workers", "2", "--data.source", str(reviews), "--model.embed-dim", "8", "--model.hidden-dim", "8",
            "--train.epochs", "8", "--train.patience", "99", "--train.batch-size", "2", "--no-report",
        ]  # fmt: skip
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, stdin=subprocess.DEVNULL)  # fmt: skip

    def end(self, timeout: float = 90) -> tuple[int, str]:
        assert self.process is not None
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "seqclf_core.worker" in " ".join(child.cmdline())]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"it did not come to this: {self.end()[1] if self.process.poll() else 'late'}"
                )
            time.sleep(0.05)

    def events(self) -> int:
        return sum(path.read_bytes().count(b'"progress"') for path in (self.runs / "journal").rglob("0*.jsonl"))

    def wait_for_news(self, more: int = 2) -> None:
        before = self.events()
        self.wait_for(lambda: self.events() >= before + more)


def trials(runs: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="test", storage=f"sqlite:///{runs / 'optuna.db'}").trials


def children_in_mlflow(runs: Path) -> dict[int, tuple[str, int]]:
    """Return trial number -> (status, metric rows) of every child run that MLflow knows."""
    query = """select n.value, r.status, (select count(*) from metrics m where m.run_uuid = r.run_uuid)
               from runs r join tags n on n.run_uuid = r.run_uuid and n.key = 'seqclf.trial'"""
    with sqlite3.connect(runs / "mlflow.db") as database:
        rows = database.execute(query).fetchall()
    assert len({row[0] for row in rows}) == len(rows), "a trial has two runs"
    return {int(number): (status, metrics) for number, status, metrics in rows}


@pytest.mark.timeout(300)
def test_a_study_that_is_interrupted_in_every_way_ends_exact(reviews_folder: Path, tmp_path: Path) -> None:
    command = Command(reviews_folder, tmp_path / "my runs")
    command.start()
    command.wait_for_news()

    second = subprocess.run(command.arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert re.search(rf"is being run by process {command.process.pid} on .* since \d{{4}}-", second.stderr)

    command.workers()[0].send_signal(signal.SIGKILL)
    command.wait_for_news()
    began = time.monotonic()
    command.process.send_signal(signal.SIGINT)
    code, output = command.end(timeout=30)
    assert code == 130
    assert "goes on where it was" in output
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
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
    known = children_in_mlflow(command.runs)
    assert {number: each[0] for number, each in known.items()} == {n: status[s] for n, s in enumerate(states)}
    for trial in trials(command.runs):
        metrics = known[trial.number][1]
        per_evaluation = 6
        assert metrics >= per_evaluation * len(trial.intermediate_values)

    command.start()
    code, output = command.end()
    assert code == 0
    assert f"it has {TOTAL} trials" in output
    assert len(trials(command.runs)) == TOTAL


def test_help_answers_without_torch() -> None:
    script = """
import runpy, sys
sys.argv = ["studies", "--help"]
try:
    runpy.run_module("studies", run_name="__main__")
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
        (["imdb", "--name", "../x"], "cannot name a run or study"),
        (["imdb", "--data.source", "/no/such/place"], "/no/such/place"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "studies", *arguments, "--runs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "COLUMNS": "200"})  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
