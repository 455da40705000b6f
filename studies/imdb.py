"""Which width, pooling, loss and regularisation make the best IMDB classifier? TPE with pruning; resumable.

make study                  # 24 trials in all
make study TRIALS=48        # 24 more
make study ARGS="--model.pooling mean" NAME=imdb-mean
"""

from __future__ import annotations

from dataclasses import dataclass

from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from optuna.trial import Trial

from seqclf_core.config import RunConfig
from studies.study import Study, first_trial

# The known good start, which is also the first trial: close to the finalist of an earlier search (validation 0.892
# over five seeds), with weight decay and averaged weights, of which little is known yet.
BASE = RunConfig().override(
    {
        "model.embed_dim": 64,
        "model.hidden_dim": 112,
        "model.loss": "cross_entropy",
        "model.word_dropout": 0.25,
        "model.embed_dropout": 0.35,
        "model.head_dropout": 0.05,
        "train.epochs": 4,
        "train.batch_size": 16,
        "train.lr": 6e-3,
        "train.weight_decay": 0.1,
        "train.ema_decay": 0.999,
    }
)


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    trials: int = 24
    """Number of trials in all, finished or pruned, those already done included."""


def sample(trial: Trial) -> None:
    """Draw the searched settings. Each parameter carries the name of the field it sets."""
    trial.suggest_int("model.embed_dim", 32, 128, step=16)
    trial.suggest_int("model.hidden_dim", 32, 128, step=16)
    trial.suggest_categorical("model.pooling", ["last", "mean"])
    trial.suggest_categorical("model.loss", ["bce", "cross_entropy"])
    trial.suggest_float("model.word_dropout", 0.0, 0.5)
    trial.suggest_float("model.embed_dropout", 0.0, 0.7)
    trial.suggest_float("model.head_dropout", 0.0, 0.6)
    trial.suggest_int("train.batch_size", 16, 64, step=16)
    trial.suggest_float("train.lr", 5e-4, 1e-2, log=True)
    trial.suggest_float("train.weight_decay", 1e-3, 0.3, log=True)


def build_study(params: Params, seed: int = 0, storage: str = "") -> Study:
    """Declare the search."""
    return Study(
        question="Which width, pooling, loss and regularisation make the best IMDB classifier?",
        base=BASE,
        sample=sample,
        seed=seed,
        total=params.trials,
        planned=(first_trial(BASE, sample),),
        sampler=lambda seed: TPESampler(seed=seed, n_startup_trials=8),
        # From the second evaluation the best third goes on; docs/simulations.md tells what others save and cost.
        # Pruners compare evaluations of one index, whatever the batch size.
        pruner=PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=2),
    )
