"""The one place where data, model and training meet: a run, as a stream of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from seqclf_core.classification import ClassificationTask
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus, load_corpus, while_freed
from seqclf_core.ended import record, recorded
from seqclf_core.errors import NotFiniteError
from seqclf_core.events import Event, Finished, Started
from seqclf_core.files import make_folder
from seqclf_core.training.device import device_name, kernel_name
from seqclf_core.training.task import Model, Task
from seqclf_core.training.trainer import Trainer

CHECKPOINT = "checkpoint.safetensors"
"""Name within a run's folder."""


def run(config: RunConfig, folder: Path, cache: Path, corpus: Corpus | None = None) -> Iterator[Event]:
    """Train and score a classifier, handing control back to the caller after every event.

    There are no callbacks. To log, prune or stop early, write it in your loop:

        for event in run(config, folder, cache):
            recorder.record(event)

    Yields ``Started``, then a ``Progress`` per evaluation, then ``Finished``, and now and then ``Saved`` as a
    sign of life. A caller that stops early closes the run: the test split is not scored. The same config and
    folder again yield the same events from the start, go on from the last checkpoint and end as if never
    interrupted.

    Args:
        config: what to do.
        folder: the run's own; afterwards it holds ``model/`` and ``predictions/``.
        cache: for encoded data; shared by all runs.
        corpus: the encoded data, where somebody opened them already; then the texts themselves need not be here.

    Raises:
        DataError: if the texts cannot be used; names the file and row.
        NotFiniteError: if the loss is NaN or infinite, unless ``train.on_divergence`` says to score it; names the
            step.
        UserError: if the device that was asked for is not there, or the tagger to start from does not fit.
    """
    return run_task(
        config,
        folder,
        lambda: while_freed(lambda: ClassificationTask.of(config, corpus or load_corpus(config.data, cache))),
    )


def run_task(config: RunConfig, folder: Path, make_task: Callable[[], Task[Model]]) -> Iterator[Event]:
    """Train and score any task, as ``run`` does a classifier.

    Args:
        config: what identifies the run: with another one, what lies in the folder is not continued.
        folder: the run's own.
        make_task: reads the data and makes the model; not called for a run that has ended before.
    """
    make_folder(folder)
    if finished := recorded(folder, config):
        yield from finished
        return
    task = make_task()
    trainer: Trainer[Model] = Trainer(task, folder / CHECKPOINT)
    trainer.resume()
    started = Started(
        data=task.data,
        parameters=sum(weights.numel() for weights in task.model.parameters()),
        device=device_name(task.device),
        precision="bf16" if task.model.encoder.bf16 else "fp32",
        kernel=kernel_name(task.model.encoder, task.device),
        evaluations=len(trainer.evaluation_steps),
    )
    yield started
    reason: Literal["completed", "early_stop", "diverged"]
    try:
        yield from trainer.fit()
        reason = "early_stop" if trainer.stopped_early else "completed"
    except NotFiniteError:
        if config.train.on_divergence == "fail":
            raise
        reason = "diverged"
    task.model.load_state_dict(trainer.best)
    metrics, files = task.finish(folder)
    end = Finished(
        reason=reason,
        best_evaluation=trainer.state.best_evaluation,
        metrics={**metrics, "total_seconds": trainer.state.seconds},
        files=files,
    )
    record(folder, config, [started, *trainer.history, end])
    (folder / CHECKPOINT).unlink(missing_ok=True)
    yield end
