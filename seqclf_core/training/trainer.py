"""The loop: ``fit`` yields after every evaluation and every checkpoint. There are no callbacks.

A pause is not a special case: all that the loop knows is in its ``State``, which a checkpoint holds whole.
Training goes on from any step to the same end, bit for bit on a CPU with one thread.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor

from seqclf_core.config import TrainConfig
from seqclf_core.data.batches import Batch, Ints, training_order
from seqclf_core.errors import NotFiniteError, SavedError
from seqclf_core.events import Progress, Saved
from seqclf_core.randomness import generators
from seqclf_core.training.checkpoint import read_tensors, write_tensors
from seqclf_core.training.ema import EMA
from seqclf_core.training.metrics import named
from seqclf_core.training.optimizer import adamw, set_lr
from seqclf_core.training.tally import Tally
from seqclf_core.training.task import Model, Task
from seqclf_core.training.usage import Usage

SAVE_SECONDS = 10.0
"""Between two evaluations, a checkpoint about this often: what a power cut can cost."""
SAVE_SHARE = 0.01
"""Less often where checkpoints would take more than this part of the time, as on a folder that many share."""
LONGEST_SAVE_SECONDS = 300.0
"""But at least this often: a checkpoint is a sign of life, too."""


@dataclass
class State:
    """Where training is; with the weights, everything that the future depends on."""

    step: int = 0
    """Optimizer steps done."""
    examples: int = 0
    evaluations: int = 0
    best_evaluation: int = 0
    seconds: float = 0.0
    """Worked so far, over all sittings."""
    # Since the last evaluation:
    loss: float = 0.0
    correct: int = 0
    count: int = 0
    tokens: int = 0
    train_seconds: float = 0.0
    history: list[dict[str, object]] = field(default_factory=list)
    """Every ``Progress`` so far, as JSON values."""


class Trainer(Generic[Model]):
    """One task in training: weights, optimizer, generators and state, and the checkpoint they live in."""

    def __init__(self, task: Task[Model], checkpoint: Path) -> None:
        self.task: Task[Model] = task
        self.checkpoint = checkpoint
        self.model: Model = task.model
        self.config, self.device, self.train = task.config, task.device, task.train
        model, config = self.model, self.config
        self.generators = generators(config.seed_of("dropout"), self.device)
        model.use_generators(self.generators)
        settings = config.train
        self.optimizer = adamw(model, settings)
        self.epoch_starts = [0, *accumulate(self._batches_per_epoch())]
        """Steps before each epoch; behind them, all steps."""
        self.steps = self.epoch_starts[-1]
        # Evaluations stand at even distances; the last one of an epoch at its end.
        self.evaluation_steps = {
            start + round((end - start) * part / per_epoch)
            for start, end in pairwise(self.epoch_starts)
            for per_epoch in [min(settings.evals_per_epoch, end - start)]
            for part in range(1, per_epoch + 1)
            if settings.learn_from == "train"
        }
        self.state = State()
        self.usage = Usage()
        self.save_pause = save_pause(0.0)
        """Seconds until the next checkpoint between evaluations."""
        self.average = EMA(model, settings.ema_decay)
        self.best = {name: value.clone() for name, value in model.state_dict().items()}

    # -- the loop ------------------------------------------------------------------------------------------------

    def fit(self) -> Iterator[Progress | Saved]:
        """Train to the end, yielding after every evaluation and every checkpoint.

        Evaluations that a checkpoint already holds are yielded again first: a caller always sees the whole.

        Raises:
            NotFiniteError: if the loss is NaN or infinite; names the step.
        """
        yield from self.history
        while not self.done:
            yield from self._epoch(bisect_right(self.epoch_starts, self.state.step) - 1)
        if not self.evaluation_steps:
            with self.average.in_place():
                self.best = {name: value.clone() for name, value in self.model.state_dict().items()}

    @property
    def history(self) -> list[Progress]:
        """Every evaluation so far, in order."""
        return [Progress.model_validate(entry) for entry in self.state.history]

    @property
    def done(self) -> bool:
        """Whether the planned steps are over or patience is."""
        state = self.state
        tired = state.evaluations - state.best_evaluation >= self.config.train.patience
        return state.step >= self.steps or tired

    @property
    def stopped_early(self) -> bool:
        """Whether patience ended the training before the planned steps did."""
        return self.state.step < self.steps

    def _epoch(self, epoch: int) -> Iterator[Progress | Saved]:
        state = self.state
        order = self._order(epoch)
        tally = self._tally()
        started = saved = time.perf_counter()
        self.model.train()
        for reviews in order[state.step - self.epoch_starts[epoch] :]:
            batch = self.train.batch(reviews, self.device)
            tally += self.train_step(batch)
            state.step += 1
            state.examples += len(reviews)
            state.tokens += batch.num_tokens
            now = time.perf_counter()
            evaluating = state.step in self.evaluation_steps
            if not evaluating and state.step < self.steps and now - saved < self.save_pause:
                continue
            self._absorb(tally, now - started)
            if evaluating:
                with self.average.in_place():
                    progress = self._evaluated(now)
                yield progress
            self.save()
            yield Saved(step=state.examples)
            if self.done:
                return
            tally = self._tally()
            started = saved = time.perf_counter()
            self.model.train()

    def _order(self, epoch: int) -> list[Ints]:
        settings, seed = self.config.train, self.config.seed_of("order")
        return training_order(self.train.lengths, settings.batch_size, seed, epoch, settings.batch_tokens)

    def _batches_per_epoch(self) -> list[int]:
        settings = self.config.train
        if settings.batch_tokens is None:
            return [math.ceil(len(self.train) / settings.batch_size)] * settings.epochs
        return [len(self._order(epoch)) for epoch in range(settings.epochs)]

    def _epochs_done(self) -> float:
        """Return passes over the training split so far, fractions included."""
        epoch = bisect_left(self.epoch_starts, self.state.step) - 1
        start, end = self.epoch_starts[epoch : epoch + 2]
        return (epoch * (end - start) + self.state.step - start) / (end - start)

    def train_step(self, batch: Batch) -> Tally:
        """Take one optimizer step and count the batch; of a classifier, nothing here waits for the device."""
        set_lr(self.optimizer, self.config.train.lr * schedule(self.state.step, self.steps, self.config.train))
        self.optimizer.zero_grad(set_to_none=True)
        loss, tally = self.task.loss(batch)
        (loss / max(1, tally.count)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.max_grad_norm)
        self.optimizer.step()
        self.average.update(self.state.step + 1)
        return tally

    def _tally(self) -> Tally:
        """Put the sums so far back on the device: added one by one, however often training is looked at."""
        loss = torch.tensor(self.state.loss, dtype=torch.float64, device=self.device)
        return Tally(loss, torch.tensor(self.state.correct, device=self.device), self.state.count)

    def _absorb(self, tally: Tally, seconds: float) -> None:
        """Take the sums off the device: the one place where training waits for it."""
        state = self.state
        state.loss, state.correct, state.count = float(tally.loss), int(tally.correct), tally.count
        state.train_seconds += seconds
        state.seconds += seconds
        if not math.isfinite(state.loss):
            raise NotFiniteError(
                f"the training loss is {state.loss} after {state.examples:,} examples "
                f"(optimizer step {state.step:,}); a smaller train.lr or train.max_grad_norm may help"
            )

    def _evaluated(self, began: float) -> Progress:
        state = self.state
        scores = self.task.evaluate()
        if not math.isfinite(scores["loss"]):
            raise NotFiniteError(f"the validation loss is {scores['loss']} after {state.examples:,} examples")
        state.evaluations += 1
        state.seconds += time.perf_counter() - began
        best = all(scores["accuracy"] > each.metrics["val/accuracy"] for each in self.history)
        if best:
            state.best_evaluation = state.evaluations
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        counted = max(1, state.count)  # of a language model on tiny data, no token may have been drawn since
        progress = Progress(
            evaluation=state.evaluations,
            step=state.examples,
            epoch=self._epochs_done(),
            metrics={
                **named("train", {"loss": state.loss / counted, "accuracy": state.correct / counted}),
                **named("val", scores),
                "tokens_per_second": state.tokens / max(state.train_seconds, 1e-9),
                "seconds": state.seconds,
                **self.usage.measure(),
            },
            best=best,
        )
        state.history.append(progress.model_dump(mode="json"))
        state.loss, state.correct, state.count, state.tokens, state.train_seconds = 0.0, 0, 0, 0, 0.0
        return progress

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write all that the future depends on into the checkpoint."""
        began = time.perf_counter()
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"average.{name}": value for name, value in self.average.tensors.items()}
        tensors |= {f"generator.{name}": each.get_state() for name, each in self.generators.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        write_tensors(self.checkpoint, tensors, {"config": self.config.digest(), "state": vars(self.state)})
        self.save_pause = save_pause(time.perf_counter() - began)

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is a usable one; say whether."""
        try:
            tensors, about = read_tensors(self.checkpoint)
            if about["config"] != self.config.digest():
                return False
            state = about["state"]
            assert isinstance(state, dict)
        except (SavedError, KeyError):
            return False  # missing or cut: the same run is made anew, to the same end
        self.state = State(**state)
        self.model.load_state_dict(_under("model.", tensors))
        self.best = {name: value.to(self.device) for name, value in _under("best.", tensors).items()}
        self.average.load(_under("average.", tensors))
        for name, value in _under("generator.", tensors).items():
            self.generators[name].set_state(value)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return True


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def save_pause(seconds: float) -> float:
    """Return the seconds until the next checkpoint, by what the last one took.

    >>> save_pause(0.05), save_pause(0.5), save_pause(60)
    (10.0, 50.0, 300.0)
    """
    return max(SAVE_SECONDS, min(LONGEST_SAVE_SECONDS, seconds / SAVE_SHARE))


def schedule(step: int, steps: int, config: TrainConfig) -> float:
    """Return the factor on the learning rate at a step: a linear rise, then a linear fall to 0 at the end."""
    warmup = min(config.warmup_steps, steps // 5)
    rise = (step + 1) / (warmup + 1)
    return min(rise, (steps - step) / max(1, steps - warmup))
