"""Lightning's Trainer in bf16: shuffled, padded to the longest of a batch, Adam."""

from __future__ import annotations

import logging
import time
import warnings

import lightning
import torch
from round import LR, MAX_GRAD_NORM, answer, arguments, shuffled
from torch import nn
from torch.utils.data import DataLoader
from torch_model import Classifier

warnings.filterwarnings("ignore")
for name in ("lightning", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.ERROR)
torch.set_num_threads(1)
reviews, sizes = arguments()
STEPS, WARM = 12, 2
rounds = shuffled(reviews, (STEPS + WARM) * sizes.batch)


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = Classifier(sizes, packed=False)
        self.began = self.tokens = 0.0

    def training_step(self, batch, index):
        if index == WARM:
            self.began, self.tokens = time.perf_counter(), 0.0
        tokens, lengths, labels = batch
        self.tokens += float(lengths.sum())
        return nn.functional.binary_cross_entropy_with_logits(self.model(tokens, lengths), labels)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=LR)


def collate(indices):
    tokens, lengths = torch.from_numpy(reviews.padded(indices)), torch.from_numpy(reviews.lengths[indices])
    return tokens, lengths, torch.from_numpy(reviews.labels[indices]).float()


module = Module()


def one_round() -> float:
    loader = DataLoader([int(index) for index in next(rounds)], batch_size=sizes.batch, collate_fn=collate)
    fitting = lightning.Trainer(
        accelerator="cpu", devices=1, precision="bf16-mixed", max_epochs=1, gradient_clip_val=MAX_GRAD_NORM,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    fitting.fit(module, loader)
    return module.tokens / (time.perf_counter() - module.began)


answer(one_round)
