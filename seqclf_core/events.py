"""What a run tells its caller: plain frozen values that serialise to one line of JSON each."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSummary(_Value):
    """The data of a run: enough to know whether two runs may be compared."""

    source: str
    """Where it came from, in words for a person: a path, hub name or 'synthetic (seed 0)'."""
    data_scope: Literal["whole", "limited", "synthetic"]
    """Runs of different kinds never share a study, an MLflow experiment or a leaderboard."""
    digest: str
    """SHA-256 over the texts, labels and groups that were used, and over how they were split."""
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
    evaluations: int
    """How many ``Progress`` will come at most."""


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
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    tokens_per_second: float
    """Real (not padding) tokens trained on, per second of training time."""
    seconds: float
    """Time this run has worked so far, evaluation included; pauses are not counted."""
    best: bool
    """Whether this is the best validation accuracy so far, so these weights are kept."""


class Finished(_Value):
    """The end of a run. A classifier's test part was scored once, with the weights of the best evaluation."""

    event: Literal["finished"] = "finished"
    reason: Literal["completed", "early_stop", "diverged"]
    best_evaluation: int
    """0 where the run diverged before the first evaluation, and the weights are the initial ones."""
    val_loss: float
    """Like the accuracy, NaN where a run learned from the validation part too."""
    val_accuracy: float
    test_loss: float
    """Like the accuracy, NaN where there is no test score, as for a tagger."""
    test_accuracy: float
    seconds: float
    files: dict[str, str]
    """Name -> path within the run's folder: model (a folder), val_predictions, test_predictions; a run without one
    of them, such as a baseline, leaves it out."""


Event = Annotated[Started | Saved | Progress | Finished, Field(discriminator="event")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
