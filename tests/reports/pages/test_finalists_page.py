"""A finalists study names its champion by validation, the luck of the search, and what ensembles reach."""

import pytest

from reports import frames
from reports.html import render
from reports.pages import build
from tests.reports.recorded_lists import encode, factors_of, finalists_of, predict
from tests.reports.recorded_runs import study_of


@pytest.fixture(scope="module")
def stores(fill) -> frames.Stores:
    (blocks, plan), (runs, notes) = factors_of(2), finalists_of()
    stores = fill([*study_of(3), *blocks, *runs], notes={**plan, **notes})
    predict(stores, runs, 400)
    encode(stores.cache, runs[0].digest, 400)
    return stores


@pytest.fixture(scope="module")
def answer(stores):
    return build.page(stores, "finalists", frames.runs(stores, "finalists")).parts[0].answer


def test_the_champion_is_the_best_by_validation(stores, answer):
    runs = frames.runs(stores, "finalists").dropna(subset=["finalist"])
    best = runs.groupby("finalist")["best/val_accuracy"].mean().idxmax()
    assert f"over 5 fresh seeds: {best}." in answer.sentences[0]
    assert "95 % t interval over seeds" in answer.sentences[0]
    assert next(iter(answer.files["finalists.csv"]["config"])) == best


def test_a_mean_over_seeds_has_a_second_interval_for_reviews_of_other_movies(answer):
    found = answer.files["finalists.csv"]
    assert found["by_movie"].all()
    assert (found["others_high"] - found["others_low"] > found["high"] - found["low"]).all()
    assert "for other seeds and reviews of other movies" in answer.sentences[0]
    ensembles = answer.files["ensembles.csv"]
    assert (ensembles["low"] < ensembles["test"]).all()
    assert any("of other movies: reviews of one movie are alike" in s for s in answer.sections[0].sentences)


def test_luck_and_ensembles_have_their_sentences(answer):
    seed, part, ensemble = answer.sentences[1:]
    assert "seed" in seed
    assert "validation split" in part
    assert "that takes runs" not in part  # the blocks are there to hold against
    assert "best ensemble by validation" in ensemble
    table = answer.files["ensembles.csv"]
    assert len(table) == 4
    assert table["val"].is_monotonic_decreasing
    assert set(table["models"]) == {5, 15}


def test_blocks_with_splits_of_their_own_are_held_against_on_reviews_that_both_held_out(fill):
    (blocks, plan), (runs, notes) = factors_of(6), finalists_of(best=2, seeds=3)
    for run in blocks:
        run.digest = run.tags["seqclf.block"].zfill(2) * 32
    stores = fill([*blocks, *runs], notes={**plan, **notes})

    def said() -> str:
        page = build.page(stores, "finalists", frames.runs(stores, "finalists"))
        return " ".join([*page.parts[0].answer.sentences, *page.parts[0].answer.sections[1].sentences])

    assert 'make factors NAME=reference ARGS="--train.epochs 6 --data.max-length 400"' in said()
    predict(stores, [*blocks, *runs], 400)
    assert "cannot be said" not in said()
    assert "on the reviews that a block held out of the finalists' split" in said()


def test_the_page_holds_it_all(stores):
    page = build.page(stores, "finalists", frames.runs(stores, "finalists"))
    titles = [section.title for section in page.parts[0].sections]
    assert titles[:3] == ["Finalists", "Selection effect of the search", "Ensembles"]
    assert "Leaderboard" not in titles
    assert render.study_page(page)


def test_one_seed_and_no_predictions_are_said_as_they_are(fill):
    runs, notes = finalists_of(best=2, seeds=1)
    stores = fill(runs, notes=notes)
    page = build.page(stores, "finalists", frames.runs(stores, "finalists"))
    text = " ".join(page.parts[0].answer.sentences)
    assert "over 1 fresh seed" in text
    assert "nan" not in text
    assert "make factors" in text
    assert "ensemble" not in text
    assert render.study_page(page)


def test_a_run_that_diverged_counts_and_is_told(fill):
    runs, notes = finalists_of(best=2, seeds=2)
    runs[0].tags["seqclf.ended"] = "diverged"
    stores = fill(runs, notes=notes)
    page = build.page(stores, "finalists", frames.runs(stores, "finalists"))
    assert any("1 run diverged and counts as scored" in sentence for sentence in page.parts[0].answer.sentences)
    assert page.parts[0].answer.files["finalists.csv"]["seeds"].tolist() == [2, 2]


def test_with_other_settings_than_the_search_had_no_luck_of_it_is_told(fill):
    runs, notes = finalists_of(best=2, seeds=2)
    notes["finalists"]["seqclf.changed"] = "model.init_from"
    stores = fill(runs, notes=notes)
    said = build.page(stores, "finalists", frames.runs(stores, "finalists")).parts[0].answer.sentences
    assert any("had another model.init_from" in sentence for sentence in said)
    assert not any("effect of the seed" in sentence for sentence in said)


def test_under_way_there_is_no_champion(fill):
    runs, notes = finalists_of(best=2, seeds=3)
    stores = fill(runs[:4], finished=False, notes=notes)
    page = build.page(stores, "finalists", frames.runs(stores, "finalists"))
    assert page.parts[0].answer.sentences == ["Interim, no champion: 4 of 6 runs are complete."]
