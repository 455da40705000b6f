"""Names that become paths and queries are checked, and credentials are hidden."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.tracking.paths import RunPaths, sqlite_path, sqlite_uri
from seqclf_core.errors import UserError


def test_journals_and_work_lie_under_runs(tmp_path):
    paths = RunPaths(tmp_path)
    assert paths.journal("imdb/0007") == tmp_path / "journal" / "imdb" / "0007.jsonl"
    assert paths.work("imdb/0007") == tmp_path / "work" / "imdb" / "0007"


@pytest.mark.parametrize(
    "key",
    ["", "/", "../x", "a/../b", "a//b", "/a", "a/", "a b", "a'b", "a`b", "a\0", "-a", ".a", "a" * 101, "a\n"],
)
def test_a_hostile_key_is_refused(key, tmp_path):
    with pytest.raises(UserError, match="NAME"):
        RunPaths(tmp_path).journal(key)


def test_the_address_given_wins_over_the_environment_over_the_default(tmp_path, monkeypatch):
    paths = RunPaths(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert paths.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert paths.tracking_uri() == "http://tracker:5000"
    assert paths.tracking_uri("http://other") == "http://other"


@pytest.mark.parametrize("name", ["q?x", "pct%20sp", "a#b", "a b", "ü", "50%", "u@h:1", "a?mode=ro&x=1", "~x"])
def test_any_folder_name_makes_an_address_that_leads_back_to_its_file(tmp_path, name):
    paths = RunPaths(tmp_path / name)
    assert sqlite_path(paths.tracking_uri()) == tmp_path / name / "mlflow.db"
    assert sqlite_path(paths.optuna_uri) == tmp_path / name / "optuna.db"


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunPaths(Path("~/x")).runs == tmp_path / "x"
    assert RunPaths(Path("x~")).runs == Path("x~")


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "postgresql://a:b@h/d", "no address", "", "sqlite://", "http://[x"]
)
def test_what_is_no_sqlite_file_has_no_path(uri):
    assert sqlite_path(uri) is None


@given(name=st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1))
def test_every_path_survives_its_address(name):
    assert sqlite_path(sqlite_uri(Path("/tmp") / name)) == Path("/tmp") / name
