"""What a run takes of the machine: processor time and memory of the process that trains."""

from __future__ import annotations

import time

import psutil

CPU_PERCENT = "system/cpu_percent"
"""Processor time since the look before, in per cent of one processor: two busy threads make 200."""
MEMORY_MB = "system/memory_mb"
"""Resident memory in millions of bytes, now. A worker keeps its process, and its size, for other runs."""


class Usage:
    """Looks at this process. Its state: the clocks at the look before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu, self._clock = self._clocks()

    def measure(self) -> dict[str, float]:
        """Return what was taken since the look before, by the names of the metrics."""
        cpu, clock = self._clocks()
        used = (cpu - self._cpu) / max(clock - self._clock, 1e-9)
        self._cpu, self._clock = cpu, clock
        return {CPU_PERCENT: 100 * used, MEMORY_MB: self._process.memory_info().rss / 1e6}

    def _clocks(self) -> tuple[float, float]:
        return time.process_time(), time.perf_counter()
