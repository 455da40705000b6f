"""The losses are compared at matched head rates where a study has the cells, and nowhere else."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from reports.stats.contrasts import Blocks, cells
from reports.stats.matched import matched_losses

LOSSES = ("bce", "cross_entropy")


def table(factors: dict, value) -> Blocks:
    columns = pd.MultiIndex.from_tuples(cells(factors), names=list(factors))
    shift = np.array([0.0, 0.1, -0.1, 0.05, -0.05, 0.2])[:, None]
    return Blocks(
        pd.DataFrame(np.array([value(*cell) for cell in product(*factors.values())]) + shift, columns=columns), ()
    )


def test_a_difference_that_is_the_head_s_rate_goes_when_rates_are_matched():
    factors = {"model.loss": LOSSES, "train.head_lr_scale": ("1.0", "2.0")}
    effective = {"bce": 1.0, "cross_entropy": 2.0}
    found = matched_losses(table(factors, lambda loss, rate: 85 + np.log2(effective[loss] * float(rate))), factors)
    assert found.interval.value == pytest.approx(0)
    assert (found.rate, found.reference, found.start) == ("2.0", "1.0", False)
    assert found.equal.value == found.change.value == pytest.approx(1)  # all of it goes
    of_loss = matched_losses(table(factors, lambda loss, rate: 85 + (loss == "cross_entropy")), factors)
    assert of_loss.interval.value == pytest.approx(1)


def test_the_start_is_matched_where_the_study_has_it():
    factors = {
        "model.loss": LOSSES, "train.head_lr_scale": ("0.5", "1.0"), "model.head_init_scale": ("1.0", "1.41421"),
    }  # fmt: skip
    found = matched_losses(
        table(factors, lambda loss, rate, start: 85 + (loss == "bce") * (start == "1.41421")), factors
    )
    assert found.start
    assert found.interval.value == pytest.approx(-1)


@pytest.mark.parametrize(
    "factors",
    [
        {"model.loss": LOSSES},
        {"model.loss": LOSSES, "train.head_lr_scale": ("1.0", "3.0")},
        {"model.pooling": ("last", "mean"), "train.head_lr_scale": ("1.0", "2.0")},
    ],
)
def test_without_the_cells_nothing_is_matched(factors):
    assert matched_losses(table(factors, lambda *_: 85.0), factors) is None
