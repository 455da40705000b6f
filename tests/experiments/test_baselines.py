"""Baselines over words: the same parts and records as every other run, and what each can and cannot learn."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from scipy.sparse import csr_matrix

from experiments import bag_of_words, majority, nbsvm
from experiments.experiment import Experiment, Result
from experiments.linear import texts_of, vectorizer
from experiments.runner import Session, track_all
from experiments.serving.choosing import best_of, finished_models
from experiments.tracking import journal, mlflow_format
from experiments.tracking.journal import Closed, Opened
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus, load_corpus
from seqclf_core.data.reviews import load_reviews
from seqclf_core.inference import load_model


@pytest.fixture
def corpus(small: RunConfig, cache: Path) -> Corpus:
    return load_corpus(RunConfig().data.override({"source": small.data.source}), cache)


def results_of(
    experiment: Experiment, corpus: Corpus, small: RunConfig, folder: Path, cache: Path
) -> list[Result]:
    paths = RunPaths(folder)
    paths.runs.mkdir(exist_ok=True)
    if not paths.cache.exists():
        paths.cache.symlink_to(cache)
    session = Session(
        name="test", question="Does it?", command="make it", data=corpus.summary, paths=paths,
        console=Console(file=io.StringIO(), width=200), stream=experiment.stream,
    )  # fmt: skip
    base = experiment.base.override({"data.source": small.data.source})
    return track_all(session, base, experiment.runs(base, folder), lambda: False)


def test_the_majority_is_right_as_often_as_it_is_there(
    corpus: Corpus, small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    (result,) = results_of(majority.EXPERIMENT, corpus, small, tmp_path, cache)
    positive = corpus.train.labels.mean()
    wanted = (corpus.test.labels == (positive >= 0.5)).mean()
    assert result.finished
    assert result.finished.metrics["test/accuracy"] == pytest.approx(wanted)
    opened, *_, closed = journal.read(tmp_path / "journal" / f"{result.key}.jsonl")
    assert isinstance(opened, Opened)
    assert isinstance(closed, Closed)
    assert closed.outcome == "complete"
    assert opened.header.name == "majority class"
    for name, part in (("val", corpus.val), ("test", corpus.test)):
        kept = pq.read_table(result.folder / result.finished.files[f"{name}_predictions"])
        assert kept["row"].to_pylist() == part.rows.tolist()
        assert kept["label"].to_pylist() == part.labels.tolist()
        assert kept["probability"].to_pylist() == pytest.approx([positive] * len(part.rows))


def test_where_order_decides_pairs_of_words_know_and_words_do_not(
    corpus: Corpus, small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    (words,) = results_of(bag_of_words.EXPERIMENT, corpus, small, tmp_path, cache)
    pairs, _ = results_of(nbsvm.EXPERIMENT, corpus, small, tmp_path, cache)
    assert words.finished
    assert pairs.finished
    assert pairs.finished.metrics["best/val_accuracy"] > 0.9
    assert pairs.finished.metrics["test/accuracy"] > 0.9
    assert words.finished.metrics["test/accuracy"] < 0.7


def test_nbsvm_on_both_parts_has_no_validation_score_and_is_not_done_twice(
    corpus: Corpus, small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    results = results_of(nbsvm.EXPERIMENT, corpus, small, tmp_path, cache)
    part, both = results
    assert part.finished
    assert both.finished
    assert "best/val_accuracy" not in both.finished.metrics
    assert both.finished.files.keys() == {"model", "test_predictions"}
    assert part.finished.files.keys() == {"model", "val_predictions", "test_predictions"}
    assert part.finished.metrics["chosen/c"] == both.finished.metrics["chosen/c"]
    assert part.finished.metrics["chosen/c"] in (4, 16, 64)
    kept = {model.key: model.val_accuracy for model in finished_models(tmp_path)}
    assert kept[part.key] == part.finished.metrics["best/val_accuracy"]
    assert np.isnan(kept[both.key])
    assert best_of(finished_models(tmp_path), None, tmp_path).key == part.key
    tested = pq.read_table(part.folder / part.finished.files["test_predictions"])
    reviews = texts_of(corpus, load_reviews(nbsvm.NbsvmSettings().data.override({"source": small.data.source})))
    answered = load_model(part.folder / "model").predict(reviews["test"])
    assert answered == pytest.approx(tested["probability"].to_numpy(), abs=1e-6)
    entries = journal.read(tmp_path / "journal" / f"{both.key}.jsonl")
    sizes = {"train": len(corpus.train.labels) + len(corpus.val.labels), "test": len(corpus.test.labels)}
    assert dict(mlflow_format.tags(entries))["used.train"] == str(sizes["train"])
    assert {name for name, *_ in mlflow_format.metrics(entries, 0)} == {
        "test/loss",
        "test/accuracy",
        "total_seconds",
        "chosen/c",
    }
    assert f"{both.finished.metrics['test/accuracy']:.4f}" in nbsvm.comparison(results, corpus)
    before = {path: path.read_bytes() for path in (tmp_path / "journal").rglob("*.jsonl")}
    again = results_of(nbsvm.EXPERIMENT, corpus, small, tmp_path, cache)
    assert [result.key for result in again] == [result.key for result in results]
    assert {path: path.read_bytes() for path in (tmp_path / "journal").rglob("*.jsonl")} == before


def test_ratios_are_the_paper_s() -> None:
    present = csr_matrix(np.array([[1.0, 0, 1], [1, 1, 0], [0, 1, 0]]))
    ratios = nbsvm.log_count_ratio(present, np.array([1, 1, 0]), alpha=1.0)
    positive, negative = np.array([3, 2, 2]) / 7, np.array([1, 2, 1]) / 4
    assert ratios == pytest.approx(np.log(positive / negative))


def test_words_and_marks_are_features_and_line_breaks_are_not() -> None:
    words = vectorizer(1, 1)
    words.fit(["Don't go!<br /><br />Well-made, (really)"])
    assert set(words.get_feature_names_out()) == {"don't", "go", "!", "well-made", ",", "(", ")", "really"}


def test_settings_are_told_apart_and_name_no_neural_ones() -> None:
    assert set(nbsvm.NbsvmSettings().flat()) & set(RunConfig().flat()) >= {"data.source", "data.split_method"}
    assert "data.max_length" not in nbsvm.NbsvmSettings().flat()
    json.dumps(nbsvm.NbsvmSettings().flat())
