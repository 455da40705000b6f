"""The skeleton of every run, whatever it learns: from a task to events, a checkpoint, a model and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from seqclf_core.config import RunConfig
from seqclf_core.ended import record, recorded
from seqclf_core.errors import NotFiniteError
from seqclf_core.events import Event, Finished, Started
from seqclf_core.files import make_folder
from seqclf_core.training.device import device_name, kernel_name
from seqclf_core.training.task import Model, Task
from seqclf_core.training.trainer import Trainer

CHECKPOINT = "checkpoint.safetensors"
"""Name within a run's folder."""


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
