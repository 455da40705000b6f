"""A run's journal -> its run in MLflow: found or made, then brought up to date. Doing it twice changes nothing.

How far a run has been sent stands in MLflow itself, as the tag ``seqclf.synced`` (entries of the
journal), which is set last. So a sync that was killed repeats what it was at, and an MLflow that was lost, or
is another, is filled from the start. Repeating is safe: parameters and data set inputs are kept by name, metrics
by (key, time, step, value) with the journal's times, files by path, and runs are searched for before one is made.
A run that somebody deleted in MLflow stays deleted. Only this module writes to MLflow; its import takes more than
a second.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from experiments.tracking import journal, mlflow_format, names
from experiments.tracking.artifacts import read_without_server
from experiments.tracking.database import prepare_database, set_damaged_aside
from experiments.tracking.journal import Closed, Entry, Header, Opened, opened
from experiments.tracking.models import finalists_models, link_model
from experiments.tracking.overview import described, write_best, write_views
from experiments.tracking.paths import (
    ARTIFACT_ROOT,
    ENSEMBLE_PAGE,
    ERRORS,
    PREDICTIONS,
    REPORT,
    RunPaths,
)
from experiments.tracking.servers import check_database, database_url
from experiments.tracking.views import color
from seqclf_core.errors import UserError
from seqclf_core.masking import mask

TRAINING = {names.EXPERIMENT_KIND: "custom_model_development"}
STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
"""A trial that was pruned ended as planned, while MLflow shows KILLED with the red mark of a failure. The tag
``outcome`` tells the three apart."""

# What MLflow takes in one call: 100 parameters, 100 tags, and 1,000 of all that there is.
METRICS_PER_BATCH = 800
PARAMS_PER_BATCH = 100


_Identity = tuple[str, str]
"""Key and uid of a run. Another uid is another person's run of the same key, and never touched."""


class SyncError(UserError):
    """MLflow cannot be reached or refuses a run; the journal keeps everything."""


@dataclass(frozen=True)
class _Known:
    """A run in MLflow."""

    run_id: str
    files: str  # where its files go, as MLflow says it
    synced: int  # entries of its journal
    deleted: bool  # by somebody, in MLflow


class MlflowWriter:
    """MLflow, as far as it is written to. Its state is what it knows to be in there already."""

    def __init__(self, paths: RunPaths, uri: str) -> None:
        """Connect to MLflow; a SQLite database is made where there is none.

        Raises:
            SyncError: if a database cannot be opened. A server is not asked yet.
        """
        self._paths = paths
        self._uri = database_url(uri)
        self._experiments: dict[str, str] = {}  # name -> id
        self._runs: dict[_Identity, _Known] = {}
        self._with_views: set[str] = set()  # ids of experiments
        self._parents: dict[str, str] = {}  # own run of a study, which may have a new best one -> experiment
        self._looked_at: set[str] = (
            set()
        )  # own runs of studies; of the process before, their best one may be missing
        self._parent_ids: dict[str, str | None] = {}  # key of a study's own run -> its id
        self._with_data: set[str] = set()  # run ids of studies' own runs that have their data set
        try:
            check_database("MLflow", uri)
            if aside := set_damaged_aside(uri):
                print(
                    f"MLflow's database was damaged. It is at {aside} now, and a fresh one is filled from the "
                    "journals; what people wrote into MLflow themselves is in the old file only.",
                    file=sys.stderr,
                )
            prepare_database(uri)
            read_without_server(paths.artifacts)
            self._client = MlflowClient(tracking_uri=self._uri)
        except UserError as error:
            raise SyncError(str(error)) from error
        except Exception as error:  # of many kinds, as below
            raise self._not_taken(error) from error

    def sync_run(self, entries: Sequence[Entry]) -> int:
        """Send what MLflow lacks of a run, and return how many entries that was.

        Args:
            entries: the whole journal, its header first.

        Raises:
            SyncError: if MLflow cannot be reached or refuses; calling it again goes on from there.
        """
        header = opened(entries).header
        with self._explaining(_identity(header)):
            known = self._find_or_make(opened(entries))
            if header.role == "study" and not known.deleted and known.run_id not in self._looked_at:
                self._parents[known.run_id] = self._experiments[header.experiment]
                self._looked_at.add(known.run_id)
            if known.deleted or known.synced >= len(entries):
                return 0
            self._send(known, entries)
        self._runs[_identity(header)] = replace(known, synced=len(entries))
        return len(entries) - known.synced

    def attach_report(self, entries: Sequence[Entry], page: Path) -> bool:
        """Put a page among the files of a run, unless this very page is there; return whether it was put.

        Args:
            entries: the run's journal, or its beginning.
            page: the file; it takes the place of the one before.

        Raises:
            SyncError: if MLflow cannot be reached or refuses.
        """
        with self._explaining(_identity(opened(entries).header)):
            known = self._find_or_make(opened(entries))
            digest = hashlib.sha256(page.read_bytes()).hexdigest()
            if known.deleted or self._client.get_run(known.run_id).data.tags.get(names.REPORT) == digest:
                return False
            self._client.log_artifact(known.run_id, str(page), REPORT)
            said = described(opened(entries).header.tags.get(names.QUESTION, ""), page)
            self._client.set_tag(known.run_id, names.DESCRIPTION, mask(said))
            self._client.set_tag(known.run_id, names.REPORT, digest)  # last: a kill before it repeats the file
        return True

    def attach_errors(self, entries: Sequence[Entry], page: Path) -> None:
        """Put a page about a run's errors and its picture among the run's files, unless this very page is there.

        Args:
            entries: the run's journal, or its beginning.
            page: with the picture beside it, under the same name.

        Raises:
            SyncError: if MLflow cannot be reached or refuses.
        """
        with self._explaining(_identity(opened(entries).header)):
            known = self._find_or_make(opened(entries))
            digest = hashlib.sha256(page.read_bytes()).hexdigest()
            tag = names.ENSEMBLE_REPORT if page.name == ENSEMBLE_PAGE else names.REPORT
            if known.deleted or self._client.get_run(known.run_id).data.tags.get(tag) == digest:
                return
            for file in (page.with_suffix(".png"), page):
                self._client.log_artifact(known.run_id, str(file), ERRORS)
            self._client.set_tag(known.run_id, tag, digest)  # last, as above

    def write_best_scores(self) -> None:
        """Give the own runs of studies the scores of their best runs so far, where these may have changed.

        Raises:
            SyncError: if MLflow cannot be reached or refuses.
        """
        with self._explaining():
            while self._parents:
                parent, experiment = next(iter(self._parents.items()))
                write_best(self._client, experiment, parent)
                del self._parents[parent]

    @contextmanager
    def _explaining(self, run: _Identity | None = None) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # MLflow raises whatever an answer breaks, such as a proxy's error page
            if run:
                self._runs.pop(run, None)  # it may be wrong: look again next time
            raise self._not_taken(error) from error

    def find_runs(self, experiment: str) -> dict[_Identity, list[Run]]:
        """Return the runs of an experiment by key and uid, deleted ones too, and change nothing.

        Raises:
            SyncError: if MLflow cannot be reached.
        """
        with self._explaining():
            found = self._client.get_experiment_by_name(experiment)
            return self._all_runs(found.experiment_id) if found else {}

    def fetch(self, path: Path, name: str, place: Path) -> Path:
        """Copy a file of a run out of MLflow, and change nothing there.

        Args:
            path: the run's journal.
            name: path of the file among the run's.
            place: folder to copy it to.

        Raises:
            SyncError: if MLflow cannot be reached or does not have it.
        """
        with self._explaining():
            header = opened(journal.read(path)).header
            found = self._client.get_experiment_by_name(header.experiment)
            runs = self._all_runs(found.experiment_id).get(_identity(header), []) if found else []
            if not runs:
                raise SyncError(f"MLflow does not know the run {header.key}")
            return Path(self._client.download_artifacts(runs[0].info.run_id, name, str(place)))

    def resend(self, run: Run) -> None:
        """Let the next sync send all of a run again, which doubles nothing; a deleted run is restored.

        Raises:
            SyncError: if MLflow cannot be reached.
        """
        with self._explaining():
            if run.info.lifecycle_stage != "active":
                self._client.restore_run(run.info.run_id)
            self._client.set_tag(run.info.run_id, names.SYNCED, "0")
            self._runs[_identity_of(run)] = _known(run, 0)

    def _send(self, known: _Known, entries: Sequence[Entry]) -> None:
        """Send the entries that MLflow lacks; the order makes a kill between any two calls harmless."""
        run_id, synced = known.run_id, known.synced
        header, new, last = opened(entries).header, entries[synced:], entries[-1]
        if synced == 0:
            self._put_settings(known, header)
        parent = self._parent(header)
        if inputs := mlflow_format.inputs(new):
            self._client.log_inputs(run_id, inputs)
            if parent and parent not in self._with_data:
                self._client.log_inputs(parent, inputs)
                self._with_data.add(parent)
        params = [Param(*param) for param in mlflow_format.params(header)] if synced == 0 else []
        metrics = [Metric(*metric) for metric in mlflow_format.metrics(entries, synced)]
        tags = [RunTag(*tag) for tag in mlflow_format.tags(new)]
        done = RunTag(names.SYNCED, str(len(entries)))
        if not isinstance(last, Closed):
            if any(isinstance(entry, journal.Reopened) for entry in new):
                self._client.update_run(run_id, "RUNNING")
            self._log(run_id, metrics, params, [*tags, done])
            return
        self._log(run_id, metrics, params, tags)
        kept = self._paths.work(header.key) / PREDICTIONS
        for path in sorted([*kept.glob("*.parquet"), *kept.glob("*.json")]):
            self._put(known, path, PREDICTIONS)
        self._client.set_terminated(run_id, STATUS[last.outcome], last.time)
        for first, model in finalists_models(self._paths, header):
            if not (finalist := self._find_or_make(first)).deleted:
                link_model(self._client, self._client.get_run(finalist.run_id), model, self._paths)
        if parent:
            self._parents[parent] = self._experiments[header.experiment]
        self._client.set_tag(run_id, done.key, done.value)

    def _log(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        """Send metrics, parameters and tags in as few calls as MLflow allows; it writes the tags last of all."""
        calls = max(1, ceil(len(metrics) / METRICS_PER_BATCH), ceil(len(params) / PARAMS_PER_BATCH))
        for call in range(calls):
            self._client.log_batch(
                run_id,
                metrics[call * METRICS_PER_BATCH : (call + 1) * METRICS_PER_BATCH],
                params[call * PARAMS_PER_BATCH : (call + 1) * PARAMS_PER_BATCH],
                tags if call == calls - 1 else [],
            )

    def _put_settings(self, known: _Known, header: Header) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "config.json")
            path.write_text(json.dumps(mlflow_format.tree(header), indent=2), encoding="utf-8")
            self._put(known, path)

    def _put(self, known: _Known, path: Path, folder: str | None = None) -> None:
        """Put a file among those of a run, without asking MLflow first where they are."""
        repository = get_artifact_repository(known.files, tracking_uri=self._uri)
        repository.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]

    def look_again(self) -> None:
        """Ask once more which runs there are, and delete those that were made twice.

        A server that was slow may make a run after its answer was given up and another one was made.

        Raises:
            SyncError: if MLflow cannot be reached.
        """
        known = list(self._experiments)
        self._experiments.clear()
        self._runs.clear()
        with self._explaining():
            for name in known:
                self._experiment(name)

    def _parent(self, header: Header) -> str | None:
        """Return the run id of the study's own run that a run belongs to, if it is known and not deleted."""
        if header.parent and header.parent not in self._parent_ids:
            entries = journal.read(self._paths.journal(header.parent))
            found = self._runs.get(_identity(opened(entries).header)) if entries else None
            self._parent_ids[header.parent] = found.run_id if found and not found.deleted else None
        return self._parent_ids[header.parent] if header.parent else None

    def _find_or_make(self, first: Opened) -> _Known:
        header = first.header
        experiment = self._experiment(header.experiment)
        if header.role in ("study", "experiment") and experiment not in self._with_views:
            shared = any(key == header.key and uid != header.uid for key, uid in self._runs)
            write_views(self._client, experiment, first, shared and header.role == "study")
            self._with_views.add(experiment)
        known = self._runs.get(_identity(header)) or self._search(header)
        if known is None:
            identity = {names.KEY: header.key, names.UID: header.uid, names.ROLE: header.role}
            shown = {
                names.SOURCE_NAME: header.tags.get(names.COMMAND, header.experiment),
                names.DESCRIPTION: header.tags.get(names.QUESTION) if header.role == "study" else None,
                names.COLOR: color(int(number))
                if (number := header.tags.get(names.TRIAL, "")).isdecimal()
                else None,
            }
            tags = mlflow_format.cut({**shown, **header.tags}) | identity
            if header.parent:
                parents = journal.read(self._paths.journal(header.parent))
                if parents and not (parent := self._find_or_make(opened(parents))).deleted:
                    tags[names.PARENT] = parent.run_id
            run = self._client.create_run(experiment, first.time, tags, header.name)
            known = _Known(run.info.run_id, run.info.artifact_uri, 0, deleted=False)
        self._runs[_identity(header)] = known
        return known

    def _search(self, header: Header) -> _Known | None:
        ours = f"tags.`{names.KEY}` = '{header.key}' AND tags.`{names.UID}` = '{header.uid}'"
        found = self._client.search_runs([self._experiments[header.experiment]], ours, ViewType.ALL)
        return self._keep_one(found)

    def _keep_one(self, runs: Sequence[Run]) -> _Known | None:
        """Return the run that stands for a key, and delete others.

        There are others where a server made a run, its answer was lost and so one more was asked for.
        """
        active = [run for run in runs if run.info.lifecycle_stage == "active"]
        if not active:
            return _known(runs[0], 0, deleted=True) if runs else None
        best = max(active, key=lambda run: (_synced(run), run.info.run_id))
        for run in active:
            if run is not best:
                self._client.delete_run(run.info.run_id)
        return _known(best, _synced(best))

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, made where there is none; at first sight, learn of all its runs."""
        if name in self._experiments:
            return self._experiments[name]
        found = self._client.get_experiment_by_name(name)
        if found is None:
            # A server knows where its artifacts go; a database does not.
            location = None if self._uri.startswith("http") else ARTIFACT_ROOT
            try:
                self._experiments[name] = self._client.create_experiment(name, location, TRAINING)
                return self._experiments[name]
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)  # somebody was faster
                assert found is not None
        if found.lifecycle_stage != "active":
            raise SyncError(
                f"The MLflow experiment {name!r} was deleted. Restore it (mlflow experiments restore -x "
                f"{found.experiment_id}), or work under another NAME."
            )
        for identity, runs in self._all_runs(found.experiment_id).items():
            known = self._keep_one(runs)
            assert known is not None
            self._runs[identity] = known
        self._experiments[name] = found.experiment_id
        return found.experiment_id

    def _all_runs(self, experiment: str) -> dict[_Identity, list[Run]]:
        runs: dict[_Identity, list[Run]] = {}
        token = None
        while True:
            page = self._client.search_runs([experiment], "", ViewType.ALL, max_results=1000, page_token=token)
            for run in page:
                if names.KEY in run.data.tags:
                    runs.setdefault(_identity_of(run), []).append(run)
            token = page.token
            if not token:
                return runs

    def _not_taken(self, error: Exception) -> SyncError:
        reason = " ".join(str(error).split())[:500]
        return SyncError(mask(f"MLflow at {self._uri} did not take it: {type(error).__name__}: {reason}"))


def _identity(header: Header) -> _Identity:
    return header.key, header.uid


def _identity_of(run: Run) -> _Identity:
    return run.data.tags[names.KEY], run.data.tags.get(names.UID, "")


def _known(run: Run, synced: int, deleted: bool = False) -> _Known:
    return _Known(run.info.run_id, run.info.artifact_uri, synced, deleted)


def _synced(run: Run) -> int:
    return int(run.data.tags.get(names.SYNCED, 0))
