"""A factors study says in words what its blocks carry, and no verdict before the planned ones are there."""

from dataclasses import replace

import pytest

from reports import frames
from reports.html import render
from reports.html.document import Page, Table
from reports.pages import build, comparison
from reports.pages.effects import label, new_reviews
from reports.pages.factorial_data import FactorialData, finished_runs, plan_of
from reports.pages.probabilities import by_length
from reports.publish import publish
from reports.records.reviews import known_reviews
from reports.records.study_run import read_study_run
from reports.stats.contrasts import family
from reports.stats.factorial import analyse
from seqclf_core.errors import UserError
from tests.reports.recorded_lists import encode, factors_of, predict
from tests.reports.recorded_runs import MadeUp

ROWS = 600


def page_of(stores: frames.Stores, study: str = "factors") -> Page:
    return build.page(stores, study, frames.runs(stores, study))


def titles(page: Page) -> list[str]:
    return [section.title for section in page.parts[0].sections]


@pytest.fixture(scope="module")
def finished(fill) -> frames.Stores:
    runs, notes = factors_of(24, diverged=5)
    stores = fill(runs, notes=notes)
    predict(stores, runs, ROWS)
    encode(stores.cache, runs[0].digest, ROWS)
    return stores


@pytest.fixture(scope="module")
def page(finished) -> Page:
    return page_of(finished)


def test_every_question_has_its_sentence_with_an_interval(page):
    pooling, loss, interaction, conditions = page.parts[0].answer.sentences
    assert pooling.startswith("Mean pooling beats last state by ")
    for sentence in (pooling, loss, interaction):
        assert "25,000 reviews, 24 blocks" in sentence
        assert "[" in sentence
    assert "this study could detect" in interaction
    assert conditions.startswith("These are effects at a random setting (")


def test_every_section_is_there_once_the_runs_and_reviews_are(page):
    assert titles(page)[:10] == [
        "What matters most",
        "Effects",
        "Against the tuning budget",
        "For other reviews",
        "Does it train at all?",
        "As optimisation",
        "What more trials buy",
        "Accuracy by length of review",
        "Calibration of probabilities",
        "Validation against test",
    ]
    assert "Leaderboard" not in titles(page)
    effects = page.parts[0].sections[1]
    assert any("1 run diverged and counts" in sentence for sentence in effects.sentences)
    [table] = [block for block in effects.blocks if isinstance(block, Table)]
    assert next(row[0].text for row in table.rows) == "mean pooling − last state"
    html = render.study_page(page)
    assert html.count('class="panel"') >= 9


def test_the_numbers_are_beside_the_page_as_csv(page):
    effects = page.parts[0].answer.files["effects.csv"]
    assert len(effects) == 7  # two factors, each at both levels of the other, and the interaction
    assert (effects["validation_low"] < effects["validation"]).all()
    assert (effects["trimmed_low"] < effects["trimmed"]).all()
    assert (effects["p_holm"] <= 1).all()


@pytest.mark.parametrize(
    ("blocks", "planned", "said"),
    [
        (2, 24, "Interim, no verdict: 2 of 24 blocks"),
        (2, 2, "Too few blocks for a verdict: there are 2"),
        (6, 5, "Extended after looking"),
    ],
)
def test_what_is_not_enough_gives_no_verdict(fill, blocks, planned, said):
    runs, notes = factors_of(blocks, planned)
    page = page_of(fill(runs, notes=notes))
    sentences = page.parts[0].answer.sentences
    assert said in sentences[0]
    if blocks < 6:
        assert len(sentences) == 1
        assert page.parts[0].answer.files["effects.csv"]["p_holm"].isna().all()
    assert render.study_page(page)
    assert "Accuracy by length of review" not in titles(page)  # nothing was predicted


def test_a_block_with_a_missing_cell_is_left_out_and_counted(fill):
    runs, notes = factors_of(3)
    lost = MadeUp(99, "failed", study="factors", changes=runs[-1].changes, tags=runs[-1].tags)
    page = page_of(fill([*runs[:-1], lost], notes=notes))
    assert "Interim, no verdict: 2 of 3 blocks" in page.parts[0].answer.sentences[0]
    assert any("1 block with a missing cell" in sentence for sentence in page.parts[0].sections[0].sentences)


def test_blocks_that_each_have_a_split_of_their_own_are_one_study(fill):
    runs, notes = factors_of(6)
    for run in runs:
        run.digest = f"{int(run.tags['seqclf.block']):02x}" * 32
    page = page_of(fill(runs, notes=notes))
    assert len(page.parts) == 1
    assert page.parts[0].answer.sentences[0].rstrip(".").endswith("6 blocks")


def test_a_study_without_a_finished_run_has_a_page(fill):
    runs, notes = factors_of(1, 3)
    for run in runs:
        run.outcome = "running"
    page = page_of(fill(runs, finished=False, notes=notes))
    assert page.parts[0].answer.sentences == ["No verdict: none of 3 blocks is complete."]
    assert render.study_page(page)


def test_a_study_that_has_only_begun_has_a_page(finished):
    runs = frames.runs(finished)
    page = build.page(finished, "factors", runs[runs["role"] == "study"])
    assert page.parts == []
    assert render.study_page(page)
    assert render.study_page(comparison.page([page], runs[runs["role"] == "study"], link=str))


def test_a_plan_that_is_none_is_refused(finished):
    runs = frames.runs(finished, "factors")
    with pytest.raises(UserError, match="cannot be read"):
        build.page(finished, "factors", runs.assign(plan="<script>"))


def test_without_the_encoded_reviews_it_says_what_is_left_out(finished):
    runs = frames.runs(finished, "factors")
    plan = plan_of(read_study_run(runs).plan, runs)
    done = finished_runs(runs, plan.factors)
    study = FactorialData(done, plan, analyse(done, plan), runs.iloc[:0], replace(finished, cache=None))
    assert "Left out" in by_length(study).sentences[0]
    assert "one by one" in new_reviews(study).sentences[0]


def test_what_the_cache_knows_of_reviews_is_found_by_their_digest(finished, tmp_path):
    found = known_reviews(finished.cache, MadeUp(0).digest)
    assert list(found) == ["tokens", "movie"]
    assert len(found) == ROWS
    assert (found["tokens"] >= 20).all()
    assert known_reviews(finished.cache, "another") is None
    assert known_reviews(tmp_path, MadeUp(0).digest) is None
    encode(tmp_path, MadeUp(0).digest, ROWS)
    (tmp_path / "corpus" / "entry" / "summary.json").write_text("{")  # cut off while it was written
    assert known_reviews(tmp_path, MadeUp(0).digest) is None


def test_levels_without_a_word_stand_behind_their_factor():
    [rate] = family({"train.lr": ["0.001", "0.002"]})
    assert label(rate) == "lr 0.002 − lr 0.001"
    [*_, both] = family({"model.bidirectional": ["False", "True"], "model.pooling": ["last", "mean"]})
    assert label(both) == "bidirectional True × mean pooling"


def test_where_only_right_and_wrong_are_published_nothing_is_said_of_probabilities(finished, tmp_path):
    publish(finished, "factors", tmp_path)
    there = frames.Stores.of_published(tmp_path)
    sections = build.page(there, "factors", frames.runs(there)).parts[0].sections
    [section] = [each for each in sections if each.title == "Calibration of probabilities"]
    assert not section.blocks
    assert "Left out" in section.sentences[0]
    assert "Accuracy by length of review" in [each.title for each in sections]
