"""Questions on small data: killed in the middle, the same command goes on to the end of an uninterrupted study."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from experiments.tracking import names
from experiments.tracking.journal import Happened, opened, read
from experiments.tracking.paths import RunPaths
from seqclf_core.events import Finished
from studies.commands.study import main, options_of, study_of
from studies.doctor.examine import examine
from tests import forked
from tests.studies.engine.stepping import OpenScheduler, run_all
from tests.studies.engine.study_command import ROOT

WIDTHS = "--model.embed-dim 8 --model.hidden-dim 8"
FEW = "--data.train-limit 20 --train.epochs 2"
QUESTIONS = {
    "fraction": f"factors --blocks 2 --design fraction {FEW}",
    "labels": f"labels --sizes 6,20 --seeds 2 {WIDTHS}",
    "variance": f"variance --seeds 2 {FEW}",
}


def ends(paths: RunPaths, name: str) -> dict[str, dict[str, float]]:
    """Return planned run -> its final scores, without what time it took."""
    found = {}
    for file in paths.journal(f"{name}/0000").parent.glob("0*.jsonl"):
        entries = read(file)
        events = [entry.event for entry in entries if isinstance(entry, Happened)]
        assert isinstance(events[-1], Finished)
        scores = {key: value for key, value in events[-1].metrics.items() if key != names.TOTAL_SECONDS}
        found[opened(entries).header.tags[names.PLANNED]] = scores
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", QUESTIONS)
def test_killed_in_the_middle_a_question_ends_as_if_it_had_not_been(
    name: str, reviews_folder: Path, tmp_path: Path, open_scheduler: OpenScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "SEQCLF_OPTUNA_URI"):
        monkeypatch.delenv(variable, raising=False)
    killed = RunPaths(tmp_path / "killed")
    arguments = [
        *QUESTIONS[name].split(), "--name", name, "--runs", str(killed.runs), "--data.source", str(reviews_folder),
        "--study-seed", "5", "--workers", "1", "--no-report",
    ]  # fmt: skip
    process = forked.Popen([sys.executable, "-m", "studies.commands", "study", *arguments], cwd=ROOT)
    ended = killed.journal(f"{name}/0001")  # the first run has ended and the second is at work
    while not (ended.exists() and b'"progress"' in ended.read_bytes()):
        assert process.poll() is None
        time.sleep(0.01)
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in family:
        each.suspend()
    for each in family:
        each.kill()
    process.wait()
    assert main(arguments) == 0

    module, options = options_of(arguments)
    study = study_of(arguments, module, options, 5, "")
    owner = open_scheduler(study, total=study.total, name=name, runs=tmp_path / "whole")
    run_all(owner)
    whole = ends(owner.paths, name)
    assert len(whole) == study.total
    assert ends(killed, name) == whole
    assert not examine(killed, killed.storage_uri(None), killed.tracking_uri(None)).found
