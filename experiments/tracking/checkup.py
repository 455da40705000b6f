"""Compares MLflow with the journals and says what differs: the tracker's part of ``make doctor``.

The journals are right: MLflow is filled from them. What only MLflow knows is told and left alone, since a server
may hold runs of others.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from experiments.tracking import journal, names
from experiments.tracking.journal import Closed, Entry, Opened
from experiments.tracking.paths import RunPaths, sqlite_path
from experiments.tracking.sync import LOCK_SECONDS, sync_once
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    from mlflow.entities import Run

    from experiments.tracking.client import MlflowWriter


@dataclass(frozen=True)
class Finding:
    """Something that disagrees."""

    what: str
    """In plain words, with what mends it where that is a person's to do."""
    mend: Callable[[], object] | None = None
    """Mends it, or raises a ``UserError``; None where only a person can decide."""


def compare_with_mlflow(paths: RunPaths, uri: str, busy: frozenset[str] = frozenset()) -> list[Finding]:
    """Return where MLflow differs from the journals.

    Args:
        paths: the folder with all that is recorded.
        uri: MLflow's address.
        busy: names of studies at work, which are left out.
    """
    recorded = {path: entries for path in paths.all_journals() if (entries := _whole(path)) is not None}
    recorded = {
        path: entries
        for path, entries in recorded.items()
        if journal.opened(entries).header.experiment not in busy
    }
    if not recorded:
        return []
    database = sqlite_path(uri)
    if database and not database.exists():
        what = f"MLflow's database is not there, and {len(recorded)} runs are recorded."
        return [Finding(what, lambda: _sync(paths, uri))]
    from experiments.tracking.client import MlflowWriter  # takes more than a second

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
        what, again = _difference(entries, known.pop((header.key, header.uid), []))
        if what:
            mend = partial(_send, paths, tracker, entries, again)
            findings.append(Finding(f"{header.key}: {what}", mend))
    here = {paths.key_of(path) for path in recorded}
    return findings + list(_unrecorded(known, here))


def _difference(entries: Sequence[Entry], runs: Sequence["Run"]) -> tuple[str, "Run | None"]:
    """Say what is wrong with a run in MLflow, if anything is, and which run is to be sent again from the start."""
    from experiments.tracking.client import STATUS

    last = entries[-1]
    active = [run for run in runs if run.info.lifecycle_stage == "active"]
    if not runs:
        return "MLflow does not know this run.", None
    if not active:
        return "this run was deleted in MLflow.", runs[0]
    if len(active) > 1:
        return f"MLflow has this run {len(active)} times.", None  # which a sync mends by itself
    [run] = active
    synced = int(run.data.tags.get(names.SYNCED, 0))
    if synced < len(entries):
        return f"MLflow has not got {len(entries) - synced} of its entries yet.", None
    wanted = STATUS[last.outcome] if isinstance(last, Closed) else "RUNNING"
    if run.info.status != wanted:
        return f"MLflow says {run.info.status}, its journal says {wanted}.", run
    other = _other_numbers(entries, run.data.metrics) if synced == len(entries) else []
    return (f"MLflow's {', '.join(other)} are not those of its journal.", run) if other else ("", None)


def _send(paths: RunPaths, tracker: "MlflowWriter", entries: Sequence[Entry], again: "Run | None") -> None:
    with FileLock(paths.sync_lock, timeout=LOCK_SECONDS):
        if again is not None:
            tracker.resend(again)
        tracker.sync_run(entries)


def _other_numbers(entries: Sequence[Entry], found: Mapping[str, float]) -> list[str]:
    """Return the metrics whose last value in MLflow is not the journal's."""
    from experiments.tracking import mlflow_format

    latest: dict[str, tuple[int, int, float]] = {}
    for name, value, time, step in mlflow_format.metrics(entries, 0):
        latest[name] = max(latest.get(name, (step, time, value)), (step, time, value))
    return [
        name
        for name, (_, _, value) in sorted(latest.items())
        if math.isfinite(value) and not math.isclose(found.get(name, math.nan), value, rel_tol=1e-9)
    ]


def _unrecorded(known: Mapping[tuple[str, str], Sequence["Run"]], here: set[str]) -> Iterator[Finding]:
    for (key, _), runs in sorted(known.items()):
        if key not in here and any(run.info.lifecycle_stage == "active" for run in runs):
            yield Finding(
                f"{key}: MLflow has this run, but here is no journal of it. Bring the journal back, or delete the "
                "run in MLflow."
            )


def _sync(paths: RunPaths, uri: str) -> None:
    for reason in sync_once(paths.runs, uri).unsent.values():
        raise UserError(reason)


def _whole(path: Path) -> list[Entry] | None:
    """Return a journal's entries; None where it is empty or damaged, which is found elsewhere."""
    try:
        entries = journal.read(path)
    except journal.JournalError:
        return None
    return entries if entries and isinstance(entries[0], Opened) else None
