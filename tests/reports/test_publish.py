"""What is published can be made again from its tables, and a number that they do not give is found."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from reports import frames, publish
from reports.pages import build
from reports.records import published
from seqclf_core.errors import UserError
from studies.commands.__main__ import run
from tests.reports.recorded_runs import study_of, write_predictions

TEST_ROWS = 500


@pytest.fixture(scope="module")
def stores(fill) -> frames.Stores:
    """A search of twelve trials whose complete runs kept their answers."""
    made = fill(study_of(12))
    for row in frames.runs(made, "imdb", role="trial").to_dict("records"):
        if row["outcome"] == "complete":
            folder = Path(row["artifacts"].removeprefix("file://")) / "predictions"
            for part, rows in (("val", 100), ("test", TEST_ROWS)):
                write_predictions(folder, part, rows, accuracy=0.85, seed=int(row["trial"]))
    return made


@pytest.fixture
def root(stores, tmp_path) -> Path:
    """A folder in which the search is published."""
    publish.publish(stores, "imdb", tmp_path / "published")
    publish.write(tmp_path / "published")
    return tmp_path / "published"


def test_frames_of_what_is_published_are_those_of_the_stores(stores, root):
    there = frames.Stores.of_published(root)
    of_machine = published.OF_THIS_MACHINE
    own, read = (frames.runs(each).drop(columns=of_machine) for each in (stores, there))
    pd.testing.assert_frame_equal(read[list(own.dropna(axis="columns", how="all"))], own.dropna(axis=1, how="all"))
    pd.testing.assert_frame_equal(frames.curves(there), frames.curves(stores), rtol=1e-6)
    keys = list(own[own["outcome"] == "complete"]["key"])
    said, before = (frames.predictions(keys, each) for each in (there, stores))
    pd.testing.assert_frame_equal(said, before, check_dtype=False, atol=0.0011)
    assert ((said["probability"] >= 0.5) == (before["probability"] >= 0.5)).all()


def test_a_page_of_what_is_published_says_what_the_page_of_the_study_says(stores, root):
    own = build.page(stores, "imdb", frames.runs(stores, "imdb"))
    there = frames.Stores.of_published(root)
    read = build.page(there, "imdb", frames.runs(there, "imdb"))
    assert read.parts[0].summary == own.parts[0].summary
    assert read.parts[0].facts == own.parts[0].facts


def test_every_page_is_verified_and_a_changed_number_is_named(root, capsys):
    assert run(["verify", "--published", str(root), "--readme", "none"]) == 0
    report = root / "imdb" / "report.md"
    text = report.read_text()
    best = frames.runs(frames.Stores.of_published(root))["best/val_accuracy"].max()
    shown = f"{100 * best:.2f} % on validation"
    assert shown in text
    report.write_text(text.replace(shown, "99.99 % on validation"))
    assert run(["verify", "--published", str(root), "--readme", "none"]) == 1
    said = capsys.readouterr().out
    assert "99.99" in said
    assert shown in said
    assert str(report) in said


def test_a_changed_table_gives_another_page(root):
    table = root / "imdb" / "runs.csv"
    runs = published.from_csv(table)
    runs.loc[runs["best/val_accuracy"].astype(float).idxmax(), "best/val_accuracy"] = "0.9712"
    table.write_text(published.to_csv(runs))
    assert any("report.md" in found and "97.12" in found for found in publish.verify(root, []))


def test_right_and_wrong_alone_keep_every_decision(stores, root):
    key = "imdb/0002"
    said = frames.predictions([key], stores)
    digests = {(key, part): "5f" * 32 for part in frames.PARTS}
    packed = published.answers_of(said, digests, probabilities=False)
    (root / "imdb" / "answers.csv").write_text(published.to_csv(packed))
    read = frames.predictions([key], frames.Stores.of_published(root))
    assert ((read["probability"] >= 0.5) == (said["probability"] >= 0.5)).all()
    assert set(read["probability"]) == {0.0, 1.0}
    assert packed["packed"].str.len().max() < TEST_ROWS / 4  # a bit for each text, in base 85


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("The best has 87.5 % [86.91, 88]", False),  # as they are there, or rounded
        ("The best has 87.6 %", True),
        ("`make study TRIALS=999` and [a link](999.md)", False),  # code and addresses are no numbers
        ("25,000 texts, three seeds", False),
    ],
)
def test_a_number_of_a_readme_must_stand_in_the_files_that_it_names(line: str, found: bool, tmp_path):
    (tmp_path / "report.md").write_text("87.46 [86.91, 88.04] on 25,000 texts")
    readme = tmp_path / "README.md"
    readme.write_text(
        f"Before: 1.5\n<!-- numbers of: report.md -->\n{line}\n<!-- end of numbers -->\nAfter: 7.7\n"
    )
    said = list(publish.numbers_without_source(readme))
    assert bool(said) is found
    assert all("line 3" in each and "87.6" in each for each in said)


def test_a_file_that_a_readme_names_must_be_there(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- numbers of: none.md -->\n1\n<!-- end of numbers -->")
    assert "there is no" in "".join(publish.numbers_without_source(readme))


def test_what_is_published_names_no_folder_of_the_machine(stores, root):
    there = "".join(path.read_text() for path in root.rglob("*") if path.is_file())
    assert stores.cache is not None
    assert str(stores.cache.parent) not in there


def test_a_study_that_runs_or_is_not_there_is_refused(stores, fill, tmp_path):
    with pytest.raises(UserError, match="nothing to publish"):
        publish.publish(stores, "none", tmp_path)
    running = fill([*study_of(2), *study_of(1, "other")], finished=False)
    with pytest.raises(UserError, match="has not ended"):
        publish.publish(running, "imdb", tmp_path)
    with pytest.raises(UserError, match="nothing is published there"):
        publish.verify(tmp_path, [])


def test_the_pages_are_a_site_as_well(root, tmp_path):
    shutil.rmtree(tmp_path / "site", ignore_errors=True)
    publish.write_site(root, tmp_path / "site")
    text = (tmp_path / "site" / "imdb" / "index.html").read_text()
    assert "<html" in text
    assert "http-equiv" in text  # whole pages, with their policy


def test_frames_of_what_is_published_have_no_texts_and_say_so(root):
    with pytest.raises(UserError, match="has no texts"):
        frames.texts(frames.Stores.of_published(root), key="imdb/0002")
    assert frames.errors(["imdb/0002"], frames.Stores.of_published(root)).empty


def test_a_table_that_is_damaged_is_named(root):
    (root / "texts.csv").write_text("digest,part\n\x00")
    with pytest.raises(UserError, match=r"texts"):
        frames.predictions(["imdb/0002"], frames.Stores.of_published(root))
