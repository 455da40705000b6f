"""Shifts the clock of every Python that finds this folder on its path, for tests of clocks that step.

$SHIFTED_CLOCK names a file that holds the seconds to add; it may change at any time, and the clock steps with it.
"""

import os
import time

_time, _time_ns = time.time, time.time_ns


def _shift() -> int:
    try:
        with open(os.environ["SHIFTED_CLOCK"]) as file:  # noqa: PTH123  # before anything else is imported
            return int(file.read() or 0)
    except (OSError, KeyError):
        return 0


time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + _shift() * 1_000_000_000
