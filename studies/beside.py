"""Runs of an experiment on several workers at a time, each recorded as if it were done alone.

    results = run_beside(session, runs, Processes(2, log), stopping=lambda: False)

A run whose worker dies goes on from its checkpoint on another one; after any end, the same call does what is
missing.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from experiments.experiment import NamedRun, Result
from experiments.progress import result_line
from experiments.runner import Session, finished_of, open_run
from experiments.tracking.recorder import Recorder
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from seqclf_core.events import Event, Finished, Progress, Saved
from studies.engine.executors import DiskFull, Executor, Failed, Job, Message, Stopped, Unfit, WorkerDied

DEATHS = 5
"""So many workers may die over one run without bringing it forward, before that is told."""


def run_beside(
    session: Session, runs: Sequence[NamedRun], executor: Executor, stopping: Callable[[], bool],
    hang_seconds: float = 900.0,
) -> list[Result]:  # fmt: skip
    """Do the runs, as many at a time as there are slots.

    Args:
        session: what they share.
        runs: those that ended before are not done again.
        executor: where they are done.
        stopping: asked after every event; True ends the runs there; the same call resumes them.
        hang_seconds: silence after which a worker is taken to hang.

    Returns:
        A result per run, as far as it came.

    Raises:
        UserError: if workers die over a run again and again, or the disk is full.
    """
    with ExitStack() as stack:
        recorders: dict[str, Recorder] = {}
        results: dict[str, Result] = {}
        waiting: deque[Job] = deque()
        for run in runs:
            assert isinstance(run.config, RunConfig)
            recorder, result = open_run(session, run)
            recorders[result.key], results[result.key] = stack.enter_context(recorder), result
            if result.closed is None:
                folder, cache = result.folder.absolute(), session.paths.cache.absolute()
                waiting.append(Job(result.key, run.config, folder, cache))
            elif result.finished:
                session.say(f"  {result.key}: {result_line(result.finished)}, done before")
        at_work: dict[str, Job] = {}
        heard: dict[str, float] = {}
        deaths: Counter[str] = Counter()
        while at_work or (waiting and not stopping()):
            while waiting and len(at_work) < executor.slots and not stopping():
                job = waiting.popleft()
                at_work[job.key], heard[job.key] = job, time.monotonic()
                executor.start(job)
            for key, message in executor.messages(0.5):
                heard[key] = time.monotonic()
                if isinstance(message, Progress | Saved):
                    deaths[key] = 0
                if isinstance(message, WorkerDied):
                    deaths[key] += 1
                    if deaths[key] == DEATHS:
                        raise UserError(f"{key}: {message.reason}, {DEATHS} times without bringing it forward.")
                if _ended(recorders[key], message):
                    job = at_work.pop(key)
                    if isinstance(message, WorkerDied | Unfit) and not stopping():
                        waiting.appendleft(job)
                    _tell(session, results[key], message)
                elif not isinstance(message, Finished):
                    executor.answer(key, go=not stopping())
            for key, since in heard.items():
                if key in at_work and time.monotonic() - since > hang_seconds:
                    heard[key] = time.monotonic()
                    executor.kill(key)  # ``WorkerDied`` follows
        return [
            replace(result, closed=recorders[key].closed, finished=finished_of(recorders[key]))
            for key, result in results.items()
        ]


def _ended(recorder: Recorder, message: Message) -> bool:
    """Record what a run says; tell whether its slot is free again.

    Raises:
        UserError: if the disk is full.
    """
    match message:
        case DiskFull(reason):
            raise UserError(f"The disk is full ({reason}). Make room and run the same command again.")
        case Failed(reason):
            recorder.close("failed", reason)
        case Stopped() | WorkerDied() | Unfit():
            pass
        case _:
            event: Event = message
            recorder.record(event)
            if not isinstance(event, Finished):
                return False
            recorder.close("complete")
    return True


def _tell(session: Session, result: Result, message: Message) -> None:
    match message:
        case Finished():
            session.say(f"  {result.key}: {result_line(message)}")
        case Failed(reason):
            session.say(f"  {result.key} failed: {reason}")
            shutil.rmtree(result.folder, ignore_errors=True)
        case WorkerDied(reason) | Unfit(reason):
            session.say(f"  {result.key}: {reason}; it goes on from its checkpoint")
