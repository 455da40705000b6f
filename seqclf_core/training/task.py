"""What a run learns: a task joins a model with its data, the loss of a batch, and how a split is scored.

A classifier, a tagger of tags and a next-word language model are tasks. The run and its training loop are the same
for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from seqclf_core.config import RunConfig
from seqclf_core.data.batches import Batch, EncodedSplit, evaluation_order
from seqclf_core.events import DataSummary
from seqclf_core.models import SequenceClassifier, SequenceTagger
from seqclf_core.training.tally import Tally

Model = TypeVar("Model", SequenceClassifier, SequenceTagger)


class Task(ABC, Generic[Model]):
    """One model on its data. Its state: the model."""

    def __init__(
        self, config: RunConfig, model: Model, data: DataSummary, train: EncodedSplit, val: EncodedSplit,
        device: torch.device,
    ) -> None:  # fmt: skip
        """Put model and data together.

        Args:
            config: the run's settings.
            model: moved to the device.
            data: what is known of the data.
            train: what is learned from.
            val: what evaluations score.
            device: where to compute.
        """
        self.config, self.data, self.train, self.val, self.device = config, data, train, val, device
        self.model: Model = model.to(device)

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, Tally]:
        """Return the loss summed over what is decided in a batch, in nats and with gradients; and its tally."""

    def evaluate(self) -> dict[str, float]:
        """Score the validation split without dropout: name of a metric -> value."""
        return tally(self, self.val).compute()

    @abstractmethod
    def finish(self, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        """Keep the model, which holds the best weights again, and score it.

        Args:
            folder: the run's own.

        Returns:
            Metrics under their final names, and files: name -> path within the folder.
        """


@torch.inference_mode()
def tally(task: Task[Model], split: EncodedSplit) -> Tally:
    """Count a whole split without dropout."""
    task.model.eval()
    total = Tally.zero(task.device)
    for rows in evaluation_order(split.padded_lengths):
        total += task.loss(split.batch(rows, task.device))[1]
    return total
