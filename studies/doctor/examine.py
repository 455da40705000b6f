"""The doctor: compares Optuna and MLflow with the journals, and folders with what they should hold.

After any crash the next ``make study`` puts its study in order by itself. This is for what it cannot see: files
that were cut or removed from outside, a run deleted in MLflow, a database that was lost or brought back from an
older copy. Three rules: the journals are right about what happened in a run, and Optuna about how a trial ended,
since it is told first; what belongs to somebody else is named and not touched; what is intact is never removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from experiments.tracking import journal, names
from experiments.tracking.clock import Clock
from experiments.tracking.journal import Closed, Entry, Happened, Journal, JournalError
from experiments.tracking.paths import RunPaths, sqlite_path
from experiments.tracking.plan import StudyPlan
from experiments.tracking.recorder import Recorder
from seqclf_core.data.cache import damaged
from seqclf_core.errors import SavedError, UserError
from seqclf_core.events import EVENT, Event
from seqclf_core.training.checkpoint import read_tensors
from studies.doctor.compare_mlflow import compare_with_mlflow
from studies.doctor.findings import Diagnosis, Finding
from studies.doctor.rebuild import rebuild, recorded_trials, set_aside, unreadable_database
from studies.doctor.run_files import check_files
from studies.engine.cleanup import OUTCOMES, close, leftovers, remove, superseded, trial_key
from studies.engine.ownership import owned
from studies.engine.storage import PLAN, open_storage


def examine(paths: RunPaths, storage: str, tracking_uri: str, fix: bool = False) -> Diagnosis:
    """Compare all stores under RUNS, and repair what disagrees if that was asked for.

    Args:
        paths: the folder with all that is recorded.
        storage: address of Optuna's database.
        tracking_uri: address of MLflow.
        fix: whether to repair.

    Raises:
        UserError: if there is nothing to compare, or Optuna's database cannot be opened.
    """
    if not paths.runs.is_dir():
        raise UserError(f"{paths.runs}: nothing has been recorded there. RUNS=... names another folder.")
    diagnosis, busy = Diagnosis(fix), set()
    with ExitStack() as held:
        if (paths.cache / "corpus").exists():
            try:
                with FileLock(paths.cache / "corpus" / "lock", timeout=0):
                    diagnosis.go_through(compare_cache(paths))
            except Timeout:
                print("Data is being encoded right now; the cache is not looked at.")
        diagnosis.go_through(lost_database(paths, storage))
        studies, uids = open_studies(storage), recorded_uids(paths)
        for name, uid in uids.items():
            try:
                held.enter_context(owned(paths, name, storage))
            except UserError as error:
                print(f"{error} It is not looked at.")
                busy.add(name)
                continue
            study = studies.get(name)
            if study is None:
                diagnosis.go_through(lost_study(paths, storage, name))
            elif _uid(study) == uid:
                diagnosis.go_through(compare_study(study, paths, tracking_uri))
            else:
                diagnosis.go_through([_somebody_elses(paths, name)])
        for name in studies.keys() - uids.keys():
            if study_is_empty(studies[name]) or _uid(studies[name]) is None:
                continue  # it was only just created: the next start resumes it
            print(f"The study {name!r} in Optuna's database has no journal here: it is not looked at.")
        diagnosis.go_through(compare_with_mlflow(paths, tracking_uri, frozenset(busy)))
    return diagnosis


# -- The cache ---------------------------------------------------------------------------------------------------


def compare_cache(paths: RunPaths) -> list[Finding]:
    """Return what is of no use in the cache of encoded data."""
    return [
        Finding(
            f"{path}: this is not whole, and is made anew when it is needed.",
            lambda path=path: shutil.rmtree(path) if path.is_dir() else path.unlink(),  # type: ignore[misc]
        )
        for path in damaged(paths.cache)
    ]


# -- Optuna ------------------------------------------------------------------------------------------------------


def lost_database(paths: RunPaths, storage: str) -> list[Finding]:
    """Return whether Optuna's database can no longer be read; each study is then rebuilt of its journals."""
    file = sqlite_path(storage)
    if file is None or not (problem := unreadable_database(file)):
        return []
    what = f"{file} cannot be read as a database ({problem}). It is set aside, and made again of the journals."
    return [Finding(what, partial(set_aside, file))]


def lost_study(paths: RunPaths, storage: str, name: str) -> list[Finding]:
    """Return that Optuna does not know a study, and how many trials its journals give back."""
    count, plan = recorded_trials(paths, name)
    what = f"{name}: its journals are here, and Optuna knows no such study: the database was lost or replaced. "
    if plan is None:
        return [
            Finding(what + "Its own journal holds no plan: bring the database back, or move the journals away.")
        ]
    what += f"{count} trials can be rebuilt."
    return [Finding(what, partial(rebuild, paths, storage, name))]


def open_studies(uri: str) -> dict[str, optuna.Study]:
    """Return the studies in Optuna's database by name; none where there is no database, or none to be read."""
    file = sqlite_path(uri)
    if file and (not file.exists() or file.stat().st_size == 0 or unreadable_database(file)):
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(uri)
    known = sorted(optuna.get_all_study_names(storage))
    return {name: optuna.load_study(study_name=name, storage=storage) for name in known}


def recorded_uids(paths: RunPaths) -> dict[str, str | None]:
    """Return the studies that have a journal here, with the uid in it; None where it cannot be read."""
    found: dict[str, str | None] = {}
    for path in paths.study_journals():
        entries, _ = _read(path)
        found[path.parent.name] = journal.opened(entries).header.tags.get(names.UID) if entries else None
    for folder in sorted(path for path in paths.journals.glob("*") if path.is_dir()):
        trials = [path for path in folder.glob("*.jsonl") if path.stem.isdecimal()]
        entries = next((read for path in sorted(trials) if (read := _read(path)[0])), [])
        if entries and (header := journal.opened(entries).header).role == "trial" and folder.name not in found:
            found[folder.name] = header.tags.get(names.UID)  # the study's own journal is gone
    return found


def _uid(study: optuna.Study) -> str | None:
    text = study.user_attrs.get(PLAN)
    return StudyPlan.model_validate_json(text).uid if text else None


def study_is_empty(study: optuna.Study) -> bool:
    """Whether a study has no trials yet."""
    return not study.get_trials(deepcopy=False)


def _somebody_elses(paths: RunPaths, name: str) -> Finding:
    return Finding(
        f"{name}: Optuna's study of this name is not the one whose journals are here: somebody else's, or made "
        f"again after these. Nothing of it is touched. Use another NAME, or move {paths.journals / name} away."
    )


def compare_study(opened: optuna.Study, paths: RunPaths, tracking_uri: str) -> Iterator[Finding]:
    """Yield where a study's journals and folders differ from what Optuna knows. Whoever asks owns the study."""
    name = opened.study_name
    trials = opened.get_trials(deepcopy=False)
    for trial in trials:
        key = trial_key(name, trial.number)
        if trial.state.is_finished():
            yield from _ended(name, key, trial, paths, tracking_uri)
        else:
            yield from _open(key, opened, trial, paths)
    for trial in superseded(trials):
        folder = paths.work(trial_key(name, trial.number)) / "model"
        if folder.exists():
            what = f"{trial_key(name, trial.number)}: it is not among the best, and its weights are still there."
            yield Finding(what, partial(remove, folder))
    yield from _strays(name, {trial_key(name, trial.number) for trial in trials}, paths)


def _open(key: str, opened: optuna.Study, trial: FrozenTrial, paths: RunPaths) -> Iterator[Finding]:
    """Look at a trial that has not ended."""
    if trial.state == TrialState.RUNNING:
        # The next owner resumes a trial that waits as one that runs: same settings, same checkpoint.
        back = partial(opened._storage.set_trial_state_values, trial._trial_id, TrialState.WAITING)
        yield Finding(f"{key}: Optuna says that it is running, and nobody works on it.", back)
    path = paths.journal(key)
    entries, damage = _read(path)
    if damage:
        yield Finding(f"{damage} The run is not over, and will be recorded anew.", partial(set_aside, path))
    elif entries and isinstance(entries[-1], Closed):
        yield Finding(f"{key}: its journal is closed, and Optuna knows of no end.", partial(_reopen, path))
    checkpoint = paths.work(key) / "checkpoint.safetensors"
    if checkpoint.exists() and (problem := _problem(read_tensors, checkpoint)):
        yield Finding(f"{key}: it will start from the beginning, since {problem}.", checkpoint.unlink)


def _ended(name: str, key: str, trial: FrozenTrial, paths: RunPaths, tracking_uri: str) -> Iterator[Finding]:
    """Look at a trial that has ended."""
    path, wanted = paths.journal(key), OUTCOMES[trial.state]
    entries, damage = _read(path)
    last = entries[-1] if entries else None
    again = partial(_record_again, name, key, trial, paths)
    if damage:
        yield Finding(f"{damage} It is set aside and made again of what else is known.", again)
    elif last is None:
        yield Finding(f"{key}: Optuna says {wanted}, and there is no journal of it.", again)
    elif not isinstance(last, Closed):
        yield Finding(f"{key}: Optuna says {wanted}, and its journal is not closed.", again)
    elif last.outcome != wanted:
        yield Finding(f"{key}: Optuna says {wanted}, its journal says {last.outcome}.", again)

    folder = paths.work(key)
    if trial.state != TrialState.COMPLETE:
        if folder.exists():
            yield Finding(f"{key}: it is {wanted}, and its folder is still there.", partial(remove, folder))
        return
    if left := leftovers(folder):
        what = f"{key}: it has ended, and {', '.join(each.name for each in left)} is still there."
        yield Finding(what, partial(remove, *left))
    events = [entry.event for entry in entries if isinstance(entry, Happened)]
    yield from check_files(key, events, paths, tracking_uri)


def _strays(name: str, keys: set[str], paths: RunPaths) -> Iterator[Finding]:
    """Look at what stands under a study's name and belongs to none of its trials."""
    journals = {f"{name}/{path.stem}" for path in paths.journals_of(name)} - {paths.study_key(name)}
    for key in sorted(journals - keys):
        yield Finding(
            f"{key}: here is a journal, and Optuna knows no such trial. Bring Optuna's database back, or move "
            f"{paths.journal(key)} away."
        )
    folders = {f"{name}/{path.name}" for path in paths.work(name).glob("*") if path.is_dir()}
    for key in sorted(folders - keys - journals):
        yield Finding(f"{key}: here is a folder that belongs to no run.", partial(remove, paths.work(key)))


def _record_again(name: str, key: str, trial: FrozenTrial, paths: RunPaths) -> None:
    """Give an ended trial a journal that says so: with the events in its folder and the end that Optuna knows."""
    path = paths.journal(key)
    if _read(path)[1]:
        set_aside(path)
    if not journal.read(path):
        study = _read(paths.journal(paths.study_key(name)))[0]
        if not study:
            raise UserError(
                f"the study's own journal is gone, too: {paths.journal(paths.study_key(name))}. Restore it "
                "from a backup"
            )
        about = journal.opened(study).header
        params = {**about.params, **trial.params}
        shared = {tag: value for tag, value in about.tags.items() if tag not in (names.PLAN, names.QUESTION)}
        header = about.model_copy(
            update={
                "key": key,
                "name": key.rpartition("/")[2],
                "role": "trial",
                "parent": about.key,
                "params": params,
                "tags": {**shared, names.STUDY: name, names.TRIAL: str(trial.number)},
            }
        )
        with Recorder.open(path, header, Clock()):
            pass
    with Recorder(Journal(path, Clock())) as recorder:
        if recorder.closed and recorder.closed.outcome != OUTCOMES[trial.state]:
            recorder.reopen()
        for event in _events(paths.work(key)):
            recorder.record(event)
        close(paths, name, trial, recorder)


def _events(folder: Path) -> Iterator[Event]:
    try:
        events = json.loads((folder / "events.json").read_text(encoding="utf-8"))["events"]
        yield from [EVENT.validate_python(event) for event in events]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a trial that was pruned or failed has none


def _read(path: Path) -> tuple[list[Entry], str]:
    """Return a journal's entries, and what is wrong with it, if anything is."""
    try:
        return journal.read(path), ""
    except JournalError as error:
        return [], str(error)


def _reopen(path: Path) -> None:
    with Recorder(Journal(path, Clock())) as recorder:
        recorder.reopen()


def _problem(reader: Callable[[Path], object], path: Path) -> str:
    """Return why a saved model or checkpoint cannot be read; nothing where it can."""
    try:
        reader(path)
    except SavedError as error:
        return str(error)
    return ""
