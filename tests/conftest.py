"""What many tests share: small reviews on disk, and settings that train on them in a second."""

import json
import os
import random
from pathlib import Path

import pytest
import torch

from seqclf_core.config import RunConfig

torch.set_num_threads(1)

GOOD, BAD = ("superb", "moving", "witty"), ("dull", "clumsy", "hollow")
FILLER = ("the", "film", "plot", "scene", "actor", "music", "ending", "was", "and", "then")


def write_reviews(path: Path, count: int, seed: int) -> None:
    """Write reviews whose last opinion decides, with movie ids, as JSON Lines."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            label = number % 2
            first, last = (BAD, GOOD) if label else (GOOD, BAD)
            words = [draw.choice(first), *draw.choices(FILLER, k=draw.randint(2, 12)), draw.choice(last)]
            movie = f"tt{seed}{number // 6:04d}"
            file.write(json.dumps({"text": " ".join(words), "label": label, "movie": movie}) + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that are given the most time first, so that no worker ends long after the other."""
    longest: dict[Path, float] = {}
    for item in items:
        allowed = [float(mark.args[0]) for mark in item.iter_markers("timeout") if mark.args]
        longest[item.path] = max([longest.get(item.path, 0.0), *allowed])
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session")
def reviews_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 360 training and 80 test reviews in groups of six."""
    folder = tmp_path_factory.mktemp("reviews")
    write_reviews(folder / "train.jsonl", 360, seed=1)
    write_reviews(folder / "test.jsonl", 80, seed=2)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of encoded reviews for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take seconds to make: made once, for all workers of pytest."""
    from experiments.tracking.database import prepare_database

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    database = folder / "empty" / "mlflow.db"
    prepare_database(f"sqlite:///{database}")
    return database


@pytest.fixture
def small(reviews_folder: Path) -> RunConfig:
    """A run of a second: a small model on these reviews, that learns them."""
    return RunConfig().override(
        {
            "data.source": str(reviews_folder),
            "model.embed_dim": 8,
            "model.hidden_dim": 8,
            "model.embed_dropout": 0.1,
            "model.head_dropout": 0.1,
            "model.word_dropout": 0.05,
            "train.epochs": 3,
            "train.batch_size": 8,
            "train.lr": 0.02,
            "train.warmup_steps": 5,
        }
    )
