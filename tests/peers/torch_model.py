"""The classifier that tutorials build in torch, shared by the contenders that train it."""

from __future__ import annotations

import torch
from round import DROPOUT, VOCAB, Sizes
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class Classifier(nn.Module):
    """Embedding, dropout, LSTM, the last real state, dropout, one logit."""

    def __init__(self, sizes: Sizes, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(VOCAB, sizes.embed, padding_idx=0)
        self.drop = nn.Dropout(DROPOUT)
        self.lstm = nn.LSTM(sizes.embed, sizes.hidden, batch_first=True)
        self.head = nn.Linear(sizes.hidden, 1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return (B,) logits of (B, T) ids."""
        vectors = self.drop(self.embedding(tokens))
        if self.packed:
            rows = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
            last = self.lstm(rows)[1][0][-1]
        else:
            states = self.lstm(vectors)[0]
            last = states[torch.arange(len(tokens)), lengths - 1]
        return self.head(self.drop(last))[:, 0]
