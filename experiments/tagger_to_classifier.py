"""From a tagger to a classifier: five changes, and does what the tagger learned help?

make experiment NAME=tagger_to_classifier
make experiment NAME=tagger_to_classifier ARGS="--data.limit 500"

Trains a tagger on embedded tagged sentences (seconds), shows the five changes that make a classifier of it, then
trains two classifiers with the same data, seed and budget: one starts with the tagger's encoder, one from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments import experiment
from experiments.experiment import Experiment, NamedRun, Place, Result
from experiments.five_changes import five_changes
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus
from seqclf_core.run import run
from seqclf_core.tagging import score_tagger, train_tagger

TAGGER = {
    "data.source": "synthetic",
    "model.word_dropout": 0.05,
    "model.embed_dropout": 0.1,
    "train.epochs": 2,
    "train.batch_size": 32,
    "train.lr": 5e-3,
    "train.warmup_steps": 20,
}

CAVEAT = """
  The tagged sentences are a toy: generated, short, of some 200 words. The synthetic reviews are made of the
  same words, so a help there promises nothing elsewhere; for real reviews they need not help at all.
  One seed cannot tell a small help or harm from luck: try more of them, with --seed."""


def runs(config: RunConfig, place: Place) -> list[NamedRun]:
    """Make the three runs; the second begins with the first one's model."""
    settings = config.override(TAGGER)
    tagger = NamedRun("tagger", settings, tagger_stream=train_tagger)
    started = config.override({"model.init_from": str((place(settings) / experiment.TAGGER).absolute())})
    return [tagger, NamedRun("from the tagger", started), NamedRun("from scratch", config)]


def comparison(results: Sequence[Result], _: Corpus) -> str:
    """Say what the tagger learned, what makes a classifier of it, and what starting from it changed."""
    score = score_tagger(results[0].folder / experiment.TAGGER)
    lines = [
        f"  The tagger is right on {score.accuracy:.1%} of {score.tokens:,} tokens of sentences it has not seen;",
        f"  each word's most frequent tag is right on {score.baseline:.1%}.",
        "",
        "  Five changes make a classifier of it:",
        "",
        five_changes(),
        "",
        f"  {'accuracy':16} validation      test",
    ]
    for result in results[1:]:
        assert result.finished
        scores = result.finished.metrics
        lines.append(
            f"  {result.run.label:16} {scores['best/val_accuracy']:10.4f}  {scores['test/accuracy']:8.4f}"
        )
    return "\n".join([*lines, CAVEAT])


EXPERIMENT = Experiment(
    purpose="From a tagger to a classifier: five changes, and does what the tagger learned help?",
    # Patience: neither run stops before the other.
    base=RunConfig().override({"model.embed_dim": 64, "model.hidden_dim": 64, "train.patience": 1000}),
    stream=run,
    runs=runs,
    varies=frozenset({"model.init_from"}),
    conclude=comparison,
)
