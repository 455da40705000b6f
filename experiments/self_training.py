"""Do unlabelled texts help, once a teacher has labelled them? A student learns from labels and from probabilities.

make experiment NAME=self_training TEACHER="0.4 baseline/1f0c... + 0.6 nbsvm/9a2e..."
make experiment NAME=self_training TEACHER="baseline/1f0c... + nbsvm/9a2e..."     # weights by validation

The teacher, a finished run or several whose probabilities are averaged, gives each of the source's unlabelled
texts a probability of the positive label; a student then learns from the training split and from these. Texts of
the validation and test split are kept out, by text, and so are copies of training texts and of each other. The
records say who taught.

A teacher of two families, such as an LSTM and NBSVM, is better than either. Students of one teacher add nothing to
each other: an ensemble takes one of them, and other families.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from experiments.experiment import Experiment, NamedRun, Place, Result
from experiments.serving.ensemble import MODEL, read_members
from experiments.tracking import names
from experiments.tracking.paths import RunPaths
from seqclf_core.config import DataConfig, RunConfig, Settings
from seqclf_core.data.cache import Corpus, load_corpus
from seqclf_core.data.soft_labels import SOFT_LABELS, unseen, write_soft_labels
from seqclf_core.data.unlabelled import read_unlabelled
from seqclf_core.ended import record, recorded
from seqclf_core.errors import DataError
from seqclf_core.events import Event, Finished, Saved, Started
from seqclf_core.inference import load_model
from seqclf_core.run import run

AT_A_TIME = 2_048
"""Texts labelled between two signs of life."""


class SelfTrainingSettings(RunConfig):
    """The student's settings, and who teaches it."""

    teacher: str = ""
    """Keys of runs that label the unlabelled texts: 0.4 KEY + 0.6 KEY; without weights, those by validation."""


class LabelSettings(Settings):
    """Everything that soft labels depend on, besides the data itself."""

    data: DataConfig = DataConfig()
    teacher: str
    """Keys of the runs that label, each with its weight."""


def runs(config: SelfTrainingSettings, place: Place) -> list[NamedRun]:
    """Make the two runs: the labels, and the student that learns from them."""
    paths = RunPaths(place(config).parents[2])
    weights = read_members(config.teacher, paths, "TEACHER")
    told = " + ".join(f"{weight:.4g} {key}" for key, weight in weights.items())
    settings = LabelSettings(data=config.data, teacher=told)
    tags = {names.TEACHER: json.dumps(weights)}
    labels = NamedRun("soft labels", settings, tags, tagger_stream=partial(label, paths))
    student = RunConfig.model_validate(config.model_dump(exclude={"teacher"})).override(
        {"train.soft_labels": str((place(settings) / SOFT_LABELS).absolute())}
    )
    return [labels, NamedRun("student", student, tags)]


def label(paths: RunPaths, config: LabelSettings, folder: Path, cache: Path) -> Iterator[Event]:
    """Label the unlabelled texts, as a run: ``Started``, signs of life, ``Finished``.

    Raises:
        DataError: if there are no unlabelled texts, or none that may be learned from.
        SavedError: if a model cannot be read.
    """
    if ended := recorded(folder, config):
        yield from ended
        return
    began = time.monotonic()
    corpus = load_corpus(config.data, cache)
    unlabelled = read_unlabelled(config.data, corpus)
    kept = unseen(unlabelled.split.tokens, unlabelled.split.offsets, [corpus.train, corpus.val, corpus.test])
    texts = [unlabelled.texts[int(row)].as_py() for row in unlabelled.split.rows[kept]]
    if not texts:
        raise DataError(
            f"{corpus.summary.source}: there is no unlabelled text beside the labelled ones; self-training needs "
            "some: a file or split whose name begins with unsup."
        )
    started = Started(
        data=corpus.summary.model_copy(update={"sizes": {"train": len(texts)}}),
        parameters=0, device="cpu", precision="fp32", evaluations=0,
    )  # fmt: skip
    yield started
    weights = read_members(config.teacher, paths, "TEACHER")
    models = [
        (load_model(paths.work(key) / MODEL, fast=True), weight) for key, weight in weights.items() if weight > 0
    ]
    found = []
    for start in range(0, len(texts), AT_A_TIME):
        chunk = texts[start : start + AT_A_TIME]
        found.append(np.sum([weight * model.predict(chunk) for model, weight in models], axis=0))
        yield Saved(step=start + len(chunk))
    probabilities = np.concatenate(found).clip(0, 1)
    write_soft_labels(folder / SOFT_LABELS, texts, probabilities)
    sure = float((np.abs(probabilities - 0.5) > 0.4).mean())
    end = Finished(
        reason="completed", best_evaluation=0, files={"soft_labels": SOFT_LABELS},
        metrics={
            "soft/mean": float(probabilities.mean()), "soft/sure": sure,
            "total_seconds": time.monotonic() - began,
        },
    )  # fmt: skip
    record(folder, config, [started, end])
    yield end


def told(results: Sequence[Result], _: Corpus) -> str:
    """Say who taught, and what the student learned."""
    labels, student = results
    assert labels.finished
    assert student.finished
    weights: Mapping[str, float] = json.loads(labels.run.tags[names.TEACHER])
    scores = student.finished.metrics
    folder = shlex.quote(str((labels.folder / SOFT_LABELS).absolute()))
    return "\n".join(
        [
            f"  Taught by {' + '.join(f'{weight:.2f} {key}' for key, weight in weights.items())};",
            f"  {labels.finished.metrics['soft/sure']:.0%} of the texts are labelled below 0.1 or above 0.9.",
            f"  The student: validation accuracy {scores['best/val_accuracy']:.4f}, "
            f"test accuracy {scores['test/accuracy']:.4f}.",
            f"  Another student of the same labels: --train.soft-labels {folder}",
        ]
    )


EXPERIMENT = Experiment(
    purpose="Do unlabelled texts help, once a teacher has labelled them?",
    base=SelfTrainingSettings(),
    runs=runs,
    varies=frozenset({"train.soft_labels"}),
    stream=run,
    conclude=told,
)
