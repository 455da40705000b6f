"""One rule of selection: on ties, everybody who ranks by validation gives the same order."""

import json
from itertools import permutations
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from experiments.serving.choosing import Finalist, best_of, finished_models
from experiments.serving.selection import rank_key, ranking
from reports.pages.tables import leaderboard
from reports.stats.finalists import finalists
from studies.engine.cleanup import superseded
from studies.engine.storage import VAL_LOSS, open_storage
from studies.finalists import read_published

NAN = float("nan")
TIED = [(0.9, 0.30, 3), (0.9, 0.31, 0), (0.8, 0.10, 1), (0.9, 0.30, 2), (NAN, NAN, 4), (0.9, NAN, 5)]
"""Validation accuracy, validation loss, number of a trial."""
ORDER = [2, 3, 0, 5, 1, 4]
"""The numbers of these trials, best first: by accuracy, then by loss, then the earlier one."""


def key(number: int) -> str:
    return f"demo/{number:04d}"


def test_ties_go_by_loss_and_then_to_the_earlier_run() -> None:
    for models in permutations(TIED):
        places = ranking((accuracy, loss, key(number)) for accuracy, loss, number in models)
        assert [models[place][2] for place in places] == ORDER


def test_the_ten_thousandth_trial_is_later_than_the_one_before() -> None:
    assert rank_key(0.9, 0.3, "demo/9999") < rank_key(0.9, 0.3, "demo/10000")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a finished model for each."""
    for accuracy, loss, number in TIED:
        folder = tmp_path / "work" / key(number)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "config.json").write_text('{"config": {"model": {"pooling": "last"}}}')
        ends = {"metrics": {"best/val_accuracy": accuracy, "best/val_loss": loss}}
        (folder / "events.json").write_text(json.dumps({"events": [{"data": {"data_scope": "whole"}}, ends]}))
    return tmp_path


def test_all_that_rank_by_validation_agree_on_ties(runs: Path, tmp_path: Path) -> None:
    models = sorted(finished_models(runs), key=lambda model: model.rank_key)
    assert [model.key for model in models] == [key(number) for number in ORDER]
    assert best_of(models[::-1], None, runs) == models[0]

    table = pd.DataFrame(TIED, columns=["best/val_accuracy", "best/val_loss", "number"])
    table = table.assign(key=table["number"].map(key), outcome="complete", config=table["number"].map(key))
    table["test/accuracy"] = table["number"] / 10  # the worse, the better on test
    ranked = [number for number in ORDER if number != 4]
    assert list(leaderboard(table)["number"]) == ranked  # a run without a validation score is in no leaderboard
    assert list(finalists(table)["config"]) == [key(number) for number in ORDER]
    means = [Finalist(key(n), "demo", {key(n): accuracy}, [loss], True) for accuracy, loss, n in TIED]
    assert [each.settings for each in sorted(means, key=lambda each: each.rank_key)] == [key(n) for n in ORDER]

    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path / 'optuna.db'}"), direction="maximize")
    for accuracy, loss, _ in sorted(TIED, key=lambda each: each[2])[:4]:
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=accuracy, user_attrs={VAL_LOSS: loss}))
    assert [trial.number for trial in superseded(study.get_trials())] == [1]  # three models of a search are kept

    published = tmp_path / "runs.csv"
    table = table.dropna(subset="best/val_accuracy").assign(role="trial", digest="d")
    table.assign(**{"train.lr": 0.001 * (1 + table["number"])}).to_csv(published, index=False)
    candidates = sorted(read_published(published).complete, key=lambda c: rank_key(c.value, c.loss, c.key))
    assert [candidate.key for candidate in candidates] == [key(number) for number in ranked]
