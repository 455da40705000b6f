"""A study on a cluster and in a team's stores is that of a laptop, bit for bit: ``python -m tests.cluster_team``.

A list of eight fixed trials on two nodes of this machine, one of them without a sight of RUNS, with PostgreSQL, an
MLflow server on it and an object store; and the same with two worker processes on SQLite. Settings, outcomes and
every curve are compared in Optuna and in MLflow, and what is in the object store. For whole IMDB:
``python -m tests.cluster_team --source FOLDER``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from experiments.tracking import names
from experiments.tracking.paths import RunPaths, set_mlflow_environment
from studies.engine.storage import open_storage
from tests.conftest import write_reviews
from tests.studies.cluster.cluster import LocalCluster
from tests.studies.engine.study_command import Command
from tests.team_stores import TeamStores, team_stores

set_mlflow_environment()  # MLflow reads it when it is imported, by the next lines

import optuna  # noqa: E402

from tests.experiments.tracking.journal_samples import everything_in  # noqa: E402

TRIALS = 8
TIMES = {names.TOKENS_PER_SECOND, names.SECONDS, names.TOTAL_SECONDS}
"""Metrics that are never the same twice; nor are those of the machine."""


def study(options: argparse.Namespace, source: Path, runs: Path, more: list[str]) -> Command:
    """Return the command of the study of one of the two kinds."""
    command = Command(source, runs, TRIALS)
    at = command.arguments.index("imdb")
    limit = ["--data.limit", str(options.limit)] if options.limit else []
    command.arguments = [
        *command.arguments[:at], "factors", "--name", "test", "--runs", str(runs), "--blocks", str(TRIALS // 4),
        "--study-seed", "0", "--workers", "2", "--no-report", "--data.source", str(source), *limit,
        "--train.epochs", str(options.epochs), *more,
    ]  # fmt: skip
    return command


def ended(command: Command, kind: str) -> None:
    """Run a study to its end."""
    began = time.monotonic()
    command.start()
    code, output = command.end(timeout=24 * 3600)
    assert code == 0, output
    print(f"{kind}: {time.monotonic() - began:.0f} s", flush=True)


def in_optuna(uri: str) -> list[tuple[object, ...]]:
    """Return settings, outcome and curve of each trial."""
    found = optuna.load_study(study_name="test", storage=open_storage(uri)).trials
    return [(trial.params, trial.state, trial.values, trial.intermediate_values) for trial in found]


def in_mlflow(uri: str) -> dict[str, Any]:
    """Return settings, status, files and every curve of each trial's run, without times."""
    found: dict[str, Any] = {}
    for key, run in everything_in(uri).items():
        assert isinstance(run, dict)
        curves = {
            name: sorted((step, value) for _, step, value in points)
            for name, points in run["metrics"].items()
            if name not in TIMES and not name.startswith(names.SYSTEM)
        }
        if key.rpartition("/")[2].isdecimal():
            files = {"files": run["files"], "predictions": run["predictions"]}
            found[key] = {"params": run["params"], "status": run["info"][1], **files, "curves": curves}
    return found


def compare(here: RunPaths, stores: TeamStores, optuna_uri: str) -> list[str]:
    """Return how the study of a team differs from that of a laptop."""
    wrong = []
    alone, team = in_optuna(here.optuna_uri), in_optuna(optuna_uri)
    pairs = enumerate(zip(alone, team, strict=False))
    wrong += [f"trial {number} differs in Optuna" for number, (one, other) in pairs if one != other]
    wrong += [f"Optuna has {len(each)} trials" for each in (alone, team) if len(each) != TRIALS]
    known, shared = in_mlflow(here.tracking_uri()), in_mlflow(stores.mlflow)
    for key, run in known.items():
        parts = [part for part in run if run[part] != shared.get(key, {}).get(part)]
        wrong += [f"{key} differs in MLflow: {', '.join(parts)}"] if parts else []
    wrong += [f"MLflow has {len(each)} trials" for each in (known, shared) if len(each) != TRIALS]
    if (objects := stores.objects().count(".parquet</Key>")) < TRIALS:
        wrong.append(f"{objects} files of predictions are in the object store")
    points = sum(len(points) for run in known.values() for points in run["curves"].values())
    print(f"{len(known)} trials, {points} points of curves, {objects} files of predictions in the object store")
    return wrong


def main() -> int:
    """Run both studies and compare them; status 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster_team")
    parser.add_argument("--source", type=Path, help="reviews; none: a few synthetic ones")
    parser.add_argument("--limit", type=int, help="most reviews of a part; none: all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder in which everything stays")
    options = parser.parse_args()
    for name in ("MLFLOW_TRACKING_URI", "SEQCLF_OPTUNA_URI"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        source = options.source.absolute() if options.source else folder / "reviews"
        if not options.source:
            source.mkdir(parents=True)
            write_reviews(source / "train.jsonl", 360, seed=1)
            write_reviews(source / "test.jsonl", 80, seed=2)
        alone = study(options, source, folder / "alone", [])
        ended(alone, "two worker processes, SQLite")
        with team_stores(folder) as stores:
            cluster = LocalCluster(folder)
            try:
                cluster.add()
                cluster.add(local=True)
                there = ["--ray", cluster.address, "--token", str(cluster.token)]
                team = study(options, source, folder / "team", there)
                database = stores.postgres.create("optuna")
                team.environment = {"SEQCLF_OPTUNA_URI": database, "MLFLOW_TRACKING_URI": stores.mlflow}
                ended(team, "two nodes, PostgreSQL, MLflow server, object store")
            finally:
                cluster.stop()
            wrong = compare(RunPaths(alone.runs), stores, database)
            if list(team.runs.glob("*.db*")):
                wrong.append("a second, local store was made")
    print("\n".join(wrong) or "the same, bit for bit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
