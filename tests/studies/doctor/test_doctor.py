"""What disagrees is found, told in plain words and mended: a second look finds nothing."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import Trial, TrialState

from experiments.tracking.journal import Journal
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from seqclf_core.training.checkpoint import read_settings
from studies.doctor.examine import examine
from studies.doctor.findings import Diagnosis
from studies.engine.cleanup import KEPT_MODELS
from studies.engine.inline import Inline
from studies.engine.ownership import owned
from studies.engine.scheduler import Scheduler
from studies.engine.storage import open_storage, open_study
from studies.study import Study
from tests.studies.engine.stepping import run_all

TRIALS = KEPT_MODELS + 1


def sample(trial: Trial) -> None:
    trial.suggest_float("train.lr", 1e-3, 5e-2, log=True)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, reviews_folder: Path, cache: Path) -> RunPaths:
    """A finished study, in MLflow. Each test breaks it and has it mended, so that all share it."""
    paths = RunPaths(tmp_path_factory.mktemp("doctor") / "runs")
    base = RunConfig().override(
        {"data.source": str(reviews_folder), "model.embed_dim": 8, "model.hidden_dim": 8, "train.batch_size": 8,
         "train.epochs": 1, "train.evals_per_epoch": 1, "model.word_dropout": 0.05}
    )  # fmt: skip
    data = load_corpus(base.data, cache).summary
    shutil.copytree(cache, paths.cache)
    study = Study("What learns?", base, sample, total=TRIALS)
    opened = open_study(open_storage(paths.optuna_uri), "test", study, data)
    tags = {"seqclf.data_scope": "whole"}
    run_all(Scheduler("test", study, opened, paths, Inline(), tags, patience=60.0))
    assert not sync_once(paths.runs).unsent
    return paths


def study_of(paths: RunPaths) -> optuna.Study:
    return optuna.load_study(study_name="test", storage=paths.optuna_uri)


def kept(paths: RunPaths) -> Path:
    return next(path.parent for path in sorted(paths.work("test").glob("*/model")))


def mlflow_run(paths: RunPaths, key: str = "test/0001") -> tuple[MlflowClient, str]:
    client = MlflowClient(tracking_uri=paths.tracking_uri())
    experiment = client.get_experiment_by_name("test")
    [run] = client.search_runs([experiment.experiment_id], f"tags.`seqclf.key` = '{key}'")
    return client, run.info.run_id


def delete_in_mlflow(paths: RunPaths) -> None:
    client, run = mlflow_run(paths)
    client.delete_run(run)


def lose_in_mlflow(paths: RunPaths, key: str = "test/0001") -> None:
    _, run = mlflow_run(paths, key)
    with sqlite3.connect(paths.runs / "mlflow.db") as database:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", [run])


def say_running_in_mlflow(paths: RunPaths) -> None:
    client, run = mlflow_run(paths)
    client.update_run(run, "RUNNING")


def change_a_number_in_mlflow(paths: RunPaths) -> None:
    _, run = mlflow_run(paths)
    with sqlite3.connect(paths.runs / "mlflow.db") as database:
        for table in ("metrics", "latest_metrics"):
            changed = "update {} set value = 0.123 where run_uuid = ? and key = 'test/accuracy'"
            assert database.execute(changed.format(table), [run]).rowcount == 1


def cut_the_journals_end(paths: RunPaths) -> None:
    path = paths.journal("test/0001")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]) + b'{"entry": "clo')


def remove_the_journal(paths: RunPaths) -> None:
    paths.journal("test/0001").unlink()


def damage_the_journal(paths: RunPaths) -> None:
    path = paths.journal("test/0001")
    path.write_bytes(path.read_bytes().replace(b'"started"', b"\0\0\0\0\0\0\0\0\0"))


def close_the_journal_otherwise(paths: RunPaths) -> None:
    with Journal(paths.journal("test/0001")) as journal:
        journal.append({"entry": "reopened"})
        journal.append({"entry": "closed", "outcome": "failed", "reason": "no reason"})


def leave_a_trial_running(paths: RunPaths) -> None:
    study_of(paths).ask()


def fail_a_trial_without_a_word(paths: RunPaths) -> None:
    study = study_of(paths)
    trial = study.ask()
    study.tell(trial, state=TrialState.FAIL)
    paths.work(f"test/{trial.number:04d}").mkdir(parents=True, exist_ok=True)


def damage_a_checkpoint(paths: RunPaths) -> None:
    trial = study_of(paths).ask()
    folder = paths.work(f"test/{trial.number:04d}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint.safetensors").write_bytes(b"half of i")


def close_a_trial_that_waits(paths: RunPaths) -> None:
    study = study_of(paths)
    study.enqueue_trial({})
    copy_the_journal(paths, f"test/{len(study.trials) - 1:04d}")


def copy_the_journal(paths: RunPaths, key: str) -> Path:
    text = paths.journal("test/0001").read_text().replace("test/0001", key)
    paths.journal(key).write_text(text)
    return paths.journal(key)


def cut_the_weights(paths: RunPaths) -> None:
    path = kept(paths) / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def leave_a_checkpoint(paths: RunPaths) -> None:
    (kept(paths) / "checkpoint.safetensors").write_bytes(b"anything")


def leave_superseded_weights(paths: RunPaths) -> None:
    ended = [path.parent for path in paths.work("test").glob("*/events.json")]
    [without] = [path for path in ended if not (path / "model").exists()]
    shutil.copytree(kept(paths) / "model", without / "model")


def leave_a_folder(paths: RunPaths) -> None:
    (paths.work("test/0099") / "predictions").mkdir(parents=True)


def cut_the_cache(paths: RunPaths) -> None:
    path = next((paths.cache / "corpus").glob("*/train.tokens.npy"))
    path.write_bytes(path.read_bytes()[:-1])


def leave_half_an_entry(paths: RunPaths) -> None:
    (paths.cache / "corpus" / "new-0123").mkdir()


def cut_the_tokenizer(paths: RunPaths) -> None:
    (kept(paths) / "model" / "tokenizer.json").write_bytes(b"")


def remove_the_tokenizer_and_the_cache(paths: RunPaths) -> None:
    (kept(paths) / "model" / "tokenizer.json").unlink()
    shutil.rmtree(paths.cache)


def change_a_weight(paths: RunPaths) -> None:
    path = kept(paths) / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def empty_the_predictions(paths: RunPaths) -> None:
    (paths.work("test/0001") / "predictions" / "test.parquet").write_bytes(b"")


def empty_mlflows_predictions(paths: RunPaths) -> None:
    _, run = mlflow_run(paths)
    (paths.artifacts / run / "artifacts" / "predictions" / "test.parquet").write_bytes(b"")


def empty_both_predictions(paths: RunPaths) -> None:
    key = f"test/{kept(paths).name}"
    (paths.work(key) / "predictions" / "test.parquet").unlink()
    _, run = mlflow_run(paths, key)
    (paths.artifacts / run / "artifacts" / "predictions" / "test.parquet").unlink()


def lose_the_database(paths: RunPaths) -> None:
    for path in paths.runs.glob("optuna.db*"):
        path.unlink()


def empty_the_database(paths: RunPaths) -> None:
    lose_the_database(paths)
    paths.optuna_database.write_bytes(b"")


def damage_the_database(paths: RunPaths) -> None:
    lose_the_database(paths)
    paths.optuna_database.write_bytes(b"anything but a database" * 100)


FAULTS: list[tuple[Callable[[RunPaths], None], str]] = [
    (delete_in_mlflow, "test/0001: this run was deleted in MLflow"),
    (lose_in_mlflow, "test/0001: MLflow does not know this run"),
    (say_running_in_mlflow, "test/0001: MLflow says RUNNING, its journal says FINISHED"),
    (change_a_number_in_mlflow, "test/0001: MLflow's test/accuracy are not those of its journal"),
    (cut_the_journals_end, "test/0001: Optuna says complete, and its journal is not closed"),
    (remove_the_journal, "test/0001: Optuna says complete, and there is no journal of it"),
    (damage_the_journal, "0001.jsonl, line 2"),
    (close_the_journal_otherwise, "test/0001: Optuna says complete, its journal says failed"),
    (leave_a_folder, "test/0099: here is a folder that belongs to no run"),
    (leave_superseded_weights, "it is not among the best, and its weights are still there"),
    (leave_a_checkpoint, "it has ended, and checkpoint.safetensors is still there"),
    (change_a_weight, "model.safetensors is not what the run left"),
    (cut_the_weights, "its weights cannot be used"),
    (cut_the_tokenizer, "its tokenizer is not the one that its data were encoded with"),
    (remove_the_tokenizer_and_the_cache, "its tokenizer is not the one that its data were encoded with"),
    (empty_the_predictions, "test/0001: predictions/test.parquet is not what the run left"),
    (empty_mlflows_predictions, "test/0001: predictions/test.parquet in MLflow is not what the run left"),
    (empty_both_predictions, "predictions/test.parquet is not there"),
    (lose_the_database, "trials can be rebuilt"),
    (empty_the_database, "trials can be rebuilt"),
    (damage_the_database, "cannot be read as a database"),
    (leave_half_an_entry, "new-0123: this is not whole"),
    (cut_the_cache, "this is not whole, and is made anew"),
    (leave_a_trial_running, "Optuna says that it is running, and nobody works on it"),
    (damage_a_checkpoint, "it will start from the beginning"),
    (close_a_trial_that_waits, "its journal is closed, and Optuna knows of no end"),
    (fail_a_trial_without_a_word, "Optuna says failed, and there is no journal of it"),
]


def look(paths: RunPaths, fix: bool = False) -> Diagnosis:
    return examine(paths, paths.storage_uri(), paths.tracking_uri(), fix)


def found_in(paths: RunPaths, capsys: pytest.CaptureFixture[str], fix: bool = False) -> tuple[int, int, str]:
    diagnosis = look(paths, fix)
    return diagnosis.found, diagnosis.left, capsys.readouterr().out


def test_a_sound_study_is_left_alone(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in paths.journals.rglob("*.jsonl")}
    assert found_in(paths, capsys, fix=True) == (0, 0, "")
    assert {path: path.read_bytes() for path in paths.journals.rglob("*.jsonl")} == before


def test_data_that_are_cached_with_another_vocabulary_are_not_those_of_a_run(
    paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _, _ = read_settings(kept(paths) / "model")
    other = load_corpus(config.data.model_copy(update={"vocab_size": 16}), paths.cache)
    first = shutil.copytree(other.tokenizer.parent, paths.cache / "corpus" / "0")  # which is looked at first
    assert found_in(paths, capsys) == (0, 0, "")
    shutil.rmtree(first)


@pytest.mark.parametrize(("fault", "told"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_is_told_and_mended(
    paths: RunPaths, capsys: pytest.CaptureFixture[str], fault: Callable[[RunPaths], None], told: str
) -> None:
    fault(paths)
    found, left, text = found_in(paths, capsys)
    assert found == left > 0
    assert told in text
    assert found_in(paths, capsys, fix=True)[1] == 0
    assert found_in(paths, capsys) == (0, 0, "")
    best = max(study_of(paths).trials, key=lambda trial: trial.value or 0)
    assert best.state == TrialState.COMPLETE
    client, run = mlflow_run(paths)
    shown = client.get_run(run)
    finished = json.loads((paths.work("test/0001") / "events.json").read_text())["events"][-1]
    assert shown.info.status == "FINISHED"
    assert shown.data.metrics["test/accuracy"] == finished["metrics"]["test/accuracy"]


def test_a_rebuilt_study_is_the_same_and_goes_on(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    def known() -> list[object]:
        return [(t.state, t.params, t.value, t.intermediate_values, t.user_attrs) for t in study_of(paths).trials]

    before, attributes = known(), study_of(paths).user_attrs
    lose_the_database(paths)
    assert found_in(paths, capsys, fix=True)[1] == 0
    assert known()[:TRIALS] == before[:TRIALS]  # those that other tests only asked for have no journal
    assert study_of(paths).user_attrs == attributes


def test_a_stranger_s_study_of_the_same_name_is_named_and_not_touched(
    paths: RunPaths, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    theirs = RunPaths(tmp_path / "theirs")
    shutil.copytree(paths.runs, theirs.runs)
    lose_the_database(theirs)
    study = optuna.create_study(storage=open_storage(theirs.optuna_uri), study_name="test", direction="maximize")
    study.set_user_attr("plan", '{"uid": "0123"}')
    study.ask()  # a trial that they are running
    other = optuna.create_study(storage=open_storage(theirs.optuna_uri), study_name="other", direction="maximize")
    other.set_user_attr("plan", '{"uid": "4567"}')
    other.ask()
    found, left, text = found_in(theirs, capsys, fix=True)
    assert (found, left) == (1, 1)
    assert "not the one whose journals are here" in text
    assert "'other' in Optuna's database has no journal here" in text
    for name in ("test", "other"):
        [trial] = optuna.load_study(study_name=name, storage=theirs.optuna_uri).trials
        assert trial.state == TrialState.RUNNING


def test_predictions_that_nothing_makes_again_are_told(
    paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = [file.parents[1] for file in sorted(paths.work("test").glob("*/predictions/test.parquet"))]
    without = next(folder for folder in ended if not (folder / "model").exists())
    _, run = mlflow_run(paths, f"test/{without.name}")
    files = [folder / "predictions" / "test.parquet" for folder in (without, paths.artifacts / run / "artifacts")]
    whole = files[0].read_bytes()
    for file in files:
        file.write_bytes(b"")
    found, left, text = found_in(paths, capsys, fix=True)
    assert (found, left) == (1, 1), text
    assert f"test/{without.name}: predictions/test.parquet is not what the run left" in text
    assert "It cannot be repaired" in text
    for file in files:
        file.write_bytes(whole)


def test_what_is_intact_is_never_removed(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither cache nor data are here: the tokenizer cannot be made again, and the weights stay."""
    model = kept(paths) / "model"
    whole, weights = (model / "tokenizer.json").read_bytes(), (model / "model.safetensors").read_bytes()
    settings = (model / "config.json").read_text()
    source = json.loads(settings)["config"]["data"]["source"]
    (model / "tokenizer.json").unlink()
    away = Path(source).rename(f"{source}-away")
    shutil.move(paths.cache, paths.runs / "no-cache")
    found, left, text = found_in(paths, capsys, fix=True)
    shutil.rmtree(paths.cache, ignore_errors=True)
    shutil.move(paths.runs / "no-cache", paths.cache)
    away.rename(source)
    assert (found, left) == (1, 1), text
    assert (model / "model.safetensors").read_bytes() == weights
    assert found_in(paths, capsys, fix=True)[1] == 0
    assert (model / "tokenizer.json").read_bytes() == whole


def test_a_study_at_work_is_not_looked_at(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    folder = paths.work("test/0098")
    folder.mkdir()
    with owned(paths, "test"):
        found, _, text = found_in(paths, capsys, fix=True)
    assert found == 0
    assert "is being run by process" in text
    assert folder.exists()
    folder.rmdir()


def test_what_only_a_person_can_decide_is_left(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    stray = copy_the_journal(paths, "test/0097")
    found, left, text = found_in(paths, capsys, fix=True)
    assert (found, left) == (2, 1), text
    assert "Optuna knows no such trial" in text
    assert "test/0097: MLflow does not know this run. (repaired)" in text
    stray.unlink()
    assert found_in(paths, capsys, fix=True)[:2] == (1, 1)  # what MLflow alone knows is left to a person, too
    lose_in_mlflow(paths, "test/0097")


def test_without_records_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing has been recorded"):
        look(RunPaths(tmp_path / "nowhere"))
    assert look(RunPaths(tmp_path), fix=True).found == 0
    assert list(tmp_path.iterdir()) == []
