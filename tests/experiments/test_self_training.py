"""Vectors, a teacher of two families, a student and a refit, on small reviews with unlabelled ones beside them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from experiments import baseline, ensemble, nbsvm, refit, self_training, word_vectors
from experiments.experiment import Experiment, Result
from experiments.runner import Session, track_all
from experiments.serving.choosing import finished_models
from experiments.serving.ensemble import make_ensemble, read_members
from experiments.tracking import journal, names
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig, Settings
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import DataError, UserError
from seqclf_core.inference import load_model
from seqclf_core.vectors import load_vectors
from tests.conftest import write_reviews

Run = Callable[[Experiment, Settings], list[Result]]


@pytest.fixture
def source(reviews_folder: Path, tmp_path: Path) -> Path:
    data = shutil.copytree(reviews_folder, tmp_path / "data")
    write_reviews(data / "unsupervised.jsonl", 240, seed=3)
    held_out = json.loads((data / "test.jsonl").read_text().splitlines()[0])["text"]
    with (data / "unsupervised.jsonl").open("a") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in (held_out, "superb superb end"))
    return data


@pytest.fixture
def base(small: RunConfig, source: Path) -> RunConfig:
    return small.override({"data.source": str(source), "train.epochs": 2})


@pytest.fixture
def perform(base: RunConfig, tmp_path: Path) -> Run:
    paths = RunPaths(tmp_path / "runs")
    data = load_corpus(base.data, paths.cache).summary

    def done(experiment: Experiment, settings: Settings) -> list[Result]:
        session = Session(
            name=type(settings).__name__.lower(), question="Does it?", command="make it", data=data, paths=paths,
            console=Console(file=io.StringIO(), width=200), stream=experiment.stream,
        )  # fmt: skip
        runs = experiment.runs(settings, lambda each: paths.work(session.key(each)))
        return track_all(session, settings, runs, lambda: False)

    return done


def test_vectors_teach_nothing_of_held_out_texts_and_are_the_same_again(
    base: RunConfig, perform: Run, tmp_path: Path
) -> None:
    settings = word_vectors.VectorSettings(data=base.data).override({"model.embed_dim": 8, "model.epochs": 1})
    (result,) = perform(word_vectors.EXPERIMENT, settings)
    assert result.finished
    vectors, tokenizer = load_vectors(result.folder / "vectors")
    assert vectors.shape == (tokenizer.get_vocab_size(), 8)
    assert not vectors[0].any()
    entries = journal.read(RunPaths(tmp_path / "runs").journal(result.key))
    assert journal.opened(entries).header.role == "tagger"
    assert "1 that are held out left out" in str(entries[1])
    shutil.rmtree(result.folder)
    (again,) = perform(word_vectors.EXPERIMENT, settings)  # what others start from is made anew where it is gone
    assert np.array_equal(load_vectors(again.folder / "vectors")[0], vectors)


def test_each_dimension_of_vectors_is_standardised_over_the_text() -> None:
    draw = np.random.default_rng(0)
    counts = np.array([0, 5, 100, 1, 30])
    vectors = word_vectors.standardised(draw.normal(3, 2, (5, 4)).astype(np.float32), counts)
    text = np.repeat(vectors, counts, axis=0)
    assert text.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
    assert text.std(axis=0) == pytest.approx(np.ones(4), abs=1e-5)


def test_a_teacher_of_two_families_labels_and_a_student_learns(
    base: RunConfig, perform: Run, tmp_path: Path, source: Path
) -> None:
    paths = RunPaths(tmp_path / "runs")
    (lstm,) = perform(baseline.EXPERIMENT, base)
    linear, _ = perform(nbsvm.EXPERIMENT, nbsvm.NbsvmSettings.model_validate({"data": {"source": str(source)}}))
    settings = self_training.SelfTrainingSettings.model_validate(
        {**base.model_dump(), "teacher": f"0.3 {lstm.key} + 0.7 {linear.key}"}
    )
    labels, student = results = perform(self_training.EXPERIMENT, settings)
    assert labels.finished
    assert student.finished
    table = pq.read_table(labels.folder / "soft_labels" / "texts.parquet")
    texts = table["text"].to_pylist()
    tested = [json.loads(line)["text"] for line in (source / "test.jsonl").read_text().splitlines()]
    assert not set(texts) & set(tested)
    assert len(set(texts)) == len(texts)
    models = [load_model(each.folder / "model") for each in (lstm, linear)]
    wanted = 0.3 * models[0].predict(texts) + 0.7 * models[1].predict(texts)
    assert table["probability"].to_numpy() == pytest.approx(wanted, abs=0.02)  # in bf16 where there is some
    header = journal.opened(journal.read(paths.journal(student.key))).header
    assert json.loads(header.tags[names.TEACHER]) == pytest.approx({lstm.key: 0.3, linear.key: 0.7})
    assert lstm.key in self_training.told(results, load_corpus(base.data, paths.cache))

    both, weights = make_ensemble(paths, [student.key, linear.key], tmp_path / "both")
    assert sum(weights.values()) == pytest.approx(1)
    assert both.val_accuracy >= 0.9
    assert load_model(tmp_path / "both").predict(["superb"]).shape == (1,)

    chosen = refit.RefitSettings.model_validate({"data": base.data.model_dump(), "of": student.key})
    (again,) = perform(refit.EXPERIMENT, chosen)
    assert again.finished
    assert "best/val_accuracy" not in again.finished.metrics
    assert "without validation" in refit.told([again], load_corpus(base.data, paths.cache))
    kept = {model.key: model.val_accuracy for model in finished_models(paths.runs)}
    assert np.isnan(kept[again.key])


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("", "names no runs"),
        ("baseline", "names no runs"),
        ("baseline/0", "no finished model of baseline/0"),
    ],
)
def test_a_teacher_that_is_none_is_refused(teacher: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_members(teacher, RunPaths(tmp_path), "TEACHER")


def test_weights_of_teachers_are_given_for_all_or_found_for_all(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    for key in ("a/0", "a/1"):
        (paths.work(key) / "model").mkdir(parents=True)
    assert read_members("2 a/0 + 6 * a/1", paths, "MEMBERS") == {"a/0": 0.25, "a/1": 0.75}
    assert read_members("a/1", paths, "MEMBERS") == {"a/1": 1.0}
    for wrong in ("2 a/0 + a/1", "a/0 + a/0", "0 a/0 + 0 a/1"):
        with pytest.raises(UserError, match="each run once"):
            read_members(wrong, paths, "MEMBERS")


def test_without_unlabelled_texts_nobody_teaches(base: RunConfig, source: Path, tmp_path: Path) -> None:
    (source / "unsupervised.jsonl").unlink()
    settings = self_training.LabelSettings(data=base.data, teacher="1 a/0")
    with pytest.raises(DataError, match="no unlabelled text"):
        next(self_training.label(RunPaths(tmp_path), settings, tmp_path / "run", tmp_path / "cache"))


def test_a_refit_names_the_run_that_it_repeats(tmp_path: Path) -> None:
    for of in ("", "imdb/0000"):
        with pytest.raises(UserError, match=r"refit|OF=imdb/0000"):
            refit.runs(refit.RefitSettings(of=of), lambda _: tmp_path / "work" / "refit" / "0")


def test_an_ensemble_averages_probabilities_of_the_same_texts(tmp_path: Path) -> None:
    def predictions(name: str, rows: list[int], probabilities: list[float]) -> Path:
        table = pa.table({"row": rows, "label": [row % 2 for row in rows], "probability": probabilities})
        pq.write_table(table, tmp_path / name)
        return tmp_path / name

    one, two = predictions("one", [0, 1, 5], [0.2, 0.9, 1.0]), predictions("two", [5, 0, 1], [0.6, 0.4, 0.5])
    split, odds = ensemble.averaged({one: 0.75, two: 0.25})
    assert split.rows.tolist() == [0, 1, 5]
    assert split.labels.tolist() == [0, 1, 1]
    assert 1 / (1 + np.exp(-odds)) == pytest.approx([0.25, 0.8, 0.9])
    other = predictions("other", [0, 1, 6], [0.2, 0.9, 1.0])
    with pytest.raises(UserError, match="different texts"):
        ensemble.averaged({one: 0.5, other: 0.5})
    with pytest.raises(UserError, match="cannot be read"):
        ensemble.averaged({tmp_path / "none": 1.0})
