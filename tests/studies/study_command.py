"""The whole command behind ``make study`` on small data, and what its stores hold: for tests that kill it."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import psutil

ROOT = Path(__file__).parents[2]


class Command:
    """``python -m studies imdb`` on small data, in a folder of its own."""

    def __init__(self, reviews: Path, runs: Path, total: int, more: Sequence[str] = ()) -> None:
        self.runs = runs
        self.arguments = [
            sys.executable, "-m", "studies", "imdb", "--name", "test", "--runs", str(runs), "--trials", str(total),
            "--data.source", str(reviews), "--model.embed-dim", "8",
            "--model.hidden-dim", "8", "--train.patience", "99", "--train.batch-size", "2", "--no-report", *more,
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
