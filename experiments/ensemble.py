"""How good are several models together? Their probabilities are averaged, with weights by validation.

make experiment NAME=ensemble MEMBERS="record/0000 + nbsvm/9a2e..."              # weights by validation
make experiment NAME=ensemble MEMBERS="0.4 refit/01ab... + 0.6 nbsvm/77c0..."    # these weights

Members may be of different families, such as LSTMs and NBSVM: models that err on different texts gain most.
Weights are not negative, add up to 1, and make the log loss on the validation split smallest; its scores of that
split are therefore a little optimistic, by one fitted number per member. Members that learned from the validation
split need given weights, such as those of the runs that they repeat; then there is no validation score.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.experiment import Experiment, NamedRun, Place, Result
from experiments.serving.ensemble import MODEL, read_members
from experiments.tracking import names
from experiments.tracking.paths import RunPaths
from seqclf_core.config import DataConfig, Settings
from seqclf_core.data.cache import Corpus, Split, load_corpus
from seqclf_core.ended import record, recorded
from seqclf_core.errors import UserError
from seqclf_core.events import Event, Finished, Started
from seqclf_core.inference import save_ensemble
from seqclf_core.training.metrics import measure, named, named_best
from seqclf_core.training.predictions import write_predictions


class EnsembleSettings(Settings):
    """Everything that the result depends on, besides the data itself."""

    data: DataConfig = DataConfig()
    members: str = ""
    """Keys of finished runs: 0.4 KEY + 0.6 KEY; without weights, those that fit the validation split best."""


def runs(config: EnsembleSettings, place: Place) -> list[NamedRun]:
    """Make the run."""
    paths = RunPaths(place(config).parents[2])
    weights = read_members(config.members, paths, "MEMBERS")
    told = " + ".join(f"{weight:.6g} {key}" for key, weight in weights.items())
    run = config.override({"members": told})
    return [NamedRun("ensemble", run, {names.ENSEMBLE: json.dumps(weights)})]


def stream(config: EnsembleSettings, folder: Path, cache: Path) -> Iterator[Event]:
    """Do the run: ``Started``, ``Finished``.

    Raises:
        UserError: if a member has no predictions, or members learned from and tested on different texts.
    """
    if ended := recorded(folder, config):
        yield from ended
        return
    began = time.monotonic()
    paths = RunPaths(folder.parents[2])
    weights = read_members(config.members, paths, "MEMBERS")
    corpus = load_corpus(config.data, cache)
    started = Started(data=corpus.summary, parameters=len(weights), device="cpu", precision="fp64", evaluations=0)
    yield started
    counted = {paths.work(key) / MODEL: weight for key, weight in weights.items() if weight > 0}
    save_ensemble(folder / MODEL, counted)
    files = {"model": MODEL}
    metrics: dict[str, float] = {}
    for name in ("val", "test"):
        tables = {key: paths.predictions(key, name) for key in weights}
        if name == "val" and not all(table.exists() for table in tables.values()):
            continue
        split, odds = averaged({tables[key]: weight for key, weight in weights.items()})
        path = f"predictions/{name}.parquet"
        write_predictions(folder / path, split, odds)
        files[f"{name}_predictions"] = path
        scores = measure(split.labels, odds)
        metrics |= named_best(scores) if name == "val" else named("test", scores)
    end = Finished(
        reason="completed", best_evaluation=0, files=files,
        metrics={**metrics, "total_seconds": time.monotonic() - began},
    )  # fmt: skip
    record(folder, config, [started, end])
    yield end


def averaged(tables: Mapping[Path, float]) -> tuple[Split, np.ndarray]:
    """Average the predictions of a split.

    Args:
        tables: file of each member's predictions -> its weight.

    Returns:
        The split, with rows and labels alone; (N,) log-odds of the averaged probabilities.

    Raises:
        UserError: if a file cannot be read, or they are not of the same texts.
    """
    probabilities, first = [], None
    for path, weight in tables.items():
        try:
            table = pq.read_table(path).sort_by("row")
        except (OSError, pa.ArrowException) as error:
            raise UserError(
                f"The predictions {path} cannot be read ({error}). Restore the file, or name other runs."
            ) from error
        same = table.select(["row", "label"])
        if first is not None and not same.equals(first):
            raise UserError(
                "The members of the ensemble were tested on different texts, so that their mean has no score: "
                f"{path} differs from the first one. Name runs with the same data and test split."
            )
        first = same
        probabilities.append(weight * table["probability"].to_numpy().astype(np.float64))
    assert first is not None
    positive = np.sum(probabilities, axis=0).clip(1e-9, 1 - 1e-9)
    rows, labels = first["row"].to_numpy(), first["label"].to_numpy().astype(np.int64)
    nothing = np.zeros(len(rows) + 1, dtype=np.int64)
    return Split(nothing[:0], nothing, labels, rows, None), np.log(positive / (1 - positive))


def told(results: Sequence[Result], _: Corpus) -> str:
    """Say who counts how much, and what came out."""
    (result,) = results
    assert result.finished
    weights: Mapping[str, float] = json.loads(result.run.tags[names.ENSEMBLE])
    parts = [f"  {weight:6.3f}  {key}" for key, weight in weights.items()]
    keys = " ".join(weights)
    return "\n".join([*parts, f"  To predict with it: make champion ARGS='--ensemble {keys}'"])


EXPERIMENT = Experiment(
    purpose="How good are several models together?",
    base=EnsembleSettings(),
    runs=runs,
    stream=stream,
    conclude=told,
)
