"""The pages of labels and variance: curves on one axis, crossings, sources of random variation."""

import pytest

from reports import frames
from reports.html import render
from reports.html.document import Commands, Figure
from reports.pages import build
from tests.reports.recorded_lists import labels_of, variance_of


def page_of(stores, study):
    return build.page(stores, study, frames.runs(stores, study))


def commands(part) -> list[str]:
    return [line for block in part.sections[0].blocks if isinstance(block, Commands) for line in block.lines]


@pytest.fixture(scope="module")
def labels(fill):
    runs, notes = labels_of()
    return page_of(fill(runs, notes=notes), "labels")


def test_a_tagger_s_start_and_a_crossing_are_told_with_intervals(labels):
    [part] = labels.parts
    few, more, most, scratch, transfer = part.answer.sentences
    assert few.startswith("With 500 labels, a tagger's start gains ")
    assert more.startswith("With 2,000 labels, whether a tagger's start is better stays open")
    assert most.startswith("With 21,250 labels, whether")
    assert scratch.startswith("The LSTM from scratch overtakes NBSVM at about ")
    assert transfer.startswith("The LSTM from a tagger overtakes NBSVM at about ")
    assert "runs on the whole data and parts of it (" in " ".join(part.summary)
    titles = [fact.title for fact in part.facts]
    assert len(set(titles)) == len(titles)
    assert {"LSTM from scratch", "LSTM from a tagger", "NBSVM"} == set(part.answer.files["labels.csv"]["model"])
    assert [section.title for section in part.sections][:2] == [
        "Accuracy by number of labels",
        "What a tagger's start is worth",
    ]
    assert render.study_page(labels)


def test_each_model_of_the_axis_has_a_band_and_a_sentence(fill):
    """What is better with few labels and worse with many is overtaken, whichever of both it is."""
    runs, notes = labels_of(linear={"nbsvm": (0.80, 0.85, 0.85), "bag_of_words": (0.72, 0.84, 0.91)})
    [part] = page_of(fill(runs, notes=notes), "labels").parts
    *of_nbsvm, below, overtaken = part.answer.sentences[3:]
    assert [sentence.startswith("The LSTM from") for sentence in of_nbsvm] == [True, True]
    assert below.startswith("A crossing of the LSTM from scratch and bag of words is not seen between 500 and")
    assert overtaken.startswith("Bag of words overtakes the LSTM from a tagger at about ")
    assert not commands(part)
    [drawn] = [block for block in part.sections[0].blocks if isinstance(block, Figure)]
    assert all(f">{labels}<" in str(drawn.panels[0]) for labels in ("500", "2,000", "21,250"))  # log axis
    numbers = part.answer.files["labels.csv"]
    assert sorted(numbers["model"].unique()) == [
        "LSTM from a tagger", "LSTM from scratch", "NBSVM", "bag of words"
    ]  # fmt: skip
    sure = numbers[numbers["seeds"] > 1]
    once = numbers[numbers["seeds"] == 1]  # of all labels, a linear model is one model
    assert once["model"].tolist() == ["NBSVM", "bag of words"]
    assert once["low"].isna().all()
    assert (sure["low"] < sure["mean"]).all()
    assert (sure["mean"] < sure["high"]).all()


def test_what_linear_models_lack_is_listed_as_commands(labels, fill):
    [bag, more, whole] = commands(labels.parts[0])  # of NBSVM there is everything
    assert bag.startswith("for draw in 0 1 2 3; do make experiment NAME=bag_of_words DATA=")
    assert "--data.train-limit 500 --data.train-limit-seed $draw" in bag
    assert "--data.train-limit 2000" in more
    assert whole.startswith("make experiment NAME=bag_of_words")
    runs, notes = labels_of(linear={})
    alone = page_of(fill(runs, notes=notes), "labels").parts[0]
    assert alone.answer.sentences[-1].startswith("No linear model has learned from the same texts")
    assert len(commands(alone)) == 6


def test_an_unfinished_study_says_so(fill):
    runs, notes = labels_of(2)
    page = page_of(fill(runs[:4], notes=notes), "labels")
    assert page.parts[0].answer.sentences[0].startswith("Interim: ")
    assert render.study_page(page)


def test_sources_of_chance_are_told_and_a_split_of_its_own_is_no_data_set_of_its_own(fill):
    runs, notes = variance_of()
    page = page_of(fill(runs, notes=notes), "variance")
    [part] = page.parts
    first, *_, by_chance, right = part.answer.sentences
    assert first.startswith("Scores vary most with random settings: a standard deviation of ")
    assert by_chance.startswith("Two single runs of the same settings")
    assert "1 percentage point" in right
    assert part.sections[0].title == "Sources of random variation"
    assert part.answer.files["variance.csv"]["proportion"].sum() == pytest.approx(1)
    assert render.study_page(page)


def test_two_runs_a_source_say_how_little_they_tell(fill):
    runs, notes = variance_of(2)
    page = page_of(fill(runs, notes=notes), "variance")
    assert any("Fewer than 5 runs" in sentence for sentence in page.parts[0].answer.sentences)
