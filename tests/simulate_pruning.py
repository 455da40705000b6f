"""Which rule of pruning saves most of a search's work and costs least of its best? Simulated, TPE in the loop.

    python -m tests.simulate_pruning [--times 200]

A search is made up from recorded ones: what a trial ends at is a Gaussian process on the settings, fitted to the
105 complete trials of ``reports/imdb`` (``imdb`` and ``factors``), plus the noise that it finds; how it gets there
is one of the recorded curves of ``imdb``, of the three whose learning rates are nearest; a trial's work is
proportional to its multiplications per token. Every rule is put to the same search of 24 trials, drawn as
``studies/imdb.py`` draws them, under the same seeds; one trial after another, though two workers do them two at a
time. Only complete trials can be the best. No trial is pruned at its last evaluation.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from studies import imdb

REPORTS = Path(__file__).parents[1] / "reports" / "imdb"
TRIALS, EVALUATIONS = 24, 8
CURVES = (
    (9.747e-3, (2.2, 1.6, 1.5, 0.1, 0.2, 0.1, 0.4, 0.0)),
    (6.155e-3, (17.6, 3.3, 1.8, 0.2, 0.6, 0.2, 0.5, 0.0)),
    (8.787e-4, (15.7, 6.3, 2.7, 0.9, 1.6, 0.6, 0.1, 0.0)),
    (1.058e-3, (19.5, 5.0, 1.5, 1.4, 1.8, 0.1, 0.2, 0.0)),
    (3.235e-3, (18.6, 3.5, 2.2, 0.9, 0.4, 0.2, 0.1, 0.0)),
    (6.344e-3, (27.9, 4.4, 1.5, 0.3, 0.2, 0.1, 0.1, 0.0)),
    (6.120e-3, (7.6, 1.7, 1.2, 0.5, 0.8, 0.1, 0.1, 0.0)),
    (7.112e-3, (4.3, 0.4, 0.4, 0.0, 0.1, 0.6, 0.4, 0.3)),
    (5.000e-3, (12.6, 2.7, 3.3, 1.0, 0.8, 0.4, 0.2, 0.0)),
)
"""Learning rate, and how many points each evaluation lies below the best one: the complete trials of ``imdb``,
read off the figure of its published report."""
SETTINGS = {
    "model.embed_dim": lambda value: value / 100,
    "model.hidden_dim": lambda value: value / 100,
    "model.word_dropout": float,
    "model.embed_dropout": float,
    "model.head_dropout": float,
    "train.batch_size": lambda value: math.log2(value / 32),
    "train.lr": lambda value: math.log10(value / 3e-3),
    "model.pooling": lambda value: float(value == "mean"),
    "model.loss": lambda value: float(value == "bce"),
}
"""What the accuracy is a function of, each about one unit wide. The recorded runs do not vary the weight decay."""


class TwoSteps(BasePruner):
    """The best half goes on at evaluation 2, the best third from evaluation 4."""

    def __init__(self) -> None:
        self.first = PercentilePruner(50.0, n_startup_trials=4, n_warmup_steps=2)
        self.then = PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=4)

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Ask the one that is in force at this evaluation."""
        return (self.first if trial.last_step == 2 else self.then).prune(study, trial)


RULES: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "best third from evaluation 3": lambda: PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=3),
    "best third from evaluation 2 (chosen)": lambda: PercentilePruner(34.0, n_startup_trials=4, n_warmup_steps=2),
    "best quarter from evaluation 2": lambda: PercentilePruner(25.0, n_startup_trials=4, n_warmup_steps=2),
    "median from evaluation 2": lambda: MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    "half at 2, third from 4": TwoSteps,
    "ASHA, 1 evaluation, factor 2": lambda: SuccessiveHalvingPruner(1, 2),
    "ASHA, 2 evaluations, factor 2": lambda: SuccessiveHalvingPruner(2, 2),
    "ASHA, 2 evaluations, factor 3": lambda: SuccessiveHalvingPruner(2, 3),
    "Wilcoxon, p < 0.1, from 3": lambda: WilcoxonPruner(p_threshold=0.1, n_startup_steps=3),
    "Wilcoxon, p < 0.25, from 3": lambda: WilcoxonPruner(p_threshold=0.25, n_startup_steps=3),
}


@dataclass(frozen=True)
class Outcome:
    best: float
    """True accuracy of the settings that were chosen, in %."""
    work: float
    """Proportion of the work of all trials done whole."""
    pruned: int


class World:
    """What is known of trials that were run: a function of settings, its noise, and curves."""

    def __init__(self) -> None:
        tables = [pd.read_csv(REPORTS / name / "runs.csv") for name in ("imdb", "factors")]
        runs = pd.concat(
            [table[(table["outcome"] == "complete") & (table["role"] == "trial")] for table in tables]
        )
        scores = 100 * runs["best/val_accuracy"].to_numpy(float)
        longer = (runs["train.epochs"] == 4).to_numpy(float)[:, None]
        inputs = np.hstack([np.array([vector(row) for row in runs.to_dict("records")]), longer])
        kernel = 1.0 * RBF(np.ones(inputs.shape[1]), (0.3, 30)) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length at its bound is a setting without effect
            self.process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(inputs, scores)
        self.noise = float(np.sqrt(self.process.kernel_.k2.noise_level) * scores.std())

    def accuracy(self, settings: dict[str, object]) -> float:
        """Return what these settings come to in the mean over seeds."""
        return float(self.process.predict(np.array([[*vector(settings), 1.0]]))[0])

    def curve(self, settings: dict[str, object], end: float, draw: np.random.Generator) -> np.ndarray:
        """Return the evaluations of one trial, the best of which is its end."""
        near = sorted(CURVES, key=lambda curve: abs(math.log(curve[0] / float(str(settings["train.lr"])))))
        return end - np.array(near[draw.integers(3)][1])


def vector(settings: dict[str, object]) -> list[float]:
    """Return settings as numbers."""
    return [transform(settings[name]) for name, transform in SETTINGS.items()]  # type: ignore[no-untyped-call]


def search(world: World, rule: str, seed: int) -> Outcome:
    """Do one search under a rule."""
    study = optuna.create_study(direction="maximize", pruner=RULES[rule]())
    start = imdb.build_study(imdb.Params()).planned[0].settings
    study.enqueue_trial(dict(start))
    done = whole = pruned = 0.0
    truth: dict[int, float] = {}
    for number in range(TRIALS):
        study.sampler = optuna.samplers.TPESampler(seed=1000 * seed + number, n_startup_trials=8)
        draw = np.random.default_rng([seed, number])
        trial = study.ask()
        imdb.sample(trial)
        truth[number] = world.accuracy(trial.params)
        curve = world.curve(trial.params, truth[number] + world.noise * draw.normal(), draw)
        embed, hidden = trial.params["model.embed_dim"], trial.params["model.hidden_dim"]
        cost = hidden * (embed + hidden) / EVALUATIONS
        whole += cost * EVALUATIONS
        for evaluation, value in enumerate(curve, start=1):
            done += cost
            trial.report(float(value), evaluation)
            if evaluation < EVALUATIONS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                pruned += 1
                break
        else:
            study.tell(trial, float(curve.max()))
    return Outcome(truth[study.best_trial.number], done / whole, int(pruned))


def main() -> None:
    """Simulate every rule and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="searches per rule")
    times = parser.parse_args().times
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    world = World()
    print(f"noise of a run: {world.noise:.2f} points; {times} searches of {TRIALS} trials per rule\n")
    outcomes = {rule: [search(world, rule, seed) for seed in range(times)] for rule in RULES}
    whole = np.array([outcome.best for outcome in outcomes["none"]])
    print("| rule | best settings' accuracy against none, points | loses more than 0.2 | work | trials pruned |")
    print("|---|---|---|---|---|")
    for rule, results in outcomes.items():
        lost = np.array([outcome.best for outcome in results]) - whole
        half = 1.96 * lost.std(ddof=1) / math.sqrt(times)
        work, pruned = (np.mean([getattr(outcome, name) for outcome in results]) for name in ("work", "pruned"))
        print(
            f"| {rule} | {lost.mean():+.2f} [{lost.mean() - half:+.2f}, {lost.mean() + half:+.2f}] "
            f"| {(lost < -0.2).mean():.0%} | {work:.0%} | {pruned:.1f} |"
        )


if __name__ == "__main__":
    main()
