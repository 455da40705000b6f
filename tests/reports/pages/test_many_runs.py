"""A page of very many runs stays of a size that a browser opens: it draws the best, and others evenly."""

import numpy as np
import pandas as pd

from reports.pages.search import MOST_RUNS, few


def runs(count: int) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "key": [f"imdb/{number:05d}" for number in range(count)],
            "outcome": np.where(draw.random(count) < 0.7, "complete", "pruned"),
            "best/val_accuracy": draw.random(count),
            "best/val_loss": draw.random(count),
        }
    )


def test_few_runs_are_all_drawn() -> None:
    made = runs(MOST_RUNS)
    assert few(made) is made


def test_of_many_runs_the_best_are_drawn_and_others_from_beginning_to_end() -> None:
    made = runs(20 * MOST_RUNS)
    shown = few(made)
    assert len(shown) == MOST_RUNS
    assert shown["key"].is_monotonic_increasing
    assert shown["key"].is_unique
    complete = made[made["outcome"] == "complete"].sort_values("best/val_accuracy", ascending=False)
    assert set(complete["key"].head(MOST_RUNS // 2)) <= set(shown["key"])
    by_tenth = np.bincount(shown.index // (2 * MOST_RUNS), minlength=10)
    assert by_tenth.min() > MOST_RUNS / 25
