"""Blocks are the unit, contrasts are what the study's plan says, and nothing inconvenient is dropped."""

import numpy as np
import pandas as pd
import pytest

from reports.stats.contrasts import blocks, cells, family, scored
from seqclf_core.errors import UserError
from tests.reports.stats.simulated import FACTORS, INTERACTION, LOSS, POOLING, study


def test_the_contrasts_of_two_by_two_are_the_planned_ones():
    assert cells(FACTORS) == [
        ("last", "cross_entropy"),
        ("last", "bce"),
        ("mean", "cross_entropy"),
        ("mean", "bce"),
    ]
    values = np.array([3.0, 5.0, 11.0, 17.0])
    lc, lb, mc, mb = values
    assert values @ POOLING.weights == ((mb + mc) - (lb + lc)) / 2
    assert values @ LOSS.weights == ((lb + mb) - (lc + mc)) / 2
    assert values @ INTERACTION.weights == (mb - lb) - (mc - lc)
    assert family(FACTORS) == [POOLING, LOSS, INTERACTION]


@pytest.mark.parametrize(
    ("factors", "size"),
    [
        ({"a": ["x", "y"]}, 1),
        ({"a": ["x", "y", "z"]}, 3),
        ({"a": ["x", "y", "z"], "b": ["0", "1"]}, 3 + 1 + 3),
        ({"a": ["x", "y"], "b": ["0", "1"], "c": ["p", "q"]}, 3 + 3),
    ],
)
def test_the_family_has_every_pair_and_what_all_cells_share_drops_out(factors, size):
    contrasts = family(factors)
    assert len(contrasts) == size
    assert len({contrast.name for contrast in contrasts}) == size
    for contrast in contrasts:
        assert sum(contrast.weights) == pytest.approx(0)
        # A shift of one whole level by 1 moves its own main effect by 1, and no interaction.
        level = contrast.pairs[0][0]
        place = list(factors).index(contrast.factors[0])
        shifted = np.array([cell[place] == level for cell in cells(factors)], dtype=float)
        assert shifted @ contrast.weights == pytest.approx(0 if contrast.is_interaction else 1)


def test_another_order_of_levels_only_turns_the_sign_over():
    turned = family({"model.pooling": ["mean", "last"], "model.loss": ["cross_entropy", "bce"]})
    runs = study(8, pooling=0.5)
    one = blocks(runs, FACTORS)
    other = blocks(runs, {"model.pooling": ["mean", "last"], "model.loss": ["cross_entropy", "bce"]})
    np.testing.assert_allclose(one.contrast(POOLING), -other.contrast(turned[0]))
    np.testing.assert_allclose(one.contrast(LOSS), other.contrast(turned[1]))


@pytest.mark.parametrize("levels", [["last"], [], ["mean", "mean"]])
def test_a_factor_without_two_levels_is_refused(levels):
    with pytest.raises(UserError, match="levels"):
        family({"model.pooling": levels})


def test_a_block_with_a_missing_cell_is_left_out_and_counted():
    runs = study(8)
    runs = runs.drop(index=5)
    runs.loc[12, "test/accuracy"] = np.nan
    found = blocks(runs.sample(frac=1, random_state=0), FACTORS)
    assert found.incomplete == (1, 3)
    assert list(found.table.index) == [0, 2, 4, 5, 6, 7]


def test_a_loss_that_left_the_real_numbers_is_an_outcome_and_no_gap():
    runs = study(8).assign(diverged=False)
    runs.loc[5, ["test/accuracy", "diverged"]] = [np.nan, True]
    found = blocks(runs, FACTORS)
    assert found.incomplete == ()
    assert (found.table.loc[1] == 50).sum() == 1


def test_a_cell_with_two_runs_is_refused():
    runs = study(4)
    with pytest.raises(UserError, match="block=2"):
        blocks(pd.concat([runs, runs.iloc[[9]]]), FACTORS)


def test_a_level_that_the_study_does_not_compare_is_refused():
    runs = study(4)
    runs.loc[3, "model.pooling"] = "max"
    with pytest.raises(UserError, match="max"):
        blocks(runs, FACTORS)


def test_one_factor_is_enough():
    runs = study(6)
    runs = runs[runs["model.loss"] == "bce"]
    found = blocks(runs, {"model.pooling": ["last", "mean"]})
    assert found.table.shape == (6, 2)
    assert len(found.contrast(family({"model.pooling": ["last", "mean"]})[0])) == 6


def test_a_run_that_diverged_scores_chance_in_accuracies_alone():
    runs = pd.DataFrame({"block": [0], "gap": [np.nan], "test/accuracy": [np.nan], "diverged": [True]})
    assert scored(runs, "test/accuracy").tolist() == [0.5]
    assert scored(runs, "gap").isna().all()  # half a point of nothing is no gap
