"""From a tagger to a classifier: five changes, and does what the tagger learned help?

make experiment NAME=tagger_to_classifier
make experiment NAME=tagger_to_classifier ARGS="--data.limit 500"

Trains a tagger on embedded tagged sentences (seconds), prints the five changes that make a classifier of it, then
trains two classifiers with the same data, seed and budget: one starts with the tagger's encoder, one from scratch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.experiment import Experiment, NamedRun, Place, Result
from seqclf_core.config import RunConfig

if TYPE_CHECKING:
    from seqclf_core.data.cache import Corpus

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
    """Train the tagger, unless it is there, and make the two runs."""
    from experiments.five_changes import five_changes
    from seqclf_core.tagging import score_tagger, train_tagger
    from seqclf_core.training.checkpoint import SETTINGS

    settings = config.override(TAGGER)
    tagger = place(settings) / "tagger"
    if not (tagger / SETTINGS).exists():  # a model folder appears whole
        train_tagger(settings, tagger)
    score = score_tagger(tagger)
    print(
        f"\nThe tagger is right on {score.accuracy:.1%} of {score.tokens:,} tokens of sentences it has not seen;\n"
        f"each word's most frequent tag is right on {score.baseline:.1%}.\n\n"
        f"Five changes make a classifier of it:\n\n{five_changes()}",
        flush=True,
    )
    about = {"tagger.accuracy": f"{score.accuracy:.4f}", "tagger.baseline": f"{score.baseline:.4f}"}
    started = config.override({"model.init_from": str(tagger.absolute())})
    return [NamedRun("from the tagger", started, about), NamedRun("from scratch", config)]


def comparison(results: Sequence[Result], _: "Corpus") -> str:
    """Say what starting from the tagger changed, and how little that shows."""
    lines = [f"  {'accuracy':16} validation      test"]
    for result in results:
        assert result.finished
        scores = f"{result.finished.val_accuracy:10.4f}  {result.finished.test_accuracy:8.4f}"
        lines.append(f"  {result.run.label:16} {scores}")
    return "\n".join([*lines, CAVEAT])


EXPERIMENT = Experiment(
    purpose="From a tagger to a classifier: five changes, and does what the tagger learned help?",
    # Patience: neither run stops before the other.
    base=RunConfig().override({"model.embed_dim": 64, "model.hidden_dim": 64, "train.patience": 1000}),
    runs=runs,
    varies=frozenset({"model.init_from"}),
    conclude=comparison,
)
