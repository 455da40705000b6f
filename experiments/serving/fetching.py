"""Fetches the champion's files from MLflow, where its record is here and its copy is not."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from experiments.serving.champion import MODEL_ARTIFACTS, Champion, keep_champion
from experiments.tracking.artifacts import read_without_server
from experiments.tracking.digests import digests
from experiments.tracking.paths import RunPaths, sqlite_path
from experiments.tracking.servers import database_url
from seqclf_core.errors import SavedError, UserError
from seqclf_core.masking import mask


def fetch_champion(paths: RunPaths, champion: Champion, tracking_uri: str | None = None) -> None:
    """Bring the champion's files from MLflow to RUNS, if they are those that were recorded.

    Args:
        paths: the folder with all that is recorded.
        champion: the record of it.
        tracking_uri: address of MLflow; None: the one that belongs to RUNS.

    Raises:
        UserError: if MLflow does not have them, or has others.
    """
    uri = database_url(paths.tracking_uri(tracking_uri))
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "model"
        try:
            _require_store(uri)
            read_without_server(paths.artifacts)
            client = MlflowClient(uri, uri)
            for name in champion.files:
                place = new / name
                place.parent.mkdir(parents=True, exist_ok=True)
                fetched = client.download_artifacts(champion.run_id, f"{MODEL_ARTIFACTS}/{name}", folder)
                shutil.move(fetched, place)
            found = digests(new)
        except (MlflowException, OSError, SavedError) as error:
            raise UserError(
                f"The copy of the champion ({champion.key}) is missing in {paths.runs}, and MLflow at {mask(uri)} "
                f"does not have its files: {mask(str(error).splitlines()[0])}"
            ) from error
        if found != champion.files:
            raise UserError(
                f"The champion's files in MLflow at {mask(uri)} were not loaded: they are not those that "
                f"`seqclf champion` recorded in {paths.champion_record}. Run it again where the run "
                f"{champion.key} was trained."
            )
        try:
            keep_champion(paths, new, champion)
        except OSError as error:
            raise UserError(
                f"The champion could not be kept in {paths.runs}: {error}. Make room there or allow writing, and "
                "run the same command again."
            ) from error


def _require_store(uri: str) -> None:
    """Raise where a SQLite database does not exist: opening it would make one."""
    path = sqlite_path(uri)
    if path and not path.exists():
        raise FileNotFoundError(f"there is no database {path}")
