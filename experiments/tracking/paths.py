"""Where everything lies under RUNS, how MLflow is addressed, and what no log may show.

    runs/optuna.db  runs/mlflow.db  runs/artifacts/  runs/journal/KEY.jsonl  runs/work/KEY/  runs/cache/

A run's KEY is ``<name of the study or experiment>/<id>``, such as ``imdb/0007``; a study's own is ``imdb/study``.
This module imports no MLflow, so that every ``--help`` answers at once.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.errors import UserError

# A tracker that hangs must not hold a delivery for MLflow's default of 20 minutes, nor a refusing one for four:
# the delivery itself tries again, and looks for the run first, which MLflow's own retry of create_run does not.
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
_USER = re.compile(r"""(\b[a-zA-Z][\w+.-]*://)[^/\s"'<>]*@""")
_TOKEN = re.compile(r"""([?&](?:access_token|api_key|key|passwd|password|secret|token)=)[^&\s"'<>]+""", re.I)


@dataclass(frozen=True)
class RunPaths:
    """The folder that holds all that is recorded."""

    runs: Path

    def journal(self, key: str) -> Path:
        """Return where the journal of a run lies."""
        return self.journals / f"{valid_key(key)}.jsonl"

    def work(self, key: str) -> Path:
        """Return the folder of a run: checkpoint, weights, predictions."""
        return self.runs / "work" / valid_key(key)

    @property
    def journals(self) -> Path:
        """The folder of all journals."""
        return self.runs / "journal"

    @property
    def artifacts(self) -> Path:
        """Where files of runs go when MLflow is a database here and not a server."""
        return self.runs / "artifacts"

    @property
    def cache(self) -> Path:
        """Encoded data, shared by all runs; can be made anew."""
        return self.runs / "cache"

    @property
    def optuna_uri(self) -> str:
        """The default database of studies."""
        return f"sqlite:///{(self.runs / 'optuna.db').absolute()}"

    def tracking_uri(self, given: str | None = None) -> str:
        """Return the MLflow to use: the one given, else $MLFLOW_TRACKING_URI, else ``mlflow.db`` here."""
        default = f"sqlite:///{(self.runs / 'mlflow.db').absolute()}"
        return given or os.environ.get("MLFLOW_TRACKING_URI") or default


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


def mask(text: str) -> str:
    """Hide credentials in the URLs of a text.

    >>> mask("cannot reach https://ann:secret@tracker.org/api?token=abc")
    'cannot reach https://***@tracker.org/api?token=***'
    """
    return _TOKEN.sub(r"\1***", _USER.sub(r"\1***@", text))


def set_mlflow_environment() -> None:
    """Set what MLflow reads from the environment, where the user has not; call it before MLflow is imported."""
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
