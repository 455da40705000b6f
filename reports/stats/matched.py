"""The contrast of losses at matched head rates, where a study of factors has it.

At equal learning rate two logits under Adam are one logit whose head learns twice as fast and starts larger by
sqrt(2), to 1e-10 (tests/core/training/test_optimizer.py). So the losses are compared like for like between one
logit at twice the rate of the head, and two logits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reports.stats.contrasts import Blocks, Contrast, Factors, cells
from reports.stats.estimates import Interval, trimmed_interval

LOSS, RATE, START = "model.loss", "train.head_lr_scale", "model.head_init_scale"


@dataclass(frozen=True)
class Matched:
    """Cross-entropy minus BCE where BCE's head learns twice as fast."""

    interval: Interval
    """Trimmed mean over blocks, unadjusted; percentage points."""
    equal: Interval
    """Cross-entropy minus BCE where both heads learn at the rate, and start at the size, of cross-entropy's."""
    change: Interval
    """``equal`` minus ``interval``, block by block: what matching takes away of the difference."""
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
    at_equal = _contrast(factors, {RATE: (rate[1], rate[1]), START: (start[1], start[1]) if start else None})
    at_matched = _contrast(factors, {RATE: rate, START: start})
    equal, matched = blocks.contrast(at_equal), blocks.contrast(at_matched)
    return Matched(
        trimmed_interval(matched),
        trimmed_interval(equal),
        trimmed_interval(equal - matched),
        *rate,
        start is not None,
    )


def _contrast(factors: Factors, at: Mapping[str, tuple[str, str] | None]) -> Contrast:
    """Return cross-entropy minus BCE, each at levels of its own.

    Args:
        factors: the study's.
        at: factor -> the level of BCE and that of cross-entropy; None: averaged over all levels.
    """
    weights = []
    for cell in cells(factors):
        levels = dict(zip(factors, cell, strict=True))
        two = levels[LOSS] == "cross_entropy"
        fits = all(levels[name] == pair[two] for name, pair in at.items() if pair)
        weights.append((1.0 if two else -1.0) if fits else 0.0)
    total = sum(weight for weight in weights if weight > 0)
    return Contrast((LOSS,), (("cross_entropy", "bce"),), tuple(weight / total for weight in weights))


def _pair(factors: Factors, name: str, ratio: float) -> tuple[str, str] | None:
    """Return two levels of which the first is so many times the second; None where there are none."""
    levels = factors.get(name, ())
    for high in levels:
        for low in levels:
            if float(low) > 0 and math.isclose(float(high) / float(low), ratio, rel_tol=1e-3):
                return high, low
    return None
