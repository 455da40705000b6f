"""An ensemble: its weights, its folder, and as the champion that answers."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments import nbsvm
from experiments.serving.champion import read_champion
from experiments.serving.ensemble import fit_weights
from experiments.serving.registry import make_champion
from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.errors import SavedError, UserError
from seqclf_core.inference import Classifier, Ensemble, load_model, save_ensemble
from tests.experiments.serving.served import TEXTS, make_model, seqclf, serving
from tests.experiments.serving.test_champion import record


def test_the_weights_of_a_planted_mixture_are_found() -> None:
    draw = np.random.default_rng(0)
    planted = np.array([0.5, 0.3, 0.0, 0.2])
    probabilities = draw.beta(0.5, 0.5, (4, 50_000))
    positive = draw.random(50_000) < planted @ probabilities
    found = fit_weights(np.where(positive, probabilities, 1 - probabilities))
    assert found == pytest.approx(planted, abs=0.02)
    assert found.sum() == pytest.approx(1)


def test_of_the_same_model_twice_the_average_is_that_model(tmp_path: Path) -> None:
    of_truth = np.tile(np.linspace(0.1, 0.9, 50), (2, 1))
    assert fit_weights(of_truth) == pytest.approx([0.5, 0.5])
    model = make_model(tmp_path / "made" / "model")
    other = make_model(tmp_path / "other" / "model")
    save_ensemble(tmp_path / "both", {model: 0.25, other: 0.75})
    wanted = 0.25 * Classifier.load(model).predict(TEXTS) + 0.75 * Classifier.load(other).predict(TEXTS)
    assert load_model(tmp_path / "both").predict(TEXTS) == pytest.approx(wanted, abs=1e-12)
    assert isinstance(load_model(model), Classifier)


def with_weights(weights: object) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / "ensemble.json").write_text(json.dumps({"format": 1, "weights": weights})) and None
    )


def pipe(folder: Path) -> None:
    (folder / "ensemble.json").unlink()
    os.mkfifo(folder / "ensemble.json")


@pytest.mark.parametrize(
    "harm",
    [
        with_weights({"0": 1.5, "1": -0.5}),
        with_weights({"0": 0.5, "1": 0.4}),
        with_weights({"0": float("nan"), "1": 1}),
        with_weights({}),
        with_weights({str(number): 1 / 100 for number in range(100)}),
        with_weights({"0": 0.5, "../elsewhere": 0.5}),
        with_weights({"0": 0.5, "9": 0.5}),
        with_weights([1]),
        lambda folder: (folder / "ensemble.json").write_text("[" * 100_000) and None,
        lambda folder: shutil.rmtree(folder / "1"),
        pipe,
    ],
)
def test_a_harmful_folder_is_refused_in_a_line(harm: Callable[[Path], None], tmp_path: Path) -> None:
    model = make_model(tmp_path / "made" / "model")
    save_ensemble(tmp_path / "both", {model: 0.5, shutil.copytree(model, tmp_path / "copy"): 0.5})
    harm(tmp_path / "both")
    with pytest.raises(SavedError) as raised:
        load_model(tmp_path / "both")
    assert "\n" not in str(raised.value)


def test_it_is_the_champion_that_predict_and_serve_answer_with(
    tmp_path: Path, reviews_folder: Path, cache: Path
) -> None:
    paths = RunPaths(tmp_path / "runs")
    config = RunConfig().override(
        {"data.source": str(reviews_folder), "model.embed_dim": 8, "model.hidden_dim": 8, "train.batch_size": 8,
         "train.lr": 0.02, "train.warmup_steps": 5, "train.epochs": 2}
    )  # fmt: skip
    keys = ["imdb/0000", "imdb/0001", "nbsvm/0000"]
    for seed, key in enumerate(keys[:2]):
        record(paths, config.override({"seed": seed}), key, cache)
    linear = nbsvm.NbsvmSettings.model_validate({"data": {"source": str(reviews_folder)}})
    record(paths, linear, keys[2], cache, nbsvm.stream)
    for wrong in (["imdb/0000"], ["imdb/0000", "imdb/0000"], ["imdb/0000", "imdb/0009"]):
        with pytest.raises(UserError, match=r"no finished model|two or more"):
            make_champion(paths, None, None, wrong)
    said = [make_champion(paths, None, None, keys) for _ in range(2)]
    assert ["is now" in each for each in said] == [True, False]
    assert said[0].startswith("The ensemble 0.")
    champion = read_champion(paths)
    assert champion is not None
    assert set(champion.members) == set(keys)
    assert champion.members["nbsvm/0000"] > 0  # a member of another family answers too
    assert champion.key == max(keys, key=champion.members.__getitem__)
    (copy,) = (paths.runs / "champion").iterdir()
    ensemble = load_model(copy)
    assert isinstance(ensemble, Ensemble)
    wanted = ensemble.predict(TEXTS)
    with serving(paths.runs) as served:
        assert served.predictions(TEXTS) == pytest.approx(wanted, abs=1e-6)
    assert f"{wanted[0]:.4f}" in seqclf("predict", "--runs", paths.runs, "--text", TEXTS[0]).stdout
