"""The runs of one experiment, one after another: each recorded while it works, each going on where it was.

    session = Session(name="baseline", ...)
    results = track_all(session, base, runs, stopping=lambda: False)

Runs are known by their settings and data, so the same command resumes the same runs, and another seed makes
others. Several runs of one command stand under a parent run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

from rich.console import Console

from experiments.experiment import NamedRun, Result, Stream
from experiments.progress import Display, result_line
from experiments.tracking import journal, names
from experiments.tracking.journal import Closed, Header
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder, provenance
from seqclf_core.config import RunConfig, Settings
from seqclf_core.errors import NotFiniteError
from seqclf_core.events import DataSummary, Finished, Saved


@dataclass(frozen=True)
class Session:
    """What the runs of one command share."""

    name: str
    """Name of the experiment; limited or synthetic data adds its scope, so that such runs never mix with
    others."""
    question: str
    command: str
    """Command line that repeats the session."""
    data: DataSummary
    paths: RunPaths
    console: Console
    stream: Stream
    """Does one run."""

    def id(self, config: Settings) -> str:
        """Return 16 digits that tell settings and data: the data counts by its content, not by its place."""
        return config.override({"data.source": self.data.digest}).digest()

    def key(self, config: Settings) -> str:
        """Return the key of a run."""
        return f"{self.name}/{self.id(config)}"

    def group(self, base: Settings) -> str:
        """Return the key of the command's parent run; what else belongs to the command lies in its folder."""
        return f"{self.name}/group-{self.id(base)}"

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def tags(self) -> dict[str, str]:
        """Return what every run carries."""
        about = {names.QUESTION: self.question, names.COMMAND: self.command}
        return {names.DATA_SCOPE: self.data.data_scope, **about, **provenance()}


def session_name(experiment: str, data: DataSummary) -> str:
    """Return the experiment's name for data of this kind.

    >>> session_name("baseline", limited)  # doctest: +SKIP
    'baseline-limited'
    """
    return experiment if data.data_scope == "whole" else f"{experiment}-{data.data_scope}"


def track_all(
    session: Session, base: Settings, runs: Sequence[NamedRun], stopping: Callable[[], bool]
) -> list[Result]:
    """Do the runs one after another, under a parent run where there are several.

    Args:
        session: what they share.
        base: the settings that the runs are made of.
        runs: those that ended before are not done again.
        stopping: asked after every checkpoint; True ends the run there; the same command resumes it.

    Returns:
        A result per run, as far as it came: after a stop, those that were not begun are missing.
    """
    results: list[Result] = []
    with ExitStack() as stack:
        parent = stack.enter_context(_parent(session, base)) if len(runs) > 1 else None
        for number, run in enumerate(runs, start=1):
            where = f" ({number} of {len(runs)})" if parent else ""
            session.say(f"\n{run.label}{where}")
            results.append(track(session, run, session.group(base) if parent else None, stopping))
            if results[-1].closed is None:
                return results
            if run.tagger_stream and not results[-1].finished:
                if parent:
                    parent.close("failed", f"{run.label}: {results[-1].closed.reason}")
                return results
        if parent:
            parent.close("complete")
    return results


def _parent(session: Session, base: Settings) -> Recorder:
    key = session.group(base)
    header = Header(
        key=key, uid=token_hex(8), name=f"{session.name}{_settings(base)}", experiment=session.name, role="study",
        params=base.flat(), tags=session.tags(),
    )  # fmt: skip
    return Recorder.open(session.paths.journal(key), header)


def ended(session: Session, run: NamedRun) -> bool:
    """Tell whether a run has ended before, so that there is nothing to do."""
    entries = journal.read(session.paths.journal(session.key(run.config)))
    return bool(entries) and isinstance(entries[-1], Closed)


def track(session: Session, run: NamedRun, parent: str | None, stopping: Callable[[], bool]) -> Result:
    """Do one run, or resume it, or report how it ended before.

    Raises:
        UserError: if it cannot be done or recorded.
    """
    recorder, result = open_run(session, run, parent)
    folder = result.folder
    with recorder:
        made = result.finished.files.values() if run.tagger_stream and result.finished else []
        gone = not all((folder / path).exists() for path in made)
        if result.closed is None or gone:
            _follow(session, run, folder, recorder, stopping)
        elif result.finished:
            session.say(f"{result_line(result.finished)}, done before")
        if recorder.closed and recorder.closed.outcome == "failed":
            session.say(f"  failed: {recorder.closed.reason}")
            shutil.rmtree(folder, ignore_errors=True)
        return replace(result, closed=recorder.closed, finished=finished_of(recorder))


def open_run(session: Session, run: NamedRun, parent: str | None = None) -> tuple[Recorder, Result]:
    """Open a run's journal; return it, and how far the run came before."""
    key = session.key(run.config)
    header = Header(
        key=key, uid=token_hex(8), name=f"{run.label}{_settings(run.config)}", experiment=session.name,
        role="tagger" if run.tagger_stream else "experiment", parent=parent, params=run.config.flat(),
        tags=session.tags() | dict(run.tags),
    )  # fmt: skip
    recorder = Recorder.open(session.paths.journal(key), header)
    return recorder, Result(run, key, session.paths.work(key), recorder.closed, finished_of(recorder))


def _follow(
    session: Session, run: NamedRun, folder: Path, recorder: Recorder, stopping: Callable[[], bool]
) -> None:
    stream = (run.tagger_stream or session.stream)(run.config, folder.absolute(), session.paths.cache.absolute())
    with Display(run.config, session.console) as display, closing(stream):  # type: ignore[type-var]
        try:
            for event in stream:
                recorder.record(event)
                display.show(event)
                if isinstance(event, Finished):
                    recorder.close("complete")
                elif isinstance(event, Saved) and stopping():  # all work up to here is in the checkpoint
                    return
        except NotFiniteError as error:
            recorder.close("failed", str(error))


def finished_of(recorder: Recorder) -> Finished | None:
    """Return how a run came to its end; None where it did not."""
    last = recorder.events[-1:]
    return last[0] if last and isinstance(last[0], Finished) else None


def _settings(config: Settings) -> str:
    if not isinstance(config, RunConfig):
        return ""
    return f" e{config.model.embed_dim} h{config.model.hidden_dim} seed {config.seed}"
