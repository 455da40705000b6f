"""A run is a tree of frozen values. Each value has one dotted name, such as ``train.lr``.

The same name is the command-line flag (``--train.lr``), the Optuna parameter, the MLflow parameter and the
report's column. This module imports no torch, so that every ``--help`` answers at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Frozen and strict: an unknown name or a value out of range raises where it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def override(self, changes: Mapping[str, object]) -> Self:
        """Return a copy with the values of these dotted names changed.

        >>> RunConfig().override({"model.pooling": "last"}).model.pooling
        'last'

        Raises:
            pydantic.ValidationError: if a name leads to no field, or a value does not fit it.
        """
        tree = self.model_dump()
        for name, value in changes.items():
            *path, leaf = name.split(".")
            branch = tree
            for step in path:
                below = branch.setdefault(step, {})
                # A name that goes on below a plain value ("seed.x") leads nowhere: let validation say so.
                branch = below if isinstance(below, dict) else branch.setdefault(name, {})
            branch[leaf] = value
        return self.model_validate(tree)

    def flat(self) -> dict[str, str | int | float | bool | None]:
        """Return every value under its dotted name, in the order of declaration."""
        return dict(_leaves(self.model_dump(mode="json")))

    def digest(self) -> str:
        """Return 16 hexadecimal digits of SHA-256 that tell one configuration from another."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _leaves(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str | int | float | bool | None]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            assert value is None or isinstance(value, str | int | float | bool)
            yield prefix + name, value


class ReviewsConfig(Config):
    """Which texts are read, and how they are split."""

    source: str = Field(default="auto", min_length=1)
    """Source of the texts: auto, synthetic, hub, or the path of a folder or file."""
    text_column: str = Field(default="auto", min_length=1)
    """Column of the texts; auto: text, review or sentence, whichever is there."""
    label_column: str = Field(default="auto", min_length=1)
    """Column of the labels; auto: label or sentiment, whichever is there."""
    labels: str = Field(default="auto", min_length=3)
    """Meaning of the labels, such as good=1,bad=0; auto: 0 and 1, neg and pos, negative and positive."""
    columns: str = ""
    """Names of the columns of text files that do not begin with them, as in: --data.columns text,label."""
    encoding: str = Field(default="auto", min_length=1)
    """Encoding of text files, such as latin-1; auto: UTF-8, or UTF-16 where a file begins with its mark."""
    on_bad_row: Literal["stop", "skip"] = "stop"
    """Action on a row that cannot be used: stop and name it, or skip and count it."""
    limit: int | None = Field(default=None, gt=1)
    """Number of training texts, half of each label, and of as many test texts; none means all."""
    train_limit: int | None = Field(default=None, gt=1)
    """Number of texts to train on, half of each label; validation and test split stay whole; none means all."""
    train_limit_seed: int = Field(default=0, ge=0)
    """Seed of the draw of train_limit, so that each seed can learn from other texts."""
    duplicates: Literal["keep", "drop"] = "keep"
    """Training texts that stand word for word in the validation or test split: keep them, or drop them."""
    group_column: str = Field(default="auto", min_length=1)
    """Column whose rows stay on one side of the split; auto: movie or group where it is there; none: no column."""
    split_method: Literal["auto", "group", "random", "contiguous", "given"] = "auto"
    """Way to draw the validation split; auto: the data's own file, else by group, else at random."""
    val_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    """Proportion of the training texts that becomes the validation split."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the split (and of the synthetic corpus); apart from the run's seed, so that seeds share a split."""


class DataConfig(ReviewsConfig):
    """Which texts are read, how they are split, and what of them the model reads."""

    vocab_size: int = Field(default=20_000, ge=16)
    """Largest number of different tokens, padding and the unknown token among them."""
    max_length: int = Field(default=400, ge=1, le=65_536)
    """Number of tokens of a text that the model reads."""
    keep: Literal["head", "tail"] = "tail"
    """End of a longer text that is kept; the verdict of a review mostly stands at its tail."""
    reading: Literal["forward", "backward"] = "forward"
    """Direction in which the model reads a text; with backward, a next-word language model predicts the previous
    word."""
    pad: Literal["longest", "max_length"] = "longest"
    """Length of a batch's rows: its longest text, or max_length as many tutorials do."""


class ModelConfig(Config):
    """The encoder, what is read of its states, and the loss."""

    embed_dim: int = Field(default=100, gt=0, le=4096)
    """Number of values in a token's vector."""
    hidden_dim: int = Field(default=128, gt=0, le=4096)
    """Number of values in the state of the LSTM, per direction."""
    num_layers: int = Field(default=1, ge=1, le=8)
    """Number of LSTM layers, one on top of another."""
    bidirectional: bool = False
    """Whether a second LSTM reads each review from its last real token to its first."""
    pooling: Literal["last", "mean", "max", "mean_max", "concat", "attention", "last_position"] = "last"
    """Summary of the LSTM's states that the head reads: the last one, their mean, their maximum, the latter two
    or all three side by side (mean_max, concat), or a mean with learned weights (attention); last_position, the
    end of the padded row, is a mistake kept to be measured."""
    loss: Literal["bce", "cross_entropy"] = "bce"
    """Loss: one logit and a sigmoid (bce), or two logits and a softmax (cross_entropy)."""
    word_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Probability that a token is replaced by the unknown token while training."""
    embed_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout probability on token vectors, with one mask per review for all its tokens (Gal & Ghahramani
    2016)."""
    head_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout probability on the values that the head reads."""
    head_init_scale: float = Field(default=1.0, gt=0, le=1000)
    """Factor on the head's initial weights; 1.4142 lets one logit start where the difference of two does."""
    init_from: str | None = None
    """Folder of a saved tagger whose encoder weights this model starts from, or of word vectors, where beside:
    begins a path within the folder of all runs; none starts from scratch."""


class TrainConfig(Config):
    """How the weights are found."""

    epochs: int = Field(default=6, ge=1)
    """Number of passes over the training split."""
    batch_size: int = Field(default=32, ge=1)
    """Number of reviews per optimizer step."""
    batch_tokens: int | None = Field(default=None, ge=1)
    """Number of tokens per optimizer step, padding included: as many reviews of similar length as fit. It
    replaces batch_size; with none, batch_size holds."""
    lr: float = Field(default=2e-3, gt=0, le=10)
    """Highest learning rate of AdamW, reached after the warm-up; it then falls linearly to 0."""
    head_lr_scale: float = Field(default=1.0, gt=0, le=1000)
    """Factor on the learning rate of the head; 2 lets one logit learn as fast as the difference of two does."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    embed_decay_scale: float = Field(default=1.0, ge=0, le=1)
    """Factor on the weight decay of the token vectors; with 0, those of rare words, which learn little, do not
    shrink."""
    adam_beta2: float = Field(default=0.999, gt=0, lt=1)
    """Decay per step of AdamW's average of squared gradients."""
    warmup_steps: int = Field(default=200, ge=0)
    """Number of optimizer steps over which the learning rate rises from 0; at most a fifth of all steps."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient; a longer one is scaled down to it."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of the moving average of the weights, which is evaluated and kept; 0: the plain weights."""
    next_words: int = Field(default=1, ge=1, le=256)
    """Number of following words that a language model predicts at each token, as a bag; 1: the next word alone."""
    soft_labels: str | None = None
    """Folder of texts with probabilities in place of labels, to learn from in addition, where beside: begins a
    path within the folder of all runs; none: labels alone."""
    learn_from: Literal["train", "train_and_val"] = "train"
    """Texts to train on: the training split, or the validation split too, for the whole schedule; in that case
    nothing is validated or stopped early, and the last weights are kept."""
    evals_per_epoch: int = Field(default=2, ge=1)
    """Number of evaluations on the validation split per epoch."""
    patience: int = Field(default=6, ge=1)
    """Number of evaluations in a row without a better validation accuracy after which training stops."""
    init_seed: int | None = Field(default=None, ge=0)
    """Seed of the initial weights alone; without it, the run's seed."""
    order_seed: int | None = Field(default=None, ge=0)
    """Seed of the order of training texts alone; without it, the run's seed."""
    dropout_seed: int | None = Field(default=None, ge=0)
    """Seed of the dropout masks alone; without it, the run's seed."""
    on_divergence: Literal["fail", "score"] = "fail"
    """Action on a loss that is NaN or infinite: the run fails, or is scored with its best weights so far."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes CUDA where there is a CUDA device."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of the embedding and the LSTM; auto takes bf16 where the device computes it natively."""
    kernel: Literal["auto", "onednn", "own"] = "auto"
    """Implementation of the LSTM on a CPU in bf16; auto takes the project's own kernel where the processor has
    AVX512-BF16 and there is a C++ compiler, and torch's with oneDNN elsewhere."""


class Settings(Config):
    """What any run has, whatever it does with its reviews."""

    data: ReviewsConfig = ReviewsConfig()


class RunConfig(Settings):
    """Everything that a run's result depends on, besides the data itself."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights, dropout and the order of training reviews, each with a generator of its own."""

    def seed_of(self, purpose: Literal["init", "order", "dropout"]) -> int:
        """Return the seed of one source of random variation: its own where one is set, else the run's."""
        own = {"init": self.train.init_seed, "order": self.train.order_seed, "dropout": self.train.dropout_seed}
        given = own[purpose]
        return self.seed if given is None else given
