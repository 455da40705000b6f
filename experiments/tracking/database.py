"""Makes MLflow's SQLite database, whole or not at all.

MLflow makes its tables in dozens of steps; a process killed among them leaves a database that MLflow refuses ever
after (about half of the kills within the second that it takes). So it is made under another name and then renamed.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock

from experiments.tracking.paths import ARTIFACT_ROOT, sqlite_path, sqlite_uri
from seqclf_core.files import make_folder, sync


def prepare_database(uri: str) -> None:
    """Make a SQLite database where the address is of one that does not exist; it imports MLflow only then."""
    path = sqlite_path(uri)
    if path is None or _has_content(path):
        return
    make_folder(path.parent)
    with FileLock(f"{path}.lock"):
        if not _has_content(path):
            new = path.with_name(f"{path.name}.new")
            for left in path.parent.glob(f"{new.name}*"):  # by a killed process; SQLite's own journal is among it
                left.unlink()
            _make(new)
            sync(new)
            new.rename(path)
            sync(path.parent)


def set_damaged_aside(uri: str) -> Path | None:
    """Move a damaged SQLite database away, so that a fresh one can be filled from the journals.

    Returns:
        Where it is now; None if it is whole, locked, not there or no SQLite file.
    """
    path = sqlite_path(uri)
    if path is None or not _has_content(path):
        return None
    with FileLock(f"{path}.lock"):
        if not _is_damaged(path):
            return None
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        path.rename(aside)
        for rest in ("-wal", "-shm"):  # they belong to the old content
            beside = path.with_name(path.name + rest)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + rest))
        sync(path.parent)
    return aside


def remove_stray_folder(uri: str) -> None:
    """Remove the empty folder that MLflow makes for a SQLite file whose address is written with ``%``.

    It takes the address's text for a path, so that beside ``q?x`` there is ``q%3Fx`` each time it connects.
    """
    path, stray = sqlite_path(uri), Path(uri.partition(":///")[2]).parent
    if path and stray != path.parent and "%" in str(stray):
        with suppress(OSError):  # not there, or somebody's own, which is not empty
            stray.rmdir()


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=1)) as database:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.OperationalError:
        return False  # locked, or not to be read: nothing is known of its content
    except sqlite3.DatabaseError:
        return True


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - seconds, once for a RUNS

    for name in ("mlflow.store.db.utils", "alembic"):  # which tell of every step
        logging.getLogger(name).setLevel(logging.WARNING)
    store = SqlAlchemyStore(sqlite_uri(path), ARTIFACT_ROOT)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        # Readers, such as the UI, never wait for a writer. The mode is kept in the file.
        database.execute("PRAGMA journal_mode = WAL")
