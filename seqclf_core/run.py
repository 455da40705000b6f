"""The one place where data, model and training meet: a run, as a stream of events."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer

from seqclf_core.config import RunConfig
from seqclf_core.data.batches import EncodedSplit
from seqclf_core.data.cache import Corpus, load_corpus
from seqclf_core.errors import DeviceError, NotFiniteError, UserError
from seqclf_core.events import EVENT, Event, Finished, Progress, Started
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import load_tagger, load_tokenizer, save_model, write_text
from seqclf_core.training.evaluation import classification, log_odds
from seqclf_core.training.predictions import score, write_predictions
from seqclf_core.training.trainer import Trainer

CHECKPOINT = "checkpoint.safetensors"
EVENTS = "events.json"


def run(config: RunConfig, folder: Path, cache: Path, corpus: Corpus | None = None) -> Iterator[Event]:
    """Do one run, handing control back to the caller after every event.

    There are no callbacks. To log, prune or stop early, write it in your loop:

        for event in run(config, folder, cache):
            recorder.record(event)

    Yields ``Started``, then a ``Progress`` per evaluation, then ``Finished``, and now and then ``Saved`` as a
    sign of life. A caller that stops early closes the run: the test part is not scored. The same config and folder
    again yield the same events from the start, go on from the last checkpoint and end as if never interrupted.

    Args:
        config: what to do.
        folder: the run's own; afterwards it holds ``model/`` and ``predictions/``.
        cache: for encoded data; shared by all runs.
        corpus: the encoded data, where somebody opened them already; then the reviews themselves need not be here.

    Raises:
        DataError: if the reviews cannot be used; names the file and row.
        NotFiniteError: if the loss leaves the real numbers, unless ``train.on_divergence`` says to score it; names
            the
            step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = recorded(folder, config)
    if finished:
        yield from finished
        return

    corpus = corpus or load_corpus(config.data, cache)
    trainer = new_trainer(config, corpus, folder / CHECKPOINT)
    trainer.resume()
    started = Started(
        data=corpus.summary,
        parameters=sum(weights.numel() for weights in trainer.model.parameters()),
        device=device_name(trainer.device),
        precision="bf16" if trainer.model.encoder.bf16 else "fp32",
        evaluations=len(trainer.evaluation_steps),
    )
    yield started
    progress: list[Event] = []
    diverged = False
    try:
        for event in trainer.fit():
            if isinstance(event, Progress):
                progress.append(event)
            yield event
    except NotFiniteError:
        if config.train.on_divergence == "fail":
            raise
        diverged = True

    end = _finish(trainer, corpus, folder, diverged)
    record(folder, config, [started, *progress, end])
    yield end


def recorded(folder: Path, config: RunConfig) -> list[Event]:
    """Return the events of a run that already ended here; none if it did not, or was another."""
    try:
        ended = json.loads((folder / EVENTS).read_text(encoding="utf-8"))
        if ended["config"] != config.digest():
            return []
        return [EVENT.validate_python(each) for each in ended["events"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def record(folder: Path, config: RunConfig, events: Sequence[Event]) -> None:
    """Keep the events of a run that has ended; its checkpoint goes."""
    ended = {"config": config.digest(), "events": [each.model_dump(mode="json") for each in events]}
    write_text(folder / EVENTS, json.dumps(ended))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def new_trainer(config: RunConfig, corpus: Corpus, checkpoint: Path) -> Trainer[SequenceClassifier]:
    """Put a model and its data together, ready for the first step.

    Raises:
        UserError: if the device that was asked for is not there, or the tagger to start from does not fit.
    """
    device = torch.device(pick_device(config.train.device))
    model = _build(config, corpus)
    model.encoder.bf16 = use_bf16(config.train.precision, device)
    train, val = EncodedSplit(corpus.train, config.data), EncodedSplit(corpus.val, config.data)
    objective = classification(model, LOSSES[config.model.loss])
    return Trainer(model, objective, config, train, val, device, checkpoint)


def _build(config: RunConfig, corpus: Corpus) -> SequenceClassifier:
    vocab_size = corpus.summary.vocab_size
    if config.model.init_from is None:
        return SequenceClassifier(config.model, vocab_size, config.seed_of("init"))
    folder = Path(config.model.init_from)
    tagger, _, _ = load_tagger(folder)
    theirs = load_tokenizer(folder, tagger).get_vocab()
    ours = Tokenizer.from_file(str(corpus.tokenizer)).get_vocab()
    shared = sorted((theirs[token], ours[token]) for token in theirs.keys() & ours.keys())
    try:
        return SequenceClassifier.from_tagger(
            tagger, config.model, vocab_size, config.seed_of("init"), torch.tensor(shared).reshape(-1, 2)
        )
    except ValueError as error:
        raise UserError(f"model.init_from={folder}: {error}") from error


def _finish(trainer: Trainer[SequenceClassifier], corpus: Corpus, folder: Path, diverged: bool) -> Finished:
    """Put the best weights back, keep them, and score the validation part again and the test part for once."""
    config = trainer.config
    trainer.model.load_state_dict(trainer.best)
    save_model(folder / "model", trainer.model, config, corpus.tokenizer, tags=[])
    files = {"model": "model"}
    scores: dict[str, tuple[float, float]] = {}
    loss = LOSSES[config.model.loss]
    for name, part in {"val": corpus.val, "test": corpus.test}.items():
        odds = log_odds(trainer.model, loss, EncodedSplit(part, config.data), trainer.device)
        files[f"{name}_predictions"] = f"predictions/{name}.parquet"
        write_predictions(folder / files[f"{name}_predictions"], part, odds)
        scores[name] = score(part.labels, odds)
    stopped: Literal["completed", "early_stop"] = "early_stop" if trainer.stopped_early else "completed"
    return Finished(
        reason="diverged" if diverged else stopped,
        best_evaluation=trainer.state.best_evaluation,
        val_loss=scores["val"][0],
        val_accuracy=scores["val"][1],
        test_loss=scores["test"][0],
        test_accuracy=scores["test"][1],
        seconds=trainer.state.seconds,
        files=files,
    )


def pick_device(wanted: str) -> str:
    """Return "cpu" or "cuda".

    Raises:
        DeviceError: if CUDA was asked for and is not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("train.device=cuda was asked for, but torch finds no CUDA device; use auto or cpu")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def use_bf16(wanted: str, device: torch.device) -> bool:
    """Take bf16 where it was asked for, or where the device computes it natively and may choose."""
    if wanted != "auto":
        return wanted == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def device_name(device: torch.device) -> str:
    """Return what a person calls a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
