"""The README's words on settings that are named, in whole commands."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from experiments.tracking import journal, names
from experiments.tracking.paths import RunPaths
from experiments.tracking.plan import StudyPlan
from tests import forked

ROOT = Path(__file__).parents[2]
QUICK = ["--trials", "2", "--workers", "1", "--no-report", "--train.epochs", "1", "--train.evals-per-epoch", "1"]


def study(project: Path, name: str, runs: Path, reviews: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studies.commands", "study", name, "--runs", str(runs)]
    return forked.run(
        [*command, "--data.source", str(reviews), *QUICK, *more],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_a_setting_that_is_named_has_its_value_in_every_trial(tmp_path: Path, reviews_folder: Path) -> None:
    done = study(ROOT, "imdb", tmp_path, reviews_folder, "--model.hidden-dim", "40", "--model.embed-dim", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.hidden_dim is fixed at 40" in done.stdout
    paths = RunPaths(tmp_path)
    headers = [journal.opened(journal.read(paths.journal(f"imdb/{number:04d}"))).header for number in range(2)]
    assert [header.params["model.hidden_dim"] for header in headers] == [40, 40]
    trials = optuna.load_study(study_name="imdb", storage=paths.optuna_uri).trials
    assert all("model.hidden_dim" not in trial.params for trial in trials)
    tags = journal.opened(journal.read(paths.journal(RunPaths.study_key("imdb")))).header.tags
    plan = StudyPlan.from_tags(tags)
    assert plan
    assert tags[names.COMMAND].endswith(f"--study-seed {plan.seed}")  # typed again, it is the same study
    for line in ("best      val/accuracy", "next      make ui"):
        assert line in done.stdout  # the card at the end
