"""The experiment on text without labels: a tagger first, then two classifiers that differ by its help alone."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from experiments import next_word
from experiments.experiment import Place
from experiments.runner import Session, track_all
from experiments.serving.choosing import finished_models
from experiments.tracking import journal
from experiments.tracking.journal import Closed, Happened, Opened
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from reports import frames
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import NotFiniteError, UserError
from seqclf_core.events import Event


@pytest.fixture
def session(small: RunConfig, tmp_path: Path, cache: Path) -> Session:
    paths = RunPaths(tmp_path / "runs")
    paths.runs.mkdir()
    paths.cache.symlink_to(cache)
    return Session(
        name="next_word", question="Does it?", command="make it", data=load_corpus(small.data, cache).summary,
        paths=paths, console=Console(file=io.StringIO(), width=200), stream=next_word.EXPERIMENT.stream,
    )  # fmt: skip


def place_of(session: Session) -> Place:
    return lambda settings: session.paths.work(session.key(settings))


def test_two_classifiers_differ_by_the_tagger_alone(session: Session, small: RunConfig, cache: Path) -> None:
    base = small.override({"train.epochs": 1})
    tagger, started, scratch = runs = next_word.runs(base, place_of(session))
    folder = session.paths.work(session.key(tagger.config)).absolute()
    assert scratch.config == base
    assert started.config == base.override({"model.init_from": str(folder / "tagger")})

    # Stopped while the tagger learns, the classifiers are not begun; the same command goes on.
    assert [result.closed for result in track_all(session, base, runs, lambda: True)] == [None]
    results = track_all(session, base, runs, lambda: False)
    assert all(result.finished for result in results)
    assert isinstance(session.console.file, io.StringIO)
    assert "validation accuracy" in session.console.file.getvalue()
    assert "nan" not in session.console.file.getvalue()
    said = next_word.comparison(results, load_corpus(base.data, cache))
    assert f"TAGGER={folder / 'tagger'}" in said
    for result in results[1:]:
        assert result.finished
        assert f"{result.finished.metrics['test/accuracy']:.4f}" in said
    roles = {}
    for result in results:
        opened, *entries = journal.read(session.paths.journal(result.key))
        assert isinstance(opened, Opened)
        roles[opened.header.role] = sum(isinstance(entry, Happened) for entry in entries)
    assert roles == {"tagger": 8, "experiment": 4}

    # A tagger's scores are of words: MLflow has its curve; no report and no choice of a model mixes them in.
    sync_once(session.paths.runs)
    tracked = frames.Stores.under(session.paths.runs)
    known = frames.runs(tracked, "next_word")
    assert sorted(known["role"]) == ["experiment", "experiment", "study"]
    trained = known[known["role"] == "experiment"]
    assert trained["test/accuracy"].notna().sum() == 2
    words = frames.curves(tracked, "next_word", [results[0].key])
    assert len(words) == 6
    assert {model.key for model in finished_models(session.paths.runs)} == {each.key for each in results[1:]}


def test_without_a_tagger_no_classifier_is_begun(session: Session, small: RunConfig) -> None:
    def diverges(*_: object) -> Iterator[Event]:
        raise NotFiniteError("the training loss is nan")
        yield

    base = small.override({"train.epochs": 1})
    tagger, *others = next_word.runs(base, place_of(session))
    for _ in range(2):
        (result,) = track_all(session, base, [replace(tagger, tagger_stream=diverges), *others], lambda: False)
        assert result.closed
        assert (result.closed.outcome, result.closed.reason) == ("failed", "the training loss is nan")
    parent = journal.read(session.paths.journal(session.group(base)))[-1]
    assert isinstance(parent, Closed)
    assert (parent.outcome, parent.reason) == ("failed", "next-word tagger: the training loss is nan")


def test_commands_that_differ_by_their_classifiers_share_a_tagger_that_is_made_anew_where_it_is_gone(
    session: Session, small: RunConfig
) -> None:
    for changes in ({"train.lr": 0.01}, {"train.lr": 0.02}):
        base = small.override({"train.epochs": 1, **changes})
        tagger, started, _ = next_word.runs(base, place_of(session))
        if changes["train.lr"] == 0.02:
            weights = session.paths.work(session.key(tagger.config)) / "tagger" / "model.safetensors"
            before = weights.read_bytes()
            shutil.rmtree(weights.parent)
        results = track_all(session, base, [tagger, started], lambda: False)
        assert all(result.finished for result in results)
    assert weights.read_bytes() == before
    assert len({result.key for result in results}) == 2


def test_both_directions_are_refused_before_anything_is_recorded(session: Session, small: RunConfig) -> None:
    with pytest.raises(UserError, match="reads forward only"):
        next_word.runs(small.override({"model.bidirectional": True}), place_of(session))
