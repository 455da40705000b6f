"""What is wrong with a team's database is told in a line, and never its password."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from experiments.tracking.servers import check_database, database_url, is_server
from seqclf_core.errors import UserError
from tests.postgres import PASSWORD, PostgreSQL

needs_driver = pytest.mark.skipif(find_spec("psycopg") is None, reason="the extra `team` is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL.started(tmp_path_factory.mktemp("pg")) as started:
        yield started


@needs_driver
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "WRONG"}, r"does not let user 'postgres' in"),
        ({"user": "nobody"}, r"does not let user 'nobody' in"),
        ({"database": "missing"}, r"has no database 'missing': make it \(createdb missing\)"),
        ({"port": 1}, r"nothing answers at 127\.0\.0\.1:1: start the server"),
        ({"host": "no-such-host.invalid"}, r"no host 'no-such-host\.invalid'"),
    ],
)
def test_what_is_wrong_is_told_without_the_password(
    server: PostgreSQL, change: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=told) as raised:
        check_database("Optuna", server.uri(**change))
    assert "Optuna's database" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    assert "WRONG" not in str(raised.value)


@needs_driver
def test_a_right_address_is_taken_however_its_scheme_is_written(server: PostgreSQL) -> None:
    uri = server.uri()
    for scheme in ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        check_database("Optuna", uri.replace("postgresql", scheme, 1))


def test_addresses_of_other_stores_are_left_alone() -> None:
    for uri in ("sqlite:////tmp/optuna.db", "http://localhost:5000", "https://ann:word@tracker.org"):
        assert database_url(uri) == uri
        assert not is_server(uri)
        check_database("MLflow", uri)


@pytest.mark.parametrize("uri", ["postgresql://ann:hush:word@host:port/db", "postgresql://ann:hush@[::1/db"])
def test_an_address_that_cannot_be_read_shows_no_part_of_its_password(uri: str) -> None:
    with pytest.raises(UserError, match="cannot be read: expected postgresql://USER") as raised:
        check_database("Optuna", uri)
    assert "hush" not in str(raised.value)
    assert "word" not in str(raised.value).replace("password", "")
    assert raised.value.__cause__ is None


def test_a_missing_driver_says_what_to_install() -> None:
    script = (
        "import sys\nsys.modules['psycopg'] = None\n"
        "from experiments.tracking.servers import check_database\n"
        "check_database('Optuna', 'postgres://ann:secret@127.0.0.1/optuna')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "needs a driver that is not installed" in last
    assert "requirements-team.lock" in last
    assert "secret" not in done.stderr
