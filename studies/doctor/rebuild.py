"""Optuna's study made again of its journals, where the database was lost: its plan, its trials and their scores.

A trial that had not ended waits for the next owner, who continues it from its checkpoint.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from experiments.tracking import journal, names
from experiments.tracking.journal import Closed, Entry, Happened, Header, JournalError
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan
from seqclf_core.errors import UserError
from seqclf_core.events import Finished, Progress
from studies.engine.storage import IDENTITY, PLAN, PLANNED, REPEATS, VAL_LOSS, open_storage

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def unreadable_database(file: Path) -> str:
    """Return why a file cannot be read as a SQLite database; nothing where it can, or where there is none yet."""
    if not file.exists() or file.stat().st_size == 0:
        return ""
    try:
        with closing(sqlite3.connect(f"file:{file.absolute()}?mode=ro".replace("%", "%25"), uri=True)) as database:
            [said] = database.execute("pragma quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return ""  # locked, or not to be opened: whoever opens it says so
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if said == "ok" else str(said).splitlines()[0]


def set_aside(path: Path) -> None:
    """Give a damaged file another name; what a SQLite file keeps beside it goes with it."""
    for beside in (path, *path.parent.glob(f"{path.name}-wal"), *path.parent.glob(f"{path.name}-shm")):
        beside.replace(beside.with_name(f"{beside.name}.damaged"))


def recorded_trials(paths: RunPaths, name: str) -> tuple[int, StudyPlan | None]:
    """Return how many trials of a study have a journal, and the study's plan; None where that is gone."""
    return len(_trials(paths, name)), StudyPlan.from_tags(header.tags) if (header := _study(paths, name)) else None


def rebuild(paths: RunPaths, storage: str, name: str) -> None:
    """Make a study again of its journals; whoever asks owns it.

    Journals and folders keep their keys. Where the numbers have a gap, a failed trial fills it, so that every
    trial has the number that its journal has.

    Raises:
        UserError: if the study's own journal cannot be read or holds no plan.
    """
    header = _study(paths, name)
    plan = StudyPlan.from_tags(header.tags) if header else None
    if header is None or plan is None:
        raise UserError(
            f"{paths.journal(paths.study_key(name))} holds no plan of the study, so that its "
            "database cannot be rebuilt. Restore the file"
        )
    space = {setting: json_to_distribution(text) for setting, text in plan.searched.items()}
    study = optuna.create_study(
        storage=open_storage(storage), study_name=name, direction="maximize", load_if_exists=True
    )
    done = len(study.get_trials(deepcopy=False))  # a kill amid this goes on here
    trials = _trials(paths, name)
    for number in range(done, max(trials, default=-1) + 1):
        study.add_trial(
            _frozen(trials[number], space)
            if number in trials
            else create_trial(state=TrialState.FAIL, user_attrs={"reason": "its journal was lost, as Optuna was"})
        )
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    base = {
        setting: value
        for setting, value in header.params.items()
        if setting not in space and setting not in ("data.source", "train.device")
    }
    identity = {
        "space": plan.searched, "base": base, "data": plan.data, "data_scope": header.tags[names.DATA_SCOPE],
        "subject": plan.subject, "seed": plan.seed,
    }  # fmt: skip
    study.set_user_attr(PLAN, header.tags[names.PLAN])
    study.set_user_attr(IDENTITY, json.loads(json.dumps(identity)))


def _frozen(entries: list[Entry], space: dict[str, BaseDistribution]) -> FrozenTrial:
    """Return a trial as Optuna had it; one that has not ended is running."""
    header, last = journal.opened(entries).header, entries[-1]
    events = [entry.event for entry in entries if isinstance(entry, Happened)]
    values = {event.evaluation: event.metrics["val/accuracy"] for event in events if isinstance(event, Progress)}
    end = next((event for event in reversed(events) if isinstance(event, Finished)), None)
    state = STATES[last.outcome] if isinstance(last, Closed) else TrialState.RUNNING
    attributes: dict[str, object] = {}
    if isinstance(last, Closed) and last.reason:
        attributes["reason"] = last.reason
    if planned := header.tags.get(names.PLANNED):
        attributes[PLANNED] = planned
    if repeats := header.tags.get(names.FINALIST):
        attributes[REPEATS] = repeats
    value = None
    if state == TrialState.COMPLETE and end is not None:
        attributes[VAL_LOSS], value = end.metrics["best/val_loss"], end.metrics["best/val_accuracy"]
    elif state == TrialState.PRUNED:
        value = values[max(values)] if values else None
    return create_trial(
        state=state,
        value=value,
        params={setting: header.params[setting] for setting in space},
        distributions=space,
        intermediate_values=values,
        user_attrs=attributes,
    )


def _study(paths: RunPaths, name: str) -> Header | None:
    try:
        entries = journal.read(paths.journal(paths.study_key(name)))
        return journal.opened(entries).header if entries else None
    except JournalError:
        return None


def _trials(paths: RunPaths, name: str) -> dict[int, list[Entry]]:
    """Return the readable journals of a study's trials by number."""
    found = {}
    for path in paths.journals_of(name):
        if path.stem.isdecimal():
            try:
                entries = journal.read(path)
            except JournalError:
                continue
            if entries:
                found[int(path.stem)] = entries
    return found
