"""Compares MLflow with the journals and says what differs: the tracker's part of the doctor.

The journals are right: MLflow is filled from them. What only MLflow knows is reported, not changed, since a server
may hold runs of others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Run

from experiments.tracking import journal, mlflow_format, names
from experiments.tracking.client import STATUS, MlflowWriter
from experiments.tracking.journal import Closed, Entry, JournalError, Opened
from experiments.tracking.paths import ARTIFACT_ROOT, RunPaths, artifact_folder, sqlite_path
from experiments.tracking.sync import LOCK_SECONDS, sync_once
from seqclf_core.ended import changed
from seqclf_core.errors import UserError
from seqclf_core.files import sha256_of
from studies.doctor.findings import Finding


def compare_with_mlflow(paths: RunPaths, uri: str, busy: frozenset[str] = frozenset()) -> list[Finding]:
    """Return where MLflow differs from the journals.

    Args:
        paths: the folder with all that is recorded.
        uri: address of MLflow.
        busy: names of studies at work, which are left out.
    """
    read = {path: _entries(path) for path in paths.all_journals()}
    recorded = {
        path: entries
        for path, entries in read.items()
        if entries and isinstance(entries[0], Opened) and journal.opened(entries).header.experiment not in busy
    }
    if not recorded:
        return []
    database = sqlite_path(uri)
    if database and not database.exists():
        what = f"MLflow's database is not there, and {len(recorded)} runs are recorded."
        return [Finding(what, partial(_sync_all, paths, uri))]
    try:
        tracker = MlflowWriter(paths, uri)
        known: dict[tuple[str, str], list[Run]] = {}
        for experiment in sorted({journal.opened(entries).header.experiment for entries in recorded.values()}):
            known |= tracker.find_runs(experiment)
    except UserError as error:
        return [Finding(f"{error} Nothing is compared with it.")]
    findings = []
    for entries in recorded.values():
        header = journal.opened(entries).header
        runs = known.pop((header.key, header.uid), [])
        what, again = _difference(entries, runs)
        if not what and isinstance(entries[-1], Closed):
            [run] = [run for run in runs if run.info.lifecycle_stage == "active"]
            if lost := _lost_files(header.key, run, paths, uri):
                what, again = f"{', '.join(lost)} in MLflow is not what the run left.", run
        if what:
            repair = partial(_send, paths, tracker, entries, again)
            findings.append(Finding(f"{header.key}: {what}", repair))
    here = {paths.key_of(path) for path in recorded}
    uids = {journal.opened(entries).header.uid for entries in recorded.values()}
    ours = {(key, uid): runs for (key, uid), runs in known.items() if uid in uids}  # a server may hold others'
    return findings + list(_unrecorded(ours, here))


def _difference(entries: Sequence[Entry], runs: Sequence[Run]) -> tuple[str, Run | None]:
    """Say what is wrong with a run in MLflow, if anything is, and which run is to be sent again from the start."""
    last = entries[-1]
    active = [run for run in runs if run.info.lifecycle_stage == "active"]
    if not runs:
        return "MLflow does not know this run.", None
    if not active:
        return "this run was deleted in MLflow.", runs[0]
    if len(active) > 1:
        return f"MLflow has this run {len(active)} times.", None  # which a sync repairs by itself
    [run] = active
    synced = int(run.data.tags.get(names.SYNCED, 0))
    if synced < len(entries):
        return f"MLflow has not got {len(entries) - synced} of its entries yet.", None
    wanted = STATUS[last.outcome] if isinstance(last, Closed) else "RUNNING"
    if run.info.status != wanted:
        return f"MLflow says {run.info.status}, its journal says {wanted}.", run
    other = _other_numbers(entries, run.data.metrics) if synced == len(entries) else []
    return (f"MLflow's {', '.join(other)} are not those of its journal.", run) if other else ("", None)


def _lost_files(key: str, run: Run, paths: RunPaths, uri: str) -> list[str]:
    """Return the predictions that MLflow has otherwise than they are here; none of a server is looked at."""
    if uri.startswith("http") or not (run.info.artifact_uri or "").startswith(ARTIFACT_ROOT):
        return []
    theirs, folder = artifact_folder(paths.artifacts_of(uri), run.info.artifact_uri), paths.work(key)
    ours = [path.relative_to(folder) for path in sorted((folder / "predictions").glob("*.parquet"))]
    intact = {name.as_posix() for name in ours} - {*changed(folder)}
    return [name for name in sorted(intact) if not _same_bytes(folder / name, theirs / name)]


def _same_bytes(one: Path, other: Path) -> bool:
    return other.is_file() and one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)


def _send(paths: RunPaths, tracker: MlflowWriter, entries: Sequence[Entry], again: Run | None) -> None:
    with FileLock(paths.sync_lock, timeout=LOCK_SECONDS):
        if again is not None:
            tracker.resend(again)
        tracker.sync_run(entries)


def _other_numbers(entries: Sequence[Entry], found: Mapping[str, float]) -> list[str]:
    """Return the metrics whose last value in MLflow is not the journal's."""
    latest: dict[str, tuple[int, int, float]] = {}
    for name, value, time, step in mlflow_format.metrics(entries, 0):
        latest[name] = max(latest.get(name, (step, time, value)), (step, time, value))
    return [
        name
        for name, (_, _, value) in sorted(latest.items())
        if math.isfinite(value) and not math.isclose(found.get(name, math.nan), value, rel_tol=1e-9)
    ]


def _unrecorded(known: Mapping[tuple[str, str], Sequence[Run]], here: set[str]) -> Iterator[Finding]:
    for (key, _), runs in sorted(known.items()):
        if key not in here and any(run.info.lifecycle_stage == "active" for run in runs):
            yield Finding(
                f"{key}: MLflow has this run, but here is no journal of it. Bring the journal back, or delete the "
                "run in MLflow."
            )


def _sync_all(paths: RunPaths, uri: str) -> None:
    for reason in sync_once(paths.runs, uri).unsent.values():
        raise UserError(reason)


def _entries(path: Path) -> list[Entry]:
    """Return a journal's entries; none where it is damaged, which is found elsewhere."""
    try:
        return journal.read(path)
    except JournalError:
        return []
