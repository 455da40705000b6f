"""report.md says what the page says, and what was recorded stays text in it."""

import doctest
import re
from xml.etree import ElementTree

import pytest

from reports.html import markdown
from reports.html.document import Column, Table
from reports.write import write_pages
from tests.reports.recorded_lists import factors_of
from tests.reports.recorded_runs import MadeUp, study_of

EVIL = "<script>alert(1)</script> | a\nnew line [x](javascript:alert(2)) `*`"


@pytest.fixture(scope="module")
def folder(fill, tmp_path_factory):
    evil = MadeUp(24, name=EVIL, tags={"device": EVIL}, params={"model.pooling": EVIL})
    runs, notes = factors_of(5)
    out = tmp_path_factory.mktemp("report")
    (out / "imdb" / "figures").mkdir(parents=True)
    (out / "imdb" / "figures" / "99-of-before.svg").write_text("")
    write_pages(fill([*study_of(3), evil, *runs], notes=notes), out)
    return out


@pytest.mark.parametrize("study", ["imdb", "factors"])
def test_every_row_of_a_table_has_every_column(folder, study):
    text = (folder / study / "report.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 3
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", table.splitlines()[1])


def test_nothing_recorded_is_markup(folder):
    text = (folder / "imdb" / "report.md").read_text()
    outside = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)  # in a block of code nothing is markup
    assert "<" not in outside
    assert not re.search(r"(?<!\\)\]\(javascript", outside)
    assert "&lt;script&gt;" in outside


def test_figures_are_files_that_stand_alone(folder):
    for study in ("imdb", "factors"):
        text = (folder / study / "report.md").read_text()
        named = set(re.findall(r"!\[[^\]]*\]\((figures/[\w-]+\.svg)\)", text))
        files = {str(file.relative_to(folder / study)) for file in (folder / study).glob("figures/*")}
        assert named == files
        assert len(named) >= 2
        for file in named:
            root = ElementTree.fromstring((folder / study / file).read_text())
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert not [each for each in root.iter() if each.tag.endswith("script")]


def test_it_says_what_the_page_says(folder):
    text = (folder / "factors" / "report.md").read_text()
    page = (folder / "factors" / "index.html").read_text()
    for section in re.findall(r"^## (.*)$", text, re.MULTILINE):
        assert f"<h2>{section}</h2>" in page
    assert "- **Too few blocks" in text
    assert (folder / "factors" / "effects.csv").read_text().startswith("contrast,")


def test_the_examples_hold():
    assert doctest.testmod(markdown).failed == 0


def test_a_column_of_limits_names_what_they_are_of_where_it_stands_alone():
    titles = ["Study", "Validation, %", "95 %", "sd", "Test, %", "95 %", "sd", "Runs"]
    labels = Table("Scores", [Column(title, title) for title in titles], []).labels
    assert len(set(labels)) == len(titles)
    assert labels[1:4] == ["Validation, %", "Validation, % · 95 %", "Validation, % · sd"]
    assert labels[-1] == "Runs"
    assert Table("Two", [Column("a", "A"), Column("b", "B", long=True)], []).cards
    assert not Table("Two", [Column("a", "A"), Column("b", "B")], []).cards
