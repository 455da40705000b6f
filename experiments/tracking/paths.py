"""Where everything lies under RUNS: the only place with names of files and folders there.

    runs/optuna.db  runs/mlflow.db  runs/artifacts/  runs/journal/KEY.jsonl  runs/work/KEY/  runs/cache/
    runs/report/STUDY/index.html  runs/champion/  runs/champion.json  runs/stores.json  runs/*.log  runs/*.lock

A run's KEY is ``<name of the study or experiment>/<id>``, such as ``imdb/0007``; a study's own is ``imdb/study``.
What lies in the folder of one run is named in ``seqclf_core``. This module imports no MLflow, no torch and no
pandas, so that every ``--help`` answers at once and reports can use it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from experiments.tracking.stores import recall, remember, same, say_once
from seqclf_core.errors import UserError
from seqclf_core.masking import mask

REPORT = "report"
"""Folder of pages: under RUNS, and among the files of a study's run in MLflow."""
PAGE = "index.html"
PREDICTIONS = "predictions"
"""Folder of predictions, and of what misled the model: of a run, and among its files in MLflow."""
ERRORS = "errors"
"""Folder of pages about the errors of one run each: beside the page of its study, among its files in MLflow."""
ERRORS_PAGE = "errors.html"
"""Page about the errors of one run; a picture lies beside it, under the same name."""
ENSEMBLE_PAGE = "ensemble.html"
"""Page about the errors of an ensemble, beside that of the member that counts most in it."""
STUDY_ID = "study"
"""The id of a study's own run; its key is ``<name>/study``."""

ARTIFACT_SCHEME = "mlflow-artifacts"
ARTIFACT_ROOT = f"{ARTIFACT_SCHEME}:/"
"""Artifact address that MLflow's databases hold in place of a folder's path, so that RUNS can be moved."""

# A tracker that hangs must not hold a sync for MLflow's default of 20 minutes, nor a refusing one for four: the
# sync itself tries again, and looks for the run first, which MLflow's own retry of create_run does not.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_PART = re.compile(r"[^\W_][\w.-]{0,99}")


@dataclass(frozen=True)
class RunPaths:
    """The folder that holds all that is recorded; nothing is made or opened by asking for a path."""

    runs: Path
    """The folder; a leading ``~`` is the home folder."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", Path(self.runs).expanduser())
        with suppress(OSError):  # it lies in a folder that may not be entered: whoever opens it says so
            if self.runs.is_file():
                raise UserError(f"RUNS is to be a folder, and {self.runs} is a file. Name another: RUNS=...")

    # Runs, by key

    def journal(self, key: str) -> Path:
        """Return where the journal of a run lies."""
        return self.journals / f"{valid_key(key)}.jsonl"

    def work(self, key: str) -> Path:
        """Return the folder of a run: checkpoint, weights, predictions."""
        return self.works / valid_key(key)

    def predictions(self, key: str, split: str) -> Path:
        """Return where the predictions of a run lie: of the split ``val`` or ``test``."""
        return self.work(key) / "predictions" / f"{split}.parquet"

    def key_of(self, journal: Path) -> str:
        """Return the key of the run whose journal lies at this path."""
        return journal.relative_to(self.journals).with_suffix("").as_posix()

    def journals_of(self, name: str) -> Iterator[Path]:
        """Yield the journals of one study or experiment, in order of their keys; its own run's is among them."""
        yield from sorted((self.journals / valid_key(name)).glob("*.jsonl"))

    def all_journals(self) -> Iterator[Path]:
        """Yield all journals, in order of their keys."""
        yield from sorted(self.journals.rglob("*.jsonl"))

    @staticmethod
    def study_key(name: str) -> str:
        """Return the key of a study's own run."""
        return f"{name}/{STUDY_ID}"

    def study_journals(self) -> Iterator[Path]:
        """Yield the journals of studies' own runs."""
        yield from sorted(self.journals.glob(f"*/{STUDY_ID}.jsonl"))

    def page(self, study: str) -> Path:
        """Return the page of a study, whether it is there or not."""
        return self.report / folder_name(study) / PAGE

    def errors_pages(self) -> Iterator[tuple[Path, Path]]:
        """Yield each page about the errors of one run, and the journal of that run."""
        for journals in sorted(self.journals.glob("*")):
            for page in sorted((self.page(journals.name).parent / ERRORS).glob("*/*.html")):
                yield page, journals / f"{page.parent.name}.jsonl"

    # Folders

    @property
    def journals(self) -> Path:
        """The folder of all journals."""
        return self.runs / "journal"

    @property
    def works(self) -> Path:
        """The folder of all runs' own folders."""
        return self.runs / "work"

    @property
    def artifacts(self) -> Path:
        """Where files of runs go when MLflow is a database here and not a server."""
        return self.runs / "artifacts"

    @property
    def cache(self) -> Path:
        """Encoded data, shared by all runs; can be made anew."""
        return self.runs / "cache"

    @property
    def report(self) -> Path:
        """Pages, tables and figures."""
        return self.runs / REPORT

    @property
    def champion(self) -> Path:
        """Copies of the models that were registered."""
        return self.runs / "champion"

    # Files

    @property
    def champion_record(self) -> Path:
        """Which model is the champion."""
        return self.runs / "champion.json"

    @property
    def optuna_database(self) -> Path:
        """The default database of studies."""
        return self.runs / "optuna.db"

    @property
    def mlflow_database(self) -> Path:
        """The default database of MLflow."""
        return self.runs / "mlflow.db"

    @property
    def stores(self) -> Path:
        """Where the databases are when they are elsewhere, without passwords."""
        return self.runs / "stores.json"

    @property
    def sync_log(self) -> Path:
        """What the process said that sends runs to MLflow beside a study."""
        return self.runs / "sync.log"

    @property
    def workers_log(self) -> Path:
        """What the processes said that train."""
        return self.runs / "workers.log"

    @property
    def logs(self) -> list[Path]:
        """All logs there are."""
        return sorted(self.runs.glob("*.log"))

    @property
    def sync_lock(self) -> Path:
        """Held by the one process that writes to MLflow."""
        return self.runs / "sync.lock"

    @property
    def champion_lock(self) -> Path:
        """Held by the one process that registers a model."""
        return self.runs / "champion.lock"

    # Addresses

    @property
    def optuna_uri(self) -> str:
        """The address of the default database of studies."""
        return sqlite_uri(self.optuna_database)

    def storage_uri(self, given: str | None = None) -> str:
        """Return Optuna's database: the one given, else $SEQCLF_OPTUNA_URI, else as remembered, else that here."""
        given = given or os.environ.get("SEQCLF_OPTUNA_URI")
        return self._address("Optuna's database", given, recall(self.stores).storage, self.optuna_database)

    def tracking_uri(self, given: str | None = None) -> str:
        """Return the MLflow to use: given, else $MLFLOW_TRACKING_URI, else as remembered, else the one here."""
        given = given or os.environ.get("MLFLOW_TRACKING_URI")
        return self._address("MLflow", given, recall(self.stores).tracking_uri, self.mlflow_database)

    def _address(self, what: str, given: str | None, remembered: str | None, own: Path) -> str:
        """Choose an address; where one is given that leads elsewhere than what is recorded here so far, say so."""
        if given is None:
            return remembered or sqlite_uri(own)
        known = remembered or (sqlite_uri(own) if own.exists() else None)
        if known and not same(given, known):
            say_once(
                f"{what} is {mask(given)} for this command. What {self.runs} recorded so far is in {mask(known)}."
            )
        return given

    def remember_stores(self, storage: str | None = None, tracking_uri: str | None = None) -> None:
        """Remember the stores that are recorded in from now on, as far as they are elsewhere.

        Args:
            storage: address of Optuna's database; None leaves what is known of it.
            tracking_uri: address of MLflow; None leaves what is known of it.
        """
        new: dict[str, str | None] = {}
        if storage is not None:
            new["storage"] = None if same(storage, sqlite_uri(self.optuna_database)) else storage
        if tracking_uri is not None:
            own = same(tracking_uri, sqlite_uri(self.mlflow_database))
            new["tracking_uri"] = None if own else tracking_uri
            new["artifacts"] = None if own else self._artifacts_of(tracking_uri)
        remember(self.stores, recall(self.stores), **new)

    def _artifacts_of(self, uri: str) -> str:
        if uri.startswith(("http://", "https://")):
            return ARTIFACT_ROOT
        folder = self.artifacts_of(uri)
        return self.artifacts.name if folder == self.artifacts else str(folder.absolute())

    def artifacts_of(self, uri: str) -> Path:
        """Return the folder of runs' files for an MLflow: beside a SQLite file, else the one here."""
        file = sqlite_path(uri)
        return file.with_name(self.artifacts.name) if file else self.artifacts


def sqlite_uri(path: Path) -> str:
    """Return the address of a SQLite file, whatever characters its path holds."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def sqlite_path(uri: str) -> Path | None:
    """Return the file that an address leads to; None where it is not of a SQLite file.

    >>> sqlite_path("sqlite:////tmp/q%3Fx/mlflow.db")
    PosixPath('/tmp/q?x/mlflow.db')
    """
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return None
    file = url.database if url.get_backend_name() == "sqlite" else None
    return Path(file) if file and file != ":memory:" else None


def artifact_folder(artifacts: Path, uri: str) -> Path:
    """Return the folder of a run's files, from what MLflow's database says of it.

    Args:
        artifacts: the folder of all runs' files.
        uri: such as ``mlflow-artifacts:/0123abc/artifacts``; an address with a place of its own is not ours.

    >>> artifact_folder(Path("runs/artifacts"), "mlflow-artifacts:/0123abc/artifacts")
    PosixPath('runs/artifacts/0123abc/artifacts')
    """
    within = Path(unquote(urlsplit(uri).path).lstrip("/"))
    if not uri.startswith(ARTIFACT_ROOT) or ".." in within.parts:
        raise UserError(f"{mask(uri)} is no address of files under RUNS; expected {ARTIFACT_ROOT}...")
    return artifacts / within


def folder_name(study: str) -> str:
    """Return the folder of a study's report: its name, if that can be nothing but one folder's name.

    >>> folder_name("imdb-mean")
    'imdb-mean'
    """
    plain = re.sub(r"[^\w.-]", "-", study, flags=re.ASCII)[:80].lstrip(".-")
    return plain if plain == study else f"{plain or 'study'}-{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def valid_key(key: str) -> str:
    """Return the key of a run, which is also a path and part of a query, if it is fit to be both.

    Raises:
        UserError: if a part of it does not start with a letter or digit, or holds more than those and ``._-``.
    """
    if not all(_PART.fullmatch(part) for part in key.split("/")):
        raise UserError(
            f"{key!r} cannot name a run or study: expected letters, digits, '.', '_' and '-', starting with "
            "a letter or digit, at most 100 of them. Choose another NAME."
        )
    return key


def valid_name(name: str) -> str:
    """Return the name of a study or experiment, if it can be one part of its runs' keys.

    Raises:
        UserError: if it does not start with a letter or digit, or holds more than those and ``._-``.
    """
    if "/" in name:
        raise UserError(f"{name!r} cannot name a study: no '/' may be in a name. Choose another NAME.")
    return valid_key(name)


def set_mlflow_environment() -> None:
    """Set what MLflow reads from the environment, where the user has not; call it before MLflow is imported."""
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
