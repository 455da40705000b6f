"""A splits study says how far the score on each kind of validation split is from the test score."""

import numpy as np
import pytest

from experiments.tracking.plan import StudyPlan
from reports import frames
from reports.html import render
from reports.html.document import Page
from reports.pages import build
from reports.write import write_pages
from tests.reports.recorded_runs import MadeUp

KINDS = ("group", "random", "contiguous")
OPTIMISM = {"group": 0.0, "random": 0.02, "contiguous": -0.015}


def splits_of(
    blocks: int, planned: int | None = None, fixed: str = ""
) -> tuple[list[MadeUp], dict[str, dict[str, str]]]:
    """Make blocks in which a random part flatters by 2 points and a contiguous one is 1.5 points too low."""
    runs = []
    for block in range(blocks):
        draw = np.random.default_rng([3, block])
        shared = {"train.lr": float(draw.uniform(1e-3, 3e-3)), "seed": block, "data.split_seed": 100 + block}
        for kind in KINDS:
            tags = {"seqclf.block": str(block), "used.split_method": kind, "seqclf.ended": "completed"}
            if kind == "contiguous":
                tags |= {"used.train": "21300", "used.val": "3700"}
            run = MadeUp(
                len(runs), study="splits", changes={**shared, "data.split_method": kind}, tags=tags,
                digest=f"{(0 if kind == fixed else 1 + len(runs)):064x}",
            )  # fmt: skip
            run.val = run.val - run.val.max() + run.test + OPTIMISM[kind] + draw.normal(0, 0.002)
            runs.append(run)
    plan = StudyPlan(
        study_type="splits",
        question="Which validation split predicts the test score?",
        factors={"data.split_method": KINDS},
        blocks=planned or blocks,
    )
    return runs, {"splits": plan.tags()}


def page_of(stores: frames.Stores) -> Page:
    return build.page(stores, "splits", frames.runs(stores, "splits"))


def test_runs_on_different_splits_are_one_answer(fill):
    runs, notes = splits_of(8)
    page = page_of(fill(runs, notes=notes))
    [part] = page.parts
    *gaps, random_group, contiguous_group, contiguous_random = part.answer.sentences
    assert [sentence.split(":")[0] for sentence in gaps] == ["Contiguous split", "Split by movie", "Random split"]
    assert random_group.startswith("Validation minus test accuracy is 2.")
    assert (
        "higher with a random split than with a split by movie, on the same settings and seeds, 8 blocks."
        in random_group
    )
    assert contiguous_group.startswith("Validation minus test accuracy is 1.")
    assert contiguous_random.startswith("Validation minus test accuracy is 3.")
    files = part.answer.files
    assert files["splits.csv"].set_index("split_method").loc["random", "gap"] == pytest.approx(2, abs=0.3)
    assert (files["pairs.csv"]["p"] < 0.05).all()
    titles = [section.title for section in part.sections]
    assert titles[:2] == ["Validation accuracy against test accuracy", "While training"]
    html = render.study_page(page)
    assert "split in 24 ways" in html
    assert "21,250 to 21,300" in html
    assert "(25,000 test reviews)" in html


@pytest.mark.parametrize(
    ("blocks", "planned", "said"),
    [(3, 8, "Interim, no verdict: 3 of 8 blocks"), (3, 3, "Too few blocks to compare them: there are 3")],
)
def test_what_is_not_enough_compares_nothing(fill, blocks, planned, said):
    runs, notes = splits_of(blocks, planned)
    page = page_of(fill(runs, notes=notes))
    sentences = page.parts[0].answer.sentences
    assert said in sentences[-1]
    assert not any("higher with" in sentence for sentence in sentences)
    assert page.parts[0].answer.files["pairs.csv"]["p"].isna().all()
    assert render.study_page(page)


def test_a_study_without_a_finished_run_has_a_page(fill):
    runs, notes = splits_of(1, 8)
    for run in runs:
        run.outcome = "running"
    page = page_of(fill(runs, finished=False, notes=notes))
    assert page.parts[0].answer.sentences == ["No verdict: none of 8 blocks is complete."]
    assert render.study_page(page)


def test_a_split_that_ignores_its_seed_has_one_part_and_no_interval(fill):
    runs, notes = splits_of(8, fixed="contiguous")
    answer = page_of(fill(runs, notes=notes)).parts[0].answer
    assert "which all 8 runs share: no interval and no verdict" in answer.sentences[0]
    assert [
        sentence for sentence in answer.sentences if "higher with" in sentence and "contiguous" in sentence
    ] == []
    table = answer.files["splits.csv"].set_index("split_method")
    assert table["low"].isna().to_dict() == {"contiguous": True, "group": False, "random": False}
    pairs = answer.files["pairs.csv"].set_index("pair")
    assert pairs.loc[[name for name in pairs.index if "contiguous" in name], ["low", "p"]].isna().all(axis=None)


def test_runs_of_which_none_learned_to_tell_the_labels_apart_have_a_page_without_numbers(fill, tmp_path):
    runs, notes = splits_of(2)
    for run in runs:
        run.val, run.test = np.full_like(run.val, 0.5), 0.5
    stores = fill(runs, notes=notes)
    [part] = page_of(stores).parts
    assert part.answer.sentences == ["No verdict: 6 runs have ended, and none learned to tell the labels apart."]
    [written] = write_pages(stores, tmp_path, "splits")
    assert "none learned to tell the labels apart" in written.path.read_text("utf-8")
