"""make report writes the pages and puts each with its study's run; a folder of one's own goes nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from experiments.tracking.sync_process import ROOT
from tests import forked
from tests.studies.engine.stepping import OpenScheduler, run_all


def report(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studies.commands", "report", *words]
    return forked.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_page_is_written_and_put_with_the_study_s_run(
    open_scheduler: OpenScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    owner = open_scheduler(total=1)
    run_all(owner)
    runs = owner.paths.runs
    assert not sync_once(runs).unsent
    client = MlflowClient(tracking_uri=owner.paths.tracking_uri())
    [run] = [
        run
        for experiment in client.search_experiments(filter_string="name = 'test'")
        for run in client.search_runs([experiment.experiment_id], "tags.`seqclf.role` = 'study'")
    ]

    own = report("--runs", str(runs), "--out", str(tmp_path / "own"))
    assert own.returncode == 0, own.stderr
    assert (tmp_path / "own" / "test" / "index.html").exists()
    assert not client.list_artifacts(run.info.run_id, "report")

    done = report("--runs", str(runs))
    assert done.returncode == 0, done.stderr
    page = RunPaths(runs).page("test")
    assert str(page) in done.stdout
    assert "In MLflow" in done.stdout
    there = client.download_artifacts(run.info.run_id, "report/index.html", str(tmp_path))
    assert Path(there).read_bytes() == page.read_bytes()
