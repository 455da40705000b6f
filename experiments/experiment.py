"""What an experiment is: base settings, the runs that are made of them, and what is said about their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.tracking.journal import Closed
from seqclf_core.config import RunConfig, Settings
from seqclf_core.data.cache import Corpus
from seqclf_core.events import Event, Finished

Stream = Callable[[Any, Path, Path], Iterator[Event]]
"""(settings, the run's own folder, cache) -> what happens in the run; ``seqclf_core.run.run`` says more."""


Place = Callable[[Settings], Path]
"""Settings -> the own folder of the run of these settings."""

TAGGER = "tagger"
"""The model folder that a tagger's run leaves in its own."""


@dataclass(frozen=True)
class NamedRun:
    """One run of an experiment."""

    label: str
    """Short name that distinguishes the run from the others of its experiment, such as ``last, padded``."""
    config: Settings
    tags: Mapping[str, str] = field(default_factory=dict)
    """Additional tags to record with the run in MLflow."""
    tagger_stream: Stream | None = None
    """Does the run where it makes what others start from, such as a tagger, word vectors or soft labels, and has
    no scores of reviews; None: the experiment's own stream does it."""


@dataclass(frozen=True)
class Result:
    """Where a run stands."""

    run: NamedRun
    key: str
    folder: Path
    """Folder of the run, with its model and predictions."""
    closed: Closed | None
    """Way in which the run ended; None: it was stopped, and the same command resumes it."""
    finished: Finished | None
    """Scores of the run; None where it is not complete."""


def only_one(config: RunConfig, _: Place) -> list[NamedRun]:
    """Make a single run of the settings as they are."""
    return [NamedRun(f"{config.model.pooling} {config.model.loss}", config)]


@dataclass(frozen=True)
class Experiment:
    """The declaration that a file in this folder makes."""

    purpose: str
    """One line: what is learned from it."""
    base: Settings
    """Settings that the command line changes."""
    stream: Stream
    """Does one run: ``seqclf_core.run.run`` where it trains a classifier."""
    runs: Callable[[Any, Place], list[NamedRun]] = only_one
    """(settings, where runs have their folders) -> its runs, done in this order. The same settings give the same
    runs."""
    varies: frozenset[str] = frozenset()
    """Settings that ``runs`` sets itself, so that the command line must not."""
    conclude: Callable[[Sequence[Result], Corpus], str] | None = None
    """Says what the results show, once all runs are complete."""
