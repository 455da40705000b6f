"""An ensemble of finished models as one model: its weights are those that fit the validation split best.

The weights are not negative and add up to 1; they minimise the log loss of the averaged probabilities. They are
found by expectation-maximisation for the weights of a mixture (Dempster, Laird & Rubin 1977): it has one optimum.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.serving.choosing import FinishedModel, finished_models
from experiments.tracking.paths import RunPaths
from seqclf_core.errors import UserError
from seqclf_core.inference import save_ensemble
from seqclf_core.training.predictions import decide

MODEL = "model"
"""Model folder of a run."""
TERM = re.compile(r"(?:(\d*\.?\d+(?:e-?\d+)?)\s*\*?\s+)?([^\s/]+/[^\s/]+)")
"""A weight, where one is given, and the key of a run."""
Floats = npt.NDArray[np.float64]
STEPS = 10_000
CONVERGED = 1e-9
"""Fitting ends where no weight changes by more in a step."""


def read_members(text: str, paths: RunPaths, variable: str) -> dict[str, float]:
    """Read who belongs to an ensemble: key of each run -> weight; the weights add up to 1.

    Args:
        text: such as ``0.4 baseline/1f0c + 0.6 nbsvm/9a2e``; without weights, those by validation are found.
        paths: the folder with all that is recorded.
        variable: that holds the text, for messages.

    Raises:
        UserError: if no run is named, one has no model, or only some have a weight.
    """
    terms = [TERM.fullmatch(part.strip()) for part in text.split(" + ")] if text.strip() else []
    found = [(each[2], each[1]) for each in terms if each]
    if not terms or len(found) < len(terms):
        raise UserError(
            f"{variable}={text!r} names no runs; expected keys of finished runs, all with weights or all without: "
            f'{variable}="0.4 baseline/1f0c... + 0.6 nbsvm/9a2e..."'
        )
    keys = [key for key, _ in found]
    if missing := [key for key in keys if not (paths.work(key) / MODEL).is_dir()]:
        raise UserError(
            f"{variable}: there is no finished model of {', '.join(missing)} in {paths.works}. Name finished "
            "runs whose weights are kept."
        )
    given = [float(weight) for _, weight in found if weight is not None]
    if len(set(keys)) < len(keys) or (given and (len(given) < len(keys) or sum(given) <= 0)):
        raise UserError(
            f"{variable}={text!r}: expected each run once, and a weight for all runs or for none, "
            "with a sum above 0"
        )
    if given:
        return {key: weight / sum(given) for key, weight in zip(keys, given, strict=True)}
    if len(keys) == 1:
        return {keys[0]: 1.0}
    with TemporaryDirectory() as folder:
        return make_ensemble(paths, keys, Path(folder) / MODEL)[1]


def make_ensemble(paths: RunPaths, keys: Sequence[str], folder: Path) -> tuple[FinishedModel, dict[str, float]]:
    """Write the ensemble of some runs' models.

    Args:
        paths: the folder with all that is recorded.
        keys: of the runs.
        folder: to write the ensemble to.

    Returns:
        The ensemble as a model, under the key of the member with the largest weight; each member's weight.

    Raises:
        UserError: if a run has no model, or their validation splits differ.
    """
    known = {model.key: model for model in finished_models(paths.runs)}
    if missing := [key for key in keys if key not in known]:
        raise UserError(
            f"There is no finished model of {', '.join(missing)}. There are: {', '.join(sorted(known))}"
        )
    if len(set(keys)) < max(2, len(keys)):
        raise UserError(
            f"An ensemble has two or more members, each named once; {', '.join(keys) or 'none'} was given."
        )
    members = [known[key] for key in keys]
    tables = [_validation(paths, model.key) for model in members]
    labels = tables[0]["label"].to_numpy()
    if any(not each.select(["row", "label"]).equals(tables[0].select(["row", "label"])) for each in tables):
        raise UserError(
            f"The runs {', '.join(keys)} do not have the same validation split, by which an ensemble is "
            "weighted. Name runs with the same data and data.split_seed, or give a weight to each."
        )
    positive = np.stack([each["probability"].to_numpy().astype(np.float64) for each in tables])
    weights = fit_weights(np.where(labels == 1, positive, 1 - positive))
    save_ensemble(folder, {model.folder: float(w) for model, w in zip(members, weights, strict=True)})
    together = weights @ positive
    of_truth = np.where(labels == 1, together, 1 - together)
    first = members[int(weights.argmax())]
    whole = all(model.fit_for_all for model in members)
    model = FinishedModel(
        folder=folder,
        key=first.key,
        val_accuracy=float((decide(together) == (labels == 1)).mean()),
        val_loss=float(-np.log(np.clip(of_truth, 1e-12, 1)).mean()),
        data_scope="whole" if whole else "limited",
        pooling=first.pooling,
    )
    return model, {key: float(weight) for key, weight in zip(keys, weights, strict=True)}


def fit_weights(of_truth: Floats) -> Floats:
    """Return the weights that minimise the log loss of averaged probabilities.

    Args:
        of_truth: (M, N) probability that each of M models gives to the true label of each of N texts.

    Returns:
        (M,) weights, not negative, that add up to 1.
    """
    of_truth = np.clip(of_truth, 1e-12, 1)
    weights = np.full(len(of_truth), 1 / len(of_truth))
    for _ in range(STEPS):
        shares = weights[:, None] * of_truth
        new = (shares / shares.sum(axis=0)).mean(axis=1)
        change = np.abs(new - weights).max()
        weights = new
        if change < CONVERGED:
            break
    weights[weights < 1e-4] = 0.0
    result: Floats = weights / weights.sum()
    return result


def _validation(paths: RunPaths, key: str) -> pa.Table:
    """Return a run's predictions of its validation split, in order of rows."""
    path = paths.predictions(key, "val")
    try:
        return pq.read_table(path).sort_by("row")
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"The validation predictions of {key} cannot be read ({error}). Restore them, or name another run."
        ) from error
