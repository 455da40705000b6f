"""Training steps and evaluation, ours and what tutorials do, on the same reviews: a part of ``make bench``."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from seqclf_core.classification import ClassificationTask
from seqclf_core.config import RunConfig
from seqclf_core.data.batches import EncodedSplit, training_order
from seqclf_core.data.cache import Split, load_corpus
from seqclf_core.losses import LOSSES
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.device import own_kernel_here, set_computation, use_bf16
from seqclf_core.training.task import Task
from seqclf_core.training.trainer import Trainer

EMBED, HIDDEN, BATCH, LENGTH, VOCAB = 100, 128, 64, 400, 20_000
SIZES = ((100, 128, 64), (64, 112, 16), (32, 64, 32))
"""Embedding width, hidden width and batch size of what the default search comes to."""
HEADS = {"onednn": 10, "own": 10, "ratio": 7, "of the product": 16, "evaluation": 12}
CPU = torch.device("cpu")

Ints = npt.NDArray[np.int64]
Step = Callable[[Ints], object]


class StepTask(ClassificationTask):
    """A classifier on one split, for its steps alone."""

    def __init__(self, config: RunConfig, model: SequenceClassifier, split: EncodedSplit) -> None:
        Task.__init__(self, config, model, None, split, split, CPU)
        self.form = LOSSES[config.model.loss]


def reviews_like_imdb(source: str | None, cache: Path) -> tuple[EncodedSplit, RunConfig]:
    """Return IMDB's training reviews where they are given, else random tokens of IMDB's lengths."""
    config = RunConfig().override(
        {
            "model.embed_dim": EMBED,
            "model.hidden_dim": HIDDEN,
            "train.batch_size": BATCH,
            "data.max_length": LENGTH,
        }
    )
    if source:
        part = load_corpus(config.data.model_copy(update={"source": source}), cache).train
    else:
        draw = np.random.default_rng(0)
        lengths = draw.lognormal(math.log(203), 0.6, 20_000).clip(10, 2500).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        tokens = (draw.zipf(1.3, offsets[-1]) % (VOCAB - 2) + 2).astype(np.uint16)
        rows = np.arange(len(lengths))
        part = Split(tokens, offsets, rows % 2, rows, None)
    return EncodedSplit(part, config.data), config


def trainer(reviews: EncodedSplit, config: RunConfig) -> Trainer[SequenceClassifier]:
    """Make our trainer; precision and kernel are those of the settings."""
    model = SequenceClassifier(config.model, VOCAB, seed=0)
    set_computation(model.encoder, config, CPU)
    model.train()
    return Trainer(StepTask(config, model, reviews), Path("unused"))


def our_step(reviews: EncodedSplit, config: RunConfig, **train: str) -> Step:
    """Return our training step, with these settings of ``train`` changed."""
    ours = trainer(reviews, config.override({f"train.{name}": value for name, value in train.items()}))
    return lambda batch: float(ours.train_step(reviews.batch(batch, CPU)).loss)


def our_evaluation(reviews: EncodedSplit, config: RunConfig, **train: str) -> Step:
    """Return our forward pass without gradients."""
    changed = config.override({f"train.{name}": value for name, value in train.items()})
    model = trainer(reviews, changed).model.eval()

    @torch.inference_mode()
    def score(indices: Ints) -> None:
        batch = reviews.batch(indices, CPU)
        float(model(batch.tokens, batch.lengths).sum())

    return score


def packed_step(reviews: EncodedSplit) -> Step:
    """Return the step that tutorials teach: packed sequences, float32, elementwise dropout."""
    embedding, drop = nn.Embedding(VOCAB, EMBED, padding_idx=0), nn.Dropout(0.5)
    lstm, head = nn.LSTM(EMBED, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 1)
    weights = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=1e-3)

    def step(indices: Ints) -> None:
        batch = reviews.batch(indices, CPU)
        vectors = drop(embedding(batch.tokens))
        packed = pack_padded_sequence(vectors, batch.lengths, batch_first=True, enforce_sorted=False)
        _, (final, _) = lstm(packed)
        logits = head(drop(final[-1]))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.labels.float())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        loss.item()

    return step


def rate(step: Step, batches: Sequence[Ints], lengths: Ints) -> float:
    """Do these batches and return real tokens per second."""
    began = time.perf_counter()
    for batch in batches:
        step(batch)
    return float(sum(lengths[batch].sum() for batch in batches)) / (time.perf_counter() - began)


def matrix_rate(bf16: bool) -> float:
    """Return the FLOP per second of a large matrix product, one thread."""
    size, rates = 1024, []
    kind = torch.bfloat16 if bf16 else torch.float32
    left, right = torch.randn(size, size, dtype=kind), torch.randn(size, size, dtype=kind)
    for _ in range(8):
        began = time.perf_counter()
        left @ right
        rates.append(2 * size**3 / (time.perf_counter() - began))
    return statistics.median(rates)


def in_turn(
    kinds: Mapping[str, tuple[Step, Sequence[Ints], int]], lengths: Ints, rounds: int
) -> dict[str, list[float]]:
    """Time every kind of step in turn, ``rounds`` times after one that warms up; return tokens per second.

    Args:
        kinds: name -> (step, batches, batches of one round).
        lengths: tokens of each review.
        rounds: how often.
    """
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for index in range(rounds + 1):
        for name, (step, batches, count) in kinds.items():
            chosen = [batches[(index * count + at) % len(batches)] for at in range(count)]
            rates[name].append(rate(step, chosen, lengths))
    return {name: values[1:] for name, values in rates.items()}


def compare(source: str | None, cache: Path, rounds: int) -> None:
    """Time what tutorials do and what we do, and print medians and ratios."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    reviews, config = reviews_like_imdb(source, cache)
    bucketed = training_order(reviews.lengths, BATCH, 0, 0)
    order = np.random.default_rng(2).permutation(len(reviews))
    shuffled = [order[at : at + BATCH] for at in range(0, len(order) - BATCH, BATCH)]
    precision, kernel = "bf16" if use_bf16("auto", CPU) else "fp32", "own" if own_kernel_here() else "onednn"
    plain = {"precision": "fp32", "kernel": "onednn"}
    kinds: dict[str, tuple[Step, list[Ints], int]] = {
        "packed, shuffled, fp32": (packed_step(reviews), shuffled, 4),
        "dense, shuffled, fp32": (our_step(reviews, config, **plain), shuffled, 8),
        "dense, bucketed, fp32": (our_step(reviews, config, **plain), bucketed, 16),
        f"dense, bucketed, {precision}": (our_step(reviews, config, kernel="onednn"), bucketed, 32),
        f"ours: {precision}, kernel {kernel}": (our_step(reviews, config), bucketed, 32),
        "ours: evaluation": (our_evaluation(reviews, config), bucketed, 64),
    }
    rates = in_turn(kinds, reviews.lengths, rounds)
    medians = {name: statistics.median(values) for name, values in rates.items()}

    print(f"\nreal tokens per second, 1 thread, embed {EMBED}, hidden {HIDDEN}, batch {BATCH},")
    print(f"{'IMDB' if source else 'synthetic'} lengths cut at {LENGTH}; median (least - most) of {rounds} rounds")
    for name, values in rates.items():
        print(f"  {name:32} {medians[name]:12,.0f}   ({min(values):,.0f} - {max(values):,.0f})")
    packed, dense, _, _, our, evaluation = medians.values()
    print(f"  ours / packed                    {our / packed:12.1f}   (at least 10)")
    print(f"  ours / dense, shuffled, fp32     {our / dense:12.2f}   (at least 2, where the CPU has bf16)")
    print(f"  evaluation / training            {evaluation / our:12.2f}   (at least 2.5)")
    if own_kernel_here():
        kernels(reviews, config, rounds)


def kernels(reviews: EncodedSplit, config: RunConfig, rounds: int) -> None:
    """Time whole steps by the own kernel and by oneDNN at three sizes, in turn, and set them against a product."""
    peak = matrix_rate(bf16=True)
    print(f"\na step by kernel; a matrix product in bf16 does {peak / 1e9:,.0f} GFLOP/s; evaluation in tokens/s")
    heads = (f"{name:>{width}}" for name, width in HEADS.items())
    print(f"  {'embed/hidden/batch':20} {' '.join(heads)}")
    for embed, hidden, batch in SIZES:
        sized = config.override({"model.embed_dim": embed, "model.hidden_dim": hidden, "train.batch_size": batch})
        batches, count = training_order(reviews.lengths, batch, 0, 0), 2048 // batch
        kinds = {name: (our_step(reviews, sized, kernel=name), batches, count) for name in ("onednn", "own")}
        kinds["evaluation"] = (our_evaluation(reviews, sized), batches, count)
        rates = in_turn(kinds, reviews.lengths, rounds)
        ratio = statistics.median(own / other for own, other in zip(rates["own"], rates["onednn"], strict=True))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        proportion = medians["own"] * 24 * hidden * (embed + hidden) / peak
        print(
            f"  {f'{embed}/{hidden}/{batch}':20} {medians['onednn']:10,.0f} {medians['own']:10,.0f} {ratio:7.2f} "
            f"{proportion:16.0%} {medians['evaluation']:12,.0f}"
        )
