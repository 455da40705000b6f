"""Scores say what their intervals are for: reviews of other movies, or reviews one by one."""

import pytest

from reports import frames
from reports.pages import build
from tests.reports.recorded_lists import encode, predict
from tests.reports.recorded_runs import MadeUp


def board(stores) -> str:
    page = build.page(stores, "imdb", frames.runs(stores, "imdb"))
    [found] = [section for section in page.parts[0].sections if section.title == "Leaderboard"]
    return found.sentences[-1]


@pytest.mark.parametrize(
    ("predicted", "encoded", "said"),
    [
        (False, False, "no predictions are stored"),
        (True, False, "taken one by one: their movies are not known here"),
        (True, True, "for reviews of other movies, design effect "),
    ],
)
def test_the_leaderboard_says_what_its_interval_draws(fill, predicted, encoded, said):
    runs = [MadeUp(0), MadeUp(1)]
    stores = fill(runs)
    if predicted:
        predict(stores, runs, 400)
    if encoded:
        encode(stores.cache, runs[0].digest, 100, "val")
    assert said in board(stores)
    score = build.page(stores, "imdb", frames.runs(stores, "imdb")).parts[0].standing.scores[0]
    assert (score.val_limits[0] < score.val < score.val_limits[1]) == predicted


def test_runs_that_are_always_right_have_no_interval_and_no_design_effect(fill):
    runs = [MadeUp(0), MadeUp(1)]
    for run in runs:
        run.val[:], run.test = 1 - 1e-9, 1 - 1e-9
    stores = fill(runs)
    predict(stores, runs, 400)
    encode(stores.cache, runs[0].digest, 100, "val")
    said = board(stores)
    assert said.startswith("3,750 validation reviews are scored, and each row is one seed")
    assert "nan" not in said
