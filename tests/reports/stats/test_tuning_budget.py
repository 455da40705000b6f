"""A tuned arm is another question than a random setting: the best of n by validation, over all subsets."""

from itertools import combinations

import numpy as np
import pytest

from reports.stats.contrasts import VALIDATION
from reports.stats.tuning_budget import effects_by_budget, tuned, tuned_effect
from tests.reports.stats.simulated import FACTORS, POOLING, study


def by_hand(validation, test, trials):
    """Average over all subsets one by one; equal validation scores are drawn by lot."""
    found = []
    for subset in combinations(range(len(validation)), trials):
        chosen = list(subset)
        best = validation[chosen] == validation[chosen].max()
        found.append(test[chosen][best].mean())
    return np.mean(found)


@pytest.mark.parametrize("trials", [1, 2, 3, 5])
def test_it_is_the_mean_over_all_subsets(trials):
    rng = np.random.default_rng(trials)
    validation, test = np.round(rng.normal(size=(9, 2))), rng.normal(size=(9, 2))
    expected = [by_hand(validation[:, arm], test[:, arm], trials) for arm in (0, 1)]
    assert tuned(validation, test, trials) == pytest.approx(expected)


def test_one_trial_is_the_mean_of_the_blocks():
    test = np.random.default_rng(0).normal(size=(12, 2))
    value, error = tuned_effect(test, test, (1, -1), 1)
    difference = test[:, 0] - test[:, 1]
    assert value == pytest.approx(difference.mean())
    assert error == pytest.approx(difference.std(ddof=1) / np.sqrt(12))


def test_a_choice_that_loses_at_a_random_setting_may_win_when_tuned():
    rng = np.random.default_rng(3)
    rate = rng.uniform(0, 1, 48)
    fragile, steady = 90 - 12 * rate, np.full(48, 87.0)
    both = np.column_stack([fragile, steady]) + rng.normal(0, 0.1, (48, 2))
    assert tuned_effect(both, both, (1, -1), 1)[0] < -1
    assert tuned_effect(both, both, (1, -1), 8)[0] > 1


def test_runs_are_chosen_by_validation_and_compared_by_test():
    runs = study(24, pooling=1.0)
    upside_down = runs.assign(**{VALIDATION: 1 - runs["test/accuracy"]})
    honest, wrong = (effects_by_budget(one, FACTORS, [POOLING]) for one in (runs, upside_down))
    assert list(honest["trials"]) == [1, 2, 4, 8]
    assert honest["effect"].iloc[0] == pytest.approx(wrong["effect"].iloc[0])
    assert honest["effect"].iloc[-1] != pytest.approx(wrong["effect"].iloc[-1], abs=1e-6)


def test_a_budget_needs_three_blocks_a_trial():
    assert list(effects_by_budget(study(12), FACTORS, [POOLING])["trials"]) == [1, 2, 4]
    assert effects_by_budget(study(5), FACTORS, [POOLING]).empty
