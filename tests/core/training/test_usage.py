"""What a run takes of the machine is measured of this process, since the look before."""

import numpy as np

from seqclf_core.training.usage import CPU_PERCENT, MEMORY_MB, Usage


def test_work_shows_as_processor_time_and_arrays_as_memory() -> None:
    usage = Usage()
    before = usage.measure()
    held = np.ones(8_000_000)
    while (after := usage.measure())[CPU_PERCENT] <= 0:
        held += 1
    assert after[MEMORY_MB] - before[MEMORY_MB] > 50
    assert before[CPU_PERCENT] >= 0
