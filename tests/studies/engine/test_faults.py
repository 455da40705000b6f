"""Signals, locks and full disks, against real workers and databases: the same trials go on to the same end."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from experiments.tracking.journal import Closed, read
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import Sync, sync_once
from seqclf_core.errors import UserError
from studies.engine import run_study
from studies.engine.executors import Message, WorkerDied
from studies.engine.inline import Inline
from studies.engine.ownership import owned
from studies.engine.processes import Processes
from studies.engine.scheduler import DEATHS, Scheduler
from studies.engine.storage import explained
from studies.engine.time_left import Workload
from studies.study import Study
from tests.studies.engine.stepping import OpenScheduler, journals_agree, outcomes, run_all, scores


def process_of(executor: Processes) -> int:
    [worker] = executor._busy.values()
    return worker.process.pid


def step_until_news(owner: Scheduler, more: int = 1) -> None:
    """Step until the journals hold ``more`` evaluations than now."""

    def events() -> int:
        return sum(path.read_bytes().count(b'"progress"') for path in owner.paths.journals.rglob("0*.jsonl"))

    wanted = events() + more
    while events() < wanted:
        assert owner.step()


@pytest.fixture
def slow(study: Study) -> Study:
    """The same study with runs of some seconds, evaluated often."""
    changes = {"train.epochs": 4, "train.evals_per_epoch": 4, "train.batch_size": 2, "train.patience": 99}
    return study.with_base(study.base.override(changes), frozenset())


def test_a_worker_that_stops_hangs_or_outlives_its_owner(
    open_scheduler: OpenScheduler, slow: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other in the same trial, which ends as if nothing had been."""
    executor = Processes(1, tmp_path / "workers.log")
    owner = open_scheduler(slow, total=1, executor=executor)
    with owner.recording():
        step_until_news(owner)
        first = process_of(executor)

        owner.patience = 2.0
        os.kill(first, signal.SIGSTOP)  # as a machine asleep: the owner is away, too
        for _ in range(3):
            owner.step(timeout=0)  # reads what was said before
        time.sleep(3.5)
        owner.step(timeout=0)
        owner.patience = 60.0
        os.kill(first, signal.SIGCONT)
        step_until_news(owner)
        assert process_of(executor) == first, "a worker was blamed for its owner's absence"

        owner.patience = 2.0
        os.kill(first, signal.SIGSTOP)  # a worker that hangs, while the owner looks on
        while process_of(executor) == first:
            assert owner.step()
        owner.patience = 60.0
        step_until_news(owner)
        owner.stopping = True
    owner.stopping = False

    monkeypatch.setattr(run_study, "STOP_SECONDS", 1.0)

    before = signal.getsignal(signal.SIGTERM)

    def terminate() -> None:
        while signal.getsignal(signal.SIGTERM) is before:  # a fast machine is soon at the end
            time.sleep(0.01)
        os.kill(process_of(executor), signal.SIGSTOP)  # even with a worker that never reaches its next event
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    run_study.run_to_the_end(owner, Workload(np.ones(360, dtype=np.int64)))
    assert owner.stopping
    executor.close()
    assert not executor_left(executor)

    again = open_scheduler(slow, total=1)
    run_all(again)
    whole = open_scheduler(slow, total=1, name="whole")
    run_all(whole)
    assert scores(again) == scores(whole)
    assert journals_agree(again)


def executor_left(executor: Processes) -> list[int]:
    workers = [*executor._idle, *executor._busy.values()]
    return [worker.process.pid for worker in workers if worker.process.poll() is None]


def test_workers_that_are_killed_while_they_load_are_replaced(tmp_path: Path) -> None:
    executor = Processes(1, tmp_path / "workers.log")
    for _ in range(4):
        executor._idle[0].process.kill()
        assert not list(executor.messages(10.0))
        [worker] = executor._idle
        assert worker.process.poll() is None
    executor.close()


@pytest.mark.parametrize("note", ["", '{"process": 1', "[]", '{"process": 1}', None])
def test_a_second_owner_is_refused_also_where_the_note_of_the_first_is_cut(
    tmp_path: Path, note: str | None
) -> None:
    paths = RunPaths(tmp_path)
    who = paths.work("test") / "owner.json"
    with owned(paths, "test"):
        who.unlink()
        if note is not None:
            who.write_text(note)
        with pytest.raises(UserError, match="is being run by another process"), owned(paths, "test"):
            pass
    with owned(paths, "test"):
        assert str(os.getpid()) in who.read_text()


class Dying(Inline):
    """A place whose every worker dies at once, as where memory is short."""

    def messages(self, timeout: float) -> Iterator[tuple[str, Message]]:
        assert self._job is not None
        yield (
            self._job.key,
            WorkerDied("the worker was killed by signal 9, as the system does when memory runs out"),
        )


def test_a_trial_whose_workers_all_die_fails_with_the_reason_and_is_not_tried_for_ever(
    open_scheduler: OpenScheduler,
) -> None:
    owner = open_scheduler(total=1, executor=Dying())
    run_all(owner, most=DEATHS)
    assert outcomes(owner) == ["FAIL"]
    assert "memory" in owner.optuna.trials[0].user_attrs["reason"]
    owner = open_scheduler(total=1)
    run_all(owner)
    assert outcomes(owner) == ["FAIL", "COMPLETE"]
    assert journals_agree(owner)


@contextmanager
def locked(database: Path, seconds: float) -> Iterator[None]:
    """Hold the write lock of a SQLite database for a while, as a backup or another program does."""
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            held.set()
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    yield
    thread.join()


def test_a_locked_database_is_waited_for(open_scheduler: OpenScheduler, tmp_path: Path) -> None:
    owner = open_scheduler(total=1)
    with locked(tmp_path / "runs" / "optuna.db", seconds=2):
        run_all(owner)
    assert outcomes(owner) == ["COMPLETE"]
    sync_once(owner.paths.runs)

    study = owner.paths.journal("test/study")
    sync = Sync(owner.paths)
    sync.once()
    with locked(tmp_path / "runs" / "mlflow.db", seconds=2):
        run_all(open_scheduler(total=2))
        waiting = sync.once().unsent
    assert str(study) not in waiting or "locked" in waiting[str(study)]
    assert not sync.once().unsent
    assert not sync_once(owner.paths.runs).entries, "something was left, or would be sent twice"


def test_a_full_disk_is_told_in_a_line_and_the_study_opens_again(open_scheduler: OpenScheduler) -> None:
    owner = open_scheduler(total=2)
    run_all(owner, most=2)
    known = owner.optuna.trials[0].params

    @event.listens_for(owner.optuna._storage._backend.engine, "connect")  # type: ignore[attr-defined]
    def no_more_pages(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes it as: no more than there are

    owner.optuna._storage._backend.engine.dispose()  # type: ignore[attr-defined]

    def fill() -> None:
        with explained():
            for number in range(100):
                owner.optuna.set_user_attr(f"filler {number}", "x" * 1000)

    with pytest.raises(UserError, match=r"cannot be written: .*disk is full.*Make room"):
        fill()
    owner = open_scheduler(total=2)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 2
    assert owner.optuna.trials[0].params == known
    assert journals_agree(owner)


def test_a_full_disk_under_a_journal_stops_the_study_and_loses_nothing(
    open_scheduler: OpenScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_scheduler(total=2, name="whole")
    run_all(whole)
    real, written = os.write, [0]

    def full(file: int, data: bytes) -> int:
        written[0] += len(data)
        if written[0] > 6000:
            raise OSError(28, "No space left on device")
        return real(file, data)

    owner = open_scheduler(total=2)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room"):
        run_all(owner)
    monkeypatch.undo()
    owner = open_scheduler(total=2)
    run_all(owner)
    assert scores(owner) == scores(whole)
    assert isinstance(read(RunPaths(owner.paths.runs).journal("test/study"))[-1], Closed)
