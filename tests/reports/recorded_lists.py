"""Made-up lists of trials, as studies/factors.py and studies/finalists.py record them, and their predictions."""

import json
from collections.abc import Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from types import MappingProxyType

import numpy as np

from experiments.tracking.plan import Contrast, StudyPlan
from reports import frames
from seqclf_core.events import DataSummary
from studies import fractions
from tests.reports.recorded_runs import SIZES, MadeUp, write_predictions

LEVELS = {"model.pooling": ("last", "mean"), "model.loss": ("bce", "cross_entropy")}
SEARCHED = {
    name: json.dumps({"name": kind, "attributes": {"low": low, "high": high, "log": log, "step": None}})
    for name, kind, low, high, log in (
        ("train.lr", "FloatDistribution", 5e-4, 1e-2, True),
        ("model.hidden_dim", "IntDistribution", 32, 128, True),
        ("model.embed_dim", "IntDistribution", 32, 128, True),
        ("seed", "IntDistribution", 0, 999, False),
    )
}


def factors_of(blocks: int, planned: int | None = None, diverged: int | None = None) -> tuple[list[MadeUp], dict]:
    """Make complete blocks, and the tags of their parent; ``diverged`` is the number of a run."""
    runs = []
    for block in range(blocks):
        draw = np.random.default_rng([7, block])
        shared = {
            "train.lr": float(np.exp(draw.uniform(np.log(5e-4), np.log(1e-2)))),
            "model.hidden_dim": int(draw.integers(32, 128)),
            "model.embed_dim": int(draw.integers(32, 128)),
            "seed": int(draw.integers(1000)),
        }
        for pooling, loss in product(["last", "mean"], ["bce", "cross_entropy"]):
            changes = {**shared, "model.pooling": pooling, "model.loss": loss}
            ended = "diverged" if len(runs) == diverged else "completed"
            tags = {"seqclf.block": str(block), "seqclf.ended": ended}
            runs.append(MadeUp(len(runs), study="factors", changes=changes, tags=tags, evaluations=4))
    plan = StudyPlan(
        uid="f" * 16,
        seed=7,
        study_type="factors",
        factors=LEVELS,
        blocks=planned or blocks,
        design="full",
        outcome="test/accuracy",
        margin=0.3,
        searched=SEARCHED,
        declared=tuple(
            Contrast(factor=name, levels=(LEVELS[name][1], LEVELS[name][0]), at=at)
            for name, other in permutations(LEVELS)
            for at in ({}, *({other: level} for level in LEVELS[other]))
        ),
    )
    notes = plan.tags() | {
        "seqclf.question": "What do pooling and loss change, and how sure are we?",
        "seqclf.command": "python -m studies factors",
    }
    return runs, {"factors": notes}


SIX = {
    "model.pooling": ("last", "mean"),
    "train.head_lr_scale": (1.0, 2.0),
    "data.keep": ("head", "tail"),
    "data.max_length": (200, 400),
    "model.bidirectional": (False, True),
    "train.ema_decay": (0.0, 0.999),
}


def fraction_of(blocks: int, planned: int | None = None) -> tuple[list[MadeUp], dict]:
    """Make complete blocks of a fraction, each on a split of its own, and the tags of their parent."""
    runs = []
    for block in range(blocks):
        draw = np.random.default_rng([7, block])
        shared = {
            "train.lr": float(np.exp(draw.uniform(np.log(5e-4), np.log(1e-2)))),
            "model.hidden_dim": int(draw.integers(32, 128)),
            "model.embed_dim": int(draw.integers(32, 128)),
            "model.loss": "bce",
            "seed": int(draw.integers(1000)),
        }
        for cell in fractions.cells(SIX)[block % 2]:
            changes = {**shared, **dict(zip(SIX, cell, strict=True))}
            tags = {"seqclf.block": str(block), "seqclf.ended": "completed"}
            digest = f"{block:02x}" * 32
            runs.append(MadeUp(len(runs), study="six", changes=changes, tags=tags, evaluations=4, digest=digest))
    plan = StudyPlan(
        uid="e" * 16,
        study_type="factors",
        factors=SIX,
        blocks=planned or blocks,
        design="fraction",
        aliases=fractions.aliases(list(SIX)),
        outcome="test/accuracy",
        margin=0.3,
        searched=SEARCHED,
        declared=tuple(Contrast(factor=name, levels=(levels[1], levels[0])) for name, levels in SIX.items()),
    )
    return runs, {"six": plan.tags()}


def labels_of(
    seeds: int = 4, linear: Mapping[str, Sequence[float]] = MappingProxyType({"nbsvm": (0.8, 0.85, 0.85)})
) -> tuple[list[MadeUp], dict]:
    """Make runs from scratch and from a tagger at three numbers of labels, and linear models on the same texts.

    Args:
        seeds: number of draws of texts.
        linear: linear model -> its accuracy at each number of labels.
    """
    runs: list[MadeUp] = []

    def add(study: str, role: str, labels: int, seed: int, accuracy: float, changes: dict, name: str = "") -> None:
        limit = {} if labels == SIZES["train"] else {"data.train_limit": labels}
        changes = {"data.train_limit_seed": seed, "seed": seed, **limit, **changes}
        tags = {"seqclf.block": str(seed), "used.train": str(labels)}
        scope = "limited" if limit else "whole"
        run = MadeUp(len(runs), "complete", study, role, scope, f"{labels:05x}{seed}", name, 4, changes, tags=tags)
        run.test = accuracy + 0.002 * np.random.default_rng(len(runs)).normal()
        runs.append(run)

    for seed in range(seeds):
        for at, (labels, scratch) in enumerate(((500, 0.70), (2_000, 0.82), (SIZES["train"], 0.90))):
            add("labels", "trial", labels, seed, scratch, {})
            gain = 0.05 if labels == 500 else 0.0
            add("labels", "trial", labels, seed, scratch + gain, {"model.init_from": "tagger"})
            for model, accuracy in linear.items():
                if labels < SIZES["train"] or seed == 0:
                    name = model if labels == SIZES["train"] else f"{model}-limited"
                    add(name, "experiment", labels, seed, accuracy[at], {}, "training part")
    plan = StudyPlan(
        uid="d" * 16, study_type="labels", blocks=seeds, seeds=seeds, total=6 * seeds, outcome="test/accuracy"
    )
    return runs, {"labels": plan.tags()}


def record_of(arms: Mapping[str, float], seeds: int = 5) -> tuple[list[MadeUp], dict]:
    """Make runs of the record's study: arm -> its mean test accuracy."""
    runs = []
    for arm, accuracy in arms.items():
        for seed in range(seeds):
            tags = {"seqclf.arm": arm, "seqclf.block": str(seed)}
            run = MadeUp(len(runs), study="record", changes={"seed": seed}, tags=tags, evaluations=4)
            run.test = accuracy + 0.002 * seed + 0.001 * np.random.default_rng(len(runs)).normal()
            runs.append(run)
    plan = StudyPlan(
        uid="e" * 16, study_type="record", blocks=seeds, seeds=seeds, total=len(runs), outcome="test/accuracy"
    )
    return runs, {"record": plan.tags()}


def variance_of(seeds: int = 6) -> tuple[list[MadeUp], dict]:
    """Make runs in which one source of random variation each was varied."""
    runs = []
    spread = {"init": 0.002, "order": 0.002, "dropout": 0.001, "split": 0.003, "settings": 0.02}
    for source, sd in spread.items():
        for place in range(seeds):
            tags = {"seqclf.varied": source, "seqclf.block": str(place)}
            digest = f"{place if source == 'split' else 0:02x}" * 32
            run = MadeUp(len(runs), study="variance", tags=tags, evaluations=4, digest=digest)
            run.test = 0.88 + sd * np.random.default_rng(len(runs)).normal()
            runs.append(run)
    plan = StudyPlan(uid="c" * 16, study_type="variance", seeds=seeds, total=len(runs), outcome="test/accuracy")
    return runs, {"variance": plan.tags()}


def finalists_of(best: int = 3, seeds: int = 5) -> tuple[list[MadeUp], dict]:
    """Make each of the best settings on each seed, and the tags of their parent."""
    runs = []
    for seed in range(seeds):
        for rank in range(1, best + 1):
            settings = {name: value for name, value in MadeUp(rank).changes.items() if name != "seed"}
            tags = {
                "seqclf.finalist": f"imdb/{rank:04d}",
                "seqclf.rank": str(rank),
                "seqclf.search_value": repr(0.90 - 0.001 * rank),
            }
            changes = {**settings, "seed": 1001 + seed}
            runs.append(MadeUp(len(runs), study="finalists", changes=changes, tags=tags, evaluations=4))
    plan = StudyPlan(study_type="finalists", of="imdb", of_data=runs[0].digest, best=best, seeds=seeds)
    return runs, {"finalists": plan.tags()}


def predict(stores: frames.Stores, runs: list[MadeUp], rows: int) -> None:
    """Write predictions of about each run's accuracy."""
    places = frames.runs(stores).set_index("key")["artifacts"]
    for run in runs:
        folder = Path(places[run.key].removeprefix("file://")) / "predictions"
        write_predictions(folder, "test", rows, float(run.test), 2 * run.number)
        write_predictions(folder, "val", rows // 4, float(run.val.max()), 2 * run.number + 1)


def encode(cache: Path, digest: str, rows: int, split: str = "test") -> None:
    """Write what an encoded corpus says about the lengths and movies of its reviews."""
    entry = cache / "corpus" / "entry"
    entry.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    np.save(entry / f"{split}.rows.npy", np.arange(rows))
    np.save(entry / f"{split}.offsets.npy", np.concatenate([[0], np.cumsum(draw.integers(20, 800, rows))]))
    np.save(entry / f"{split}.groups.npy", draw.integers(0, rows // 5, rows))
    summary = DataSummary(
        source="made up", data_scope="whole", digest=digest, sizes=SIZES, split_method="group",
        group_column="movie", skipped=0, vocab_size=20_000,
    )  # fmt: skip
    (entry / "summary.json").write_text(summary.model_dump_json())
