"""What `make soak` does to studies: a scenario is one kind of fault, done to a study of its own again and again.

A strike may end the command, which is then started again; one that finds what should not be raises AssertionError.
"""

import random
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults_beside import (
    TEN_YEARS,
    clean_up,
    cut_power,
    dates_of_page,
    end_of_champion,
    end_of_other_study,
    kill_champion,
    kill_deliverer,
    kill_other_study,
    prepare_disk,
    remove_files,
    start_other_study,
)
from tests.studies.engine.study_command import Command

EXIT_SECONDS = 10.0
"""In which a study ends after SIGTERM."""
HOUR = 3600

Strike = Callable[[Command, random.Random], None]


@dataclass(frozen=True)
class Scenario:
    """One kind of fault."""

    name: str
    fault: str
    """As the table says it."""
    share: float
    """Of all trials asked for: how many this study has."""
    times: float
    """How many faults per trial; 0: one, which lasts as long as the study."""
    pause: float
    """Seconds between two faults at most; drawn evenly."""
    strike: Strike
    more: tuple[str, ...] = ()
    """Further arguments of the command."""
    server: str = ""
    """How the tracking server fails while the study runs; none: MLflow is a database, and nothing is between."""
    outage: float = 0.0
    """Seconds after which the server works again; 0: not before the study has ended."""
    prepare: Callable[[Command], None] = lambda command: None
    """What is done before the study starts."""
    after: Callable[[Command], list[str]] = lambda command: []
    """What is looked at when it has ended; returns what is wrong."""


class Over(Exception):
    """The study ended before it was struck."""


def nothing(command: Command, draw: random.Random) -> None:
    """Let it be."""


def kill_worker(command: Command, draw: random.Random) -> None:
    """Nine times of ten, when its trial has gone on: one whose workers die five times without that fails."""
    assert command.process
    before = command.events() + (draw.random() < 0.9)
    while command.events() < before and command.process.poll() is None:
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 0.4))
    if command.process.poll() is not None:
        raise Over
    for worker in command.workers():
        worker.kill()


def kill_owner(command: Command, draw: random.Random) -> None:
    assert command.process
    command.process.kill()
    command.end()


def kill_everything(command: Command, draw: random.Random) -> None:
    for process in command.everybody():
        process.kill()
    command.end()


def terminate(command: Command, draw: random.Random) -> None:
    assert command.process
    began = time.monotonic()
    command.process.terminate()
    command.end()
    if time.monotonic() - began > EXIT_SECONDS:
        raise AssertionError(f"it took {time.monotonic() - began:.1f} s to end")


def suspend_worker(command: Command, draw: random.Random) -> None:
    stopped = command.workers()
    for worker in stopped:
        worker.suspend()
    time.sleep(60)
    for worker in stopped:
        worker.resume()


def hang(command: Command, draw: random.Random) -> None:
    stopped = command.workers()
    for worker in stopped:
        worker.suspend()
    _, alive = psutil.wait_procs(stopped, timeout=60)
    if alive:
        raise AssertionError("a worker that hangs was not ended")


def sleep_an_hour(command: Command, draw: random.Random) -> None:
    """Stop all processes, for longer than a worker may hang, and let an hour have gone by when they wake."""
    stopped, workers = command.everybody(), command.workers()
    for process in stopped:
        process.suspend()
    time.sleep(20)
    command.step_clock(HOUR)
    for process in reversed(stopped):
        process.resume()
    time.sleep(2)
    # None at all: the study has ended in the meantime; none before: it had only begun.
    if workers and {*command.workers()} - {*workers}:
        raise AssertionError("a worker was blamed for the machine's sleep")


def step_back_an_hour(command: Command, draw: random.Random) -> None:
    command.step_clock(-HOUR)


def step_ten_years(command: Command, draw: random.Random) -> None:
    """Forwards and back, in turn."""
    command.step_clock(TEN_YEARS if int(command.clock.read_text()) == 0 else -TEN_YEARS)


def lock(command: Command, draw: random.Random) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and not all(
        (command.runs / f"{name}.db").exists() for name in ("optuna", "mlflow")
    ):
        time.sleep(0.1)  # a study that has only begun
    with (
        closing(sqlite3.connect(command.runs / "optuna.db", isolation_level=None, timeout=60)) as one,
        closing(sqlite3.connect(command.runs / "mlflow.db", isolation_level=None, timeout=60)) as other,
    ):
        for database in (one, other):
            database.execute("BEGIN IMMEDIATE")
        time.sleep(30)


def fill_disk(command: Command, draw: random.Random) -> None:
    """Start it anew where files may only grow so far, and see that it says so, if that ends it."""
    assert command.process
    command.process.terminate()
    command.end()
    command.start(largest_file=int(10 ** draw.uniform(3.5, 5.7)))  # from 3 kB to 500 kB
    try:
        code, output = command.end(timeout=draw.uniform(15, 30))
    except subprocess.TimeoutExpired:
        command.process.terminate()
        code, output = command.end()
    if "Traceback" in output or (code == 2 and "room" not in output):
        raise AssertionError(f"it ended with status {code} and said: {' '.join(output.split())[-300:]}")


def damage(command: Command, draw: random.Random) -> None:
    """Kill everything, then cut a checkpoint, the cache or an open journal at any byte, or take it away."""
    kill_everything(command, draw)
    work, journals = command.runs / "work" / "test", command.runs / "journal" / "test"
    unfinished = [path for path in journals.glob("0*.jsonl") if b'"closed"' not in path.read_bytes()]
    checkpoints = [*work.rglob("checkpoint.safetensors")]
    cache = [path for path in (command.runs / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
    for kind in (unfinished, checkpoints, cache):
        for path in draw.sample(sorted(kind), min(2, len(kind))):
            cut(path, draw)


def cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    if draw.random() < 0.2:
        path.unlink()
    else:
        path.write_bytes(content[: draw.randrange(len(content) + 1)])


UNDISTURBED = Scenario("none", "none", 1.0, 0, 0, nothing)
SCENARIOS = (
    Scenario("worker", "kill -9 of a worker", 1.0, 0.5, 0.2, kill_worker),
    Scenario("owner", "kill -9 of the owner", 0.3, 0.34, 6, kill_owner),
    Scenario("everything", "kill -9 of everything", 0.3, 0.34, 6, kill_everything),
    Scenario("damage", "kill -9 of everything, and files cut or gone", 0.3, 0.34, 6, damage),
    Scenario("term", "SIGTERM of the owner", 0.15, 0.34, 6, terminate),
    Scenario("disk", "disk full", 0.15, 0.4, 10, fill_disk),
    Scenario("stop", "SIGSTOP of a worker for 60 s", 0.1, 0.3, 4, suspend_worker),
    Scenario("hang", "a worker that hangs", 0.15, 0.34, 6, hang, ("--hang-seconds", "8")),
    Scenario("sleep", "a machine that sleeps for an hour", 0.15, 0.34, 4, sleep_an_hour, ("--hang-seconds", "8")),
    Scenario("clock", "a clock that steps back an hour", 0.15, 0.34, 4, step_back_an_hour),
    Scenario("decade", "a clock that steps by ten years", 0.15, 0.34, 4, step_ten_years, after=dates_of_page),
    Scenario("power", "a power cut", 0.3, 0.67, 6, cut_power, prepare=prepare_disk),
    Scenario("deliverer", "kill -9 of the process that sends runs to MLflow", 0.3, 0.34, 4, kill_deliverer),
    Scenario("clean", "`make clean` beside it, and a cache that is removed", 0.3, 0.34, 3, clean_up),
    Scenario("files", "journals, folders, cache and logs that are removed", 0.3, 0.34, 3, remove_files),
    Scenario(
        "two",
        "another study in the same RUNS, killed and started again",
        0.3,
        0.2,
        6,
        kill_other_study,
        prepare=start_other_study,
        after=end_of_other_study,
    ),
    Scenario("champion", "kill -9 of `make champion`", 0.3, 0.34, 3, kill_champion, after=end_of_champion),
    Scenario("lock", "both databases locked for 30 s", 0.1, 0.3, 4, lock),
    Scenario("refuse-minute", "a tracking server that refuses for a minute", 0.5, 0, 0, nothing, (), "refuse", 60),
    Scenario("hang-minute", "a tracking server that hangs for a minute", 0.5, 0, 0, nothing, (), "hang", 60),
    Scenario("refuse", "a tracking server that refuses", 0.06, 0, 0, nothing, server="refuse"),
    Scenario("hangs", "a tracking server that hangs", 0.06, 0, 0, nothing, server="hang"),
    Scenario("500", "a tracking server that answers 500", 0.06, 0, 0, nothing, server="answer 500"),
    Scenario(
        "replies", "a tracking server that loses 3 of 10 replies", 0.06, 0, 0, nothing, server="lose replies"
    ),
)
