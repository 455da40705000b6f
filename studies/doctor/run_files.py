"""The files of a run that has ended: are they what the run left, and what makes them so again?

Predictions come back from MLflow's copy, or are computed again from the run's weights; a tokenizer comes from the
cache, which is made again of the data where it has gone. What is whole is not touched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import torch

from experiments.tracking.client import MlflowWriter
from experiments.tracking.paths import RunPaths
from seqclf_core.classification import MODEL
from seqclf_core.data.batches import EncodedSplit
from seqclf_core.data.cache import Corpus, load_corpus, open_entry
from seqclf_core.ended import changed
from seqclf_core.errors import SavedError, UserError
from seqclf_core.events import DataSummary, Event, Finished, Started
from seqclf_core.files import atomic_write, remove
from seqclf_core.losses import LOSSES
from seqclf_core.training.checkpoint import TOKENIZER, load_classifier, load_tokenizer, read_settings
from seqclf_core.training.device import compute_as
from seqclf_core.training.evaluation import log_odds
from seqclf_core.training.predictions import write_predictions
from studies.doctor.findings import Finding


def check_files(key: str, events: Sequence[Event], paths: RunPaths, tracking_uri: str) -> Iterator[Finding]:
    """Yield which files of a finished run are not what it left.

    Args:
        key: of the run.
        events: of its journal.
        paths: the folder with all that is recorded.
        tracking_uri: address of MLflow, which has copies.
    """
    started = next((event for event in events if isinstance(event, Started)), None)
    finished = next((event for event in events if isinstance(event, Finished)), None)
    if started is None or finished is None:
        return
    folder = paths.work(key)
    if (folder / MODEL).exists():
        yield from _model(key, folder, started, paths)
    for split, count in started.data.sizes.items():
        name = finished.files.get(f"{split}_predictions")
        if name and (problem := _problem_of(folder, name, count)):
            again = partial(_predictions_again, key, split, name, started, paths, tracking_uri)
            yield Finding(f"{key}: {name} {problem}.", again)


# -- Predictions -------------------------------------------------------------------------------------------------


def _problem_of(folder: Path, name: str, count: int) -> str:
    """Say what is wrong with a file of predictions; nothing where it is as the run left it."""
    path = folder / name
    if not path.exists():
        return "is not there"
    if name in changed(folder):
        return "is not what the run left"
    try:
        rows = pq.read_table(path).num_rows
    except (OSError, ValueError):  # pyarrow's own errors are ValueErrors
        return "cannot be read"
    return "" if rows == count else f"has {rows:,} rows, its split {count:,} texts"


def _predictions_again(
    key: str, split: str, name: str, started: Started, paths: RunPaths, tracking_uri: str
) -> None:
    """Bring predictions back, from MLflow or else by the weights.

    Raises:
        UserError: if neither has them.
    """
    folder = paths.work(key)
    before = (folder / name).read_bytes() if (folder / name).exists() else None
    reasons = []
    ways: list[Callable[[], None]] = [
        lambda: _fetch(key, name, paths, tracking_uri),
        lambda: _compute(folder, split, name, started, paths),
    ]
    for way in ways:
        try:
            way()
        except (UserError, OSError) as error:
            reasons.append(str(error))
            continue
        if not (problem := _problem_of(folder, name, started.data.sizes[split])):
            return
        reasons.append(f"what was made again {problem}")
    if before is not None:
        atomic_write(folder / name, before)
    raise UserError(f"{'; '.join(reasons)}. Its scores are in the journal.")


def _fetch(key: str, name: str, paths: RunPaths, tracking_uri: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        fetched = MlflowWriter(paths, tracking_uri).fetch(paths.journal(key), name, Path(place))
        atomic_write(paths.work(key) / name, fetched.read_bytes())


def _compute(folder: Path, split: str, name: str, started: Started, paths: RunPaths) -> None:
    model, config = load_classifier(folder / MODEL)
    corpus = _corpus(folder / MODEL, started.data, paths)
    compute_as(model.encoder, started)
    part = {"train": corpus.train, "val": corpus.val, "test": corpus.test}[split]
    odds = log_odds(model, LOSSES[config.model.loss], EncodedSplit(part, config.data), torch.device("cpu"))
    write_predictions(folder / name, part, odds)


# -- Weights and tokenizer ---------------------------------------------------------------------------------------


def _model(key: str, folder: Path, started: Started, paths: RunPaths) -> Iterator[Finding]:
    """Look at the weights that a run keeps, and at the tokenizer beside them."""
    model, wrong = folder / MODEL, changed(folder)
    ours = model / TOKENIZER
    try:
        weights, _ = load_classifier(model)
        if others := [name for name in wrong if name.startswith(f"{MODEL}/") and not name.endswith(TOKENIZER)]:
            raise SavedError(f"{folder / others[0]} is not what the run left")
    except SavedError as error:
        what = f"{key}: its weights cannot be used ({error}); its scores and predictions stay."
        yield Finding(what, partial(remove, model))
        return
    cached = _cached(paths, started.data)
    problem = f"{MODEL}/{TOKENIZER}" in wrong
    problem |= cached is not None and (not ours.is_file() or ours.read_bytes() != cached.tokenizer.read_bytes())
    try:
        load_tokenizer(model, weights)
    except SavedError:
        problem = True
    if problem:
        what = f"{key}: its tokenizer is not the one that its data were encoded with."
        yield Finding(what, partial(_tokenizer_again, folder, started.data, paths))


def _tokenizer_again(folder: Path, data: DataSummary, paths: RunPaths) -> None:
    corpus = _corpus(folder / MODEL, data, paths)
    atomic_write(folder / MODEL / TOKENIZER, corpus.tokenizer.read_bytes())


def _corpus(model: Path, data: DataSummary, paths: RunPaths) -> Corpus:
    """Return the data that a model was trained on: from the cache, or encoded again.

    Raises:
        UserError: if the data are not here any more, or are others.
    """
    if found := _cached(paths, data):
        return found
    config, _, _ = read_settings(model)
    corpus = load_corpus(config.data, paths.cache)
    if corpus.summary.digest != data.digest:
        raise UserError(
            f"{config.data.source} has digest {corpus.summary.digest[:8]}; the run was trained on data with "
            f"digest {data.digest[:8]}. Put those back"
        )
    return corpus


def _cached(paths: RunPaths, data: DataSummary) -> Corpus | None:
    """Return these data from the cache, which can have them with several vocabularies."""
    for entry in sorted((paths.cache / "corpus").glob("*/summary.json")):
        corpus = open_entry(entry.parent)
        if corpus and (corpus.summary.digest, corpus.summary.vocab_size) == (data.digest, data.vocab_size):
            return corpus
    return None
