"""Real stores with made-up runs, written as experiments/tracking/mlflow_format.py and the studies write them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

import numpy as np
import optuna
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import create_trial

from experiments.tracking.plan import StudyPlan
from reports.frames import Stores
from seqclf_core.config import RunConfig

STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "running": "RUNNING"}
DISTRIBUTIONS = {
    "model.embed_dim": IntDistribution(32, 128, log=True),
    "model.hidden_dim": IntDistribution(32, 128, log=True),
    "model.pooling": CategoricalDistribution(["last", "mean"]),
    "model.loss": CategoricalDistribution(["bce", "cross_entropy"]),
    "train.lr": FloatDistribution(5e-4, 1e-2, log=True),
    "model.word_dropout": FloatDistribution(0.0, 0.5),
}
SEARCHED = {name: distribution_to_json(each) for name, each in DISTRIBUTIONS.items()}
SIZES = {"train": 21_250, "val": 3_750, "test": 25_000}
EPOCH = 1_795_000_000_000  # ms: in November 2026


@dataclass
class MadeUp:
    """One run as it is going to be recorded."""

    number: int
    outcome: str = "complete"  # complete, pruned, failed or running
    study: str = "imdb"
    role: str = "trial"
    data_scope: str = "whole"
    digest: str = "5f" * 32
    name: str = ""
    evaluations: int = 8
    changes: dict[str, object] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(self.number)
        self.changes = {
            "model.embed_dim": int(draw.integers(32, 128)),
            "model.hidden_dim": int(draw.integers(32, 128)),
            "model.pooling": str(draw.choice(["last", "mean"])),
            "model.loss": str(draw.choice(["bce", "cross_entropy"])),
            "train.lr": float(round(np.exp(draw.uniform(np.log(5e-4), np.log(1e-2))), 6)),
            "model.word_dropout": float(round(draw.uniform(0, 0.5), 3)),
            **self.changes,
        }
        c = self.changes
        self.name = self.name or (
            f"{self.number:04d} {c['model.pooling']} {c['model.loss'].split('_')[0]} "
            f"e{c['model.embed_dim']} h{c['model.hidden_dim']}"
        )
        level = 0.872 + 0.012 * (c["model.pooling"] == "mean") - 0.015 * abs(math.log(c["train.lr"] / 2e-3))
        level += draw.normal(0, 0.003) - (0.05 if self.outcome == "pruned" else 0)
        t = np.arange(1, self.evaluations + 1)
        noise = draw.normal(0, 0.003, len(t))
        self.val = level - 0.34 * np.exp(-t / 2.2) - 0.0008 * np.maximum(t - 8, 0) + noise
        self.train = level - 0.36 * np.exp(-t / 2.4) + 0.006 * t
        self.val_loss = 0.29 + 0.4 * np.exp(-t / 2) + 0.004 * np.maximum(t - 6, 0) + (0.88 - level)
        self.train_loss = 0.24 + 0.46 * np.exp(-t / 2.2) - 0.006 * t + (0.88 - level)
        self.tokens_per_second = 110_000 * draw.normal(1, 0.05)
        self.test = level - 0.004 + draw.normal(0, 0.002)

    @property
    def key(self) -> str:
        return f"{self.study}/{self.number:04d}"

    @property
    def best(self) -> int:
        return int(np.argmax(self.val))

    @property
    def started(self) -> int:
        return EPOCH + 70_000 * self.number


def record(
    folder: Path, runs: list[MadeUp], finished: bool = True, notes: dict[str, dict[str, str]] | None = None
) -> Stores:
    """Record the runs, one parent per study, in MLflow and Optuna databases under a folder.

    ``notes`` are tags of the parents of lists, by study.
    """
    stores = Stores(f"sqlite:///{folder / 'mlflow.db'}", f"sqlite:///{folder / 'optuna.db'}", folder / "cache")
    record_in_mlflow(stores.tracking, folder, runs, finished, notes or {})
    searched = [run for run in runs if run.role == "trial" and run.study not in (notes or {})]
    record_in_optuna(stores.storage, searched)  # of a list, a report reads nothing there
    return stores


def record_in_mlflow(
    uri: str, folder: Path, runs: list[MadeUp], finished: bool, notes: dict[str, dict[str, str]]
) -> None:
    client = MlflowClient(uri)
    for study in dict.fromkeys(run.study for run in runs):
        of_study = [run for run in runs if run.study == study]
        experiment = client.create_experiment(study, (folder / "artifacts").as_uri())
        parent = None
        if any(run.role == "trial" for run in of_study):
            tags = {"seqclf.key": f"{study}/study", "seqclf.role": "study", "seqclf.study": study}
            plan = {"seqclf.plan": StudyPlan(searched=SEARCHED).model_dump_json(exclude_defaults=True)}
            tags |= {"seqclf.data_scope": of_study[0].data_scope, **notes.get(study, plan)}
            parent = client.create_run(experiment, EPOCH - 5_000, tags, study).info.run_id
        for run in of_study:
            _record(client, experiment, parent, run)
        if parent and finished:
            client.set_tag(parent, "outcome", "complete")
            client.set_terminated(parent, "FINISHED", max(run.started for run in of_study) + 300_000)


def _record(client: MlflowClient, experiment: str, parent: str | None, run: MadeUp) -> None:
    tags = {
        "seqclf.key": run.key,
        "seqclf.role": run.role,
        "seqclf.study": run.study,
        "seqclf.trial": str(run.number),
        "seqclf.data_scope": run.data_scope,
        "code.commit": "c0ffee" + 34 * "0",
        "versions.torch": "2.13.0",
        "versions.python": "3.11.9",
        "device": "cpu",
        "precision": "bf16",
        "used.source": "stanfordnlp/imdb",
        "used.digest": run.digest,
        "used.split_method": "group",
        "used.group_column": "movie",
        "used.skipped": "0",
        "used.vocab_size": "20000",
        "used.parameters": str(20_000 * run.changes["model.embed_dim"]),
        **{f"used.{part}": str(size) for part, size in SIZES.items()},
        **({"mlflow.parentRunId": parent} if parent else {}),
        **run.tags,
    }
    run_id = client.create_run(experiment, run.started, tags, run.name).info.run_id
    settings = {name: str(value) for name, value in RunConfig().override(run.changes).flat().items()}
    params = [Param(name, value) for name, value in {**settings, **run.params}.items()]
    metrics = []
    for i in range(run.evaluations):
        step, at, seconds = (i + 1) * 10_625, run.started + (i + 1) * 15_000, 15.0 * (i + 1)
        values = {
            "train/loss": run.train_loss[i],
            "train/accuracy": run.train[i],
            "val/loss": run.val_loss[i],
            "val/accuracy": run.val[i],
            "tokens_per_second": run.tokens_per_second,
            "seconds": seconds,
        }
        metrics += [Metric(name, float(value), at, step) for name, value in values.items()]
    end = {}
    if run.outcome == "complete":
        end = {"test/loss": 0.3, "test/accuracy": run.test, "total_seconds": 15.0 * run.evaluations + 9}
        end |= {"best/val_loss": run.val_loss[run.best], "best/val_accuracy": run.val[run.best]}
    at, step = run.started + run.evaluations * 15_000 + 9_000, run.evaluations * 10_625
    metrics += [Metric(name, float(value), at, step) for name, value in end.items()]
    extra = []
    if run.outcome != "running":
        extra.append(RunTag("outcome", run.outcome))
    if run.outcome == "failed":
        extra.append(
            RunTag("seqclf.reason", run.tags.get("seqclf.reason", "NotFiniteError: loss is nan at step 4250"))
        )
    client.log_batch(run_id, metrics, params, extra)
    if run.outcome != "running":
        client.set_terminated(run_id, STATUS[run.outcome], at)


def record_in_optuna(url: str, runs: list[MadeUp]) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in dict.fromkeys(run.study for run in runs):
        study = optuna.create_study(storage=url, study_name=name, direction="maximize")
        study.add_trials([_trial(run) for run in runs if run.study == name])


def _trial(run: MadeUp) -> optuna.trial.FrozenTrial:
    intermediate = {i + 1: float(value) for i, value in enumerate(run.val)}
    value = {"complete": float(run.val.max()), "pruned": float(run.val[-1])}.get(run.outcome)
    params = {name: run.changes[name] for name in DISTRIBUTIONS}
    return create_trial(
        state=optuna.trial.TrialState[STATES[run.outcome]],
        value=value,
        params=params,
        distributions=DISTRIBUTIONS,
        intermediate_values=intermediate,
    )


def study_of(count: int, study: str = "imdb", **changes: object) -> list[MadeUp]:
    """Make a search that looks like a real one: the first fails, every fourth is pruned."""
    outcomes = ["failed" if i == 0 else "pruned" if i % 4 == 3 else "complete" for i in range(count)]
    return [
        MadeUp(i, outcome, study, evaluations={"complete": 8, "pruned": 3, "failed": 1}[outcome], **changes)
        for i, outcome in enumerate(outcomes)
    ]


def write_predictions(folder: Path, part: str, rows: int, accuracy: float = 0.5, seed: int = 0) -> None:
    """Write what a run said about the same reviews as every other: some are hard for all, long ones harder."""
    shared = np.random.default_rng(len(part))
    label = shared.integers(0, 2, rows)
    hard = shared.normal(0, 1, rows) + np.linspace(-0.3, 0.3, rows)
    margin = math.sqrt(2) * NormalDist().inv_cdf(accuracy) - hard + np.random.default_rng(seed).normal(0, 1, rows)
    odds = np.where(label == 1, margin, -margin)
    columns = {"row": np.arange(rows, dtype="int64"), "label": label.astype("int8")}
    frame = pd.DataFrame({**columns, "probability": (1 / (1 + np.exp(-odds))).astype("float32")})
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / f"{part}.parquet")
