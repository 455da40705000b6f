"""A tracking server that is away for a whole study: the study ends all the same; MLflow gets it later, once."""

import os
import sys
from pathlib import Path

import pytest

from tests import forked
from tests.faulty_server import faulty_server
from tests.studies.engine.study_command import ROOT, Command, children_in_mlflow, trials

TOTAL = 3


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["refuse", "hang"])
def test_a_study_goes_on_without_its_tracker(
    fault: str, reviews_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with faulty_server(tmp_path / "server", fault) as (address, mend):
        more = ["--workers", "1", "--train.epochs", "1", "--tracking-uri", address]
        command = Command(reviews_folder, tmp_path / "runs", TOTAL, more)
        command.start()
        code, output = command.end()
        assert code == 0, output
        assert "`make sync` sends the rest" in output
        assert len(trials(command.runs)) == TOTAL
        assert not children_in_mlflow(tmp_path / "server")

        mend()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        sync = [sys.executable, "-m", "studies.commands", "sync", "--runs", str(command.runs)]
        for _ in range(2):
            environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
            done = forked.run(sync, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    status = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED"}
    wanted = {trial.number: status[trial.state.name] for trial in trials(command.runs)}
    assert {number: each[0] for number, each in children_in_mlflow(tmp_path / "server").items()} == wanted
