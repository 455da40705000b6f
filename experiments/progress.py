"""What a person sees while a run works: a line per evaluation and, on a terminal, a bar with the time left."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from seqclf_core import events
from seqclf_core.config import RunConfig, Settings
from seqclf_core.events import Event, Finished, Saved, Started

HEAD = "  evaluation  epoch   train loss  accuracy   val loss  accuracy   tokens/s  time left at most"


class Display:
    """Follows one run. Its state: how far it is."""

    def __init__(self, config: Settings, console: Console) -> None:
        self._epochs = config.train.epochs if isinstance(config, RunConfig) else 1
        self._console = console
        self._bar = Progress(
            TextColumn("  {task.percentage:3.0f} %"), BarColumn(), TextColumn("{task.description}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("getting ready", total=None)
        self._evaluations = 0
        self._examples = 0
        self._worked, self._since = 0.0, time.monotonic()

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Tell what an event says."""
        match event:
            case Started():
                self._evaluations = event.evaluations
                self._examples = self._epochs * event.data.sizes["train"]
                self._since = time.monotonic()
                head = f"\n{HEAD}" if event.evaluations else ""
                own = ", by the project's own kernel" if event.kernel == "own" else ""
                self._say(f"  {event.parameters:,} parameters on {event.device} in {event.precision}{own}{head}")
                self._bar.update(self._task, total=self._examples, description="training")
            case events.Progress():
                self._worked, self._since = event.metrics["seconds"], time.monotonic()
                self._say(self._line(event))
                self._move(event.step)
            case Saved():
                self._move(event.step)
            case Finished():
                self._say(result_line(event))

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def _move(self, step: int) -> None:
        done = step >= self._examples
        what = "scoring" if done else f"training, at most {self._left(step)} left"
        self._bar.update(self._task, completed=step, description=what)

    def _left(self, step: int) -> timedelta:
        """Time to go at the speed so far; an early stop makes it less."""
        worked = self._worked + time.monotonic() - self._since
        return timedelta(seconds=round(worked * max(0.0, self._examples / step - 1)))

    def _line(self, event: events.Progress) -> str:
        scores = event.metrics
        counted = f"{event.evaluation} of {self._evaluations}"
        return (
            f"  {counted:>10}  {event.epoch:5.2f}   {scores['train/loss']:10.4f}  {scores['train/accuracy']:8.4f}"
            f"   "
            f"{scores['val/loss']:8.4f}  {scores['val/accuracy']:8.4f}   {scores['tokens_per_second']:8,.0f}  "
            f"{self._left(event.step)}{'  best' if event.best else ''}"
        )


def result_line(finished: Finished) -> str:
    """Say in a line what came out."""
    how = "" if finished.reason == "completed" else f" ({finished.reason.replace('_', ' ')})"
    scores = [
        f"{part} accuracy {accuracy:.4f}{about}"
        for part, accuracy, about in (
            (
                "validation",
                finished.metrics.get("best/val_accuracy", math.nan),
                f" (evaluation {finished.best_evaluation})",
            ),
            ("test", finished.metrics.get("test/accuracy", math.nan), ""),
        )
        if not math.isnan(accuracy)
    ]
    return f"  {', '.join(scores)}; {timedelta(seconds=round(finished.metrics['total_seconds']))} of work{how}"
