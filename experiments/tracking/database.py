"""Makes MLflow's SQLite database, whole or not at all.

MLflow makes its tables in dozens of steps; a process killed among them leaves a database that MLflow refuses ever
after (about half of the kills within the second that it takes). So it is made under another name and then renamed.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from experiments.tracking.paths import ARTIFACT_ROOT, sqlite_path, sqlite_uri


def prepare_database(uri: str) -> None:
    """Make a SQLite database where the address is of one that does not exist; it imports MLflow only then."""
    path = sqlite_path(uri)
    if path is None or _has_content(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not _has_content(path):
            new = path.with_name(f"{path.name}.new")
            for left in path.parent.glob(f"{new.name}*"):  # by a killed process; SQLite's own journal is among it
                left.unlink()
            _make(new)
            new.rename(path)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for name in ("mlflow.store.db.utils", "alembic"):  # which tell of every step
        logging.getLogger(name).setLevel(logging.WARNING)
    store = SqlAlchemyStore(sqlite_uri(path), ARTIFACT_ROOT)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        # Readers, such as the UI, never wait for a writer. The mode is kept in the file.
        database.execute("PRAGMA journal_mode = WAL")
