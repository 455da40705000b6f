"""What MLflow holds about our runs, as plain tables: by SQL where the tracker is a database, else over HTTP.

SQL reads 120,000 points in a third of a second and needs no import of mlflow, which alone takes seconds. SQLite
is opened read-only, so that a report can neither create a database nor keep a study from writing.
Only runs that carry our tag ``seqclf.key`` are seen: a shared server may hold those of others.
"""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import pandas as pd
from sqlalchemy import Connection, bindparam, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from experiments.tracking import names
from experiments.tracking.paths import sqlite_path
from seqclf_core.errors import UserError

RUN_COLUMNS = ["run_id", "study", "experiment_id", "name", "status", "start", "end", "artifacts"]
PAIR_COLUMNS = ["run_id", "key", "value"]
POINT_COLUMNS = ["run_id", "key", "step", "value"]
CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
SQLITE_WAIT = 30.0  # seconds to wait for a writer that holds the lock
IN_AT_ONCE = 500  # bound values in one statement; databases allow some thousands
ROWS_AT_ONCE = 50_000  # that are there as Python's values, which take ten times the room of a table


@dataclass(frozen=True)
class Recorded:
    """Everything about some runs but their metric histories; each table is keyed by MLflow's ``run_id``."""

    runs: pd.DataFrame
    """``RUN_COLUMNS``; start and end in milliseconds since 1970 UTC."""
    params: pd.DataFrame
    """``PAIR_COLUMNS``; values are text."""
    tags: pd.DataFrame
    """``PAIR_COLUMNS``; values are text."""
    latest: pd.DataFrame
    """``PAIR_COLUMNS``: each metric's last value."""


class Tracking(Protocol):
    """Where runs were recorded."""

    def recorded(self, study: str | None, key: str | None = None) -> Recorded:
        """Return the runs of one study, or of all; of one with a key alone, at least that one."""

    def known(self, study: str | None) -> tuple[dict[str, str], pd.Series[str]]:
        """Return MLflow's run id -> our key, and the names of the metrics, of the runs of one study, or of all."""

    def history(self, run_ids: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
        """Return every point of these metrics in these runs: ``POINT_COLUMNS``."""


def nothing() -> Recorded:
    """Return the tables of no runs."""
    return Recorded(
        runs=pd.DataFrame(columns=RUN_COLUMNS),
        params=pd.DataFrame(columns=PAIR_COLUMNS),
        tags=pd.DataFrame(columns=PAIR_COLUMNS),
        latest=pd.DataFrame(columns=PAIR_COLUMNS),
    )


def connect(uri: str) -> Tracking:
    """Choose the reader for a tracking URI.

    Raises:
        UserError: if it is neither a database URL nor http(s), or that of a file in a folder that is not there.
    """
    if uri.startswith(("http://", "https://")):
        # Read when mlflow is imported: a server that is away must not hold a report for four minutes of retries.
        for name, value in CLIENT_SETTINGS.items():
            os.environ.setdefault(name, value)
        from reports.records.server import ServerTracking  # noqa: PLC0415 - MLflow, which reads the above

        return ServerTracking(uri)
    if "://" in uri and not uri.startswith("file:"):
        check_folder(uri)
        return DatabaseTracking(uri)
    raise UserError(
        f"The tracking URI {uri!r} cannot be read. Expected a database such as sqlite:///runs/mlflow.db or "
        "postgresql+psycopg2://..., or an MLflow server such as http://127.0.0.1:5000. MLflow's folders of files "
        "(./mlruns) are not read: give --runs or --tracking-uri."
    )


def shown(url: str) -> str:
    """Return a URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


def address(uri: str) -> str:
    """Return where a browser finds the UI of an MLflow server, without credentials; empty for a database."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Turn what goes wrong while a database is read into an error for the user."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"The database {shown(url)} cannot be read: {reason}. Expected one that MLflow or Optuna wrote; name "
            "another with --tracking-uri or --storage, or another folder with --runs."
        ) from error


def for_reading(url: str) -> tuple[str, dict[str, Any]]:
    """Return what SQLAlchemy opens a database with: SQLite in a mode that can neither write nor create a file."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url, {}
    path = Path(parsed.database or "").resolve()

    def open_file() -> sqlite3.Connection:
        with _openable(path) as (file, mode):
            uri = f"file:{quote(str(file))}?{mode}"
            connection = sqlite3.connect(uri, uri=True, timeout=SQLITE_WAIT, check_same_thread=False)
            connection.execute("SELECT count(*) FROM sqlite_schema")  # opens the files, of which a copy may go
            return connection

    return "sqlite://", {"creator": open_file}


@contextmanager
def _openable(path: Path) -> Iterator[tuple[Path, str]]:
    """Give the file and mode that SQLite can read a database with.

    Where it may not write to the folder, it needs the file of shared memory that a process at work keeps there.
    Without one nobody is at work: the file is then read as it is, and if it was left with changes beside it, as
    after a power cut, a copy of both.
    """
    log = path.with_name(f"{path.name}-wal")
    if os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-shm").exists():
        yield path, "mode=ro"
    elif not log.exists() or not log.stat().st_size:
        yield path, "mode=ro&immutable=1"
    else:
        with tempfile.TemporaryDirectory() as folder:
            for file in (path, log):
                shutil.copyfile(file, Path(folder) / file.name)
            yield Path(folder) / path.name, "mode=ro"


def check_folder(url: str) -> None:
    """Refuse a SQLite file in a folder that is not there: a typing error, and not a study without runs.

    Raises:
        UserError: if there is no such folder.
    """
    file = sqlite_path(url)
    if file and not file.parent.is_dir():
        raise UserError(
            f"{file.parent}: there is no such folder, so nothing is recorded there. Name the folder of the runs, "
            "such as --runs runs, or in Python frames.Stores.under('runs')."
        )


def has_table(url: str, name: str) -> bool:
    """Return whether a database has this table; False where it is an SQLite file that is not there yet."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return False
    plain, options = for_reading(url)
    engine = create_engine(plain, **options)
    try:
        return inspect(engine).has_table(name)
    finally:
        engine.dispose()


def _table(connection: Connection, sql: str, values: dict[str, Any]) -> pd.DataFrame:
    """Return what a statement selects, read in pieces; meanwhile no cycles are searched for, which rows have not.

    Of 10,000 runs these are a million rows, among which the collector would search again and again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        pieces = list(pd.read_sql(text(sql), connection, params=values, chunksize=ROWS_AT_ONCE))
    finally:
        if collecting:
            gc.enable()
    return pieces[0] if len(pieces) == 1 else pd.concat(pieces, ignore_index=True)


class DatabaseTracking:
    """MLflow's own tables, read by SQL. The tables' shape is that of MLflow 3."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def _connection(self) -> Iterator[Connection | None]:
        """Give a connection, or None where the store or its tables are not made yet."""
        with readable(self.url):
            if not has_table(self.url, "latest_metrics"):
                yield None
                return
            plain, options = for_reading(self.url)
            engine = create_engine(plain, **options)
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()

    def recorded(self, study: str | None, key: str | None = None) -> Recorded:
        """Return the runs of one study, or of all; or the one with a key alone."""
        ours = """
            FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
            JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = :tag
            WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
            AND (CAST(:study AS VARCHAR) IS NULL OR e.name = :study)
            AND (CAST(:run AS VARCHAR) IS NULL OR k.value = :run)
        """
        chosen = f"WHERE x.run_uuid IN (SELECT r.run_uuid {ours})"
        statements = {
            "runs": f"""SELECT r.run_uuid AS run_id, e.name AS study, r.experiment_id, r.name, r.status,
                r.start_time AS start, r.end_time AS "end", r.artifact_uri AS artifacts {ours}
                ORDER BY r.start_time, r.run_uuid""",
            "params": f"SELECT x.run_uuid AS run_id, x.key, x.value FROM params x {chosen}",
            "tags": f"SELECT x.run_uuid AS run_id, x.key, x.value FROM tags x {chosen}",
            "latest": f"""SELECT x.run_uuid AS run_id, x.key,
                CASE WHEN x.is_nan THEN NULL ELSE x.value END AS value FROM latest_metrics x {chosen}""",
        }
        with self._connection() as connection:
            if connection is None:
                return nothing()
            values = {"tag": names.KEY, "study": study, "run": key}
            tables = {name: _table(connection, sql, values) for name, sql in statements.items()}
        return Recorded(**tables)

    def known(self, study: str | None) -> tuple[dict[str, str], pd.Series[str]]:
        """Return MLflow's run id -> our key, and the names of the metrics, of the runs of one study, or of all."""
        ours = """FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
            JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = :tag
            WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
            AND (CAST(:study AS VARCHAR) IS NULL OR e.name = :study)"""
        measured = f"SELECT DISTINCT key FROM latest_metrics WHERE run_uuid IN (SELECT r.run_uuid {ours})"
        values = {"tag": names.KEY, "study": study}
        with self._connection() as connection:
            if connection is None:
                return {}, pd.Series([], dtype="str")
            runs = connection.execute(text(f"SELECT r.run_uuid, k.value {ours}"), values).all()
            metrics = pd.read_sql(text(measured), connection, params=values)["key"]
            return {row[0]: row[1] for row in runs}, metrics

    def history(self, run_ids: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
        """Return every point of these metrics in these runs: ``POINT_COLUMNS``."""
        statement = text(
            """SELECT run_uuid AS run_id, key, step, CASE WHEN is_nan THEN NULL ELSE value END AS value
            FROM metrics WHERE run_uuid IN :runs AND key IN :keys ORDER BY run_uuid, step"""
        ).bindparams(bindparam("runs", expanding=True), bindparam("keys", expanding=True))
        pieces = [pd.DataFrame(columns=POINT_COLUMNS)]
        with self._connection() as connection:
            if connection is not None:
                for start in range(0, len(run_ids), IN_AT_ONCE):
                    values = {"runs": list(run_ids[start : start + IN_AT_ONCE]), "keys": list(metrics)}
                    pieces.append(pd.read_sql(statement, connection, params=values))
        full = [piece for piece in pieces if len(piece)]
        return pd.concat(full, ignore_index=True) if full else pieces[0]
