"""Names that become paths and queries are checked, and credentials are hidden."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.tracking.paths import RunPaths, mask
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


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:S3CRET@host/path",
        "postgresql+psycopg://ann:S3CRET@host:5432/db",
        "https://S3CRET@host",
        "http://ann:S3CRET@127.0.0.1:5000 did not answer",
        "https://ann:S3C@RET@host/path",
        "https://host/path?token=S3CRET&x=1",
        "https://host/path?x=1&password=S3CRET",
        "two: https://a:S3CRET@b and https://c:S3CRET@d",
    ],
)
def test_credentials_are_masked_and_the_rest_stays(url):
    masked = mask(url)
    assert not {"S3C", "RET", "S3CRET"} & set(masked.replace("@", " ").replace(":", " ").split())
    assert "S3C" not in masked
    assert mask(masked) == masked


@given(text=st.text())
def test_a_text_without_addresses_stays(text):
    if "://" not in text and "?" not in text and "&" not in text:
        assert mask(text) == text
