"""The whole command behind ``make study`` on small data, and what its stores hold: for tests that kill it."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import optuna
import psutil

from tests import forked
from tests.power.disk import Disk

ROOT = Path(__file__).parents[3]
LIMITED = """
import resource, runpy, sys
largest = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
runpy.run_module("studies.commands", run_name="__main__", alter_sys=True)
"""


class Command:
    """``seqclf study imdb`` on small data, in a folder of its own."""

    def __init__(
        self, reviews: Path, runs: Path, total: int, more: Sequence[str] = (), width: int = 8,
        name: str = "test",
    ) -> None:  # fmt: skip
        self.runs = runs
        self.arguments = [
            sys.executable, "-m", "studies.commands", "study", "imdb", "--name", name, "--runs", str(runs),
            "--trials", str(total),
            "--data.source", str(reviews), "--model.embed-dim", str(width),
            "--model.hidden-dim", str(width), "--train.patience", "99", "--train.batch-size", "2",
            "--no-report", *more,
        ]  # fmt: skip
        self.process: subprocess.Popen[str] | None = None
        self.clock = runs.with_name(f"{runs.name}.clock")
        self.clock.parent.mkdir(parents=True, exist_ok=True)
        self.clock.write_text("0")
        self.environment: dict[str, str] = {}
        self.reviews, self.more = reviews, more
        self.other: Command | None = None
        self.disk: Disk | None = None

    def start(self, largest_file: int | None = None) -> None:
        """Start it; a ``largest_file``, in bytes, lets writes beyond it fail as on a full disk."""
        arguments = self.arguments
        if largest_file:
            arguments = [sys.executable, "-c", LIMITED, str(largest_file), *self.arguments[3:]]
        environment = {**os.environ, "SHIFTED_CLOCK": str(self.clock), "PYTHONPATH": str(ROOT / "tests" / "clock")}
        environment |= self.environment
        self.process = forked.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def end(self, timeout: float = 150) -> tuple[int, str]:
        assert self.process is not None
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "seqclf_core.worker" in " ".join(child.cmdline())]

    def everybody(self) -> list[psutil.Process]:
        """The owner and all that it started."""
        assert self.process is not None
        family = psutil.Process(self.process.pid)
        return [*family.children(recursive=True), family]

    @contextmanager
    def held(self) -> Iterator[list[psutil.Process]]:
        """Hold all of them still, and let those that still live go on.

        Raises:
            psutil.NoSuchProcess: if one ends right now.
        """
        held = self.everybody()
        for process in held:
            process.suspend()
        yield held
        for process in reversed(held):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def step_clock(self, seconds: int) -> None:
        """Let the clock of all its processes step, from now on."""
        beside = self.clock.with_suffix(".new")
        beside.write_text(str(int(self.clock.read_text()) + seconds))
        beside.replace(self.clock)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 150) -> None:
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


def trials(runs: Path, name: str = "test") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{runs / 'optuna.db'}").trials


def children_in_mlflow(runs: Path, name: str = "test") -> dict[int, tuple[str, int]]:
    """Return trial number -> (status, metric rows) of each child run of a study in the MLflow of a folder."""
    query = """select n.value, r.status, (select count(*) from metrics m where m.run_uuid = r.run_uuid)
               from runs r join tags n on n.run_uuid = r.run_uuid and n.key = 'seqclf.trial'
               join tags s on s.run_uuid = r.run_uuid and s.key = 'seqclf.study' and s.value = ?
               where r.lifecycle_stage = 'active'"""
    with sqlite3.connect(runs / "mlflow.db") as database:
        rows = database.execute(query, [name]).fetchall()
    assert len({row[0] for row in rows}) == len(rows), "a trial has two runs"
    return {int(number): (status, metrics) for number, status, metrics in rows}


def disorder(runs: Path, server: Path) -> list[str]:
    """Return where times run backwards."""
    found = []
    for path in sorted((runs / "journal").rglob("*.jsonl")):
        times = [json.loads(line)["time"] for line in path.read_text(encoding="utf-8").splitlines()]
        if times != sorted(times):
            found.append(f"{path.name}: its times are not in order")
    with closing(sqlite3.connect(server / "mlflow.db")) as database:
        for (name,) in database.execute("select name from runs where end_time < start_time"):
            found.append(f"run {name}: it ends before it starts")
        backwards = """select distinct one.key from metrics one join metrics other using (run_uuid, key)
                       where one.step < other.step and one.timestamp > other.timestamp"""
        found += [f"metric {key}: its times are not in order" for (key,) in database.execute(backwards)]
    return found
