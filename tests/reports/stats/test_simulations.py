"""Every claim of the statistics holds in simulation; `python -m tests.simulate` repeats slow ones more often."""

import pytest

from tests.reports.stats.simulations import SHORT, SIMULATIONS, simulate


@pytest.mark.parametrize("name", SIMULATIONS)
def test_what_is_claimed_holds_in_simulation(name):
    wrong = [check for check in simulate(name, SHORT.get(name, 1.0)) if not check.holds]
    assert not wrong
