"""The contrast of losses at matched head rates, where a study of factors has it.

At equal learning rate two logits under Adam are one logit whose head learns twice as fast and starts larger by
sqrt(2), to 1e-10 (tests/core/training/test_optimizer.py). So the losses are compared like for like between one
logit at twice the rate of the head, and two logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.stats.contrasts import Blocks, Contrast, Factors, cells
from reports.stats.estimates import Interval, trimmed_interval

LOSS, RATE, START = "model.loss", "train.head_lr_scale", "model.head_init_scale"


@dataclass(frozen=True)
class Matched:
    """Cross-entropy minus BCE where BCE's head learns twice as fast."""

    interval: Interval
    """Trimmed mean over blocks, unadjusted; percentage points."""
    rate: str
    """Of the head with BCE."""
    reference: str
    """Of the head with cross-entropy."""
    start: bool
    """Whether the head with BCE starts sqrt(2) larger, too."""


def matched_losses(blocks: Blocks, factors: Factors) -> Matched | None:
    """Compare the losses at matched head rate and, where the study has it, matched start.

    Args:
        blocks: outcomes in per cent.
        factors: the study's.

    Returns:
        None where the study lacks one of the cells.
    """
    if set(factors.get(LOSS, ())) != {"bce", "cross_entropy"} or not len(blocks.table):
        return None
    rate, start = _pair(factors, RATE, 2.0), _pair(factors, START, math.sqrt(2))
    if rate is None:
        return None
    names = list(factors)
    weights = []
    for cell in cells(factors):
        levels = dict(zip(names, cell, strict=True))
        side = levels[LOSS] == "bce"  # the first of a pair is one logit's
        fits = levels[RATE] == rate[not side] and (start is None or levels[START] == start[not side])
        weights.append((-1.0 if side else 1.0) if fits else 0.0)
    total = sum(weight for weight in weights if weight > 0)
    contrast = Contrast((LOSS,), (("cross_entropy", "bce"),), tuple(weight / total for weight in weights))
    return Matched(trimmed_interval(blocks.contrast(contrast)), *rate, start is not None)


def _pair(factors: Factors, name: str, ratio: float) -> tuple[str, str] | None:
    """Return two levels of which the first is so many times the second; None where there are none."""
    levels = factors.get(name, ())
    for high in levels:
        for low in levels:
            if float(low) > 0 and math.isclose(float(high) / float(low), ratio, rel_tol=1e-3):
                return high, low
    return None
