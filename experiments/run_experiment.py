"""From a named experiment to its end on this machine: data, runs, the sync beside them, and what came out."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from rich.console import Console

from experiments.experiment import Experiment, Result
from experiments.runner import Session, ended, session_name, track_all
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync_process import start_sync
from seqclf_core.config import DataConfig, RunConfig, Settings
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.sources import resolve
from seqclf_core.environment import huge_pages_notice
from seqclf_core.errors import UserError
from seqclf_core.events import DataSummary
from seqclf_core.files import make_folder
from seqclf_core.masking import mask

SYNC_SECONDS, STOPPED_SYNC_SECONDS = 60.0, 5.0
"""Seconds that the last transfer to MLflow may take at the end, and after a stop; `make sync` sends the rest."""


def run_experiment(
    name: str, experiment: Experiment, config: Settings, paths: RunPaths, tracking_uri: str | None, command: str,
    sync_beside: bool = True,
) -> int:  # fmt: skip
    """Prepare the data, do the runs while MLflow is fed beside them, and say what came out.

    Args:
        name: of the experiment's file.
        experiment: what the file declares.
        config: the settings that its runs are made of.
        paths: the folder with all that is recorded.
        tracking_uri: MLflow's address; None: the usual one.
        command: what a person types to get the same.
        sync_beside: whether to feed MLflow; False where the caller does.

    Returns:
        The exit status: 0, 1 after a failed run, 130 after a stop.
    """
    base = config.override({"data.source": resolve(config.data.source)})
    print(f"Experiment {name}: {experiment.purpose}", flush=True)
    corpus = load_corpus(DataConfig.model_validate(base.data.model_dump()), paths.cache)
    data = corpus.summary
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.sizes.items())
    print(
        f"  {mask(data.source)}: {sizes} texts ({data.data_scope}), validation split: {data.split_method}",
        flush=True,
    )
    if slow := huge_pages_notice():
        print(f"  {slow}", flush=True)
    for note in data.notes:
        print(f"  {note}.", flush=True)
    session = session_of(name, experiment, data, paths, command)
    group = session.group(base)
    with only_one(paths, group), stoppable() as stopping:
        runs = experiment.runs(base, lambda settings: paths.work(session.key(settings)))
        if not sync_beside or all(ended(session, run) for run in runs):
            results, all_sent = track_all(session, base, runs, stopping), True
        else:
            paths.remember_stores(tracking_uri=paths.tracking_uri(tracking_uri))
            sync = start_sync(paths.runs, tracking_uri)
            # Should anything below fail, the sync process hears the end of this one and ends by itself.
            results = track_all(session, base, runs, stopping)
            all_sent = sync.stop(STOPPED_SYNC_SECONDS if stopping() else SYNC_SECONDS)
    if all(result.finished for result in results) and len(results) == len(runs) and experiment.conclude:
        print(f"\n{experiment.conclude(results, corpus)}")
    return say_the_end(results, config, paths, all_sent)


def session_of(name: str, experiment: Experiment, data: DataSummary, paths: RunPaths, command: str) -> Session:
    """Return what the runs of an experiment on these data share; it gives their keys."""
    return Session(
        name=session_name(name, data), question=experiment.purpose, data=data, paths=paths, console=Console(),
        command=mask(command), stream=experiment.stream,
    )  # fmt: skip


def say_the_end(results: Sequence[Result], config: Settings, paths: RunPaths, all_sent: bool) -> int:
    """Say where everything lies and what can be done next; return the exit status."""
    where = "" if paths.runs == Path("runs") else f" RUNS={shlex.quote(str(paths.runs))}"
    print()
    for result in results:
        print(f"  {result.folder}  {result.run.label}")
    if not all_sent:
        print(f"  Not everything is in MLflow yet (see {paths.sync_log}); `make sync{where}` sends the rest.")
    if any(result.closed is None for result in results):
        print("Stopped. The same command goes on where it was; nothing that was done is lost.")
        return 130
    seed = f"another seed, such as --seed {config.seed + 1} in ARGS, or " if isinstance(config, RunConfig) else ""
    print(
        f"`make ui{where}` shows the curves. The same command would do nothing; with {seed}any other setting it "
        "makes another run."
    )
    return 0 if all(result.finished for result in results) else 1


@contextmanager
def only_one(paths: RunPaths, key: str) -> Iterator[None]:
    """Be the only process that does these runs.

    Raises:
        UserError: if another one does.
    """
    lock = paths.work(f"{key}.lock")
    make_folder(lock.parent)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        raise UserError(
            "Another process is at work on these very runs. Wait for it, or change a setting, such as --seed."
        ) from error


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Take a first Ctrl-C or SIGTERM as a wish, which what is yielded tells; a second one ends at once."""
    asked: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt
        # print() may be what was interrupted.
        os.write(2, b"\n  Stopping at the next checkpoint, in 10 s or so. Again stops at once.\n")

    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
