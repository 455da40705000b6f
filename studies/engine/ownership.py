"""One scheduler per study: whoever wants to write a study's trials owns it meanwhile.

Under one RUNS the owner holds a lock on a file. Where the study lies in a PostgreSQL database, which several RUNS
and machines may share, the owner also holds a lock there, for as long as its connection lives. Both kinds of lock
go with the process, however it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from experiments.tracking.paths import RunPaths
from experiments.tracking.servers import check_database, database_url
from seqclf_core.errors import NO_LOCKS, UserError
from seqclf_core.files import make_folder
from seqclf_core.masking import mask

APPLICATION = "seqclf"
"""Begins the name that PostgreSQL shows of an owner's connection; who owns it stands behind."""


@contextmanager
def owned(paths: RunPaths, name: str, storage: str = "") -> Iterator[None]:
    """Be the one owner of a study for a while.

    Args:
        paths: the folder with all that is recorded.
        name: of the study.
        storage: address of Optuna's database, where the study is locked, too, if others can reach it.

    Raises:
        UserError: if another process is its owner; says which, and since when.
    """
    folder = paths.work(name)
    note = folder / "owner.json"
    try:
        make_folder(folder)
        lock = FileLock(folder / "owner.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UserError(_refusal(name, _whoever(note))) from error
    except OSError as error:
        reason = "cannot be written" if error.errno not in NO_LOCKS else "is on a file system that has no locks"
        raise UserError(f"{folder} {reason} ({error.strerror}). RUNS=... names another folder.") from error
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    try:
        note.write_text(json.dumps({"process": os.getpid(), "host": os.uname().nodename, "since": since}))
        with _locked_in_database(storage, name, since):
            yield
    finally:
        lock.release()


@contextmanager
def _locked_in_database(storage: str, name: str, since: str) -> Iterator[None]:
    """Hold a study's lock in PostgreSQL; do nothing for other databases, which one machine has for itself."""
    check_database("Optuna", storage)
    url = make_url(database_url(storage)) if storage else None
    if url is None or url.get_backend_name() != "postgresql":
        yield
        return
    number = int.from_bytes(hashlib.sha256(f"{APPLICATION}/{name}".encode()).digest()[:8], "big", signed=True)
    owner = f"{APPLICATION} {os.getpid()} {os.uname().nodename[:20]} {since.removesuffix(' UTC')}"[:63]
    try:
        engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1)
        connection = engine.connect()
        connection.execute(text("select set_config('application_name', :owner, false)"), {"owner": owner})
        locked = connection.execute(text("select pg_try_advisory_lock(:number)"), {"number": number}).scalar()
        held_by = None if locked else connection.execute(text(_HOLDER), {"number": number}).scalar()
    except SQLAlchemyError as error:
        said = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"Optuna's database cannot be reached: {mask(said)}. Start it or correct its address, and run "
            "the same command again."
        ) from error
    try:
        if not locked:
            raise UserError(_refusal(name, _from_application(held_by)))
        yield
    finally:
        with suppress(SQLAlchemyError):  # a server that has gone holds no lock
            connection.close()
            engine.dispose()


_HOLDER = """
select activity.application_name from pg_locks locks join pg_stat_activity activity using (pid)
where locks.locktype = 'advisory' and locks.granted
  and ((locks.classid::bigint << 32) | locks.objid::bigint) = :number
"""


def _from_application(shown: object) -> str:
    words = str(shown or "").split(" ", 3)
    if len(words) == 4 and words[0] == APPLICATION:
        return f"process {words[1]} on {words[2]} since {words[3]} UTC"
    return "another process, since a moment ago"


def _refusal(name: str, owner: str) -> str:
    return f"The study {name!r} is being run by {owner}. Wait for it, or choose another NAME."


def _whoever(note: Path) -> str:
    """Say who owns a study by its note, which may be cut: by a full disk, or as it is just being written."""
    try:
        owner = json.loads(note.read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, since a moment ago"
