"""The notebook of examples runs from end to end on runs of a few seconds, and shows what it promises."""

import io
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console

from experiments.experiment import NamedRun
from experiments.runner import Session, track_all
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.run import run

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "analyse.ipynb"
SMALL = {
    "data.source": "synthetic", "data.limit": 300, "model.embed_dim": 8, "model.hidden_dim": 8, "train.epochs": 1,
    "train.lr": 0.01, "train.evals_per_epoch": 3, "train.warmup_steps": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory, cache) -> Path:
    """Two small runs on the synthetic corpus, in MLflow."""
    paths = RunPaths(tmp_path_factory.mktemp("runs"))
    paths.cache.symlink_to(cache)
    config = RunConfig().override(SMALL)
    data = load_corpus(config.data, cache).summary
    session = Session(name="try", question="Which?", command="make it", data=data, paths=paths,
                      console=Console(file=io.StringIO()), stream=run)  # fmt: skip
    two = [NamedRun(name, config.override({"model.pooling": name})) for name in ("last", "mean")]
    track_all(session, config, two, lambda: False)
    assert not sync_once(paths.runs).unsent
    return paths.runs


def test_the_notebook_runs_and_shows_runs_curves_errors_with_texts_and_an_answer(runs, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RUNS", str(runs))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [str(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in shown]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 4
    assert any("best/val_accuracy" in text and "try/" in text for text in texts)
    assert any("probability" in text and " the " in text for text in texts)  # errors, in words
    assert any("points [" in text and "p = " in text for text in texts)


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
