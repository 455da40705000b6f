"""What a setting is worth over its range is read from random blocks, on the scale on which it was drawn."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.sensitivity import Range, ranges, what_matters

DRAWN = {
    "train.lr": Range(5e-4, 1e-2, log=True),
    "train.batch_size": Range(16, 64),
    "model.word_dropout": Range(0, 0.4),
}


def drawn(blocks: int, seed: int = 0, sd: float = 0.3) -> tuple[pd.Series, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    place = rng.uniform(size=(blocks, 3))
    settings = pd.DataFrame(
        {
            "train.lr": 5e-4 * 20 ** place[:, 0],
            "train.batch_size": 16 + 48 * place[:, 1],
            "model.word_dropout": 0.4 * place[:, 2],
        }
    )
    means = pd.Series(86 + place @ [2.4, -1.0, 0.0] + rng.normal(0, sd, blocks))
    return means, settings


def test_an_effect_is_over_the_drawn_range_largest_first():
    found = what_matters(*drawn(24, sd=1e-9), DRAWN)
    assert list(found.table["setting"][:2]) == ["train.lr", "train.batch_size"]
    assert found.table["effect"].tolist() == pytest.approx([2.4, -1.0, 0.0], abs=1e-6)
    assert found.r_squared == pytest.approx(1)


def test_settings_without_an_effect_explain_nothing():
    rng = np.random.default_rng(1)
    adjusted = [
        what_matters(pd.Series(rng.normal(size=24)), drawn(24, seed)[1], DRAWN).r_squared for seed in range(200)
    ]
    assert np.mean(adjusted) == pytest.approx(0, abs=0.03)


def test_too_few_blocks_or_a_setting_that_is_the_same_in_all_say_nothing():
    assert what_matters(*drawn(7), DRAWN) is None
    means, settings = drawn(24)
    assert what_matters(means, settings.assign(**{"train.lr": 0.002}), DRAWN) is None


def test_ranges_are_those_of_the_plan_and_a_seed_is_no_setting():
    searched = {
        "train.lr": '{"name": "FloatDistribution", "attributes": {"low": 0.0005, "high": 0.01, "log": true}}',
        "seed": '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 9}}',
        "model.loss": '{"name": "CategoricalDistribution", "attributes": {"choices": ["bce", "cross_entropy"]}}',
    }
    assert ranges(searched) == {"train.lr": Range(5e-4, 1e-2, log=True)}
