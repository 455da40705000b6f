"""Two models on one encoder: a tagger scores every token, a classifier scores the sequence.

Shapes: B sequences, T tokens (padded on the right), E embedding width, D directions (1 or 2), H state width per
direction. Right padding comes after every state that a left-to-right LSTM uses, so nothing is packed: a dense
batch takes the fast kernel and gives the same states.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqclf_core.config import ModelConfig
from seqclf_core.data.vocabulary import PAD, UNK
from seqclf_core.kernels.lstm import LSTMKernel
from seqclf_core.losses import LOSSES
from seqclf_core.randomness import generators


class Encoder(nn.Module):
    """Token ids -> a state per token: word dropout, embedding, embedding dropout, LSTM layers."""

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int = 0) -> None:
        super().__init__()
        self.word_dropout = config.word_dropout
        self.embed_dropout = config.embed_dropout
        self.bf16 = False  # set by the task, where the device computes it natively
        self.kernel: LSTMKernel | None = None  # set by the task; used in bf16 alone
        self.directions = 2 if config.bidirectional else 1
        self.embedding = nn.Embedding(vocab_size, config.embed_dim, padding_idx=PAD)
        widths = [config.embed_dim] + [config.hidden_dim * self.directions] * (config.num_layers - 1)
        # One single-layer LSTM per layer and direction. nn.LSTM(bidirectional=True) would start in the padding.
        self.lstms = nn.ModuleList(
            nn.ModuleList(nn.LSTM(width, config.hidden_dim, batch_first=True) for _ in range(self.directions))
            for width in widths
        )
        self.dropout_generator: torch.Generator | None = None
        self._initialise(generators(seed, torch.device("cpu"))["encoder"])

    def _initialise(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.embedding.weight, std=0.1, generator=generator)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()
        for name, weight in self.lstms.named_parameters():
            if "weight_hh" in name:
                for gate in weight.detach().chunk(4):
                    nn.init.orthogonal_(gate, generator=generator)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(weight, generator=generator)
            else:
                nn.init.zeros_(weight)
                if "bias_ih" in name:  # forget gate starts open (Gers et al. 2000; Jozefowicz et al. 2015)
                    nn.init.ones_(weight.detach().chunk(4)[1])

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Read a batch: (B, T) int64 ids, (B,) counts of real tokens -> (B, T, D, H) states, one per token."""
        if self.training and self.word_dropout > 0:
            keep = self._draw(tokens.shape, 1 - self.word_dropout, tokens.device).bool()
            tokens = torch.where(keep | (tokens == PAD), tokens, UNK)
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=self.bf16):
            states = self.embedding(tokens)  # (B, T, E)
            if self.bf16:
                states = states.bfloat16()
            if self.training and self.embed_dropout > 0:
                # One mask per sequence, shared over time: right for a recurrent net (Gal & Ghahramani 2016), and
                # the random numbers of one mask per element would cost up to a third of the step.
                keep_chance = 1 - self.embed_dropout
                mask = self._draw((len(tokens), 1, states.shape[2]), keep_chance, tokens.device)
                states = states * (mask / keep_chance).to(states.dtype)
            for layer in self.lstms:
                assert isinstance(layer, nn.ModuleList)
                outputs = [self._read(each, states, lengths, bool(number)) for number, each in enumerate(layer)]
                states = torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0]
        by_direction: Tensor = states.unflatten(2, (self.directions, -1))
        return by_direction

    def _read(self, lstm: nn.Module, states: Tensor, lengths: Tensor, backward: bool) -> Tensor:
        """Read by one layer in one direction: (B, T, F), (B,) -> (B, T, H), each state where its token stands."""
        if self.kernel is not None and self.bf16:
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            w_ih, w_hh, b_ih, b_hh = (lstm.get_parameter(name) for name in names)
            return self.kernel(states, lengths, w_ih, w_hh, b_ih, b_hh, reverse=backward)
        if not backward:
            read: Tensor = lstm(states)[0]
            return read
        reverse = reversal(lengths, states.shape[1])
        return reorder(lstm(reorder(states, reverse))[0], reverse)

    def _draw(self, shape: tuple[int, ...], probability: float, device: torch.device) -> Tensor:
        return torch.empty(shape, device=device).bernoulli_(probability, generator=self.dropout_generator)


def unrounded(states: Tensor) -> Tensor:
    """Return bfloat16 states in float32, others as they are: pooling, head and loss are not rounded."""
    return states.float() if states.dtype == torch.bfloat16 else states


def reversal(lengths: Tensor, width: int) -> Tensor:
    """Positions that reverse each sequence within its own length and leave its padding: (B,) -> (B, T)."""
    positions = torch.arange(width, device=lengths.device)
    return torch.where(positions < lengths[:, None], lengths[:, None] - 1 - positions, positions)


def reorder(states: Tensor, positions: Tensor) -> Tensor:
    """Take states in another order: (B, T, F), (B, T) -> (B, T, F)."""
    return states.gather(1, positions[..., None].expand_as(states))


def padding_mask(states: Tensor, lengths: Tensor) -> Tensor:
    """Mark the real positions: (B, T, D, H), (B,) -> (B, T, 1, 1) bool."""
    positions = torch.arange(states.shape[1], device=states.device)
    return (positions < lengths[:, None])[..., None, None]


def last_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Take the state after everything was read: forward at the last real token, backward at the first."""
    rows = torch.arange(len(states), device=states.device)
    return torch.cat([states[rows, lengths - 1, 0], states[:, 0, 1:].flatten(1)], dim=1)


def last_position(states: Tensor, lengths: Tensor) -> Tensor:
    """Take the forward state at the end of the padded row: the mistake that ``last_state`` avoids."""
    return torch.cat([states[:, -1, 0], states[:, 0, 1:].flatten(1)], dim=1)


def mean_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Average each sequence's states over its real tokens: (B, T, D, H), (B,) -> (B, D*H)."""
    return (states * padding_mask(states, lengths)).sum(dim=1).flatten(1) / lengths[:, None]


def max_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Take each feature's largest value over the real tokens: (B, T, D, H), (B,) -> (B, D*H)."""
    return states.masked_fill(~padding_mask(states, lengths), -torch.inf).amax(dim=1).flatten(1)


def mean_max_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Mean and maximum side by side: (B, T, D, H), (B,) -> (B, 2*D*H)."""
    return torch.cat([mean_state(states, lengths), max_state(states, lengths)], dim=1)


def concat_state(states: Tensor, lengths: Tensor) -> Tensor:
    """Last state, mean and maximum side by side: (B, T, D, H), (B,) -> (B, 3*D*H)."""
    return torch.cat([last_state(states, lengths), mean_max_state(states, lengths)], dim=1)


class Attention(nn.Module):
    """A mean with learned weights (Yang et al. 2016): a softmax over the real tokens of one score per token.

    It starts as the plain mean, all scores being 0.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Average each sequence's states: (B, T, D, H), (B,) -> (B, D*H)."""
        scores = self.score(states.flatten(2))[..., None]  # (B, T, 1, 1)
        weights = scores.masked_fill(~padding_mask(states, lengths), -torch.inf).softmax(dim=1)
        pooled: Tensor = (states * weights).sum(dim=1).flatten(1)
        return pooled


Pooling = Callable[[Tensor, Tensor], Tensor]
"""(B, T, D, H) states, (B,) lengths -> (B, F) features, of any width F."""

POOLINGS: dict[str, Pooling | type[nn.Module]] = {
    "last": last_state,
    "mean": mean_state,
    "max": max_state,
    "mean_max": mean_max_state,
    "concat": concat_state,
    "attention": Attention,
    "last_position": last_position,
}
"""Each is a function, or, with weights of its own, a module's class that takes the features of a state, D*H."""


def pooling(name: str, directions: int, hidden_dim: int) -> tuple[Pooling, int]:
    """Return a pooling for states of this shape, and the width of what it gives."""
    made = POOLINGS[name]
    pool: Pooling = made(directions * hidden_dim) if isinstance(made, type) else made
    with torch.no_grad():
        one_token = torch.zeros(1, 1, directions, hidden_dim)
        width = pool(one_token, torch.ones(1, dtype=torch.int64)).shape[1]
    return pool, width


class SequenceTagger(nn.Module):
    """Score every token for every tag."""

    def __init__(self, config: ModelConfig, vocab_size: int, tags: int, seed: int = 0) -> None:
        super().__init__()
        self.encoder = Encoder(config, vocab_size, seed)
        self.head = linear(config.hidden_dim * self.encoder.directions, tags, seed, config.head_init_scale)
        self.choice_generator: torch.Generator | None = None

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Score a batch: (B, T) ids, (B,) counts of real tokens -> (B, T, tags) logits."""
        logits: Tensor = self.head(unrounded(self.encoder(tokens, lengths)).flatten(2))
        return logits

    def use_generators(self, by_purpose: dict[str, torch.Generator]) -> None:
        """Draw dropout, and which tokens are tagged, from these generators, instead of torch's global one."""
        self.encoder.dropout_generator = by_purpose["encoder_dropout"]
        self.choice_generator = by_purpose["head_dropout"]


class SequenceClassifier(nn.Module):
    """Score whole sequences for a binary label."""

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int = 0) -> None:
        super().__init__()
        self.encoder = Encoder(config, vocab_size, seed)
        self.pool, features = pooling(config.pooling, self.encoder.directions, config.hidden_dim)
        self.head_dropout = config.head_dropout
        self.head = linear(features, LOSSES[config.loss].num_logits, seed, config.head_init_scale)
        self.dropout_generator: torch.Generator | None = None

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Score a batch.

        Args:
            tokens: (B, T) int64 ids, padded on the right with ``PAD``.
            lengths: (B,) int64 counts of real tokens, each in [1, T].

        Returns:
            (B, 1) log-odds of the positive label, or (B, 2) logits, by ``config.loss``.
        """
        states = self.encoder(tokens, lengths)  # (B, T, D, H); autocast ends here
        if self.pool is last_state:  # a state that is only picked is widened alone, to the same numbers
            features = unrounded(self.pool(states, lengths))
        else:
            features = self.pool(unrounded(states), lengths)
        if self.training and self.head_dropout > 0:
            keep = 1 - self.head_dropout
            features = features * (
                torch.empty_like(features).bernoulli_(keep, generator=self.dropout_generator) / keep
            )
        logits: Tensor = self.head(features)
        return logits

    def use_generators(self, by_purpose: dict[str, torch.Generator]) -> None:
        """Draw dropout from these generators from now on, instead of torch's global one."""
        self.encoder.dropout_generator = by_purpose["encoder_dropout"]
        self.dropout_generator = by_purpose["head_dropout"]

    @classmethod
    def from_tagger(
        cls,
        tagger: SequenceTagger,
        config: ModelConfig,
        vocab_size: int,
        seed: int = 0,
        shared_tokens: Tensor | None = None,
    ) -> SequenceClassifier:
        """Start a classifier from a trained tagger's encoder.

        Args:
            tagger: its layers, directions and widths must be those of ``config``.
            config: of the classifier.
            vocab_size: of the classifier.
            seed: of what is not carried over.
            shared_tokens: (N, 2) int64 pairs (tagger's id, classifier's id) of the tokens that both vocabularies
                have; None where the two are the same vocabulary.

        Raises:
            ValueError: if the two encoders do not fit; names the first weight that differs.
        """
        model = cls(config, vocab_size, seed)
        weights, ours = tagger.encoder.state_dict(), model.encoder.state_dict()
        vectors = weights["embedding.weight"]
        if shared_tokens is not None:
            carried = ours["embedding.weight"].clone()
            carried[shared_tokens[:, 1], : vectors.shape[1]] = vectors[shared_tokens[:, 0]]
            weights["embedding.weight"] = carried
        for name in sorted({*ours, *weights}):
            theirs, own = weights.get(name), ours.get(name)
            if theirs is None or own is None or theirs.shape != own.shape:
                shapes = [None if value is None else tuple(value.shape) for value in (theirs, own)]
                raise ValueError(
                    f"the tagger's encoder does not fit: {name} is {shapes[0]} there, {shapes[1]} here; "
                    "set embed_dim, hidden_dim, num_layers and bidirectional as the tagger has them"
                )
        model.encoder.load_state_dict(weights)
        return model


def linear(features: int, outputs: int, seed: int, scale: float = 1.0) -> nn.Linear:
    """Make a head whose first row of weights does not depend on how many rows follow, times a factor."""
    head = nn.Linear(features, outputs)
    std = scale * features**-0.5
    nn.init.normal_(head.weight, std=std, generator=generators(seed, torch.device("cpu"))["head"])
    nn.init.zeros_(head.bias)
    return head
