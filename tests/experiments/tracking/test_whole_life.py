"""RUNS is moved and copied, its database lost or damaged, its journals many: what was recorded stays to be had."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from experiments.tracking import journal
from experiments.tracking.artifacts import read_without_server
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from experiments.tracking.sync import Sync, sync_once
from experiments.tracking.sync_process import ROOT
from reports import frames
from tests import forked
from tests.experiments.tracking.journal_samples import everything_in, header, record_study, record_trial


@pytest.fixture
def paths(own_tracker):
    return own_tracker


def majority(runs: object, data: object, *more: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "studies.commands", "experiment", "majority", "--runs", str(runs)]
    variables = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"} | environment
    return forked.run(
        [*command, "--data.source", os.fsdecode(data), *more],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        check=False,
    )


def predictions(runs: Path) -> set[str]:
    stores = frames.Stores.under(runs)
    keys = list(frames.runs(stores)["key"])
    found = frames.predictions(keys, stores)
    assert set(found["key"]) == set(keys)
    return set(keys)


def test_a_folder_that_was_moved_goes_on_and_nothing_lands_in_the_old_place(tmp_path, reviews_folder):
    old, new = tmp_path / "old", tmp_path / "new"
    assert majority(old, reviews_folder).returncode == 0
    before = predictions(old)
    old.rename(new)
    assert predictions(new) == before
    assert majority(new, reviews_folder, "--data.val-fraction", "0.2").returncode == 0
    assert not old.exists()
    assert len(predictions(new)) == 2
    copy = tmp_path / "copy"
    shutil.copytree(new, copy)
    shutil.rmtree(new)
    assert len(predictions(copy)) == 2
    # But for what a person typed, nothing says where it was.
    for database in copy.glob("*.db"):
        assert str(old).encode() not in database.read_bytes().replace(f"--runs {old}".encode(), b"")


def test_mlflows_own_client_reads_files_where_the_database_is(paths, tmp_path):
    record_study(paths, trials=1)
    sync_once(paths.runs)
    moved = RunPaths(tmp_path / "moved")
    shutil.copytree(paths.runs, moved.runs, ignore=shutil.ignore_patterns("moved"))
    shutil.rmtree(paths.artifacts)
    read_without_server(moved.artifacts)
    client = MlflowClient(moved.tracking_uri())
    experiment = client.get_experiment_by_name("imdb")
    for run in client.search_runs([experiment.experiment_id], "tags.`seqclf.role` = 'trial'"):
        assert run.info.artifact_uri == f"mlflow-artifacts:/{run.info.run_id}/artifacts"
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["config.json", "predictions"]
        assert "model" in Path(client.download_artifacts(run.info.run_id, "config.json")).read_text()


@pytest.mark.parametrize("name", ["q?x", "pct%20sp #1 ü"])
def test_any_name_of_the_folder_works(tmp_path, reviews_folder, name):
    assert majority(tmp_path / name, reviews_folder).returncode == 0
    assert len(predictions(tmp_path / name)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_tilde_means_the_home_folder(tmp_path, reviews_folder):
    assert majority("~/runs", reviews_folder, HOME=str(tmp_path)).returncode == 0
    assert len(predictions(tmp_path / "runs")) == 1
    assert not (ROOT / "~").exists()


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "overwritten", "not a database"])
def test_a_lost_or_damaged_database_is_filled_anew_and_said(paths, how):
    record_study(paths, trials=2)
    sync_once(paths.runs)
    before = everything_in(paths.tracking_uri())
    database = paths.mlflow_database
    data = database.read_bytes()
    for beside in paths.runs.glob("mlflow.db-*"):
        beside.unlink()
    database.unlink()
    if how != "missing":
        contents = {
            "empty": b"", "cut": data[: len(data) // 2], "not a database": b"nothing like it\n" * 1000,
            "overwritten": data[:4096] + os.urandom(len(data) - 4096),
        }  # fmt: skip
        database.write_bytes(contents[how])
    again = [sys.executable, "-m", "studies.commands", "sync", "--runs", str(paths.runs)]
    done = forked.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of 3 runs" in done.stdout
    with closing(sqlite3.connect(paths.mlflow_database)) as database:
        [found] = database.execute("SELECT count(*) FROM tags WHERE key = 'seqclf.key'")
    assert found == (len(before),)
    kept = list(paths.runs.glob("mlflow.db.damaged*"))
    assert len(kept) == (how not in ("missing", "empty"))
    assert ("damaged" in done.stderr) == bool(kept)


def test_a_database_that_is_only_locked_is_not_taken_for_damaged(paths):
    record_study(paths, trials=1)
    sync_once(paths.runs)
    with sqlite3.connect(paths.mlflow_database, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        from experiments.tracking.database import set_damaged_aside

        assert not set_damaged_aside(paths.tracking_uri())
    assert not list(paths.runs.glob("*damaged*"))


def test_nothing_is_asked_of_the_disk_for_journals_that_have_ended(paths, monkeypatch):
    record_study(paths, trials=3)
    sync = Sync(paths)
    assert sync.once().runs == 4
    folder = paths.journals / "imdb"
    os.utime(folder, (1_700_000_000, 1_700_000_000))  # long ago, as after the first seconds of a day
    sync.once()
    os.utime(folder, (1_700_000_000, 1_700_000_000))
    asked = []
    stat = Path.stat

    def counting(self, **how):
        asked.append(self)
        return stat(self, **how)

    monkeypatch.setattr(Path, "stat", counting)
    assert sync.once().entries == 0
    monkeypatch.undo()
    assert not [path for path in asked if path.suffix == ".jsonl" and path.stem != "study"]
    record_trial(paths, "imdb/0003")
    assert sync.once().runs == 1
    # One that took the place of another, as doctor makes it, is seen too.
    path = paths.journal("imdb/0000")
    entries = journal.read(path)
    path.rename(path.with_suffix(".aside"))
    with Recorder.open(path, header("imdb/0000", "imdb/study")) as recorder:
        for entry in entries[1:]:
            if isinstance(entry, journal.Happened):
                recorder.record(entry.event)
        recorder.close("complete")
        recorder.reopen()
    assert sync.once().entries == 1


def test_an_unreadable_journal_of_an_ended_run_keeps_no_other_waiting(paths):
    record_study(paths, trials=3)
    paths.journal("imdb/0001").write_bytes(os.urandom(3000) + b"\n")
    first = paths.journal("imdb/0002").read_text().replace('"format": 1', '"format": 99')
    paths.journal("imdb/0002").write_text(first)
    result = sync_once(paths.runs)
    assert result.runs == 2
    assert sorted(Path(path).name for path in result.unsent) == ["0001.jsonl", "0002.jsonl"]
    assert "newer version" in result.unsent[str(paths.journal("imdb/0002"))]
