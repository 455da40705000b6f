"""What do pooling and loss change, and how sure are we? Random complete blocks; nothing pruned; resumable.

    make factors                    # 24 blocks of four runs
    make factors BLOCKS=12
    make factors DESIGN=fraction NAME=six    # 12 blocks of eight runs, six questions
    make factors FACTORS="model.pooling=last,mean,max" NAME=poolings

A block draws the shared settings at random; every cell of the factors then runs on exactly these, with the same
seed, split and order of texts, so that the cells of a block differ by the factors alone.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from experiments.tracking import names
from experiments.tracking.plan import Contrast, StudyPlan
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from studies import fractions
from studies.study import Planned, Study, sampling

BASE = RunConfig().override({"train.on_divergence": "score", "train.epochs": 3})

SHARED: dict[str, BaseDistribution] = {
    "model.embed_dim": IntDistribution(32, 128, log=True),
    "model.hidden_dim": IntDistribution(32, 128, log=True),
    "model.word_dropout": FloatDistribution(0.0, 0.4),
    "model.embed_dropout": FloatDistribution(0.0, 0.6),
    "model.head_dropout": FloatDistribution(0.0, 0.6),
    "train.batch_size": IntDistribution(16, 64),
    "train.lr": FloatDistribution(5e-4, 1e-2, log=True),
    "seed": IntDistribution(0, 2**31 - 1),
    "data.split_seed": IntDistribution(0, 2**31 - 1),
}
"""Distributions of the settings that a block draws once for all its cells; the split's seed too, so that
validation splits vary as the runs do."""


FULL = "model.pooling=last,mean model.loss=bce,cross_entropy"
FRACTION = (
    "model.pooling=last,mean train.head_lr_scale=1.0,2.0 data.keep=head,tail data.max_length=200,400 "
    "model.bidirectional=False,True train.ema_decay=0.0,0.999"
)
"""Factors and levels of a fractional design that costs as much as a full design of two questions."""
BLOCKS = {"full": 24, "fraction": 12}
"""Number of blocks of each design, unless another is asked for."""


@dataclass(frozen=True)
class Params:
    """What this study can be asked besides its settings."""

    blocks: int | None = None
    """Number of blocks in all; 24 of the full design and 12 of a fraction, where none is given."""
    factors: str = ""
    """Settings to compare and their levels, such as model.pooling=last,mean; empty: those of the design."""
    design: Literal["full", "fraction"] = "full"
    """Whether a block runs every combination of the levels, or eight of them that the next block folds over."""
    margin: float = 0.3
    """Difference of percentage points within which two levels count as equal, declared before anything is seen."""


def build_study(
    params: Params, seed: int = 0, storage: str = "", drawn: Mapping[str, BaseDistribution] = SHARED
) -> Study:
    """Declare the blocks.

    Args:
        params: how many, and of which factors.
        seed: of the study; its blocks are a function of it.
        storage: not needed: all is known beforehand.
        drawn: the settings that a block draws, those among the factors left out.

    Raises:
        UserError: if a factor or level does not exist, or the design does not fit.
    """
    blocks = BLOCKS[params.design] if params.blocks is None else params.blocks
    if blocks < 1:
        raise UserError(f"a study takes at least 1 block; {blocks} were asked for")
    factors = parse_factors(params.factors or (FULL if params.design == "full" else FRACTION))
    shared = {name: given for name, given in drawn.items() if name not in factors}
    levels = {name: CategoricalDistribution(given) for name, given in factors.items()}
    if params.design == "full":
        cells = [tuple(itertools.product(*factors.values()))]
        aliases: dict[str, tuple[str, ...]] = {}
    else:
        if blocks % 2:
            raise UserError(
                f"a fraction is folded over in pairs of blocks; {blocks} were asked for, an odd number"
            )
        cells, aliases = fractions.cells(factors), fractions.aliases(list(factors))
    planned = [
        Planned(
            name=f"block {block} {' '.join(map(str, cell))}",
            settings={**common, **dict(zip(factors, cell, strict=True))},
            tags={names.BLOCK: str(block)},
        )
        for block in range(blocks)
        for common in [draw_block(shared, seed, block)]
        for cell in cells[block % len(cells)]
    ]
    asked = " ".join(f"{name}={','.join(map(str, each))}" for name, each in factors.items())
    return Study(
        question="What do "
        + " and ".join(name.split(".")[-1] for name in factors)
        + " change, and how sure are we?",
        base=BASE,
        sample=sampling({**shared, **levels}),
        seed=seed,
        total=len(planned),
        planned=tuple(planned),
        fixed_trials=True,
        plan=StudyPlan(
            study_type="factors",
            factors=factors,
            blocks=blocks,
            design=params.design,
            aliases=aliases,
            outcome=names.TEST_ACCURACY,
            margin=params.margin,
            declared=contrasts(factors, params.design),
        ),
        counted=("BLOCKS", len(cells[0])),
        subject=asked if params.design == "full" else f"a fraction of {asked}",
    )


def contrasts(factors: Mapping[str, Sequence[Any]], design: str = "full") -> tuple[Contrast, ...]:
    """Return what is asked of factors: each one's effect and, of two factors, each at every level of the other."""
    pairs = {name: list(itertools.combinations(levels, 2)) for name, levels in factors.items()}
    effects = [
        Contrast(factor=name, levels=(later, earlier)) for name in factors for earlier, later in pairs[name]
    ]
    if len(factors) == 2 and design == "full":
        effects += [
            Contrast(factor=name, levels=(later, earlier), at={other: level})
            for name, other in itertools.permutations(factors)
            for level in factors[other]
            for earlier, later in pairs[name]
        ]
    return tuple(effects)


def parse_factors(text: str) -> dict[str, tuple[Any, ...]]:
    """Read ``name=level,level name=level,level``.

    Raises:
        UserError: if it cannot be read so, or names what does not exist; says what exists.
    """
    known = RunConfig().flat()
    factors: dict[str, tuple[Any, ...]] = {}
    for part in text.split():
        name, equals, levels = part.partition("=")
        if name not in known or name.startswith("data.source"):
            raise UserError(f"there is no factor {name!r}; settings are: {', '.join(known)}")
        if name in factors:
            raise UserError(f"the factor {name!r} is given twice")
        given = levels.split(",")
        if not equals or len(given) < 2 or len(set(given)) < len(given):
            raise UserError(
                f"{part!r}: a factor takes two or more different levels, such as model.pooling=last,mean"
            )
        factors[name] = tuple(_level(name, level) for level in given)
        if len(set(factors[name])) < len(given):
            raise UserError(f"{part!r}: two of these levels are the same value, written differently")
    if not factors:
        raise UserError("no factor was given; FACTORS='model.pooling=last,mean' is one")
    return factors


def _level(name: str, text: str) -> Any:
    """Return a level as a value of its setting's kind."""
    section, _, leaf = name.rpartition(".")
    model = type(getattr(RunConfig(), section)) if section else RunConfig
    try:
        value = RunConfig().override({name: text}).flat()[name]
    except ValueError as error:
        kind = model.model_fields[leaf].annotation
        listed = ", ".join(map(str, typing.get_args(kind)))
        expected = f"; its levels are: {listed}" if typing.get_origin(kind) is typing.Literal else ""
        raise UserError(f"{text!r} is no level of {name}{expected}") from error
    return value


def draw_block(ranges: Mapping[str, BaseDistribution], seed: int, block: int) -> dict[str, Any]:
    """Draw the shared settings of a block, plainly at random: a function of the study's seed and the block."""
    generator = np.random.default_rng([seed, block])
    return {name: _draw(given, generator.random()) for name, given in ranges.items()}


def _draw(given: BaseDistribution, uniform: float) -> Any:
    """Map a uniform number in [0, 1) to a value of a range."""
    assert isinstance(given, FloatDistribution | IntDistribution)
    whole = isinstance(given, IntDistribution)
    low, high = (given.low - 0.5, given.high + 0.5) if whole else (given.low, given.high)
    value = low * (high / low) ** uniform if given.log else low + (high - low) * uniform
    return min(given.high, max(given.low, round(value))) if whole else float(value)
