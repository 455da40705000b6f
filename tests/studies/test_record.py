"""The whole recipe on small reviews with unlabelled ones: killed on the way, it comes to the same end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from experiments.tracking.paths import RunPaths
from reports import frames
from reports.pages import build
from seqclf_core.errors import UserError
from studies import record
from studies.commands.record import main
from studies.doctor.examine import examine
from tests import forked
from tests.conftest import write_reviews

ROOT = Path(__file__).parents[2]
SMALL = (
    "--model.embed-dim 8 --model.hidden-dim 8 --train.batch-tokens 100 --train.warmup-steps 5 --train.lr 0.02 "
    "--train.epochs 1 --seeds 1 --ablation-seeds 1 --vector-epochs 1 --no-report"
)


PARTS = {"word_vectors/*": 1, "record-teachers/0000": 1, "self_training/*": 1, "refit/*": 2}
"""Folder that shows that a part is at work, which is then killed, one after another -> workers until then.
The students go on as the teachers do: both are studies."""


MOVED_AT = "self_training/*"
"""The folder of runs lies elsewhere after the kill at this part."""


def table_of(said: str) -> list[str]:
    """Return what is said of each model."""
    lines = said.splitlines()
    return lines[next(place for place, line in enumerate(lines) if "val accuracy   test accuracy" in line) : -1]


@pytest.mark.timeout(600)
def test_killed_on_the_way_the_recipe_goes_on_to_the_same_end(
    reviews_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "SEQCLF_OPTUNA_URI"):
        monkeypatch.delenv(variable, raising=False)
    data = shutil.copytree(reviews_folder, tmp_path / "data")
    write_reviews(data / "unsupervised.jsonl", 200, seed=3)
    killed, whole = RunPaths(tmp_path / "killed"), RunPaths(tmp_path / "whole")

    def arguments(paths: RunPaths, workers: int = 1) -> list[str]:
        return ["--data.source", str(data), "--runs", str(paths.runs), "--workers", str(workers), *SMALL.split()]

    for part, workers in PARTS.items():
        process = forked.Popen(
            [sys.executable, "-m", "studies.commands", "record", *arguments(killed, workers)], cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not any(killed.works.glob(part)):
            assert process.poll() is None, f"it ended before {part} began"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if part == MOVED_AT:
            taught = (killed.work("record-teachers/0000") / "events.json").read_bytes()
            killed = RunPaths(killed.runs.rename(tmp_path / "moved"))
    capsys.readouterr()
    assert main(arguments(killed)) == 0
    after = capsys.readouterr().out
    assert "word vectors: done" in after
    assert main(arguments(whole)) == 0
    assert table_of(after) == table_of(capsys.readouterr().out)
    ends = [
        {path.parts[-3]: pq.read_table(path) for path in paths.works.glob("ensemble/*/predictions/test.parquet")}
        for paths in (killed, whole)
    ]
    assert (killed.work("record-teachers/0000") / "events.json").read_bytes() == taught  # and not once more
    assert len(ends[0]) == 2
    assert ends[0].keys() == ends[1].keys()
    assert all(ends[0][key].equals(ends[1][key]) for key in ends[0])
    student = json.loads((killed.work("record/0000") / "events.json").read_text())["events"][0]
    assert student["data"]["sizes"]["soft"] > 100

    assert not examine(killed, killed.storage_uri(None), killed.tracking_uri(None)).found
    stores = frames.Stores.under(killed.runs)
    (part,) = build.page(stores, "record", frames.runs(stores, "record")).parts
    assert part.answer.sentences[0].startswith("The recipe answers")
    assert [section.title for section in part.answer.sections] == ["What each ingredient adds", "Beside it"]
    arms = part.answer.files["arms.csv"]
    assert sorted(arms["arm"]) == ["last state alone", "recipe", "without soft labels", "without vectors"]
    beside = {"NBSVM", "NBSVM, on both splits", "teacher", "ensemble", "refit, on both splits"}
    assert set(part.answer.files["beside.csv"]["model"]) >= beside


def test_without_vectors_the_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make record"):
        record.build_study(record.Params())
    with pytest.raises(UserError, match="cannot be read as word vectors"):
        record.build_study(record.Params(vectors=str(tmp_path)))
