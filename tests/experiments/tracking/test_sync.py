"""MLflow ends up with the same, once, in whatever steps and however often it is sent. Real SQLite."""

import json
import re
import shutil
import subprocess
import sys
import threading

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from experiments.tracking import journal
from experiments.tracking.follow import follow
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from experiments.tracking.sync import Sync, sync_once
from experiments.tracking.sync_process import ROOT
from tests import forked
from tests.experiments.tracking.journal_samples import EVENTS, everything_in, header, record_study


@pytest.fixture
def paths(own_tracker) -> RunPaths:
    return own_tracker


def in_mlflow(paths: RunPaths) -> dict[str, object]:
    return everything_in(paths.tracking_uri())


def test_everything_arrives(paths):
    record_study(paths, trials=3)
    result = sync_once(paths.runs)
    assert (result.runs, result.unsent) == (4, {})

    found = in_mlflow(paths)
    assert set(found) == {"imdb/study", "imdb/0000", "imdb/0001", "imdb/0002"}
    run = found["imdb/0000"]
    entries = journal.read(paths.journal("imdb/0000"))
    times = [entry.time for entry in entries]
    assert run["parent"] == "imdb/study"
    assert run["info"] == ("0000 last bce", "FINISHED", times[0], times[-1])
    assert run["params"] == {name: str(value) for name, value in header("a/1", "a/study").params.items()} | {
        name: str(value) for name, value in entries[0].header.params.items()
    }
    assert run["metrics"]["val/accuracy"] == sorted(
        zip(times[2:5], (100, 200, 300), (0.25, 0.5, 0.75), strict=True)
    )
    assert run["latest"]["test/accuracy"] == 0.7
    assert run["latest"]["best/val_accuracy"] == 0.75
    assert run["files"] == ["config.json", "predictions"]
    assert run["predictions"] == ["predictions/test.parquet"]
    assert [(name, context) for name, _, _, context in run["inputs"]] == [("imdb", "train, val, test")]
    expected = {"outcome": "complete", "seqclf.data_scope": "whole", "device": "cpu", "precision": "fp32"}
    expected |= {
        "used.split_method": "group",
        "used.group_column": "movie",
        "used.digest": "ab" * 32,
        "used.val": "20",
    }
    assert expected.items() <= run["tags"].items()


def test_status_and_reason_tell_how_a_run_ended(paths):
    record_study(paths, trials=3)
    sync_once(paths.runs)
    found = in_mlflow(paths)
    ends = {key: (run["info"][1], run["tags"].get("seqclf.reason")) for key, run in found.items()}
    assert ends == {
        "imdb/study": ("FINISHED", None),
        "imdb/0000": ("FINISHED", None),
        "imdb/0001": ("FINISHED", "it was pruned"),
        "imdb/0002": ("FAILED", "it was failed"),
    }
    assert "test/accuracy" not in found["imdb/0001"]["latest"]


def test_sent_entry_by_entry_is_the_same_as_at_once(tmp_path, paths, empty_database):
    sync = Sync(paths)
    with Recorder.open(paths.journal("imdb/0001"), header("imdb/0001")) as recorder:
        for event in EVENTS:
            recorder.record(event)
            assert not sync.once().unsent
            assert in_mlflow(paths)["imdb/0001"]["info"][1] == "RUNNING"
        recorder.close("complete")
    assert sync.once().entries == 1
    assert sync.once().entries == 0

    other = RunPaths(tmp_path / "other")
    shutil.copytree(paths.journals, other.journals)
    shutil.copy(empty_database, other.runs / "mlflow.db")
    sync_once(other.runs)
    assert in_mlflow(other) == in_mlflow(paths)


def test_a_second_sync_has_nothing_to_do(paths):
    record_study(paths, trials=2)
    sync_once(paths.runs)
    before = in_mlflow(paths)
    assert sync_once(paths.runs).entries == 0
    assert in_mlflow(paths) == before


def test_a_lost_mlflow_is_filled_again(paths, empty_database):
    record_study(paths, trials=2)
    sync_once(paths.runs)
    before = in_mlflow(paths)
    shutil.copy(empty_database, paths.runs / "another.db")
    another = f"sqlite:///{paths.runs}/another.db"
    sync_once(paths.runs, another)
    assert everything_in(another) == before


def test_a_run_made_twice_by_a_lost_reply_is_kept_once(paths):
    record_study(paths, trials=1)
    client = MlflowClient(tracking_uri=paths.tracking_uri())
    experiment = client.create_experiment("imdb", paths.artifacts.as_uri())
    for _ in range(2):
        for key in ("imdb/study", "imdb/0000"):
            client.create_run(experiment, 0, {"seqclf.key": key, "seqclf.uid": header(key).uid})
    sync_once(paths.runs)
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0000"}  # it asserts that each is there once
    assert in_mlflow(paths)["imdb/0000"]["info"][1] == "FINISHED"


def test_a_run_that_a_slow_server_made_after_all_goes_in_the_last_pass(paths):
    record_study(paths, trials=1)
    sync = Sync(paths)
    sync.once()
    before = in_mlflow(paths)
    client = MlflowClient(tracking_uri=paths.tracking_uri())
    experiment = client.get_experiment_by_name("imdb").experiment_id
    client.create_run(experiment, 0, {"seqclf.key": "imdb/0000", "seqclf.uid": header("imdb/0000").uid})
    assert not sync.once(thorough=True).unsent
    assert in_mlflow(paths) == before  # it asserts that each is there once


def test_a_delivery_that_lags_says_by_how_much(paths, capsys):
    record_study(paths, trials=1)
    for path in paths.journals.rglob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(line | {"time": line["time"] - 100_000}) + "\n" for line in lines))
    sync, ended = Sync(paths), threading.Event()
    sync._began -= 200.0  # else what was there before it began does not count
    ended.set()
    assert 100 <= follow(sync, ended).lag < 200
    assert re.search(r"MLflow is 1\d\d s behind, at [\d.]+ runs/s", capsys.readouterr().out)
    with Recorder.open(paths.journal("imdb/0001"), header("imdb/0001")):
        pass
    assert follow(sync, ended).lag < 60
    assert "behind" not in capsys.readouterr().out


def test_two_people_with_one_name_in_one_mlflow_keep_their_own_runs(paths, tmp_path):
    record_study(paths, trials=2)
    sync_once(paths.runs)
    mine = in_mlflow(paths)
    other = RunPaths(tmp_path / "other")
    uid = "f" * 16
    with Recorder.open(
        other.journal("imdb/study"), header("imdb/study").model_copy(update={"uid": uid})
    ) as recorder:
        recorder.close("complete")
    result = sync_once(other.runs, paths.tracking_uri())
    assert (result.runs, result.unsent) == (1, {})
    client = MlflowClient(tracking_uri=paths.tracking_uri())
    experiment = client.get_experiment_by_name("imdb")
    [run] = client.search_runs([experiment.experiment_id], f"tags.`seqclf.uid` = '{uid}'")
    assert run.data.tags["seqclf.key"] == "imdb/study"
    sync_once(paths.runs)
    sync_once(other.runs, paths.tracking_uri())
    assert len(client.search_runs([experiment.experiment_id])) == 4
    client.delete_run(run.info.run_id)
    assert in_mlflow(paths) == mine


def test_a_run_deleted_in_mlflow_stays_deleted(paths):
    record_study(paths, trials=2)
    sync_once(paths.runs)
    client = MlflowClient(tracking_uri=paths.tracking_uri())
    experiment = client.get_experiment_by_name("imdb").experiment_id
    [run] = client.search_runs([experiment], "tags.`seqclf.key` = 'imdb/0001'")
    client.delete_run(run.info.run_id)
    assert not sync_once(paths.runs).unsent
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0000"}
    assert len(client.search_runs([experiment], run_view_type=ViewType.ALL)) == 3


def test_a_damaged_journal_keeps_no_other_waiting(paths):
    record_study(paths, trials=3)
    paths.journal("imdb/0000").write_text("not an entry\n")
    result = sync_once(paths.runs)
    [(path, reason)] = result.unsent.items()
    assert path.endswith("0000.jsonl")
    assert "line 1" in reason
    assert set(in_mlflow(paths)) == {"imdb/study", "imdb/0001", "imdb/0002"}


def test_a_study_that_goes_on_runs_again_until_it_ends_again(paths):
    with Recorder.open(paths.journal("imdb/study"), header("imdb/study")) as recorder:
        recorder.close("complete")
        sync_once(paths.runs)
        recorder.reopen()
        sync_once(paths.runs)
        assert in_mlflow(paths)["imdb/study"]["info"][1] == "RUNNING"
        recorder.close("complete")
        sync_once(paths.runs)
        assert in_mlflow(paths)["imdb/study"]["info"][1] == "FINISHED"
        assert in_mlflow(paths)["imdb/study"]["info"][3] == recorder.closed.time


def test_make_sync_says_what_it_did(paths):
    record_study(paths, trials=1)
    command = [sys.executable, "-m", "studies.commands", "sync", "--runs", str(paths.runs)]
    done = forked.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "9 entries of 2 runs and 0 reports; 0 runs or reports wait" in done.stdout


@pytest.mark.parametrize("command", ["ui", "sync", "experiment", "experiment baseline"])
def test_help_imports_nothing_that_is_slow(command):
    code = (
        "import sys; from studies.commands.__main__ import run\n"
        f"try: run([*{command.split()!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'mlflow', 'torch', 'optuna', 'pandas', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
