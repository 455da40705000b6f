"""Compares a study in Optuna with its journals and work folders and says what differs: a part of ``make doctor``.

Whoever asks owns the study meanwhile, so that a trial marked as running is nobody's. Optuna is right about how a
trial ended, since it is told first.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from experiments.tracking import journal
from experiments.tracking.checkup import Finding
from experiments.tracking.journal import Closed, Entry, Journal, JournalError, Opened
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from seqclf_core.config import RunConfig
from seqclf_core.errors import SavedError, UserError
from seqclf_core.events import EVENT, Event
from studies.engine.cleanup import OUTCOMES, close, leftovers, remove, superseded, trial_key
from studies.engine.metadata import trial_header
from studies.study import Study


def compare_study(opened: optuna.Study, paths: RunPaths) -> Iterator[Finding]:
    """Yield where a study's journals and folders differ from what Optuna knows."""
    name = opened.study_name
    trials = opened.get_trials(deepcopy=False)
    for trial in trials:
        key = trial_key(name, trial.number)
        if trial.state.is_finished():
            yield from _ended(name, key, trial, paths)
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
        # The owner goes on with a trial that waits as with one that runs: same settings, same checkpoint.
        back = partial(opened._storage.set_trial_state_values, trial._trial_id, TrialState.WAITING)
        yield Finding(f"{key}: Optuna says that it is running, and nobody works on it.", back)
    path = paths.journal(key)
    entries, damage = _read(path)
    if damage:
        yield Finding(f"{damage} The run is not over, and will be recorded anew.", partial(_set_aside, path))
    elif entries and isinstance(entries[-1], Closed):
        yield Finding(f"{key}: its journal is closed, and Optuna knows of no end.", partial(_reopen, path))
    checkpoint = paths.work(key) / "checkpoint.safetensors"
    if checkpoint.exists() and (problem := _unreadable(checkpoint)):
        yield Finding(f"{key}: it will start from the beginning, since {problem}.", checkpoint.unlink)


def _ended(name: str, key: str, trial: FrozenTrial, paths: RunPaths) -> Iterator[Finding]:
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
    if (folder / "model").exists() and (problem := _no_model(folder / "model")):
        what = f"{key}: its weights cannot be used ({problem}); its scores and predictions stay."
        yield Finding(what, partial(remove, folder / "model"))


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
        _set_aside(path)
    if not journal.read(path):
        study = _read(paths.journal(paths.study_key(name)))[0]
        if not study:
            raise UserError(f"the study's own journal is gone, too: {paths.journal(f'{name}/study')}")
        assert isinstance(study[0], Opened)
        about = study[0].header
        base = Study("", RunConfig().override(about.params), sample=lambda _: None, total=0)
        header = trial_header(name, base, trial, about.tags)  # type: ignore[arg-type]  # reads what both kinds have
        with Recorder.open(path, header):
            pass
    with Recorder(Journal(path)) as recorder:
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


def _set_aside(path: Path) -> None:
    path.replace(path.with_name(f"{path.name}.damaged"))


def _reopen(path: Path) -> None:
    with Recorder(Journal(path)) as recorder:
        recorder.reopen()


def _unreadable(checkpoint: Path) -> str:
    from seqclf_core.training.checkpoint import (
        read_tensors,  # torch: seconds, and only where there is something to look at
    )

    try:
        read_tensors(checkpoint)
    except SavedError as error:
        return str(error)
    return ""


def _no_model(folder: Path) -> str:
    from seqclf_core.inference import Classifier

    try:
        Classifier.load(folder)
    except SavedError as error:
        return str(error)
    return ""
