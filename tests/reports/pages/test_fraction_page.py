"""A fraction's page: one verdict a factor, what is confounded with what, and no gap where cells are left out."""

import pytest

from reports import frames
from reports.html import render
from reports.html.document import Table
from reports.pages import build
from tests.reports.recorded_lists import fraction_of


def page_of(stores):
    return build.page(stores, "six", frames.runs(stores, "six"))


@pytest.fixture(scope="module")
def page(fill):
    runs, notes = fraction_of(12)
    return page_of(fill(runs, notes=notes))


def test_blocks_on_splits_of_their_own_make_one_page_with_a_verdict_a_factor(page):
    [part] = page.parts
    mains, interactions, conditions = (
        part.answer.sentences[:6],
        part.answer.sentences[6:-1],
        part.answer.sentences[-1],
    )
    assert mains[0].startswith("Mean pooling beats last state by ")
    assert all("12 blocks" in sentence for sentence in mains)
    assert interactions
    assert conditions.startswith("These are effects at a random setting")
    assert not any("missing cell" in said for section in part.sections for said in section.sentences)


def test_aliases_are_listed(page):
    [part] = page.parts
    titles = [section.title for section in part.sections]
    assert titles[:4] == [
        "What matters most",
        "Effects",
        "What is confounded with what",
        "Validation against test",
    ]
    [aliases] = [block for block in part.sections[2].blocks if isinstance(block, Table)]
    listed = {row[0].text: row[1].text for row in aliases.rows}
    assert len(listed) == 7
    assert listed["pooling × head lr scale"] == "bidirectional × ema decay"
    assert listed["pooling × ema decay"] == "head lr scale × bidirectional, keep × max length"
    effects = part.answer.files["effects.csv"]
    assert len(effects) == 13
    assert render.study_page(page)


@pytest.mark.parametrize(
    ("blocks", "planned", "said"), [(3, 12, "Interim, no verdict: 3 of 12"), (2, 2, "Too few")]
)
def test_what_is_not_enough_gives_no_verdict(fill, blocks, planned, said):
    runs, notes = fraction_of(blocks, planned)
    page = page_of(fill(runs, notes=notes))
    assert page.parts[0].answer.sentences[0].startswith(said)
    assert page.parts[0].answer.files["effects.csv"]["p_holm"].isna().all()
    assert render.study_page(page)
