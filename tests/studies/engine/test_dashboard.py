"""Optuna's dashboard shows the study with its value by name; what is missing is one line."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pytest

from experiments.tracking.paths import RunPaths
from seqclf_core.errors import UserError
from studies.engine import dashboard
from tests import forked

ROOT = Path(__file__).parents[3]


def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"requirements-dashboard\.lock") as raised:
        dashboard.show(RunPaths(tmp_path), "sqlite:///none.db", None)
    assert "\n" not in str(raised.value)


def test_nothing_recorded_is_said_and_no_database_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard, "find_spec", lambda name: True)
    paths = RunPaths(tmp_path)
    with pytest.raises(UserError, match="No study is recorded"):
        dashboard.show(paths, paths.optuna_uri, None)
    assert not paths.optuna_database.exists()


@pytest.mark.skipif(find_spec("optuna_dashboard") is None, reason="needs optuna-dashboard, an extra")
def test_it_serves_the_study_with_its_value_by_name_to_whoever_has_the_token(open_scheduler, tmp_path):
    scheduler = open_scheduler()
    command = [sys.executable, "-m", "studies.commands", "dashboard", "--runs", str(scheduler.paths.runs)]
    serving = forked.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout
        serving.stdout.readline()
        address, _, token = serving.stdout.readline().split()[2].partition("?token=")

        def opened(url: str, **headers: str) -> IO[bytes]:
            request = urllib.request.Request(url, headers=headers)
            return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)

        def refused(**headers: str) -> int:
            with pytest.raises(urllib.error.HTTPError) as error:
                opened(f"{address}api/studies", **headers)
            return error.value.code

        known = {"Authorization": f"Bearer {token}"}
        for _ in range(600):
            try:
                told = json.load(opened(f"{address}api/studies", **known))
                break
            except OSError:
                time.sleep(0.1)
        assert refused() == 401
        assert refused(Authorization="Bearer of another start") == 401
        assert refused(Origin="http://127.0.0.1:5000", **known) == 403
        (study,) = told["study_summaries"]
        assert study["study_name"] == "test"
        detail = json.load(opened(f"{address}api/studies/{study['study_id']}?after=0", **known))
        assert detail["objective_names"] == ["val/accuracy"]
    finally:
        serving.terminate()
        serving.wait()
