"""A fraction tells main effects from interactions of two factors, and says which interactions it cannot tell."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from reports.stats.fraction import analyse_fraction
from seqclf_core.errors import UserError
from studies import fractions

LETTERS = "ABCDEFG"


def runs_of(count: int, blocks: int, effects: dict[str, float], noise: float = 0.0) -> pd.DataFrame:
    """Make the runs of a fraction in which each effect, such as A or AB, has a known size in points."""
    names = LETTERS[:count]
    signs = fractions.signs(count)
    rng = np.random.default_rng(3)
    rows = []
    for block in range(blocks):
        for cell in signs if block % 2 == 0 else -signs:
            sign = dict(zip(names, cell, strict=True))
            value = 85 + (block % 3) + rng.normal(0, noise) if noise else 85.0 + (block % 3)
            for effect, size in effects.items():
                value += size * np.prod([sign[letter] for letter in effect]) / (4 if len(effect) == 2 else 2)
            levels = {name: "high" if sign[name] > 0 else "low" for name in names}
            rows.append({"block": block, **levels, "best/val_accuracy": value / 100, "test/accuracy": value / 100})
    return pd.DataFrame(rows)


def factors(count: int) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(LETTERS[:count], ("low", "high"))


@pytest.mark.parametrize("count", [4, 5, 6, 7])
def test_main_effects_are_free_of_interactions_and_columns_hold_the_sum_of_theirs(count):
    effects = {"A": 1.0, "B": -0.5, "AB": 2.0, "CD": 0.75}
    found = analyse_fraction(runs_of(count, 6, effects), factors(count))
    for effect in found.effects:
        truth = sum(effects.get("".join(names), 0.0) for names in effect.names)
        assert effect.interval.value == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("count", [4, 5, 6, 7])
def test_what_shares_a_column_is_what_the_study_declared_as_aliases(count):
    found = analyse_fraction(runs_of(count, 2, {}), factors(count))
    columns = {" x ".join(each.names[0]): tuple(map(" x ".join, each.names[1:])) for each in found.effects}
    assert columns == fractions.aliases(list(LETTERS[:count]))
    every = [names for each in found.effects for names in each.names]
    assert sorted(every) == sorted([(a,) for a in LETTERS[:count]] + list(combinations(LETTERS[:count], 2)))


def test_one_kind_of_block_alone_gives_no_interval():
    found = analyse_fraction(runs_of(6, 3, {"A": 1.0}, noise=0.5), factors(6))
    assert all(np.isnan(effect.interval.low) for effect in found.effects)  # two blocks and one


def test_blocks_with_a_missing_cell_are_left_out_and_told():
    found = analyse_fraction(runs_of(6, 4, {"A": 1.0}).iloc[:-1], factors(6))
    assert found.finished == 3
    assert found.incomplete == (3,)


def test_cells_that_are_no_cells_of_the_fraction_are_refused():
    runs = runs_of(6, 2, {})
    with pytest.raises(UserError, match="twice"):
        analyse_fraction(pd.concat([runs, runs.tail(1)]), factors(6))
    with pytest.raises(UserError, match="compares"):
        analyse_fraction(runs.assign(A="other"), factors(6))


def test_a_factor_at_which_runs_fail_is_not_compared():
    runs = runs_of(6, 12, {"A": 1.0}, noise=0.5)
    failed = (runs["A"] == "low") & (runs["block"] < 6)
    runs.loc[failed, ["best/val_accuracy", "test/accuracy"]] = 0.5
    fragile = {effect.names[0][0] for effect in analyse_fraction(runs, factors(6)).effects if effect.fragile}
    assert "A" in fragile


def test_the_p_of_a_column_is_adjusted_over_all():
    found = analyse_fraction(runs_of(6, 12, {"A": 2.0}, noise=0.5), factors(6)).effects
    p = sorted((one.p, one.p_holm) for one in found)
    assert p[0][1] == pytest.approx(len(found) * p[0][0])
