"""How good a classifier does a next-word language model become? TPE with pruning; resumable.

make experiment NAME=next_word              # trains the tagger, and prints its folder
make study STUDY=transfer TAGGER=FOLDER     # 16 trials in all, each starting with its weights
make finalists OF=transfer NAME=transfer-finalists

The widths are the tagger's. What is searched is how to go on from it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from optuna.trial import Trial

from experiments import next_word
from experiments.tracking import names
from seqclf_core.errors import SavedError, UserError
from seqclf_core.training.checkpoint import WEIGHTS, load_tagger
from studies.study import Study, first_trial

# Stronger dropout than from scratch: the weights know the words already, and soon know the reviews by heart.
BASE = next_word.BASE.override(
    {
        "model.word_dropout": 0.1,
        "model.embed_dropout": 0.5,
        "model.head_dropout": 0.3,
        "train.epochs": 3,
    }
)


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    trials: int = 16
    """Number of trials in all, finished or pruned, those already done included."""
    tagger: str = ""
    """Folder of the tagger whose weights every trial starts with."""


def sample(trial: Trial) -> None:
    """Draw the searched settings. Each parameter carries the name of the field it sets."""
    trial.suggest_categorical("model.pooling", ["last", "mean"])
    trial.suggest_categorical("model.loss", ["bce", "cross_entropy"])
    trial.suggest_float("model.word_dropout", 0.0, 0.5)
    trial.suggest_float("model.embed_dropout", 0.2, 0.7)
    trial.suggest_float("model.head_dropout", 0.0, 0.6)
    trial.suggest_int("train.batch_size", 16, 48, step=16)
    trial.suggest_float("train.lr", 1e-3, 1e-2, log=True)
    trial.suggest_float("train.weight_decay", 1e-2, 0.5, log=True)


def build_study(params: Params, seed: int = 0, storage: str = "") -> Study:
    """Declare the search.

    Raises:
        UserError: if no tagger is named, or what is named is none.
    """
    if not params.tagger:
        raise UserError(
            "No tagger to start from was named. `make experiment NAME=next_word` trains one and prints its "
            "folder; then: make study STUDY=transfer TAGGER=FOLDER"
        )
    folder = Path(params.tagger).expanduser().absolute()
    try:
        tagger = load_tagger(folder)[1]
    except SavedError as error:
        raise UserError(f"TAGGER={params.tagger}: {error}") from error
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    widths = {
        name: value
        for name, value in tagger.flat().items()
        if name in ("model.embed_dim", "model.hidden_dim", "model.num_layers", "model.bidirectional")
    }
    base = BASE.override({**widths, "model.init_from": str(folder)})
    return Study(
        question="How good a classifier does a next-word language model become?",
        base=base,
        sample=sample,
        seed=seed,
        total=params.trials,
        planned=(first_trial(base, sample),),
        sampler=lambda seed: TPESampler(seed=seed, n_startup_trials=6),
        # The best third goes on at each look. Pruners compare evaluations of one index, whatever the batch size.
        pruner=PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=2),
        subject=f"a tagger with weights {weights[:16]}",
        notes={names.TAGGER: weights},
    )
