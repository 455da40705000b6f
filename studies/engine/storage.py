"""A study in Optuna's database: opened for one owner, and refused if it would mix what cannot be compared."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from experiments.tracking import names
from experiments.tracking.paths import sqlite_path, sqlite_uri
from experiments.tracking.plan import StudyPlan, new_uid
from experiments.tracking.servers import check_database, database_url
from seqclf_core.errors import UserError
from seqclf_core.events import DataSummary
from seqclf_core.files import make_folder, sync
from studies.study import Planned, Study

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
IDENTITY = "identity"
"""Attribute of a study: what must stay the same for its trials to be comparable."""
PLAN = "plan"
"""Attribute of a study: what it set out to do, as JSON, with its uid and seed."""
PLANNED = "planned"
"""User attribute of a trial that was planned: its name."""
REPEATS = "repeats"
"""User attribute of a trial that repeats others on another seed: what it repeats."""
VAL_LOSS = "val_loss"
"""User attribute of a complete trial: its validation loss at the kept evaluation."""
RETRIES = 3


def open_storage(uri: str) -> RDBStorage:
    """Open Optuna's database, made where there is none; on SQLite, several studies may write at once.

    Raises:
        UserError: if the database cannot be opened.
    """
    check_database("Optuna", uri)
    sqlite = sqlite_path(uri)
    try:
        if sqlite:
            _make(sqlite)
        storage = RDBStorage(database_url(uri), engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else {})
    except Exception as error:
        raise UserError(
            f"Optuna's database cannot be opened: {_reason(error)}. Mend that, such as by making room there, "
            "and run the same command again."
        ) from error
    if sqlite:
        _write_durably(storage.engine)
    return storage


def _make(path: Path) -> None:
    """Make a SQLite database whole or not at all: a kill amid its dozens of statements would leave it unusable."""
    if path.exists() and path.stat().st_size > 0:
        return
    make_folder(path.parent)
    with FileLock(f"{path}.lock"):
        if path.exists() and path.stat().st_size > 0:
            return
        new = path.with_name(f"{path.name}.new")
        for leftover in path.parent.glob(f"{new.name}*"):
            leftover.unlink()
        RDBStorage(sqlite_uri(new)).engine.dispose()
        with closing(sqlite3.connect(new)) as database:
            database.execute("PRAGMA journal_mode = WAL")  # reports never wait for the owner
        sync(new)
        new.rename(path)
        sync(path.parent)


def _write_durably(engine: Engine) -> None:
    """Let SQLite take its write lock when a transaction begins, and bring every one that ends onto the disk.

    Else a writer could fail halfway, where it would only have to wait; and where somebody built SQLite to be fast,
    a power cut could take back what Optuna was told.
    """

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def explained() -> Iterator[None]:
    """Tell in a line what is wrong with a database that cannot be written: a full disk, or a lock held too long.

    Raises:
        UserError: in place of what Optuna or SQLAlchemy raise.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(
            f"Optuna's database cannot be written: {_reason(error)}. Nothing that was finished is lost. Make "
            "room, or end whatever holds it, and run the same command again."
        ) from error


def _reason(error: BaseException) -> str:
    """Return what the database itself said, without the statement and the links that SQLAlchemy adds."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return (str(getattr(cause, "orig", None) or cause).splitlines() or [type(cause).__name__])[0]


def identity(study: Study, data: DataSummary) -> dict[str, object]:
    """Return what must stay the same for trials to be comparable: search space, base settings and data."""
    space = study.space()
    base = {
        name: value
        for name, value in study.base.flat().items()
        if name not in space and name not in ("data.source", "train.device")
    }
    return {
        "space": space,
        "base": base,
        "data": data.digest,
        "data_scope": data.data_scope,
        "subject": study.subject,
        "seed": study.seed,
    }


def open_study(storage: RDBStorage, name: str, study: Study, data: DataSummary) -> optuna.Study:
    """Return the study under this name, created with its first trials where there is none.

    Raises:
        UserError: if it exists with another search space, base settings or data; says what differs.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=study.pruner
    )
    wanted = identity(study, data)
    known = opened.user_attrs.get(IDENTITY)
    if known is None:
        plan = study.whole_plan(new_uid(), data.digest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            opened.set_metric_names([names.VAL_ACCURACY])  # what a dashboard calls the value
        opened.set_user_attr(PLAN, plan.model_dump_json(exclude_defaults=True))
        opened.set_user_attr(IDENTITY, wanted)  # the last one: before it, a kill leaves a study that is made again
    elif known != wanted:
        raise UserError(
            f"The study {name!r} exists and was made with other settings, so that its trials cannot be compared "
            f"with new ones: {'; '.join(_differences(known, wanted))}. Choose another NAME, or go back to these."
        )
    if not study.fixed_trials:  # the trials of a list are enqueued one by one, as slots get free
        for planned, left in tries_left(opened.get_trials(deepcopy=False), study):
            if left:
                enqueue_planned(opened, planned)
    return opened


def plan_of(opened: optuna.Study) -> StudyPlan:
    """Return what a study set out to do, as it was written when the study was created."""
    return StudyPlan.model_validate_json(opened.user_attrs[PLAN])


def stored_seed(storage: RDBStorage, name: str) -> int | None:
    """Return the seed of the study of this name; None where there is none yet."""
    if name not in optuna.get_all_study_names(storage):
        return None
    known = optuna.load_study(study_name=name, storage=storage).user_attrs
    return StudyPlan.model_validate_json(known[PLAN]).seed if IDENTITY in known else None


def tries_left(trials: Iterable[FrozenTrial], study: Study) -> Iterator[tuple[Planned, int]]:
    """Yield each planned trial, and how often it may still be tried: 0 where it is there already.

    In a list, a trial that failed is planned again, up to ``RETRIES`` times in all: what fails there is the
    machine, since a loss that diverges is an outcome and no failure.
    """
    known: dict[str, list[TrialState]] = {}
    for trial in trials:
        if PLANNED in trial.user_attrs:
            known.setdefault(trial.user_attrs[PLANNED], []).append(trial.state)
    for planned in study.planned:
        states = known.get(planned.name, [])
        again = study.fixed_trials and set(states) <= {TrialState.FAIL}
        yield planned, (RETRIES - len(states) if again else int(not states))


def enqueue_planned(opened: optuna.Study, planned: Planned) -> None:
    """Let Optuna take up a planned trial next."""
    known_by = {PLANNED: planned.name, **({REPEATS: planned.repeats} if planned.repeats else {})}
    opened.enqueue_trial(dict(planned.settings), user_attrs=known_by)


def count_done(storage: RDBStorage, name: str) -> int:
    """Return how many trials of a study are finished or pruned, without reading them; 0 where there is none."""
    query = text(
        "select count(*) from trials join studies using (study_id) "
        "where study_name = :name and state in ('COMPLETE', 'PRUNED')"
    )
    with storage.engine.connect() as connection:
        return int(connection.execute(query, {"name": name}).scalar() or 0)


def _differences(known: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    found = []
    for part in ("base", "space"):
        for name in sorted(known[part].keys() | wanted[part].keys()):
            before, after = known[part].get(name, "absent"), wanted[part].get(name, "absent")
            if before != after:
                found.append(f"{name} was {_short(before)}, is {_short(after)}")
    named = {"data": "data", "data_scope": "data_scope", "subject": "subject", "seed": "the study's seed"}
    changed = [part for part in named if known.get(part) != wanted[part]]
    return found + [f"{named[part]} was {_short(known.get(part))}, is {_short(wanted[part])}" for part in changed]


def _short(value: object) -> str:
    text = str(value)
    if text.startswith("{"):
        return json.dumps(json.loads(text)["attributes"])
    return text if len(text) <= 24 else text[:12] + "..."


def trial_seed(seed: int, number: int) -> int:
    """Return the sampler's seed for one trial: a pure function of the study's seed and the trial's number."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
