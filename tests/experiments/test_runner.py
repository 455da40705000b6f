"""Runs of an experiment: recorded once, resumed where they were, under a parent where there are several."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer

from experiments import padding_pitfall, tagger_to_classifier
from experiments.experiment import NamedRun
from experiments.runner import Session, session_name, track_all
from experiments.tracking import journal
from experiments.tracking.journal import Closed, Happened, Opened
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.events import Progress
from seqclf_core.models import SequenceTagger
from seqclf_core.run import run
from seqclf_core.training.checkpoint import save_model
from tests.core import run_events


@pytest.fixture
def session(small: RunConfig, tmp_path: Path, cache: Path) -> Session:
    paths = RunPaths(tmp_path / "runs")
    paths.runs.mkdir()
    paths.cache.symlink_to(cache)
    return Session(
        name="test", question="Does it?", command="make it", data=load_corpus(small.data, cache).summary,
        paths=paths, console=Console(file=io.StringIO(), width=200), stream=run,
    )  # fmt: skip


def output(session: Session) -> str:
    assert isinstance(session.console.file, io.StringIO)
    return session.console.file.getvalue()


def never() -> bool:
    return False


def after(checkpoints: int) -> Callable[[], bool]:
    left = [True] * checkpoints
    return lambda: not left or not left.pop()


def curve(path: Path) -> list[dict[str, object]]:
    return run_events.curve(entry.event for entry in journal.read(path) if isinstance(entry, Happened))


def journals(session: Session) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in session.paths.journals.rglob("*.jsonl")}


def test_a_run_is_recorded_and_not_done_again(session: Session, small: RunConfig) -> None:
    runs = [NamedRun("one", small, {"extra": "yes"})]
    (result,) = track_all(session, small, runs, never)
    opened, *_, closed = journal.read(session.paths.journal(result.key))
    assert isinstance(opened, Opened)
    assert isinstance(closed, Closed)
    assert (opened.header.role, opened.header.parent, opened.header.experiment) == ("experiment", None, "test")
    assert opened.header.params == small.flat()
    assert {"seqclf.data_scope": "whole", "extra": "yes"}.items() <= opened.header.tags.items()
    assert closed.outcome == "complete"
    assert result.finished
    assert (result.folder / result.finished.files["test_predictions"]).is_file()
    said = output(session)
    assert "6 of 6" in said
    assert f"test accuracy {result.finished.metrics['test/accuracy']:.4f}" in said

    before = journals(session)
    assert track_all(session, small, runs, never) == [result]
    assert journals(session) == before
    assert output(session).endswith("done before\n")


@pytest.mark.parametrize("checkpoints", [0, 1, 3])
def test_a_stopped_run_goes_on_where_it_was(session: Session, small: RunConfig, checkpoints: int) -> None:
    reference = track_all(session, small, [NamedRun("one", small)], never)
    whole = curve(session.paths.journal(reference[0].key))
    other = Session(**{**vars(session), "name": "stopped"})
    (stopped,) = track_all(other, small, [NamedRun("one", small)], after(checkpoints))
    assert (stopped.closed, stopped.finished) == (None, None)
    assert not (stopped.folder / "predictions").exists()
    assert curve(session.paths.journal(stopped.key)) == whole[: checkpoints + 2]
    (result,) = track_all(other, small, [NamedRun("one", small)], never)
    assert result.closed
    assert curve(session.paths.journal(stopped.key)) == whole


def test_settings_and_data_make_the_run_not_the_place(session: Session, small: RunConfig, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(small.data.source, tmp_path / "elsewhere")
    moved = small.override({"data.source": str(elsewhere)})
    assert session.id(moved) == session.id(small)
    assert session.id(small.override({"seed": 1})) != session.id(small)
    changed = Session(**{**vars(session), "data": session.data.model_copy(update={"digest": "ab" * 32})})
    assert changed.id(small) != session.id(small)


def test_kinds_of_data_never_share_a_name(session: Session) -> None:
    kinds = ("whole", "limited", "synthetic")
    names = [session_name("baseline", session.data.model_copy(update={"data_scope": kind})) for kind in kinds]
    assert names == ["baseline", "baseline-limited", "baseline-synthetic"]


def test_a_loss_that_is_not_finite_is_recorded_with_its_reason(
    session: Session, small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    broken = SequenceTagger(small.model, Tokenizer.from_file(str(_tokenizer(small, cache))).get_vocab_size(), 3)
    with torch.no_grad():
        for (
            name,
            weight,
        ) in broken.encoder.named_parameters():  # finite, so that they are loaded; infinity less infinity
            weight.fill_(3e38)
            if "weight_ih" in name:
                weight[:, ::2] = -3e38
    save_model(tmp_path / "broken", broken, small, _tokenizer(small, cache), ["A", "B", "C"])
    bad = NamedRun("bad", small.override({"model.init_from": str(tmp_path / "broken")}))
    for _ in range(2):
        failed, good = track_all(session, small, [bad, NamedRun("good", small)], never)
        assert failed.closed
        assert failed.closed.outcome == "failed"
        assert "the training loss is nan" in failed.closed.reason
        assert failed.finished is None
        assert not failed.folder.exists()
        assert good.finished
    assert output(session).count("failed: the training loss is nan") == 2


def _tokenizer(config: RunConfig, cache: Path) -> Path:
    return load_corpus(config.data, cache).tokenizer


def test_padding_pitfall_groups_its_runs_and_splits_by_length(
    session: Session, small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    base = small.override({"data.max_length": 14, "train.epochs": 1})
    runs = padding_pitfall.runs(base, tmp_path)
    first = track_all(session, base, runs, after(3))
    assert [result.closed is not None for result in first] == [True, False]
    parent = session.paths.journal(session.group(base))
    assert not isinstance(journal.read(parent)[-1], Closed)

    results = track_all(session, base, runs, never)
    closed = journal.read(parent)[-1]
    assert isinstance(closed, Closed)
    assert closed.outcome == "complete"
    corpus = load_corpus(base.data, cache)
    for result in results:
        opened = journal.read(session.paths.journal(result.key))[0]
        assert isinstance(opened, Opened)
        assert opened.header.parent == session.group(base)
        assert result.finished
        short, long = padding_pitfall.accuracy_by_length(result.folder / "predictions/test.parquet", corpus, 7)
        shorter = (corpus.test.offsets[1:] - corpus.test.offsets[:-1] <= 7).mean()
        assert 0 < shorter < 1
        assert shorter * short + (1 - shorter) * long == pytest.approx(result.finished.metrics["test/accuracy"])
    right, padded, bucketed = results
    table = padding_pitfall.table(results, corpus).splitlines()
    assert [line.split("  ")[1] for line in table[1:]] == [right.run.label, padded.run.label, bucketed.run.label]
    assert [result.run.config.data.pad for result in results] == ["max_length", "max_length", "longest"]


def test_tagger_to_classifier_compares_with_the_same_seed_and_budget(
    session: Session, small: RunConfig, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = small.override({"train.epochs": 1})
    runs = tagger_to_classifier.runs(base, lambda settings: session.paths.work(session.key(settings)))
    tagger, started, scratch = runs
    assert scratch.config == base
    folder = session.paths.work(session.key(tagger.config)) / "tagger"
    assert started.config == base.override({"model.init_from": str(folder.absolute())})

    results = track_all(session, base, runs, never)
    said = tagger_to_classifier.comparison(results, load_corpus(base.data, cache))
    assert "- loss = nn.CrossEntropyLoss" in said
    weights = folder / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = track_all(session, base, runs, never)
    assert [each.finished for each in again] == [each.finished for each in results]
    assert weights.stat().st_mtime_ns == before
    results = results[1:]
    for result in results:
        assert result.finished
        assert f"{result.finished.metrics['test/accuracy']:.4f}" in said
    curves = [curve(session.paths.journal(result.key)) for result in results]
    progress = [[each for each in events if each["event"] == "progress"] for events in curves]
    assert [len(each) for each in progress] == [2, 2]
    assert progress[0] != progress[1]


def test_a_terminal_shows_how_far_it_is(small: RunConfig) -> None:
    from experiments.progress import Display

    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    event = Progress(
        evaluation=1, step=153, epoch=0.5, best=True,
        metrics={"train/loss": 0.7, "train/accuracy": 0.5, "val/loss": 0.6, "val/accuracy": 0.75,
                 "tokens_per_second": 12345.0, "seconds": 10.0},
    )  # fmt: skip
    with Display(small, console) as display:
        display.show(event)
        display.show(event.model_copy(update={"evaluation": 2, "step": 306}))
    assert isinstance(console.file, io.StringIO)
    assert "0.7500     12,345" in console.file.getvalue()
