"""The whole recipe of the record, part by part: each a tracked run or study, skipped where it is finished.

    vectors -> NBSVM -> teachers -> soft labels -> students and ablations -> ensemble
    the same once more on training and validation split: teachers -> soft labels -> students -> ensemble

A part is known by its settings and data. After any end, a kill included, the same command does what is missing:
the part that was at work goes on from its checkpoint, and comes to the same end. Everything is chosen by
validation: penalty, weights of teachers and of ensembles; the refit repeats what was chosen, without validation.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from experiments import ensemble, nbsvm, refit, self_training, word_vectors
from experiments.experiment import Experiment, NamedRun, Place
from experiments.run_experiment import (
    STOPPED_SYNC_SECONDS,
    SYNC_SECONDS,
    only_one,
    run_experiment,
    session_of,
    stoppable,
)
from experiments.runner import Session, session_name
from experiments.serving.ensemble import read_members
from experiments.tracking import names
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync_process import start_sync
from seqclf_core.cli import INTERRUPTED
from seqclf_core.config import RunConfig, Settings
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.reviews import unlabelled_texts
from seqclf_core.data.soft_labels import SOFT_LABELS
from seqclf_core.data.sources import resolve
from seqclf_core.ended import EVENTS
from seqclf_core.errors import UserError
from seqclf_core.events import DataSummary
from seqclf_core.masking import mask
from seqclf_core.places import beside
from studies import record
from studies.beside import run_beside
from studies.engine.cleanup import trial_key
from studies.engine.ownership import owned
from studies.engine.processes import Processes
from studies.engine.resources import default_workers, devices
from studies.engine.run_study import run_study
from studies.record_base import BASE
from studies.study import Study

TOKENS_PER_SECOND = {"vectors": 600_000, "nbsvm": 80_000, "lstm": 150_000, "predict": 300_000}
"""Tokens that a part gets through in a second of one processor, as measured on IMDB: for the plan alone."""

METRICS = (names.BEST_VAL_ACCURACY, names.TEST_ACCURACY, names.TEST_LOSS)
"""Scores that are told at the end."""


@dataclass(frozen=True)
class Part:
    """A part of the recipe."""

    name: str
    seconds: float
    """Estimated work of one processor."""
    keys: tuple[str, ...]
    """Keys of the part's runs, as far as they are known before it begins."""
    run: Callable[[], int]
    """Does what is missing of it; returns the exit status."""


@dataclass(frozen=True)
class Recipe:
    """The recipe on one source of data, in one folder."""

    paths: RunPaths
    base: RunConfig
    """Settings of the LSTMs; vectors have their width."""
    data: DataSummary
    tokens: dict[str, int]
    """Tokens of the training and validation split and of the unlabelled texts, estimated for the latter."""
    seeds: int
    ablation_seeds: int
    workers: int
    vector_epochs: int = 5
    tracking_uri: str | None = None
    storage: str | None = None
    report: bool = True
    command: str = ""

    # Keys and folders of parts: a function of settings and data, known before anything is done

    def key(self, name: str, experiment: Experiment, settings: Settings) -> str:
        """Return the key of an experiment's run."""
        return self.session(name, experiment).key(settings)

    def session(self, name: str, experiment: Experiment) -> Session:
        """Return the session of an experiment on these data."""
        return session_of(name, experiment, self.data, self.paths, self.command)

    def study(self, stage: str) -> str:
        """Return the name of a study: data of another scope have other ones."""
        return session_name(stage, self.data)

    @property
    def vector_settings(self) -> word_vectors.VectorSettings:
        """How the vectors are learned."""
        return word_vectors.VectorSettings(data=self.base.data).override(
            {"model.embed_dim": self.base.model.embed_dim, "model.epochs": self.vector_epochs}
        )

    @property
    def vectors(self) -> Path:
        """Folder of the vectors."""
        key = self.key("word_vectors", word_vectors.EXPERIMENT, self.vector_settings)
        return (self.paths.work(key) / word_vectors.VECTORS).absolute()

    @property
    def linear(self) -> tuple[str, str]:
        """Keys of NBSVM on the training split and on both splits."""
        first, second = nbsvm.runs(self.linear_settings, self.place("nbsvm", nbsvm.EXPERIMENT))
        return tuple(self.key("nbsvm", nbsvm.EXPERIMENT, run.config) for run in (first, second))  # type: ignore[return-value]

    @property
    def linear_settings(self) -> nbsvm.NbsvmSettings:
        """How NBSVM is learned: from the same texts on the same split."""
        known = nbsvm.NbsvmSettings().data.model_dump().keys()
        data = {name: value for name, value in self.base.data.model_dump().items() if name in known}
        return nbsvm.NbsvmSettings.model_validate({"data": data})

    @property
    def teachers(self) -> list[str]:
        """Keys of the LSTMs that teach."""
        return [trial_key(self.study("record-teachers"), number) for number in range(len(record.TEACHERS))]

    @property
    def students(self) -> list[str]:
        """Keys of the recipe's runs, one for each seed."""
        return [trial_key(self.study("record"), number) for number in range(self.seeds)]

    @property
    def label_settings(self) -> self_training.SelfTrainingSettings:
        """Who labels the unlabelled texts; weights by validation."""
        return self.taught_by(" + ".join([self.linear[0], *self.teachers]))

    @property
    def relabel_settings(self) -> self_training.SelfTrainingSettings:
        """Who labels them for the refitted students: the same teachers, refitted, with the same weights."""
        weights = read_members(self.label_settings.teacher, self.paths, "TEACHER")
        told = [f"{weight:.6f} {self.refit_of(key)}" for key, weight in weights.items() if weight > 0]
        return self.taught_by(" + ".join(told))

    def taught_by(self, teacher: str) -> self_training.SelfTrainingSettings:
        """Return the settings of soft labels by these runs."""
        return self_training.SelfTrainingSettings.model_validate({**self.base.model_dump(), "teacher": teacher})

    def labels(self, settings: self_training.SelfTrainingSettings) -> Path:
        """Return the folder of soft labels; their teachers are finished."""
        (run,) = LABELS.runs(settings, self.place("self_training", LABELS))
        return (self.paths.work(self.key("self_training", LABELS, run.config)) / SOFT_LABELS).absolute()

    def place(self, name: str, experiment: Experiment) -> Place:
        """Return where an experiment's runs have their folders."""
        session = self.session(name, experiment)
        return lambda settings: self.paths.work(session.key(settings))

    @property
    def members(self) -> list[str]:
        """Keys of the ensemble's members: both families and a student, not several, which add nothing."""
        return [self.linear[0], *self.teachers, self.students[0]]

    # The parts

    def parts(self) -> Iterator[Part]:
        """Yield all parts in their order; each is asked for once those before it are finished."""
        lstm, text = TOKENS_PER_SECOND["lstm"], sum(self.tokens.values())
        epochs = self.base.train.epochs
        yield Part(
            "word vectors", self.vector_epochs * text / TOKENS_PER_SECOND["vectors"],
            (self.key("word_vectors", word_vectors.EXPERIMENT, self.vector_settings),),
            lambda: self.do("word_vectors", word_vectors.EXPERIMENT, self.vector_settings),
        )  # fmt: skip
        labelled = self.tokens["train"]
        yield Part(
            "NBSVM, on the training split and on both", 1.2 * labelled / TOKENS_PER_SECOND["nbsvm"], self.linear,
            lambda: self.do("nbsvm", nbsvm.EXPERIMENT, self.linear_settings),
        )  # fmt: skip
        yield Part(
            f"{len(record.TEACHERS)} LSTMs that teach", len(record.TEACHERS) * epochs * labelled / lstm,
            tuple(self.teachers), lambda: self.do_study("record-teachers", ""),
        )  # fmt: skip
        yield Part(
            "soft labels", 4 * self.tokens["unlabelled"] / TOKENS_PER_SECOND["predict"], (),
            lambda: self.do("self_training", LABELS, self.label_settings),
        )  # fmt: skip
        student = record.Params.student_epochs * text / lstm
        left_out = min(self.seeds, self.ablation_seeds)
        yield Part(
            f"students on {self.seeds} seeds, and arms that leave an ingredient out on {left_out}",
            (self.seeds + 2 * left_out) * student + left_out * epochs * labelled / lstm,
            tuple(self.students), lambda: self.do_study("record", str(self.labels(self.label_settings))),
        )  # fmt: skip
        yield Part("ensemble", 20, (), lambda: self.do("ensemble", ensemble.EXPERIMENT, self.together()))
        yield Part(
            "the teachers again, on both splits, without validation",
            1.17 * (len(record.TEACHERS) * epochs * labelled / lstm), (), lambda: self.do_refits(self.teachers),
        )  # fmt: skip
        yield Part(
            "soft labels of these", 4 * self.tokens["unlabelled"] / TOKENS_PER_SECOND["predict"], (),
            lambda: self.do("self_training", LABELS, self.relabel_settings),
        )  # fmt: skip
        yield Part(
            f"{self.seeds} students again, on both splits, without validation", self.seeds * 1.05 * student, (),
            lambda: self.do_refits(self.students),
        )  # fmt: skip
        yield Part(
            "ensemble of the refitted", 20, (),
            lambda: self.do("ensemble", ensemble.EXPERIMENT, self.together_refitted()),
        )  # fmt: skip

    def do(self, name: str, experiment: Experiment, settings: Settings) -> int:
        """Do an experiment, or say how it ended before."""
        return run_experiment(
            name, experiment, settings, self.paths, self.tracking_uri, self.command, sync_beside=False
        )

    def do_study(self, stage: str, labels: str) -> int:
        """Do a study, or say that it is finished."""
        name, storage = self.study(stage), self.paths.storage_uri(self.storage)
        params = record.Params(
            vectors=str(self.vectors), labels=labels, seeds=self.seeds, ablation_seeds=self.ablation_seeds,
            epochs=self.base.train.epochs,
        )  # fmt: skip
        with owned(self.paths, name, storage):
            study = self.on_these_settings(record.build_study(params, works=self.paths.works))
            return run_study(
                study, name, self.paths, storage=storage, tracking_uri=self.tracking_uri, workers=self.workers,
                report=self.report,
            )  # fmt: skip

    def on_these_settings(self, study: Study) -> Study:
        """Return a study on the recipe's settings instead of its own base."""
        changed = {
            name: value
            for name, value in self.base.flat().items()
            if BASE.flat().get(name) != value and name != "train.epochs"
        }
        return study.with_base(study.base.override(changed), frozenset(changed))

    def together(self) -> ensemble.EnsembleSettings:
        """Return who answers together, with weights by validation."""
        return ensemble.EnsembleSettings(data=self.base.data, members=" + ".join(self.members))

    def refit_of(self, key: str) -> str:
        """Return the key of the run that repeats a member on both splits."""
        if key == self.linear[0]:
            return self.linear[1]
        (run,) = refit.runs(self.refit_settings(key), self.place("refit", refit.EXPERIMENT))
        return self.key("refit", refit.EXPERIMENT, run.config)

    def refit_settings(self, key: str) -> refit.RefitSettings:
        """Return the settings of a refit: of a student, on the labels of refitted teachers."""
        labels = None
        if key in self.students:
            labels = beside(self.labels(self.relabel_settings), self.paths.works)
        return refit.RefitSettings(data=self.base.data, of=key, soft_labels=labels)

    def weights(self) -> dict[str, float]:
        """Return the ensemble's members that count -> weight, found on the validation split."""
        return {
            key: weight
            for key, weight in read_members(self.together().members, self.paths, "MEMBERS").items()
            if weight > 0
        }

    def do_refits(self, keys: Sequence[str]) -> int:
        """Repeat LSTMs on both splits, as many at a time as the studies do."""
        if self.workers == 1:
            every = (self.do("refit", refit.EXPERIMENT, self.refit_settings(key)) for key in keys)
            return next((status for status in every if status), 0)
        session = self.session("refit", refit.EXPERIMENT)
        place = self.place("refit", refit.EXPERIMENT)
        settings = [self.refit_settings(key) for key in keys]
        runs = [run for each in settings for run in refit.runs(each, place)]
        executor = Processes(min(self.workers, len(runs)), self.paths.workers_log, devices())
        with ExitStack() as stack:
            stack.callback(executor.close)
            for each in settings:
                stack.enter_context(only_one(self.paths, session.group(each)))
            results = run_beside(session, runs, executor, stack.enter_context(stoppable()))
        if any(result.closed is None for result in results):
            print("Stopped. The same command goes on where it was; nothing that was done is lost.")
            return INTERRUPTED
        return 0 if all(result.finished for result in results) else 1

    def together_refitted(self) -> ensemble.EnsembleSettings:
        """Return the ensemble of the refitted members, with the weights found before."""
        told = " + ".join(f"{weight:.6f} {self.refit_of(key)}" for key, weight in self.weights().items())
        return ensemble.EnsembleSettings(data=self.base.data, members=told)

    # What came out

    def scores(self, key: str) -> dict[str, float]:
        """Return the scores of a finished run; empty where there are none."""
        try:
            events = json.loads((self.paths.work(key) / EVENTS).read_text(encoding="utf-8"))["events"]
        except (OSError, ValueError, KeyError):
            return {}
        found: dict[str, float] = events[-1]["metrics"]
        return found


def only_labels(config: self_training.SelfTrainingSettings, place: Place) -> list[NamedRun]:
    """Make the run that labels, and no student: the study has them."""
    return self_training.runs(config, place)[:1]


LABELS = Experiment(
    purpose="What does a teacher of two families say of the unlabelled texts?",
    base=self_training.SelfTrainingSettings(),
    runs=only_labels,
    stream=self_training.EXPERIMENT.stream,
)


def prepare(
    base: RunConfig, paths: RunPaths, *, seeds: int, ablation_seeds: int, workers: int | None, vector_epochs: int,
    tracking_uri: str | None, storage: str | None, report: bool, command: str,
) -> Recipe:  # fmt: skip
    """Read the data, and return the recipe on them.

    Raises:
        DataError: if they cannot be used.
        UserError: if there are no unlabelled texts.
    """
    base = base.override({"data.source": resolve(base.data.source)})
    corpus = load_corpus(base.data, paths.cache)
    unlabelled, _ = unlabelled_texts(base.data)
    if not len(unlabelled):
        raise UserError(
            f"{corpus.summary.source}: there are no unlabelled texts, which the recipe needs: a file or split "
            "whose name begins with unsup. `make study` searches without them."
        )
    per_text = len(corpus.train.tokens) / len(corpus.train.labels)
    tokens = {"train": len(corpus.train.tokens), "unlabelled": int(per_text * len(unlabelled))}
    return Recipe(
        paths=paths, base=base, data=corpus.summary, tokens=tokens, seeds=seeds, ablation_seeds=ablation_seeds,
        workers=workers or default_workers(), vector_epochs=vector_epochs, tracking_uri=tracking_uri,
        storage=storage, report=report, command=command,
    )  # fmt: skip


def follow(recipe: Recipe) -> int:
    """Do all parts of a recipe that are not finished; say the plan first, and at the end what came out.

    Returns:
        The exit status: that of the first part that did not end well, else 0.
    """
    parts = list(recipe.parts())
    source = mask(recipe.data.source)
    print(f"The record on {source}: {len(parts)} parts; studies do {recipe.workers} runs at a time")
    for number, part in enumerate(parts, start=1):
        done = part.keys and all(recipe.scores(key) for key in part.keys)
        time = "done" if done else f"about {timedelta(seconds=round(part.seconds))} of one processor"
        print(f"  {number}. {part.name}: {time}")
    print("Estimates are for a processor of its own. Ctrl-C stops it; the same command goes on.\n", flush=True)
    recipe.paths.remember_stores(tracking_uri=recipe.paths.tracking_uri(recipe.tracking_uri))
    sync = start_sync(recipe.paths.runs, recipe.tracking_uri)
    status = 0
    try:
        for number, part in enumerate(parts, start=1):
            print(f"\n=== {number} of {len(parts)}: {part.name}", flush=True)
            if status := part.run():
                return status
    finally:
        if not sync.stop(STOPPED_SYNC_SECONDS if status else SYNC_SECONDS):
            print(f"Not everything is in MLflow yet (see {recipe.paths.sync_log}); `make sync` sends the rest.")
    print("\n" + "\n".join(outcome(recipe)))
    return 0


def outcome(recipe: Recipe) -> Iterator[str]:
    """Say what came out, in a line per model."""
    together = recipe.together()
    (run,) = ensemble.runs(together, recipe.place("ensemble", ensemble.EXPERIMENT))
    (refitted,) = ensemble.runs(recipe.together_refitted(), recipe.place("ensemble", ensemble.EXPERIMENT))
    rows = {
        "NBSVM": recipe.linear[0],
        **{f"teacher {key}": key for key in recipe.teachers},
        **{f"student {key}": key for key in recipe.students},
        "ensemble": recipe.key("ensemble", ensemble.EXPERIMENT, run.config),
        "refit, not validated: NBSVM": recipe.linear[1],
        **{f"refit, not validated: {key}": recipe.refit_of(key) for key in [*recipe.teachers, *recipe.students]},
        "refit, not validated: ensemble": recipe.key("ensemble", ensemble.EXPERIMENT, refitted.config),
    }
    yield f"  {'':44} val accuracy   test accuracy   test loss"
    for name, key in rows.items():
        scores = recipe.scores(key)
        shown = [f"{scores[metric]:.4f}" if metric in scores else "-" for metric in METRICS]
        yield f"  {name:44} {shown[0]:>12} {shown[1]:>15} {shown[2]:>11}"
    again = [recipe.refit_of(key) for key in recipe.students]
    for name, keys, metrics in (
        (f"mean over students, {recipe.seeds} in all", recipe.students, METRICS),
        ("mean over students, refitted", again, METRICS[1:]),
    ):
        means = [f"{fmean(recipe.scores(key)[metric] for key in keys):.4f}" for metric in metrics]
        shown = ["-"] * (len(METRICS) - len(means)) + means
        yield f"  {name:44} {shown[0]:>12} {shown[1]:>15} {shown[2]:>11}"
    weights = " + ".join(f"{weight:.2f} {key}" for key, weight in recipe.weights().items())
    yield f"  The ensemble: {weights}, by validation. These {len(rows)} models, and those of the "
    yield "  other arms, were scored on the test split, each once."
    yield (
        f"  To predict with it: seqclf champion --runs {shlex.quote(str(recipe.paths.runs))} --ensemble "
        + " ".join(recipe.weights())
    )
