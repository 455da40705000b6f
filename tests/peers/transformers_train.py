"""Hugging Face's Trainer in bf16: batches grouped by length, padded to their longest, its own AdamW."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import tempfile
import time

import torch
from round import LR, MAX_GRAD_NORM, answer, arguments, shuffled
from torch import nn
from torch.utils.data import Dataset
from torch_model import Classifier
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

logging.set_verbosity_error()
torch.set_num_threads(1)
reviews, sizes = arguments()
STEPS, WARM = 24, 2
rounds = shuffled(reviews, (STEPS + WARM) * sizes.batch)
BY_LENGTH = (
    {"group_by_length": True}
    if "group_by_length" in inspect.signature(TrainingArguments).parameters
    else {"train_sampling_strategy": "group_by_length"}
)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Classifier(sizes, packed=False)

    def forward(self, input_ids, lengths, labels):
        logits = self.model(input_ids, lengths)
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels), "logits": logits}


class Rows(Dataset):
    def __init__(self, indices) -> None:
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, at: int):
        return {"input_ids": reviews.row(self.indices[at]), "index": int(self.indices[at])}


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.began = self.ended = self.tokens = 0.0
        self.steps = 0

    def on_step_begin(self, *_, **__) -> None:
        if self.steps == WARM:
            self.began, self.tokens = time.perf_counter(), 0.0
        self.steps += 1

    def on_step_end(self, *_, **__) -> None:
        self.ended = time.perf_counter()


model = Model()


def one_round() -> float:
    clock = Clock()

    def collate(rows):
        indices = [row["index"] for row in rows]
        lengths = torch.from_numpy(reviews.lengths[indices])
        seen.append(float(lengths.sum()))
        return {
            "input_ids": torch.from_numpy(reviews.padded(indices)),
            "lengths": lengths,
            "labels": torch.from_numpy(reviews.labels[indices]).float(),
        }

    seen: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            folder, per_device_train_batch_size=sizes.batch, num_train_epochs=1, learning_rate=LR, use_cpu=True,
            bf16=True, max_grad_norm=MAX_GRAD_NORM, report_to=[], save_strategy="no", logging_strategy="no",
            disable_tqdm=True, remove_unused_columns=False, **BY_LENGTH,
        )  # fmt: skip
        training = Trainer(
            model, options, data_collator=collate, train_dataset=Rows(next(rounds)), callbacks=[clock]
        )
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            training.train()
    return sum(seen[WARM : clock.steps]) / (clock.ended - clock.began)


if not torch.backends.mkldnn.is_available():
    sys.exit("this torch has no oneDNN")
answer(one_round)
