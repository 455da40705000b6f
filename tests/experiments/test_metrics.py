"""A metric is added in one place and is found wherever runs are recorded; a decision is made by one rule."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from sklearn.metrics import f1_score

from experiments import baseline
from experiments.experiment import NamedRun
from experiments.runner import Session, track_all
from experiments.tracking import journal
from experiments.tracking.journal import Happened
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from reports import frames
from reports.stats.generalisation import correct_answers
from reports.stats.mcnemar import compare
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Split, load_corpus
from seqclf_core.events import Finished, Progress
from seqclf_core.training import metrics
from seqclf_core.training.predictions import decide, probabilities, write_predictions


def f1(labels: metrics.Labels, log_odds: metrics.LogOdds) -> float:
    return float(f1_score(labels, decide(probabilities(log_odds))))


def test_a_metric_that_is_added_is_found_in_the_journal_in_mlflow_and_in_frames(
    small: RunConfig, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(metrics.METRICS, "f1", f1)
    config = small.override({"train.epochs": 1})
    paths = RunPaths(tmp_path / "runs")
    paths.runs.mkdir()
    paths.cache.symlink_to(cache)
    session = Session(
        name="baseline", question="Does it?", command="make it", data=load_corpus(config.data, cache).summary,
        paths=paths, console=Console(file=io.StringIO()), stream=baseline.EXPERIMENT.stream,
    )  # fmt: skip
    (result,) = track_all(session, config, [NamedRun("only", config)], lambda: False)
    entries = journal.read(paths.journal(result.key))
    events = [entry.event for entry in entries if isinstance(entry, Happened)]
    told = [event for event in events if isinstance(event, Progress)]
    assert [0 <= event.metrics["val/f1"] <= 1 for event in told] == [True, True]
    assert isinstance(events[-1], Finished)
    ended = events[-1].metrics

    sync_once(paths.runs)
    stores = frames.Stores.under(paths.runs)
    curve = frames.curves(stores, "baseline", [result.key])
    assert curve["val/f1"].tolist() == pytest.approx([event.metrics["val/f1"] for event in told])
    for name in ("system/cpu_percent", "system/memory_mb"):  # what the machine did comes along
        assert curve[name].tolist() == pytest.approx([event.metrics[name] for event in told])
    known = frames.runs(stores, "baseline")
    (row,) = known[known["role"] == "experiment"].to_dict("records")
    assert row["best/val_f1"] == pytest.approx(ended["best/val_f1"])
    assert row["test/f1"] == pytest.approx(ended["test/f1"])
    assert row["best/val_accuracy"] == pytest.approx(ended["best/val_accuracy"])


def test_a_probability_of_one_half_is_positive_in_the_core_and_in_every_report(tmp_path: Path) -> None:
    log_odds, labels = np.array([0.0, -0.1, 0.1, 0.0]), np.array([1, 0, 1, 0])
    assert metrics.accuracy(labels, log_odds) == 0.75
    rows = np.arange(4)
    split = Split(np.zeros(4, np.uint16), np.arange(5), labels, rows, None)
    write_predictions(tmp_path / "test.parquet", split, log_odds)
    kept = pq.read_table(tmp_path / "test.parquet").to_pandas().assign(key="run")
    assert kept["probability"].tolist()[0] == 0.5
    assert correct_answers(kept).to_numpy().ravel().tolist() == [True, True, True, False]
    sure = pd.DataFrame({"row": rows, "label": labels, "probability": np.where(labels == 1, 0.9, 0.1)})
    compared = compare(kept, sure)  # one review apart: the last, at one half too
    assert (compared.only_a, compared.only_b) == (0, 1)
