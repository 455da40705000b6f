"""What was recorded comes back as tables: by SQL and over HTTP alike, while others write, and from nothing."""

import json
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sqlalchemy import create_engine, text

from reports import figures, frames
from reports.records.database import shown
from reports.records.frames_from_mlflow import typed
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from tests.reports.recorded_runs import MadeUp, study_of, write_predictions


@pytest.fixture(autouse=True)
def _own_stores(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SEQCLF_OPTUNA_URI", raising=False)


@pytest.fixture(scope="module")
def recorded(fill) -> tuple[frames.Stores, list[MadeUp]]:
    broken = MadeUp(5, "failed", "baseline", "experiment", evaluations=2)
    broken.val[1], broken.val_loss[1] = np.nan, np.inf
    limited = MadeUp(0, study="baseline", role="experiment", data_scope="limited")
    runs = [*study_of(12), MadeUp(12, "running"), limited, broken]
    return fill(runs), runs


def test_runs_has_one_row_per_run_with_settings_of_their_own_types(recorded):
    stores, made = recorded
    table = frames.runs(stores)
    assert set(table["key"]) == {run.key for run in made} | {"imdb/study"}
    of_key = table.set_index("key")
    for run in made:
        row = of_key.loc[run.key]
        assert row["outcome"] == run.outcome
        assert row["study"] == run.study
        for name, value in RunConfig().override(run.changes).flat().items():
            assert pd.isna(row[name]) if value in (None, "") else row[name] == value, name
    assert pd.api.types.is_integer_dtype(table["model.hidden_dim"])
    assert pd.api.types.is_float_dtype(table["train.lr"])
    assert pd.api.types.is_bool_dtype(table["model.bidirectional"])
    assert str(table["started"].dtype) == "datetime64[us, UTC]"
    assert table["started"].is_monotonic_increasing
    trials = frames.runs(stores, role="trial")
    assert set(trials["key"]) == {run.key for run in made if run.role == "trial"}
    with pytest.raises(UserError, match="expected one of trial"):
        frames.runs(stores, role="trails")


def test_only_a_complete_run_has_a_score(recorded):
    stores, made = recorded
    table = frames.runs(stores, "imdb").set_index("key")
    for run in made[:13]:
        row = table.loc[run.key]
        scores = row[["best/val_accuracy", "best/val_loss", "test/accuracy", "test/loss"]]
        assert scores.notna().all() == (run.outcome == "complete")
        assert row["val/accuracy"] == pytest.approx(run.val[-1])
        if run.outcome == "complete":
            assert row["best/val_accuracy"] == pytest.approx(
                run.val.max()
            )  # of the kept weights, not the last ones
            assert row["test/accuracy"] == pytest.approx(run.test)


def test_curves_count_evaluations_from_one(recorded):
    stores, made = recorded
    curves = frames.curves(stores, "imdb")
    for run in made[:13]:
        curve = curves[curves["key"] == run.key]
        assert list(curve["evaluation"]) == list(range(1, run.evaluations + 1))
        np.testing.assert_allclose(curve["val/accuracy"], run.val)
        np.testing.assert_allclose(curve["train/loss"], run.train_loss)
        assert curve["step"].is_monotonic_increasing
    only = frames.curves(stores, keys=["imdb/0001", "baseline/0000"])
    assert set(only["key"]) == {"imdb/0001", "baseline/0000"}


def test_trials_are_those_of_optuna(recorded):
    stores, made = recorded
    table = frames.trials(stores, "imdb").set_index("number")
    assert len(table) == 13
    assert table.loc[1, "state"] == "COMPLETE"
    assert table.loc[1, "value"] == pytest.approx(made[1].val.max())
    assert table.loc[3, "state"] == "PRUNED"
    assert table.loc[1, "intermediate"][1] == pytest.approx(made[1].val[0])
    assert pd.isna(table.loc[0, "value"])
    assert list(table["train.lr"]) == [run.changes["train.lr"] for run in made[:13]]


def test_times_of_trials_are_in_utc(recorded, monkeypatch):
    found = {}
    for zone in ("UTC", "JST-9"):  # Optuna gives the time of the machine's own zone, without saying so
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        found[zone] = frames.trials(recorded[0], "imdb")
        assert str(found[zone]["started"].dtype) == str(found[zone]["ended"].dtype) == "datetime64[us, UTC]"
    monkeypatch.undo()
    time.tzset()
    pd.testing.assert_frame_equal(found["UTC"], found["JST-9"])


def test_predictions_name_run_and_part(recorded):
    stores, _ = recorded
    place = frames.runs(stores, "imdb").set_index("key").loc["imdb/0001", "artifacts"]
    for part in frames.PARTS:
        write_predictions(Path(place.removeprefix("file://")) / "predictions", part, rows=7)
    table = frames.predictions(["imdb/0001", "imdb/0003"], stores)  # a pruned run has none
    assert list(table) == frames.PREDICTIONS
    assert table.groupby(["key", "part"]).size().to_dict() == {("imdb/0001", "test"): 7, ("imdb/0001", "val"): 7}
    with pytest.raises(UserError, match="imdb/9999"):
        frames.predictions(["imdb/9999"], stores)


def test_a_server_gives_the_same_tables(recorded, tracking_server):
    stores, _ = recorded
    served = frames.Stores(tracking_server(stores.tracking), stores.storage)
    pd.testing.assert_frame_equal(frames.runs(served), frames.runs(stores))
    keys = ["imdb/0001", "imdb/0003"]
    pd.testing.assert_frame_equal(frames.curves(served, "imdb", keys), frames.curves(stores, "imdb", keys))
    assert frames.runs(served, "no such study").empty


def test_nothing_recorded_gives_empty_tables_with_their_columns(recorded, tmp_path):
    stores, _ = recorded
    for empty in (frames.Stores.under(tmp_path), frames.Stores(*[f"sqlite:///{tmp_path / 'new.db'}"] * 2)):
        assert frames.runs(empty).empty
        assert set(RunConfig().flat()) | {"key", "val/accuracy", "digest"} <= set(frames.runs(empty))
        assert list(frames.curves(empty)) == list(frames.curves(stores))
        assert list(frames.trials(empty)) == frames.TRIALS
        sqlite3.connect(tmp_path / "new.db").execute("VACUUM")  # a database without tables, for the second round
    assert not (tmp_path / "mlflow.db").exists()  # reading made no database
    assert frames.runs(stores, "no such study").empty


def test_reading_neither_waits_for_a_writer_nor_keeps_it_from_writing(recorded, tmp_path):
    with sqlite3.connect(recorded[0].tracking.removeprefix("sqlite:///")) as whole:
        whole.execute("VACUUM INTO ?", (str(tmp_path / "mlflow.db"),))  # with what its log still holds
    stores = frames.Stores.under(tmp_path)
    sqlite3.connect(tmp_path / "mlflow.db").execute("PRAGMA journal_mode = WAL")
    writer = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE runs SET name = 'half written'")
    seen: list[pd.DataFrame] = []
    reader = threading.Thread(target=lambda: seen.append(frames.runs(stores)))
    reader.start()
    reader.join(20)
    assert seen
    assert "half written" not in set(seen[0]["name"])
    writer.execute("COMMIT")
    assert set(frames.runs(stores)["name"]) == {"half written"}


def test_reading_cannot_write(recorded):
    from reports.records.database import for_reading

    url, options = for_reading(recorded[0].tracking)
    with create_engine(url, **options).connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("DELETE FROM runs"))


def test_values_that_are_no_numbers_stay_visible(recorded):
    curve = frames.curves(recorded[0], keys=["baseline/0005"]).iloc[1]
    assert np.isnan(curve["val/accuracy"])
    assert np.isinf(curve["val/loss"])


@pytest.mark.parametrize(
    ("texts", "dtype"),
    [
        (["1", "None", "3"], "Int64"),
        (["0.5", "1e-3", "2"], "float64"),
        (["True", "False", "None"], "boolean"),
        (["1", "mean", "None"], "str"),
        (["None", "None"], "str"),
    ],
)
def test_a_column_takes_the_narrowest_type(texts, dtype):
    column = typed(pd.Series(texts))
    assert str(column.dtype) == dtype
    assert list(column.isna()) == [text == "None" for text in texts]


def test_a_folder_that_is_not_there_raises_and_is_no_empty_table(tmp_path):
    missing = frames.Stores.under(tmp_path / "rums")
    for read in (frames.runs, frames.curves, frames.trials, frames.texts):
        with pytest.raises(UserError, match="rums: there is no such folder"):
            read(missing)


def test_texts_are_those_that_the_runs_read_with_their_split_row_label_and_group(
    fill, small, cache, reviews_folder, tmp_path
):
    corpus = load_corpus(small.data, cache)
    source = {"data.source": str(reviews_folder)}
    stores = fill([MadeUp(0, changes=source, digest=corpus.summary.digest)])
    table = frames.texts(stores)
    assert list(table) == ["part", "row", "label", "group", "text"]
    for part, split in {"train": corpus.train, "val": corpus.val, "test": corpus.test}.items():
        of_part = table[table["part"] == part]
        assert list(of_part["row"]) == list(split.rows)
        assert list(of_part["label"]) == list(split.labels)
        file = reviews_folder / f"{'test' if part == 'test' else 'train'}.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert list(of_part["text"]) == [lines[row]["text"] for row in split.rows]
        assert list(of_part["group"]) == [lines[row]["movie"] for row in split.rows]

    moved = shutil.copytree(reviews_folder, tmp_path / "moved")
    pd.testing.assert_frame_equal(frames.texts(stores, source=str(moved)), table)
    test = moved / "test.jsonl"
    test.write_text(test.read_text().replace("film", "movie", 1))
    with pytest.raises(UserError, match="not the texts that the runs read"):
        frames.texts(stores, source=str(moved))
    with pytest.raises(UserError, match=r"cannot be read again.*no such folder"):
        frames.texts(stores, source=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="read no data yet"):
        frames.texts(stores, study="no such study")
    two = fill([MadeUp(0), MadeUp(1, study="other", digest="aa" * 32)])
    with pytest.raises(UserError, match="2 different data sets"):
        frames.texts(two)


def test_figures_are_axes_that_show_what_was_recorded(recorded):
    stores, made = recorded
    curve = frames.curves(stores, keys=["imdb/0001", "imdb/0002"])
    axes = figures.curves(curve, "val/loss", Figure().add_subplot())
    assert [line.get_label() for line in axes.lines] == ["imdb/0001", "imdb/0002"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), made[1].val_loss)
    drawn = figures.scatter(frames.runs(stores, role="trial"), "train.lr", axes=Figure().add_subplot())
    complete = [run for run in made if run.outcome == "complete" and run.role == "trial"]
    points = drawn.collections[0].get_offsets()
    assert sorted(points[:, 0]) == pytest.approx(sorted(run.changes["train.lr"] for run in complete))
    assert figures.scatter(frames.runs(stores), "model.pooling", axes=Figure().add_subplot()).get_xlabel()
    with pytest.raises(UserError, match="val/f1"):
        figures.curves(curve, "val/f1")


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_store_of_files_is_refused(uri):
    with pytest.raises(UserError, match="sqlite:///"):
        frames.runs(frames.Stores(uri, "sqlite:///none.db"))


def test_a_database_that_is_none_is_named_without_its_password(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(UserError, match=r"mlflow\.db.*not a database"):
        frames.runs(frames.Stores.under(tmp_path))
    assert "secret" not in shown("postgresql+psycopg2://ann:secret@host/db")
