"""What was recorded comes back as tables: by SQL and over HTTP alike, while others write, and from nothing."""

import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from reports import frames
from reports.records.database import shown
from reports.records.frames_from_mlflow import typed
from seqclf_core.config import RunConfig
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
    shutil.copy(recorded[0].tracking.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
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


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_store_of_files_is_refused(uri):
    with pytest.raises(UserError, match="sqlite:///"):
        frames.runs(frames.Stores(uri, "sqlite:///none.db"))


def test_a_database_that_is_none_is_named_without_its_password(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(UserError, match=r"mlflow\.db.*not a database"):
        frames.runs(frames.Stores.under(tmp_path))
    assert "secret" not in shown("postgresql+psycopg2://ann:secret@host/db")
