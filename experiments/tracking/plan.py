"""What a study set out to do, fixed when it is created: written once by the study, read by its reports.

The plan lies as JSON in the tag ``seqclf.plan`` of the study's own run, in its journal and in Optuna's study
attributes. This module imports no Optuna, no MLflow and no torch.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from experiments.tracking import names
from seqclf_core.errors import UserError

StudyType = Literal["search", "factors", "finalists", "splits", "labels", "variance", "record"]
Level = str | int | float | bool | None


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Contrast(_Value):
    """A difference of outcomes that is asked for before anything is seen."""

    factor: str
    """Dotted name of the setting whose levels are compared."""
    levels: tuple[Level, Level]
    """The effect is the outcome at the first level minus that at the second."""
    at: dict[str, Level] = {}
    """Levels of other factors at which it is taken, a simple effect; without them it is averaged."""

    @property
    def name(self) -> str:
        """The contrast in a few words.

        >>> Contrast(factor="model.pooling", levels=("last", "mean"), at={"model.loss": "bce"}).name
        'model.pooling: last - mean, at model.loss=bce'
        """
        at = ", ".join(f"{name}={level}" for name, level in self.at.items())
        return f"{self.factor}: {self.levels[0]} - {self.levels[1]}" + (f", at {at}" if at else "")


class StudyPlan(_Value):
    """What a study set out to do. Fields that a type of study has no use for keep their empty values."""

    uid: str = ""
    """Random hexadecimal digits that tell the study from all others, whatever their names."""
    seed: int = 0
    """Seed that all draws of the study are a function of; another seed is a replication."""
    study_type: StudyType = "search"
    question: str = ""
    subject: str = ""
    """Subject of the study besides its settings, such as the weights that its trials start from."""
    data: str = ""
    """Digest of the data that its base settings name."""
    total: int = 0
    """Number of trials that were planned when the study was created; a larger number later is an extension."""
    searched: dict[str, str] = {}
    """Every setting that is drawn -> its distribution, as Optuna's JSON."""
    factors: dict[str, tuple[Level, ...]] = {}
    """Settings that are compared -> their levels, in the order of the cells."""
    blocks: int = 0
    """Number of blocks of shared settings that were planned."""
    design: Literal["", "full", "fraction"] = ""
    """Whether a block runs every cell of the factors, or a fraction of them that its neighbour folds over."""
    aliases: dict[str, tuple[str, ...]] = {}
    """Effect -> the effects that it cannot be distinguished from over pairs of blocks; only for a fraction."""
    outcome: str = ""
    """Metric that is compared."""
    margin: float | None = None
    """Difference of percentage points within which two levels count as equal."""
    declared: tuple[Contrast, ...] = ()
    """Contrasts declared beforehand, simple effects among them: one family of tests."""
    of: str = ""
    """Search whose best settings run again: its name, or the folder of its published report."""
    of_data: str = ""
    """Digest of that search's data."""
    best: int = 0
    """Number of its best settings."""
    seeds: int = 0
    """Number of fresh seeds for each setting or cell."""

    def tags(self) -> dict[str, str]:
        """Return the tags that carry the plan: on the study's own run."""
        return {names.UID: self.uid, names.PLAN: self.model_dump_json(exclude_defaults=True)}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self | None:
        """Return the plan of a study from the tags of its own run; None where they hold none.

        Raises:
            UserError: if the tag holds something else, as one that a newer version wrote.
        """
        text = tags.get(names.PLAN)
        try:
            return cls.model_validate_json(text) if text else None
        except ValidationError as error:
            raise UserError(
                f"The study {tags.get(names.STUDY, '')!r} has a plan that cannot be read: {text!r}. Expected the "
                f"tag {names.PLAN}, as this version's studies write it."
            ) from error


def new_uid() -> str:
    """Return random digits for a study that is being created."""
    return secrets.token_hex(8)


def new_seed() -> int:
    """Return a seed for a study to which none was given."""
    return secrets.randbelow(2**31)
