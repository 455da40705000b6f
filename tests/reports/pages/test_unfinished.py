"""A study that is still running has a page at any moment: after so many runs, the next of which has begun."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from reports import frames
from reports.html import render
from reports.pages import build
from tests.reports.pages.test_splits_page import splits_of
from tests.reports.recorded_lists import factors_of, finalists_of, fraction_of, labels_of, predict, variance_of
from tests.reports.recorded_runs import MadeUp, study_of

MOMENTS = {
    "search": (0, 1, 5),
    "factors": (0, 1, 5),
    "fraction": (0, 9),
    "finalists": (0, 1, 4),
    "splits": (0, 1, 4),
    "labels": (0, 1, 5),
    "variance": (0, 2, 5),
}
"""Type of study -> how many of its runs have ended."""


@pytest.fixture(scope="module")
def stores(fill) -> frames.Stores:
    """Record the beginnings of all studies, each as a study of its own that is still running."""
    lists = {
        "factors": factors_of(2, 8),
        "fraction": fraction_of(2, 8),
        "finalists": finalists_of(),
        "splits": splits_of(2, 8),
        "labels": labels_of(2),
        "variance": variance_of(2),
    }
    made = {"search": study_of(6), **{name: runs for name, (runs, _) in lists.items()}}
    recorded: list[MadeUp] = []
    notes = {}
    for kind, moments in MOMENTS.items():
        for ended in moments:
            study = f"{kind}-{ended}"
            whole = [run for run in made[kind] if run.study != "nbsvm"]
            begun = [_of(run, study, run.outcome) for run in whole[:ended]]
            recorded += [*begun, _of(whole[ended], study, "running")]
            if kind in lists:
                notes[study] = next(iter(lists[kind][1].values()))
    stores = fill(recorded, finished=False, notes=notes)
    predict(stores, [run for run in recorded if run.outcome == "complete"], 80)
    return stores


def _of(run: MadeUp, study: str, outcome: str) -> MadeUp:
    """Return a run as one of another study, which has ended so."""
    return replace(run, study=study, outcome=outcome, evaluations=1 if outcome == "running" else run.evaluations)


@pytest.mark.parametrize("kind", MOMENTS)
def test_a_page_can_be_made_at_any_moment(stores, kind):
    for ended in MOMENTS[kind]:
        study = f"{kind}-{ended}"
        runs = frames.runs(stores, study)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # as of means of nothing
            page = build.page(stores, study, runs)
        html = render.study_page(page)
        said = [sentence for part in page.parts for sentence in part.answer.sentences]
        assert not any("nan" in sentence.split() for sentence in said), said
        assert said == [] or "nterim" in said[0] or said[0].startswith("No ") or kind == "variance", said
        assert "1 running" in html
