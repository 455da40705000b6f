"""Kill studies at random moments, for minutes, and count what was lost, doubled or stuck: ``make soak``.

    python -m tests.soak [--trials 100] [--seed 0] [--out docs/faults.md]

Whole commands with one worker each, on small reviews; two at a time. A study with one worker draws the same trials
whenever it is run, so that each disturbed one is compared, trial by trial, with one that nobody disturbed.
"""

import argparse
import os
import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.studies.study_command import ROOT, Command, children_in_mlflow, trials

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
INTRODUCTION = """# Faults, and what came of them

Written by `{command}`, in {minutes:.1f} minutes on {processors} processors. Each study has one worker, and is
started again wherever a fault ended it. *Lost*: trials that did not end. *Doubled*: trials beyond those asked for.
*Stuck*: trials left running. *Different*: trials whose settings, outcome or curve are not those of the same study
without a fault. Faults come at random moments; the distances between them are drawn from the seed.
"""
EXIT_SECONDS = 10.0
"""In which a study ends after SIGTERM."""


@dataclass(frozen=True)
class Scenario:
    """One kind of fault, done to a study of its own again and again."""

    fault: str
    share: float
    """Of all trials asked for: how many this study has."""
    times: float
    """How many faults per trial."""
    pause: float
    """Seconds between two faults at most; drawn evenly."""
    strike: Callable[[Command], None]
    more: tuple[str, ...] = ()
    """Further arguments of the command."""


@dataclass
class Row:
    """What came of a scenario."""

    fault: str
    trials: int
    times: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    different: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck or self.different or self.remarks)


# ---- what is done to them


def kill_worker(command: Command) -> None:
    for worker in command.workers():
        worker.kill()


def kill_owner(command: Command) -> None:
    command.process.kill()
    command.end()


def kill_everything(command: Command) -> None:
    family = psutil.Process(command.process.pid)
    for process in [*family.children(recursive=True), family]:
        process.kill()
    command.end()


def terminate(command: Command) -> None:
    began = time.monotonic()
    command.process.terminate()
    command.end()
    if time.monotonic() - began > EXIT_SECONDS:
        raise AssertionError(f"it took {time.monotonic() - began:.1f} s to end")


def put_to_sleep(command: Command) -> None:
    stopped = command.workers()
    for worker in stopped:
        worker.suspend()
    time.sleep(60)
    for worker in stopped:
        worker.resume()


def hang(command: Command) -> None:
    stopped = command.workers()
    for worker in stopped:
        worker.suspend()
    _, alive = psutil.wait_procs(stopped, timeout=60)
    if alive:
        raise AssertionError("a worker that hangs was not ended")


def lock(command: Command) -> None:
    with (
        closing(sqlite3.connect(command.runs / "optuna.db", isolation_level=None, timeout=60)) as one,
        closing(sqlite3.connect(command.runs / "mlflow.db", isolation_level=None, timeout=60)) as other,
    ):
        for database in (one, other):
            database.execute("BEGIN IMMEDIATE")
        time.sleep(30)


UNDISTURBED = Scenario("none", 1.0, 0, 0, kill_worker)
SCENARIOS = (
    Scenario("kill -9 of a worker", 1.0, 0.5, 10, kill_worker),
    Scenario("kill -9 of the owner", 0.3, 0.33, 15, kill_owner),
    Scenario("kill -9 of everything", 0.3, 0.33, 15, kill_everything),
    Scenario("SIGTERM of the owner", 0.15, 0.33, 15, terminate),
    Scenario("SIGSTOP of a worker for 60 s", 0.06, 0.17, 10, put_to_sleep),
    Scenario("a worker that hangs", 0.1, 0.3, 10, hang, ("--hang-seconds", "8")),
    Scenario("both databases locked for 30 s", 0.06, 0.17, 10, lock),
)


# ---- doing it


def run(scenario: Scenario, reviews: Path, folder: Path, total: int, seed: int) -> Row:
    """Run a study, strike it at random moments, start it again where that ended it, and let it end."""
    row = Row(scenario.fault, max(3, round(total * scenario.share)))
    times = max(1, round(row.trials * scenario.times)) if scenario.times else 0
    draw = random.Random(f"{seed} {scenario.fault}")
    command = Command(reviews, folder, row.trials, ["--workers", "1", "--train.epochs", "4", *scenario.more])
    command.start()
    while row.times < times and lives_for(command, draw.uniform(0, scenario.pause)):
        try:
            scenario.strike(command)
        except (AssertionError, psutil.Error, sqlite3.Error) as error:
            row.remarks.append(f"{type(error).__name__}: {error}")
        row.times += 1
        if command.process.poll() is not None:
            command.start()
    code, output = command.end(timeout=900)
    if code != 0:
        row.remarks.append(f"it ended with status {code}: {output.splitlines()[-1:]}")
    return row


def lives_for(command: Command, seconds: float) -> bool:
    """Wait; say whether the command is still there."""
    try:
        command.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def count(row: Row, folder: Path, undisturbed: Path) -> None:
    """Compare what Optuna, MLflow and an undisturbed study say."""
    found = trials(folder)
    expected = trials(undisturbed)[: row.trials]
    row.lost = row.trials - sum(trial.state.is_finished() for trial in found[: row.trials])
    row.doubled = max(0, len(found) - row.trials)
    try:
        known = children_in_mlflow(folder)
    except AssertionError as error:
        row.doubled += 1
        row.remarks.append(str(error))
        known = {}
    row.stuck = sum(not trial.state.is_finished() for trial in found)
    for trial in found:
        status = known.get(trial.number, ("missing", 0))[0]
        if status != STATUS.get(trial.state.name):
            row.remarks.append(f"trial {trial.number}: Optuna says {trial.state.name}, MLflow {status}")
    for one, other in zip(found, expected, strict=False):
        same = (one.params, one.state, one.values, one.intermediate_values)
        row.different += same != (other.params, other.state, other.values, other.intermediate_values)
    doctor = [sys.executable, "-m", "studies.doctor", "--runs", str(folder)]
    examined = subprocess.run(doctor, cwd=ROOT, capture_output=True, text=True, check=False)
    if examined.returncode != 0:
        row.remarks.append("make doctor: " + " ".join(examined.stdout.split())[:300])


def write(rows: list[Row], out: Path, command: str, seconds: float) -> None:
    """Write the table."""
    columns = ("fault", "trials", "times", "lost", "doubled", "stuck", "different")
    table = [columns, ["---"] * len(columns), *([str(getattr(row, name)) for name in columns] for row in rows)]
    remarks = [f"- {row.fault}: {remark}" for row in rows for remark in row.remarks]
    lines = [
        INTRODUCTION.format(command=command, minutes=seconds / 60, processors=os.cpu_count()),
        *(f"| {' | '.join(line)} |" for line in table),
        "",
        *(remarks or ["In every study Optuna and MLflow agree on all trials, and `make doctor` finds nothing."]),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Run all scenarios, two at a time; status 1 where anything was lost, doubled, stuck or different."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="of the longest studies")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "faults.md")
    options = parser.parse_args()
    from tests.conftest import write_reviews  # torch

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as lanes:
        folder = Path(name)
        (folder / "reviews").mkdir()
        write_reviews(folder / "reviews" / "train.jsonl", 360, seed=1)
        write_reviews(folder / "reviews" / "test.jsonl", 80, seed=2)
        begun = [
            lanes.submit(run, each, folder / "reviews", folder / str(at), options.trials, options.seed)
            for at, each in enumerate((UNDISTURBED, *SCENARIOS))
        ]
        rows = []
        for at, future in enumerate(begun):
            rows.append(future.result())
            count(rows[-1], folder / str(at), folder / "0")
            print(f"{time.monotonic() - began:5.0f} s  {rows[-1]}", flush=True)
    command = f"python -m tests.soak --trials {options.trials} --seed {options.seed}"
    write(rows, options.out, shlex.join(shlex.split(command)), time.monotonic() - began)
    print(f"{options.out} is written")
    return 0 if all(row.clean for row in rows) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
