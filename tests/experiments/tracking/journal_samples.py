"""Small journals, and all that MLflow holds of them, for the tests beside this file."""

from pathlib import Path

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient
from sqlalchemy import make_url

from experiments.tracking.artifacts import read_without_server
from experiments.tracking.journal import Header, Outcome
from experiments.tracking.paths import RunPaths
from experiments.tracking.recorder import Recorder
from seqclf_core.config import RunConfig
from seqclf_core.events import DataSummary, Finished, Progress, Started

DATA = DataSummary(
    source="/data/imdb",
    data_scope="whole",
    digest="ab" * 32,
    sizes={"train": 100, "val": 20, "test": 50},
    split_method="group",
    group_column="movie",
    skipped=0,
    vocab_size=1000,
)
STARTED = Started(data=DATA, parameters=1234, device="cpu", precision="fp32", evaluations=3)
FINISHED = Finished(
    reason="completed",
    best_evaluation=2,
    metrics={
        "best/val_loss": 0.5,
        "best/val_accuracy": 0.75,
        "test/loss": 0.6,
        "test/accuracy": 0.7,
        "total_seconds": 40.0,
    },
    files={"model": "model", "test_predictions": "predictions/test.parquet"},
)


def progress(evaluation: int, best: bool = False) -> Progress:
    return Progress(
        evaluation=evaluation,
        step=100 * evaluation,
        epoch=evaluation / 2,
        metrics={
            "train/loss": 1 / evaluation,
            "train/accuracy": 0.5,
            "val/loss": 1.5 / evaluation,
            "val/accuracy": 0.25 * evaluation,
            "tokens_per_second": 1e5,
            "seconds": 10.0 * evaluation,
        },
        best=best,
    )


EVENTS = [STARTED, progress(1), progress(2, best=True), progress(3), FINISHED]


def header(key: str, parent: str | None = None) -> Header:
    name, number = key.split("/")
    return Header(
        key=key,
        uid=name.ljust(16, "0"),
        name=f"{number} last bce",
        experiment=name,
        role="trial" if parent else "study",
        parent=parent,
        params=RunConfig().flat() if parent else {},
        tags={"seqclf.study": name, "seqclf.trial": number},
    )


def record_trial(paths: RunPaths, key: str, outcome: Outcome = "complete", parent: str = "imdb/study") -> None:
    with Recorder.open(paths.journal(key), header(key, parent)) as recorder:
        for event in EVENTS if outcome == "complete" else EVENTS[:3]:
            recorder.record(event)
        recorder.close(outcome, "" if outcome == "complete" else f"it was {outcome}")
    if outcome == "complete":
        predictions = paths.work(key) / "predictions"
        predictions.mkdir(parents=True)
        (predictions / "test.parquet").write_bytes(b"rows and probabilities")


def record_study(paths: RunPaths, trials: int, first: int = 0) -> None:
    with Recorder.open(paths.journal("imdb/study"), header("imdb/study")) as recorder:
        for number in range(first, first + trials):
            record_trial(paths, f"imdb/{number:04d}", ("complete", "pruned", "failed")[number % 3])
        recorder.close("complete")


def everything_in(uri: str, prefix: str = "") -> dict[str, object]:
    """Return all that MLflow holds, by the run's key and without the ids that it draws at random.

    Args:
        uri: of MLflow.
        prefix: of the keys of the runs that are meant, where others share it.
    """
    if uri.startswith("sqlite"):  # files of runs are found below RUNS
        read_without_server(RunPaths(Path(str(make_url(uri).database)).parent).artifacts)
    client = MlflowClient(tracking_uri=uri)
    runs = [
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
        if run.data.tags["seqclf.key"].startswith(prefix)
    ]
    keys = {run.info.run_id: run.data.tags["seqclf.key"] for run in runs}
    assert len(set(keys.values())) == len(keys), "a run was made twice"
    found: dict[str, object] = {}
    for run in runs:
        parent = run.data.tags.pop("mlflow.parentRunId", None)
        info = run.info
        found[keys[info.run_id]] = {
            "parent": parent and keys[parent],
            "info": (info.run_name, info.status, info.start_time, info.end_time),
            "params": run.data.params,
            "tags": run.data.tags,
            "inputs": sorted(
                (one.dataset.name, one.dataset.digest, one.dataset.profile, one.tags[0].value)
                for one in run.inputs.dataset_inputs
            ),
            "metrics": {
                name: sorted((point.timestamp, point.step, point.value) for point in history)
                for name in run.data.metrics
                for history in [client.get_metric_history(info.run_id, name)]
            },
            "latest": run.data.metrics,
            "files": sorted(file.path for file in client.list_artifacts(info.run_id)),
            "predictions": [file.path for file in client.list_artifacts(info.run_id, "predictions")],
        }
    return found
