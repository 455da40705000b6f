"""Everything that was recorded, as DataFrames, for the report and for a notebook.

    from reports import frames
    frames.runs()                                      # one row per run
    frames.curves(study="imdb")                        # one row per evaluation
    frames.trials(frames.Stores.under("/elsewhere/runs"))
    frames.predictions(["imdb/0007"])                  # one row per review

Reading never writes, works while a study is writing, and gives empty tables with the right columns where nothing
has been recorded yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pandas as pd

from experiments.tracking import names
from experiments.tracking.paths import ARTIFACT_ROOT, RunPaths, artifact_folder, sqlite_path
from reports.records import frames_from_mlflow
from reports.records.database import Recorded, connect, for_reading, has_table, readable
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

TRIALS = ["study", "number", "state", "value", "started", "ended", "intermediate"]
PREDICTIONS = ["key", "part", "row", "label", "probability"]
PARTS = ("val", "test")


@dataclass(frozen=True)
class Stores:
    """Where records are: MLflow's tracking URI and Optuna's storage URL."""

    tracking: str
    storage: str
    cache: Path | None = None
    """Folder of encoded reviews, for their lengths and movies; none: these are not known."""

    @property
    def artifacts(self) -> Path | None:
        """Folder of runs' files; None where a server has them."""
        if self.tracking.startswith(("http://", "https://")):
            return None
        file = sqlite_path(self.tracking)
        folder = file.parent if file else self.cache.parent if self.cache else None
        return folder and RunPaths(folder).artifacts

    @classmethod
    def under(
        cls, folder: str | Path = "runs", tracking: str | None = None, storage: str | None = None
    ) -> "Stores":
        """Return the stores given, else $MLFLOW_TRACKING_URI and $SEQCLF_OPTUNA_URI, else the folder's own."""
        paths = RunPaths(Path(folder))
        return cls(paths.tracking_uri(tracking), paths.storage_uri(storage), paths.cache.absolute())


def runs(stores: Stores | None = None, study: str | None = None) -> pd.DataFrame:
    """Return one row per run, in order of their start; a study's own parent run has role ``study``.

    A tagger that a classifier starts from is left out: its scores are of words, and compare with none of these.

    Metrics have the names and values that they have in MLflow. ``best/val_accuracy`` and ``best/val_loss`` are
    those of the kept weights, and like ``test/*`` they are there for complete runs only. ``val/accuracy`` and its
    like are those of the last evaluation, of a pruned, failed or running run too: never a final score.

    Args:
        stores: where to read; default ``runs/``.
        study: the study or experiment to read; default all.

    Returns:
        Who and what happened (``key``, ``name``, ``study``, ``role``, ``trial``, ``outcome`` ...), every setting
        under its dotted name with a type of its own, scores (proportions, losses in nats), seconds of work
        (``worked``: ``total_seconds`` of a complete run, else the ``seconds`` up to its last evaluation),
        ``tokens_per_second`` (of the last evaluation), ``started`` and ``ended`` (UTC), the data (``kind``,
        ``digest``, ``split``, ``used.train`` ...), ``commit``, and every other tag under its own name, such as
        ``block`` in a factors study. ``finish`` is how training ended: completed, early_stop or diverged.

    Raises:
        UserError: if the tracking URI is of no known sort, or does not answer.
    """
    table = frames_from_mlflow.runs_table(connect((stores or Stores.under()).tracking).recorded(study))
    return table[table["role"] != "tagger"].reset_index(drop=True)


def curves(
    stores: Stores | None = None, study: str | None = None, keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row per run and evaluation: ``key``, ``evaluation`` (1, 2, ...), ``step``, and the metrics.

    Taggers are among them, though not among ``runs``: their losses and accuracies are of words.

    Args:
        stores: where to read; default ``runs/``.
        study: the study or experiment to read; default all.
        keys: only these runs; default all.

    Returns:
        ``step`` is training examples seen; ``train/*`` cover the examples since the evaluation before.

    Raises:
        UserError: if the tracking URI is of no known sort, or does not answer.
    """
    tracking = connect((stores or Stores.under()).tracking)
    recorded = tracking.recorded(study)
    known = _keys(recorded)
    chosen = {run_id: key for run_id, key in known.items() if keys is None or key in keys}
    measured = frames_from_mlflow.measured(recorded.latest["key"])
    return frames_from_mlflow.curves_table(tracking.history(list(chosen), measured), chosen)


def trials(stores: Stores | None = None, study: str | None = None) -> pd.DataFrame:
    """Return one row per Optuna trial: state, value, every searched setting, and values by evaluation.

    Args:
        stores: where to read; default ``runs/``.
        study: the study to read; default all.

    Returns:
        ``study``, ``number``, ``state`` (COMPLETE, PRUNED, FAIL, RUNNING, WAITING), ``value`` (NaN where there is
        none), ``started`` and ``ended`` (local time, as Optuna stores them), ``intermediate`` (a dict, evaluation
        -> value), and the settings under their dotted names.
    """
    storage = _storage((stores or Stores.under()).storage)
    names = [] if storage is None else [found.study_name for found in storage.get_all_studies()]
    rows = [
        {
            "study": name,
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value if trial.value is not None else float("nan"),
            "started": trial.datetime_start,
            "ended": trial.datetime_complete,
            "intermediate": trial.intermediate_values,
            **trial.params,
        }
        for name in names
        if storage is not None and study in (None, name)
        for trial in storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=TRIALS)
    return table.astype({"study": "str", "number": "int64", "state": "str", "value": float})


def predictions(keys: Sequence[str], stores: Stores | None = None, parts: Sequence[str] = PARTS) -> pd.DataFrame:
    """Return what runs said about each review, on validation and test.

    Args:
        keys: of the runs; one that ended without predictions gives no rows.
        stores: where to read; default ``runs/``.
        parts: val, test or both.

    Returns:
        ``key``, ``part`` (val or test), ``row``, ``label``, ``probability``. ``row`` is the review's row in the
        source's own part (validation reviews come from its training part); ``label`` is 0 or 1; ``probability``
        is that of a positive review.

    Raises:
        UserError: if no run has one of these keys.
    """
    stores = stores or Stores.under()
    recorded = connect(stores.tracking).recorded(None)
    run_ids = {key: run_id for run_id, key in _keys(recorded).items()}
    places = recorded.runs.set_index("run_id")["artifacts"]
    if unknown := sorted(set(keys) - set(run_ids)):
        raise UserError(f"No run is recorded under {', '.join(unknown)}. See frames.runs()['key'] for all keys.")
    found = [
        pd.read_parquet(file).assign(key=key, part=file.stem)
        for key in keys
        for file in _prediction_files(stores, run_ids[key], str(places[run_ids[key]]))
        if file.stem in parts
    ]
    return pd.concat(found, ignore_index=True)[PREDICTIONS] if found else pd.DataFrame(columns=PREDICTIONS)


def _keys(recorded: Recorded) -> dict[str, str]:
    """Return MLflow's run id -> our key."""
    tags = recorded.tags[recorded.tags["key"] == names.KEY]
    return dict(zip(tags["run_id"], tags["value"], strict=True))


def _prediction_files(stores: Stores, run_id: str, artifacts: str) -> list[Path]:
    place = urlsplit(artifacts)
    if artifacts.startswith(ARTIFACT_ROOT) and stores.artifacts:
        folder = artifact_folder(stores.artifacts, artifacts) / "predictions"
    elif place.scheme in ("", "file"):
        folder = Path(unquote(place.path)) / "predictions"
    else:
        from mlflow import MlflowClient

        client = MlflowClient(stores.tracking)
        if not client.list_artifacts(run_id, "predictions"):
            return []
        folder = Path(client.download_artifacts(run_id, "predictions"))
    return [file for part in PARTS if (file := folder / f"{part}.parquet").is_file()]


def _storage(url: str) -> "RDBStorage | None":
    """Open Optuna's storage for reading, None where there is none yet."""
    from optuna.storages import RDBStorage

    with readable(url):
        if not has_table(url, "alembic_version"):  # made last
            return None
        plain, options = for_reading(url)
        return RDBStorage(plain, engine_kwargs=options, skip_compatibility_check=True, skip_table_creation=True)
