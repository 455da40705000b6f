"""What turns a tagger into a classifier: two functions that differ in five lines, and those lines as a diff.

``tagger`` computes what ``SequenceTagger`` and its loss compute, ``classifier`` what ``SequenceClassifier`` with
last state and BCE does (tests hold both); only dropout is left out. The diff is made of their source.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqclf_core.data.tagged import TAGS
from seqclf_core.data.vocabulary import PAD
from seqclf_core.models import Encoder, last_state, linear

Outcome = tuple[Tensor, Tensor, Tensor]
"""Logits, loss (the mean, in nats) and probabilities."""


def tagger(encoder: Encoder, tokens: Tensor, lengths: Tensor, answers: Sequence[Sequence[str]]) -> Outcome:
    """Score every token; the answers are its tags."""
    states = encoder(tokens, lengths).float()
    features = states.flatten(2)[tokens != PAD]  # all real states
    head = linear(features.shape[1], outputs=len(TAGS), seed=0)  # one output per tag
    logits = head(features)
    targets = torch.tensor([TAGS.index(tag) for tags in answers for tag in tags])  # by a target vocabulary
    loss = nn.CrossEntropyLoss()(logits, targets)
    probabilities = logits.softmax(dim=1)
    return logits, loss, probabilities


def classifier(encoder: Encoder, tokens: Tensor, lengths: Tensor, answers: Sequence[float]) -> Outcome:
    """Score every sequence; the answers are 0.0 or 1.0."""
    states = encoder(tokens, lengths).float()
    features = last_state(states, lengths)  # the last real state
    head = linear(features.shape[1], outputs=1, seed=0)  # one output
    logits = head(features)
    targets = torch.tensor(answers)[:, None]  # no target vocabulary
    loss = nn.BCEWithLogitsLoss()(logits, targets)
    probabilities = logits.sigmoid()
    return logits, loss, probabilities


def five_changes() -> str:
    """Return the diff between the two functions, without their signatures; the README shows the same."""
    lines = []
    for old, new in zip(_body(tagger), _body(classifier), strict=True):
        lines += [f"  {old}"] if old == new else [f"- {old}", f"+ {new}"]
    return "\n".join(lines)


def _body(function: object) -> list[str]:
    """Return the lines of a function after its signature and docstring."""
    assert inspect.isfunction(function)
    return inspect.cleandoc(inspect.getsource(function).split('"""')[2]).splitlines()
