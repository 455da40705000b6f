"""Which validation split predicts the test score? Random complete blocks over the kinds of split; nothing pruned.

    make study STUDY=splits                 # 8 blocks of three runs
    make study STUDY=splits BLOCKS=12

A block draws settings, a seed and a seed of the split at random, and does one run on exactly these for each kind
of split: by group (the movie), at random, and contiguous rows of each class. Every split is encoded for itself: on
IMDB that is half a minute and 30 MB each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from studies import factors
from studies.study import Study

# Patience: as long for every kind, however its validation score fools it. The kind of split itself is drawn; that
# of the base lets data without groups be refused before anything runs.
BASE = factors.BASE.override({"data.split_method": "group", "train.patience": 1000})


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    blocks: int = 8
    """Number of blocks in all; fewer than 6 allow no test."""


def build_study(params: Params, seed: int = 0, storage: str = "") -> Study:
    """Declare the blocks.

    Raises:
        UserError: if there is less than one block.
    """
    kinds = "data.split_method=group,random,contiguous"
    study = factors.build_study(factors.Params(params.blocks, kinds), seed, storage)
    return replace(
        study,
        question="Which validation split predicts the test score?",
        base=BASE,
        plan=study.plan.model_copy(update={"study_type": "splits", "declared": ()}),
    )
