"""The record's page says what each ingredient is worth, and which one hurts."""

from reports import frames
from reports.html import render
from reports.pages import build
from tests.reports.recorded_lists import record_of


def test_where_soft_labels_hurt_the_page_says_so(fill):
    runs, notes = record_of(
        {"recipe": 0.90, "without soft labels": 0.91, "without vectors": 0.88, "last state alone": 0.90}
    )
    stores = fill(runs, notes=notes)
    page = build.page(stores, "record", frames.runs(stores, "record"))
    recipe, *others = page.parts[0].answer.sentences
    assert recipe.startswith("The recipe answers 90.")
    said = {sentence.split(":")[0]: sentence for sentence in others}
    assert said["Without soft labels"].endswith("over 5 seeds: what it leaves out hurts here.")
    assert ": +1." in said["Without soft labels"] or ": +0.9" in said["Without soft labels"]
    assert said["Without vectors"].endswith("over 5 seeds: what it leaves out helps here.")
    assert said["Last state alone"].endswith("whether what it leaves out helps stays open.")
    assert render.study_page(page)
