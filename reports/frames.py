"""Everything that was recorded, as DataFrames, for the report and for a notebook.

    from reports import frames
    frames.runs()                                      # one row per run
    frames.curves(study="imdb")                        # one row per evaluation
    frames.trials(frames.Stores.under("/elsewhere/runs"))
    frames.predictions(["imdb/0007"])                  # one row per review
    frames.texts(study="imdb")                         # the reviews, to be merged with predictions

Reading never writes, works while a study is writing, and gives empty tables with the right columns where nothing
has been recorded yet. A folder that is not there raises: it is a typing error, and no study without runs. Times
are in UTC.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
from optuna.storages import RDBStorage

from experiments.serving.champion import Champion, read_champion
from experiments.tracking import names
from experiments.tracking.paths import ARTIFACT_ROOT, RunPaths, artifact_folder, sqlite_path
from experiments.tracking.paths import PREDICTIONS as PREDICTED
from reports.records import frames_from_mlflow, published
from reports.records.database import Recorded, check_folder, connect, for_reading, has_table, readable
from reports.records.reviews import known_reviews, read_texts
from reports.records.study_run import own_studies
from seqclf_core.errors import UserError

TRIALS = ["study", "number", "state", "value", "started", "ended", "intermediate"]
PREDICTIONS = ["key", "part", "row", "label", "probability"]
ERRORS = ["key", "part", "row", "label", "probability", "first", "tokens", "contributions", "method"]
PARTS = ("val", "test")
ROLES = ("trial", "experiment", "study")


@dataclass(frozen=True)
class Stores:
    """Where records are: MLflow's tracking URI and Optuna's storage URL."""

    tracking: str = ""
    storage: str = ""
    cache: Path | None = None
    """Folder of encoded reviews, for their lengths and movies; none: these are not known."""
    published: Path | None = None
    """Folder of published studies, which is read instead; None: the stores are read."""

    @property
    def artifacts(self) -> Path | None:
        """Folder of runs' files; None where a server has them."""
        if self.tracking.startswith(("http://", "https://")):
            return None
        file = sqlite_path(self.tracking)
        folder = file.parent if file else self.cache.parent if self.cache else None
        return folder and RunPaths(folder).artifacts

    @classmethod
    def under(cls, folder: str | Path = "runs", tracking: str | None = None, storage: str | None = None) -> Stores:
        """Return the stores given, else $MLFLOW_TRACKING_URI and $SEQCLF_OPTUNA_URI, else the folder's own."""
        paths = RunPaths(Path(folder))
        return cls(paths.tracking_uri(tracking), paths.storage_uri(storage), paths.cache.absolute())

    @classmethod
    def of_published(cls, folder: str | Path) -> Stores:
        """Return what was published in a folder, such as ``reports/imdb``: no texts, and no errors with them."""
        return cls(published=Path(folder))


def runs(stores: Stores | None = None, study: str | None = None, role: str | None = None) -> pd.DataFrame:
    """Return one row per run, in order of their start; a study's own parent run has role ``study``.

    A tagger that a classifier starts from is left out: its scores are of words, and compare with none of these.

    Metrics have the names and values that they have in MLflow. ``best/val_accuracy`` and ``best/val_loss`` are
    those of the kept weights, and like ``test/*`` they are there for complete runs only. ``val/accuracy`` and its
    like are those of the last evaluation, of a pruned, failed or running run too: never a final score.

    Args:
        stores: where to read; default ``runs/``.
        study: the study or experiment to read; default all.
        role: only runs of this role: trial, experiment or study; default all.

    Returns:
        Who and what happened (``key``, ``name``, ``study``, ``role``, ``trial``, ``outcome`` ...), every setting
        under its dotted name with a type of its own, scores (proportions, losses in nats), seconds of work
        (``worked``: ``total_seconds`` of a complete run, else the ``seconds`` up to its last evaluation),
        ``tokens_per_second``, ``system/cpu_percent`` and ``system/memory_mb`` (of the last evaluation),
        ``started`` and ``ended`` (UTC), the data (``data_scope``, ``digest``, ``split_method``, ``used.train``
        ...), ``commit``, and every other tag under its own name, such as
        ``block`` in a factors study. ``finish`` is how training ended: completed, early_stop or diverged.

    Raises:
        UserError: if the tracking URI is of no known sort or does not answer, or RUNS is not there.
    """
    if role not in (None, *ROLES):
        raise UserError(f"There is no role {role!r}; expected one of {', '.join(ROLES)}.")
    stores = stores or Stores.under()
    if stores.published:
        table = published.read_runs(stores.published, study)
    else:
        table = frames_from_mlflow.runs_table(connect(stores.tracking).recorded(study))
        table = table[~table["run_id"].isin(_of_others(table, stores))]
    kept = table["role"] != "tagger" if role is None else table["role"] == role
    return table[kept].reset_index(drop=True)


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
    stores = stores or Stores.under()
    wanted = None if keys is None else set(keys)
    if stores.published:
        table = published.read_curves(stores.published, study)
        return table if wanted is None else table[table["key"].isin(wanted)].reset_index(drop=True)
    tracking = connect(stores.tracking)
    known, metrics = tracking.known(study)
    shared = len(set(known.values())) < len(known)
    others = _of_others(frames_from_mlflow.runs_table(tracking.recorded(study)), stores) if shared else set()
    chosen = {
        run_id: key for run_id, key in known.items() if run_id not in others and (wanted is None or key in wanted)
    }
    measured = frames_from_mlflow.measured(metrics)
    return frames_from_mlflow.curves_table(tracking.history(list(chosen), measured), chosen)


def _of_others(table: pd.DataFrame, stores: Stores) -> set[str]:
    """Return the ids of runs that others recorded in the same MLflow under a name of ours.

    A study that has its journal under RUNS is ours, and its runs are those with its uid. Where two runs have one
    key and none is known to be ours, the later one is shown.

    Args:
        table: as ``runs_table`` makes it, in order of start.
        stores: where the journals lie.
    """
    if "uid" not in table:
        return set()
    of_study = table["key"].str.rpartition("/")[0]
    ours = own_studies(RunPaths(stores.cache.parent)) if stores.cache else {}
    foreign = of_study.isin(list(ours)) & table["uid"].notna() & (table["uid"] != of_study.map(ours))
    foreign |= table[~foreign]["key"].duplicated(keep="last").reindex(table.index, fill_value=False)
    return set(table.loc[foreign, "run_id"])


def trials(stores: Stores | None = None, study: str | None = None) -> pd.DataFrame:
    """Return one row per Optuna trial: state, value, every searched setting, and values by evaluation.

    Args:
        stores: where to read; default ``runs/``.
        study: the study to read; default all.

    Returns:
        ``study``, ``number``, ``state`` (COMPLETE, PRUNED, FAIL, RUNNING, WAITING), ``value`` (NaN where there is
        none), ``started`` and ``ended`` (UTC), ``intermediate`` (a dict, evaluation
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
            "started": _utc(trial.datetime_start),
            "ended": _utc(trial.datetime_complete),
            "intermediate": trial.intermediate_values,
            **trial.params,
        }
        for name in names
        if storage is not None and study in (None, name)
        for trial in storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=TRIALS)
    times = dict.fromkeys(["started", "ended"], "datetime64[us, UTC]")
    return table.astype({"study": "str", "number": "int64", "state": "str", "value": float, **times})


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
    if stores.published:
        return published.read_answers(stores.published, keys, parts)
    found = [
        pd.read_parquet(file).assign(key=key, part=part)
        for key, folder in _prediction_folders(keys, stores)
        for part in PARTS
        if part in parts and (file := folder / f"{part}.parquet").is_file()
    ]
    return pd.concat(found, ignore_index=True)[PREDICTIONS] if found else no_predictions()


def no_predictions() -> pd.DataFrame:
    """Return the predictions of no run."""
    return pd.DataFrame(columns=PREDICTIONS)


def errors(keys: Sequence[str], stores: Stores | None = None) -> pd.DataFrame:
    """Return the most confident errors of runs on the validation split, token by token.

    Args:
        keys: of the runs; one that kept none, such as a baseline or one that did not end, gives no rows.
        stores: where to read; default ``runs/``.

    Returns:
        One row per error, the most confident first: ``key``, ``part`` (val), ``row``, ``label``, ``probability``,
        as in ``predictions``; ``first`` (how many tokens at the head of the text the model did not read),
        ``tokens`` (those that it read; ``[UNK]`` is a word that it does not know) and ``contributions`` (what each
        adds to the log-odds of the positive label, by ``method``).

    Raises:
        UserError: if no run has one of these keys.
    """
    stores = stores or Stores.under()
    found = [
        {"key": key, "part": told["part"], "method": told["method"], **error}
        for key, folder in ([] if stores.published else _prediction_folders(keys, stores))
        if (file := folder / "errors.json").is_file()
        for told in [json.loads(file.read_bytes())]
        for error in told["errors"]
    ]
    return pd.DataFrame(found, columns=ERRORS)


def reviews(stores: Stores, digest: str, part: str = "test") -> pd.DataFrame | None:
    """Return length and movie of each review of a split; None where they are not known here.

    Args:
        stores: where to read.
        digest: of the data, as runs record it.
        part: train, val or test.

    Returns:
        Index ``row``; ``tokens``, and ``movie`` (a number per group) where the data has groups.
    """
    if stores.published:
        known = published.read_texts_of(stores.published, digest, part)
        return known if known is not None and "tokens" in known else None
    return known_reviews(stores.cache, digest, part)


def champion(stores: Stores | None = None) -> str | None:
    """Return the key of the run whose model is the champion; None where none is registered.

    Args:
        stores: where to read; default ``runs/``.

    Raises:
        UserError: if the record of the champion cannot be read.
    """
    found = _champion(stores)
    return found.key if found else None


def champion_members(stores: Stores | None = None) -> dict[str, float]:
    """Return who answers together as the champion: key of each run -> its weight; empty where one model answers.

    Args:
        stores: where to read; default ``runs/``.

    Raises:
        UserError: if the record of the champion cannot be read.
    """
    found = _champion(stores)
    return dict(found.members) if found else {}


def _champion(stores: Stores | None) -> Champion | None:
    cache = (stores or Stores.under()).cache
    return read_champion(RunPaths(cache.parent)) if cache else None


def texts(
    stores: Stores | None = None, study: str | None = None, key: str | None = None, source: str | None = None
) -> pd.DataFrame:
    """Return the texts that runs read, from where they read them: with ``predictions`` they show who erred where.

        said = frames.predictions(["imdb/0007"]).merge(frames.texts(study="imdb"), on=["part", "row", "label"])

    Args:
        stores: where runs are recorded; default ``runs/``.
        study: the study or experiment whose texts are wanted; default all, if they read the same.
        key: the run whose texts are wanted, where the study has read several data sets.
        source: where the texts are now; default where the runs found them.

    Returns:
        One row per text: ``part`` (train, val or test; those left out are missing), ``row`` (in the source's own
        part, as in ``predictions``), ``label`` (0 or 1), ``group``, such as the movie (missing where there are
        none), and ``text``.

    Raises:
        UserError: if no run has read any data, runs of different data are asked for, or the texts are not there
            any more or are others now, which their digest tells.
    """
    stores = stores or Stores.under()
    if stores.published:
        raise UserError(
            f"{stores.published}: what is published has no texts. Read them from the stores of the runs."
        )
    recorded = connect(stores.tracking).recorded(key.partition("/")[0] if key else study)
    read = recorded.tags[recorded.tags["key"] == f"{names.USED}digest"]
    if key:
        known = _keys(recorded)
        read = read[read["run_id"].map(known) == key]
    digests = read["value"].unique()
    if len(digests) != 1:
        of = f" of {key or study}" if key or study else ""
        found = "have read no data yet" if not len(digests) else f"read {len(digests)} different data sets"
        raise UserError(f"The runs{of} {found}; name a study with runs on one data set: frames.texts(study=...).")
    params = recorded.params[recorded.params["run_id"] == read["run_id"].iloc[-1]]
    return read_texts(dict(zip(params["key"], params["value"], strict=True)), str(digests[0]), source)


def _keys(recorded: Recorded) -> dict[str, str]:
    """Return MLflow's run id -> our key."""
    tags = recorded.tags[recorded.tags["key"] == names.KEY]
    return dict(zip(tags["run_id"], tags["value"], strict=True))


def _prediction_folders(keys: Sequence[str], stores: Stores) -> Iterator[tuple[str, Path]]:
    """Yield key and folder of predictions of those of these runs that have one."""
    studies = {key.rpartition("/")[0] for key in keys}
    recorded = connect(stores.tracking).recorded(
        studies.pop() if len(studies) == 1 else None, keys[0] if len(keys) == 1 else None
    )
    run_ids = {key: run_id for run_id, key in _keys(recorded).items()}
    places = recorded.runs.set_index("run_id")["artifacts"]
    if unknown := sorted(set(keys) - set(run_ids)):
        like = difflib.get_close_matches(unknown[0], sorted(run_ids), n=5, cutoff=0.3)
        hint = f"There are: {', '.join(like)}." if like else "See frames.runs()['key'] for all keys."
        raise UserError(f"No run is recorded under {', '.join(unknown)}. {hint}")
    for key in keys:
        folder = _prediction_folder(stores, run_ids[key], str(places[run_ids[key]]))
        if folder and folder.is_dir():
            yield key, folder


def _prediction_folder(stores: Stores, run_id: str, artifacts: str) -> Path | None:
    place = urlsplit(artifacts)
    if artifacts.startswith(ARTIFACT_ROOT) and stores.artifacts:
        return artifact_folder(stores.artifacts, artifacts) / PREDICTED
    if place.scheme in ("", "file"):
        return Path(unquote(place.path)) / PREDICTED
    from mlflow import MlflowClient  # noqa: PLC0415 - seconds, for artifacts on a server alone

    client = MlflowClient(stores.tracking)
    if not client.list_artifacts(run_id, PREDICTED):
        return None
    return Path(client.download_artifacts(run_id, PREDICTED))


def _utc(moment: datetime | None) -> pd.Timestamp | None:
    """Return a time as Optuna gives it, which is in this machine's zone without saying so, in UTC."""
    return None if moment is None else pd.Timestamp(moment.astimezone(UTC))


def _storage(url: str) -> RDBStorage | None:
    """Open Optuna's storage for reading, None where there is none yet."""
    check_folder(url)
    with readable(url):
        if not has_table(url, "alembic_version"):  # made last
            return None
        plain, options = for_reading(url)
        return RDBStorage(plain, engine_kwargs=options, skip_compatibility_check=True, skip_table_creation=True)
