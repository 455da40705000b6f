"""Does reading without labels help? A tagger that guesses the next word starts the classifier.

make experiment NAME=next_word
make experiment NAME=next_word ARGS="--data.limit 500"

Trains a tagger whose tag at each token is the word that follows it, on the training reviews without their labels
and on the source's unlabelled ones (50,000 on IMDB), then two classifiers with the same data, seed and budget: one
starts with the tagger's encoder, one from scratch. On all of IMDB: 17 minutes on one core, the tagger 12.

Settings named on the command line are the classifiers'; the tagger has the same model, data and seed, and trains,
with little dropout, as ``TAGGER`` below says.

With --model.init-from and a folder of word vectors, the tagger and the second classifier start from those.

make study STUDY=transfer TAGGER=...    # searches how to go on from the tagger; its folder is printed
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from experiments import experiment
from experiments.experiment import Experiment, NamedRun, Place, Result
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus
from seqclf_core.errors import UserError
from seqclf_core.next_word import train_language_model
from seqclf_core.run import run

TAGGER = {
    "model.word_dropout": 0.1,
    "model.embed_dropout": 0.1,
    "train.epochs": 3,
    "train.batch_size": 32,
    "train.lr": 4e-3,
    "train.weight_decay": 0.0,
    "train.ema_decay": 0.0,
}
"""Little dropout and no decay: there is more text than so small a model can learn by heart."""


BASE = RunConfig().override(
    {
        "model.loss": "cross_entropy",
        "model.word_dropout": 0.25,
        "model.embed_dropout": 0.35,
        "model.head_dropout": 0.05,
        "train.epochs": 4,
        "train.batch_size": 16,
        "train.lr": 3e-3,
        "train.weight_decay": 0.1,
        "train.ema_decay": 0.999,
        "train.patience": 1000,  # neither run stops before the other
    }
)
"""Settings that all classifiers of the experiment have in common."""


def runs(config: RunConfig, place: Place) -> list[NamedRun]:
    """Make the three runs; the second begins with the first one's model."""
    if config.model.bidirectional:
        raise UserError(
            "--model.bidirectional: a next-word language model reads forward only, else it sees the next word; "
            "leave it out"
        )
    settings = config.override(TAGGER)
    tagger = NamedRun("next-word tagger", settings, tagger_stream=train_language_model)
    started = config.override({"model.init_from": str((place(settings) / experiment.TAGGER).absolute())})
    without = "from scratch" if config.model.init_from is None else "from the vectors"
    return [tagger, NamedRun("from the tagger", started), NamedRun(without, config)]


def comparison(results: Sequence[Result], _: Corpus) -> str:
    """Say what the tagger learned, and what starting from it changed."""
    tagger, *classifiers = results
    assert tagger.finished
    learned = tagger.finished.metrics
    started = classifiers[0].run.config
    assert isinstance(started, RunConfig)
    lines = [
        f"  The tagger guesses {learned['best/val_accuracy']:.1%} of the next words of reviews that it has not",
        f"  seen, at {learned['best/val_loss']:.3f} nats per word; rare words count as one. To go on from it:",
        f"  make study STUDY=transfer TAGGER={shlex.quote(str(started.model.init_from))}",
        "",
        f"  {'accuracy':16} validation      test",
    ]
    for result in classifiers:
        assert result.finished
        scores = result.finished.metrics
        lines.append(
            f"  {result.run.label:16} {scores['best/val_accuracy']:10.4f}  {scores['test/accuracy']:8.4f}"
        )
    return "\n".join([*lines, "\n  One seed each: try more of them, with --seed, before you trust a difference."])


EXPERIMENT = Experiment(
    purpose="Does reading without labels help? A next-word language model starts the classifier.",
    base=BASE,
    stream=run,
    runs=runs,
    conclude=comparison,
)
