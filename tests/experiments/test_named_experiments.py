"""``make experiment``: what it lists and refuses, and a whole one from Ctrl-C to MLflow, in real processes."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.catalog import experiments, load
from experiments.run_experiment import only_one
from experiments.tracking import journal
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from tests import forked
from tests.experiments.tracking.journal_samples import everything_in

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "studies.commands", "experiment"]


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return forked.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_experiment_is_listed_with_its_purpose() -> None:
    listed = call()
    assert listed.returncode == 0
    assert len(experiments()) >= 7
    for name, purpose in experiments().items():
        assert f"{name} " in listed.stdout
        assert purpose in listed.stdout
        assert load(name).base


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "no experiment 'nope'"),
        (["padding_pitfall", "--model.pooling", "mean"], "sets model.pooling itself"),
        (["baseline", "--data.source", "/nowhere"], "no such folder"),
        (["baseline", "--model.hidden-dim", "-3"], "hidden_dim"),
    ],
)
def test_mistakes_are_refused_with_a_message(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = call(*arguments, "--runs", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_runs_have_one_process_at_a_time(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    for _ in range(2):
        with (
            only_one(paths, "baseline/one"),
            only_one(paths, "baseline/other"),
            pytest.raises(UserError, match="at work on these very runs"),
            only_one(paths, "baseline/one"),
        ):
            pytest.fail("there were two")


def test_an_interrupted_experiment_goes_on_and_arrives_in_mlflow_once(
    small: RunConfig, tmp_path: Path, cache: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = RunPaths(tmp_path / "runs")
    paths.runs.mkdir()
    shutil.copy(empty_database, paths.mlflow_database)
    paths.cache.symlink_to(cache)
    changes = {"train.epochs": 6, "train.patience": 100, "model.word_dropout": 0.1}
    settings = {**small.flat(), **changes}
    names = [name for name, value in settings.items() if value != RunConfig().flat()[name]]
    flags = [text for name in names for text in (f"--{name.replace('_', '-')}", str(settings[name]))]
    command = [*COMMAND, "baseline", "--runs", str(paths.runs), *flags]

    process = forked.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (files := list(paths.journals.rglob("*.jsonl"))) or len(journal.read(files[0])) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 130, said
    assert "Stopped. The same command goes on" in said
    (before,) = [journal.read(file) for file in files]
    assert 4 <= len(before) < 14

    done = forked.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "12 of 12" in done.stdout
    assert f"make ui RUNS={paths.runs}" in done.stdout
    assert "--seed 1" in done.stdout
    entries = journal.read(files[0])
    assert entries[: len(before)] == before
    assert len(entries) == 16
    found = everything_in(paths.tracking_uri())
    assert list(found) == [f"baseline/{files[0].stem}"]
    (run,) = found.values()
    assert isinstance(run, dict)
    assert run["info"][:2] == ("last bce e8 h8 seed 0", "FINISHED")
    assert len(run["metrics"]["val/accuracy"]) == 12
    assert run["tags"]["seqclf.role"] == "experiment"
    kept = ["predictions/errors.json", "predictions/test.parquet", "predictions/val.parquet"]
    assert run["predictions"] == kept
