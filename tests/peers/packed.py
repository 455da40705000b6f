"""A loop in plain torch as tutorials write it: shuffled, packed, float32, Adam."""

from __future__ import annotations

import torch
from round import LR, MAX_GRAD_NORM, answer, arguments, seconds_of, shuffled
from torch import nn
from torch_model import Classifier

torch.set_num_threads(1)
reviews, sizes = arguments()
model = Classifier(sizes, packed=True)
optimizer = torch.optim.Adam(model.parameters(), lr=LR)
rounds = shuffled(reviews, 4 * sizes.batch)


def step(indices) -> None:
    logits = model(torch.from_numpy(reviews.padded(indices)), torch.from_numpy(reviews.lengths[indices]))
    labels = torch.from_numpy(reviews.labels[indices]).float()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    loss.item()


def one_round() -> float:
    chosen = next(rounds)
    batches = chosen.reshape(-1, sizes.batch)
    return reviews.lengths[chosen].sum() / seconds_of(lambda: [step(batch) for batch in batches])


answer(one_round)
