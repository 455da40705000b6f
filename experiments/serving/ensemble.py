"""An ensemble of finished models as one model: its weights are those that fit the validation split best.

The weights are not negative and add up to 1; they minimise the log loss of the averaged probabilities. They are
found by expectation-maximisation for the shares of a mixture (Dempster, Laird & Rubin 1977): it has one optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.serving.choosing import FinishedModel, finished_models
from experiments.tracking.paths import RunPaths
from seqclf_core.errors import UserError
from seqclf_core.inference import save_ensemble
from seqclf_core.training.predictions import decide

Floats = npt.NDArray[np.float64]
STEPS = 10_000
CONVERGED = 1e-9
"""Fitting ends where no weight changes by more in a step."""


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
        raise UserError("An ensemble has two or more members, each named once.")
    members = [known[key] for key in keys]
    tables = [_validation(paths, model.key) for model in members]
    labels = tables[0]["label"].to_numpy()
    if any(not each.select(["row", "label"]).equals(tables[0].select(["row", "label"])) for each in tables):
        raise UserError("The runs do not have the same validation split, by which an ensemble is weighted.")
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
    path = paths.work(key) / "predictions" / "val.parquet"
    try:
        return pq.read_table(path).sort_by("row")
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"The validation predictions of {key} cannot be read ({error}).") from error
