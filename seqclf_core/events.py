"""What a run tells its caller: plain frozen values that serialise to one line of JSON each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSummary(_Value):
    """The data of a run: enough to know whether two runs may be compared."""

    source: str
    """Source of the texts in words for a person: a path, hub name or 'synthetic (seed 0)'."""
    data_scope: Literal["whole", "limited", "synthetic"]
    """Runs of different kinds never share a study, an MLflow experiment or a leaderboard."""
    digest: str
    """SHA-256 over the texts, labels and groups that were used, and over how they were split."""
    data_set: str = ""
    """SHA-256 over every text and label of the source, in any order: the same whatever was drawn or split of it;
    empty where it is not known."""
    sizes: dict[str, int]
    """Texts per split: train, val, test; pieces of texts where a tagger learns."""
    split_method: Literal["group", "random", "contiguous", "given"]
    group_column: str | None
    """The column that the split kept together, where there was one."""
    skipped: int
    """Bad rows that were left out (only with on_bad_row=skip)."""
    vocab_size: int
    """Different tokens, padding and the unknown token among them."""
    duplicates: dict[str, int] = {}
    """Numbers of texts that occur twice: test_in_train, val_in_train, within_test; before any were dropped."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: which files were read, what was left over, what to beware of."""


class Started(_Value):
    event: Literal["started"] = "started"
    data: DataSummary
    parameters: int
    """Trainable numbers in the model."""
    device: str
    precision: Literal["bf16", "fp32", "fp64"]
    kernel: Literal["own", "onednn", "cudnn"] | None = None
    """Implementation of the LSTM; None where the model has no LSTM."""
    evaluations: int
    """Largest number of ``Progress`` events that will follow."""


class Saved(_Value):
    """A sign of life: all work up to here is in the checkpoint."""

    event: Literal["saved"] = "saved"
    step: int
    """Training examples seen."""


class Progress(_Value):
    """One evaluation. Training sums cover the examples since the evaluation before."""

    event: Literal["progress"] = "progress"
    evaluation: int
    """1, 2, ...: what a pruner compares, whatever the batch size."""
    step: int
    """Training examples seen."""
    epoch: float
    """Passes over the training split so far, fractions included."""
    metrics: dict[str, float]
    """Final name -> value: ``train/loss``, ``train/accuracy``, ``val/loss``, ``val/accuracy`` (losses in nats);
    ``tokens_per_second``, real (not padding) tokens trained on per second of training; ``seconds`` of work so far,
    evaluation included, pauses not; ``system/cpu_percent`` since the evaluation before and ``system/memory_mb`` of
    the process that trains, which say nothing about the result."""
    best: bool
    """Whether this is the best validation accuracy so far, so that these weights are kept."""


class Finished(_Value):
    """The end of a run. A classifier's test split was scored once, with the weights of the best evaluation."""

    event: Literal["finished"] = "finished"
    reason: Literal["completed", "early_stop", "diverged"]
    best_evaluation: int
    """0 where the run diverged before the first evaluation, and the weights are the initial ones."""
    metrics: dict[str, float]
    """Final name -> value, of the kept weights: ``best/val_loss``, ``best/val_accuracy`` (missing where a run
    learned from the validation split too), ``test/loss``, ``test/accuracy`` (missing for a tagger);
    ``total_seconds`` of work."""
    files: dict[str, str]
    """Name -> path within the run's folder: model (a folder), val_predictions, test_predictions, errors (the most
    confident ones on validation, token by token); a run without one of them, such as a baseline, leaves it out."""


Event = Annotated[Started | Saved | Progress | Finished, Field(discriminator="event")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
