"""The time that is recorded: the computer's when a process began, and from then on what a steady clock says.

A computer's clock may be set while a study runs, by seconds or years. One process records a whole study, whoever
does its runs, and it asks the clock once: all its times are as far apart as they were in truth, those of runs that
begin after a step, too. The steady clock is the one that goes on while the machine sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MILLISECOND = 1_000_000
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # that of macOS goes on in its sleep


def _steady() -> int:
    return time.clock_gettime_ns(_STEADY)


class Clock:
    """Says the time in milliseconds since 1970, UTC. Its state: when it began, by both clocks."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = _steady) -> None:
        """Ask the computer for the time, once.

        Args:
            wall: nanoseconds since 1970; may step.
            steady: nanoseconds since any moment; never steps.
        """
        self._steady = steady
        self._began = wall(), steady()
        self.ahead = 0
        """Milliseconds that were added, so as to go on from what another process had recorded."""

    def now(self) -> int:
        """Return the time."""
        wall, steady = self._began
        return (wall + self._steady() - steady) // MILLISECOND + self.ahead

    def go_on_from(self, time: int) -> None:
        """Say no time before this one from now on.

        Where a process takes over what another one recorded, a time that lies ahead shows that the clock was set
        back in between. One that was set forward looks like a pause.
        """
        self.ahead += max(0, time - self.now())


CLOCK = Clock()
"""That of this process."""
