"""The README's "Make it yours", done in a copy of the project exactly as written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from experiments.tracking.paths import RunPaths
from tests.experiments.tracking.journal_samples import everything_in

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Make it yours")[2].partition("\n## ")[0]
POOLING, SAMPLE, EXPERIMENT, _ = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
QUICK = [
    "--data.source", "synthetic", "--data.limit", "60", "--train.epochs", "1", "--train.evals-per-epoch", "1",
    "--model.embed-dim", "8",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for package in ("seqclf_core", "experiments", "studies", "reports"):
        ignored = shutil.ignore_patterns("__pycache__", "imdb", "*.png")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def seqclf(project: Path, *arguments: str) -> str:
    """Run a command of the copy, with the environment's own records out of its reach; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-m", "studies.commands", *arguments], cwd=project, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def replace_once(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_pooling(project: Path) -> None:
    for words in ("above `POOLINGS`", 'add `"first": first_state` to `POOLINGS`', 'and `"first"` to `ModelConfig'):
        assert words in SECTION
    models, config = project / "seqclf_core" / "models.py", project / "seqclf_core" / "config.py"
    replace_once(models, "POOLINGS: dict", f"{POOLING}\n\nPOOLINGS: dict")
    replace_once(models, '    "last": last_state,\n', '    "last": last_state,\n    "first": first_state,\n')
    replace_once(config, 'pooling: Literal["last",', 'pooling: Literal["last", "first",')
    said = seqclf(project, "experiment", "baseline", "--model.pooling", "first", *QUICK)
    assert "test accuracy" in said
    [saved] = project.glob("runs/work/*/*/model/config.json")
    assert '"first"' in saved.read_text()


def test_a_study(project: Path) -> None:
    assert "Copy `imdb.py` to `studies/mine.py`" in SECTION
    text = (project / "studies" / "imdb.py").read_text(encoding="utf-8")
    text = text.replace('"model.hidden_dim": 112', '"model.hidden_dim": 16')
    text, changed = re.subn(r"def sample\(.*?\n\n\n", f"{SAMPLE}\n\n", text, flags=re.DOTALL)
    assert changed == 1
    (project / "studies" / "mine.py").write_text(text, encoding="utf-8")
    seqclf(project, "study", "mine", "--trials", "2", "--workers", "1", "--no-report", *QUICK)
    study = optuna.load_study(study_name=None, storage=RunPaths(project / "runs").optuna_uri)
    assert study.trials[0].params == {"model.hidden_dim": 16, "train.lr": 6e-3}
    assert all(trial.params.keys() == {"model.hidden_dim", "train.lr"} for trial in study.trials)


def test_an_experiment(project: Path) -> None:
    assert "Save this as `experiments/both_directions.py`" in SECTION
    (project / "experiments" / "both_directions.py").write_text(EXPERIMENT, encoding="utf-8")
    assert re.search(
        r"both_directions +Does a second direction help\? One run that", seqclf(project, "experiment")
    )
    assert "test accuracy" in seqclf(project, "experiment", "both_directions", *QUICK)
    [key] = everything_in(RunPaths(project / "runs").tracking_uri())
    assert key.startswith("both_directions-")
