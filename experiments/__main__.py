"""Do an experiment, or go on with it: ``python -m experiments baseline`` (``make experiment NAME=baseline``)."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Generic, TypeVar

import tyro
from filelock import FileLock, Timeout

from experiments import bag_of_words, baseline, majority, nbsvm, next_word, padding_pitfall, tagger_to_classifier
from experiments.experiment import Experiment, Result
from experiments.tracking.paths import RunPaths, mask
from seqclf_core.cli import named_settings, run_command
from seqclf_core.config import DataConfig, RunConfig, Settings
from seqclf_core.errors import UserError

EXPERIMENTS = {
    "baseline": baseline.EXPERIMENT,
    "tagger_to_classifier": tagger_to_classifier.EXPERIMENT,
    "next_word": next_word.EXPERIMENT,
    "padding_pitfall": padding_pitfall.EXPERIMENT,
    "majority": majority.EXPERIMENT,
    "bag_of_words": bag_of_words.EXPERIMENT,
    "nbsvm": nbsvm.EXPERIMENT,
}

DELIVERY_SECONDS, STOPPED_DELIVERY_SECONDS = 60.0, 5.0
"""For what MLflow has not got yet at the end; the rest is for `make sync`."""

SettingsOf = TypeVar("SettingsOf", bound=Settings, covariant=True)


@dataclass(frozen=True)
class Options(Generic[SettingsOf]):
    """Do an experiment, or go on with it where it stopped."""

    config: Annotated[SettingsOf, tyro.conf.arg(name="")]
    """Settings. The same ones on the same data are the same runs; others, such as another --seed, make others."""
    runs: Path = Path("runs")
    """The folder with all that is recorded."""
    tracking_uri: str | None = None
    """MLflow's address; none: $MLFLOW_TRACKING_URI, else mlflow.db under RUNS."""


def main() -> int:
    """Parse the command line, then do the experiment that it names, or list those there are."""
    name, arguments = sys.argv[1:2], sys.argv[2:]
    if not name or name[0].startswith("-"):
        print(f"Name one of these experiments, as in `make experiment NAME=baseline`:\n{listed()}")
        return 0
    if name[0] not in EXPERIMENTS:
        raise UserError(f"There is no experiment {name[0]!r}. Name one of these:\n{listed()}")
    experiment = EXPERIMENTS[name[0]]
    options: Options[Settings] = tyro.cli(  # type: ignore[call-overload]
        Options[type(experiment.base)],  # type: ignore[misc]
        prog=f"python -m experiments {name[0]}",
        args=arguments,
        default=Options(config=experiment.base),
    )
    if varied := sorted(experiment.varies & named_settings(arguments)):
        raise UserError(
            f"{name[0]} sets {' and '.join(varied)} itself, since that is what it compares. "
            "Leave it out, or do a single run with another value: make experiment NAME=baseline"
        )
    return run_study(name[0], experiment, options)


def listed() -> str:
    """Return the experiments there are, each with its purpose."""
    return "\n".join(f"  {name:22} {each.purpose}" for name, each in EXPERIMENTS.items())


def run_study(name: str, experiment: Experiment, options: Options[Settings]) -> int:
    """Prepare the data, do the runs while MLflow is fed beside them, and say what came out."""
    from rich.console import Console

    from experiments.runner import Session, ended, session_name, track_all
    from experiments.tracking.sync import start_sync
    from seqclf_core.data.cache import load_corpus
    from seqclf_core.data.reviews import resolve

    # As in a study's worker, and before torch is imported: one thread gives the same curve every time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    paths = RunPaths(options.runs)
    base = options.config.override({"data.source": resolve(options.config.data.source)})
    print(f"Experiment {name}: {experiment.purpose}", flush=True)
    corpus = load_corpus(DataConfig.model_validate(base.data.model_dump()), paths.cache)
    data = corpus.summary
    sizes = ", ".join(f"{count:,} {part}" for part, count in data.sizes.items())
    print(
        f"  {mask(data.source)}: {sizes} reviews ({data.data_scope}), validation split: {data.split_method}",
        flush=True,
    )
    session = Session(
        name=session_name(name, data), question=experiment.purpose, data=data, paths=paths, console=Console(),
        command=f"python -m experiments {shlex.join(sys.argv[1:])}", stream=experiment.stream,
    )  # fmt: skip

    group = session.group(base)
    with only_one(paths, group), stoppable() as stopping:
        runs = experiment.runs(base, lambda settings: paths.work(session.key(settings)))
        if all(ended(session, run) for run in runs):
            results, delivered = track_all(session, base, runs, stopping), True
        else:
            sync = start_sync(options.runs, options.tracking_uri)
            # Should anything below fail, the sync process hears the end of this process and ends by itself.
            results = track_all(session, base, runs, stopping)
            delivered = sync.stop(STOPPED_DELIVERY_SECONDS if stopping() else DELIVERY_SECONDS)
    if all(result.finished for result in results) and len(results) == len(runs) and experiment.conclude:
        print(f"\n{experiment.conclude(results, corpus)}")
    return say_the_end(results, options, delivered)


def say_the_end(results: Sequence[Result], options: Options[Settings], delivered: bool) -> int:
    """Say where everything lies and what can be done next; return the exit status."""
    where = "" if options.runs == Path("runs") else f" RUNS={shlex.quote(str(options.runs))}"
    print()
    for result in results:
        print(f"  {result.folder}  {result.run.label}")
    if not delivered:
        log = RunPaths(options.runs).sync_log
        print(f"  MLflow has not got everything yet (see {log}); `make sync{where}` delivers the rest.")
    if any(result.closed is None for result in results):
        print("Stopped. The same command goes on where it was; nothing that was done is lost.")
        return 130
    config = options.config
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
    lock.parent.mkdir(parents=True, exist_ok=True)
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


if __name__ == "__main__":
    run_command(main)
