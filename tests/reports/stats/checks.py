"""What a simulation reports: a number, and the range in which it supports the claim."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reports.stats.estimates import Interval

CLOSED, RESAMPLED = 4000, 1000
"""Repetitions of closed forms (95 % is then known to 0.7 points) and of what takes longer (1.4 points)."""


@dataclass(frozen=True)
class Check:
    """A simulated quantity and the range it must lie in."""

    what: str
    got: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self.low <= self.got <= self.high


Simulation = Callable[[np.random.Generator, float], Iterator[Check]]


def percent(what: str, hits: np.ndarray, low: float, high: float, full: int) -> Check:
    """Check a share in per cent; its range grows with the error of fewer repetitions than ``full``."""
    typical = (low + high) / 200
    slack = 200 * np.sqrt(typical * (1 - typical)) * max(0.0, len(hits) ** -0.5 - full**-0.5)
    return Check(what, 100 * float(np.mean(hits)), max(0.0, low - slack), min(100.0, high + slack))


def covers(limits: tuple[np.ndarray, np.ndarray], truth: float | np.ndarray) -> np.ndarray:
    """Say which intervals hold the truth."""
    return (limits[0] <= truth) & (truth <= limits[1])


def limits(intervals: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper limits."""
    return np.array([one.low for one in intervals]), np.array([one.high for one in intervals])
