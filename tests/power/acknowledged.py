"""What a study's stores vouch for, looked at after a power cut: is it all there?"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial, TrialState

from experiments.tracking.journal import Closed, Entry, Happened, read
from experiments.tracking.paths import RunPaths, artifact_folder
from seqclf_core.data.cache import open_entry
from seqclf_core.errors import SavedError
from seqclf_core.events import Finished, Started
from seqclf_core.inference import Classifier
from studies.engine.cleanup import superseded, trial_key


def closed(runs: Path) -> dict[str, str]:
    """Return key -> outcome of each trial whose journal is closed: Optuna was told before."""
    paths, found = RunPaths(runs), {}
    for path in paths.journals_of("test"):
        entries = read(path)
        if path.stem.isdecimal() and entries and isinstance(entries[-1], Closed):
            found[paths.key_of(path)] = entries[-1].outcome
    return found


def missing(runs: Path, known: dict[str, str]) -> list[str]:
    """Return what is not there although it was acknowledged.

    Args:
        runs: what a power cut left.
        known: what ``closed`` said of the same folder right before.
    """
    paths = RunPaths(runs)
    if not paths.optuna_database.exists():
        return ["Optuna's database"] if known else []
    with closing(sqlite3.connect(paths.optuna_database)) as database:
        [said] = database.execute("pragma integrity_check").fetchone()
    names = optuna.get_all_study_names(paths.optuna_uri)
    if said != "ok" or not names:
        return [f"Optuna's database: {said}"] if said != "ok" or known else []
    trials = optuna.load_study(study_name="test", storage=paths.optuna_uri).trials
    states = {trial_key("test", trial.number): trial.state.name.lower() for trial in trials}
    found = [
        f"{key}: its journal was closed as {outcome}, Optuna says {states.get(key)}"
        for key, outcome in known.items()
        if states.get(key, "").removesuffix("ed") != outcome.removesuffix("ed")
    ]
    without = {trial.number for trial in superseded(trials)}
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            found += _of_trial(paths, trial, trial.number not in without)
    return found + _of_mlflow(paths)


def _of_trial(paths: RunPaths, trial: FrozenTrial, has_model: bool) -> list[str]:
    """Look at what a complete trial leaves: its score, predictions, tokenizer and weights."""
    key = trial_key("test", trial.number)
    entries: list[Entry] = read(paths.journal(key))
    events = [entry.event for entry in entries if isinstance(entry, Happened)]
    ends = [event for event in events if isinstance(event, Finished)]
    started = next((event for event in events if isinstance(event, Started)), None)
    if not ends or started is None:
        return [f"{key}: no score in its journal"]
    found = []
    for split in ("val", "test"):
        file = paths.work(key) / ends[0].files[f"{split}_predictions"]
        try:
            if pq.read_table(file).num_rows != started.data.sizes[split]:
                found.append(f"{key}: {file.name} is not whole")
        except (OSError, ValueError) as error:
            found.append(f"{key}: {file.name} cannot be read: {error}")
    model = paths.work(key) / "model"
    if has_model:
        try:
            Classifier.load(model)
        except SavedError as error:
            found.append(f"{key}: {error}")
        corpora = [open_entry(path.parent) for path in (paths.cache / "corpus").glob("*/manifest.json")]
        tokenizers = [corpus.tokenizer.read_bytes() for corpus in corpora if corpus]
        if not (model / "tokenizer.json").exists() or (model / "tokenizer.json").read_bytes() not in tokenizers:
            found.append(f"{key}: its tokenizer is not that of the cache")
    return found


def _of_mlflow(paths: RunPaths) -> list[str]:
    """Look at the files of the runs of which MLflow says that it has everything."""
    if not paths.mlflow_database.exists():
        return []
    query = """select t.value, r.artifact_uri, s.value from runs r join tags t using (run_uuid)
               join tags s using (run_uuid) where t.key = 'seqclf.key' and s.key = 'seqclf.synced'"""
    with closing(sqlite3.connect(paths.mlflow_database)) as database:
        rows = database.execute(query).fetchall()
    found = []
    for key, uri, synced in rows:
        entries = read(paths.journal(key))
        if len(entries) < int(synced):
            found.append(f"{key}: MLflow has more of it than its journal")
        ended = len(entries) == int(synced) and isinstance(entries[-1], Closed)
        folder = artifact_folder(paths.artifacts, uri)
        wanted = {"predictions/val.parquet", "predictions/test.parquet"} if ended else set()
        if ended and (key.endswith("study") or entries[-1].outcome != "complete"):  # type: ignore[union-attr]
            wanted = set()
        for name in wanted:
            file, ours = folder / name, paths.work(key) / name
            if not file.exists() or (ours.exists() and file.read_bytes() != ours.read_bytes()):
                found.append(f"{key}: {name} in MLflow is not what the run left")
        if int(synced) and not _is_json(folder / "config.json"):
            found.append(f"{key}: config.json in MLflow is not whole")
    return found


def _is_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False
