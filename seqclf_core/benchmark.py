"""How fast this machine does a run: ``python -m seqclf_core.benchmark`` reads a request, measures and answers.

It measures a few real training and evaluation steps, and scales them up. It is a process of its own, so that
whoever asks needs no torch.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from seqclf_core.classification import ClassificationTask
from seqclf_core.config import RunConfig
from seqclf_core.data.batches import EncodedSplit, evaluation_order, training_order
from seqclf_core.data.cache import load_corpus
from seqclf_core.training.trainer import Trainer


@dataclass(frozen=True)
class Speed:
    """Real tokens per second of one worker, and what a whole run takes at that speed."""

    training: float
    evaluation: float
    run_seconds: float
    """Of a run that is neither pruned nor stopped early."""
    parameters: int


def measure(config: RunConfig, cache: Path, seconds: float = 2.0) -> Speed:
    """Time training steps and then evaluation batches, each for about ``seconds``."""
    corpus = load_corpus(config.data, cache)
    trainer = Trainer(ClassificationTask.of(config, corpus), Path("unused"))
    trainer.model.train()
    order = training_order(trainer.train.lengths, config.train.batch_size, config.seed, epoch=0)
    for reviews in order[:3]:  # kernels are built for the first steps
        trainer.train_step(trainer.train.batch(reviews, trainer.device))
    tokens, start = 0, time.perf_counter()
    for reviews in order[3:] or order:
        batch = trainer.train.batch(reviews, trainer.device)
        float(trainer.train_step(batch).loss)
        tokens += batch.num_tokens
        if time.perf_counter() - start > seconds:
            break
    training = tokens / (time.perf_counter() - start)

    test = EncodedSplit(corpus.test, config.data)
    tokens, start = 0, time.perf_counter()
    with torch.inference_mode():
        trainer.model.eval()
        for reviews in list(evaluation_order(test.padded_lengths))[::7]:
            batch = test.batch(reviews, trainer.device)
            float(trainer.model(batch.tokens, batch.lengths).sum())
            tokens += batch.num_tokens
            if time.perf_counter() - start > seconds:
                break
    evaluation = tokens / (time.perf_counter() - start)

    train_tokens, val_tokens = int(trainer.train.lengths.sum()), int(trainer.task.val.lengths.sum())
    evaluated = val_tokens * (len(trainer.evaluation_steps) + 1) + int(test.lengths.sum())
    run_seconds = train_tokens * config.train.epochs / training + evaluated / evaluation
    parameters = sum(weights.numel() for weights in trainer.model.parameters())
    return Speed(training, evaluation, run_seconds, parameters)


if __name__ == "__main__":
    request = json.load(sys.stdin)
    torch.set_num_threads(1)
    print(json.dumps(vars(measure(RunConfig.model_validate(request["config"]), Path(request["cache"])))))
