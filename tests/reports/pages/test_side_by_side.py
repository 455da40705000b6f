"""The same effects on several data sets stand side by side, and no page calls one data set two."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from reports import frames
from reports.pages.side_by_side import rows, said
from reports.write import COMPARED, write_comparison
from seqclf_core.config import ReviewsConfig
from seqclf_core.data.encoding import divide
from seqclf_core.data.reviews import load_reviews
from seqclf_core.errors import UserError
from tests.reports.recorded_lists import factors_of
from tests.reports.recorded_runs import MadeUp


def texts(folder: Path, name: str, good: str, order: int = 1) -> str:
    """Write a tiny data set of a user: other columns, texts of three lines, no groups, no test split."""
    lines = [f'"{good if at % 2 else "awful"}\ntext {at}\nends",{at % 2}\n' for at in range(40)]
    (folder / name).write_text("sentence,sentiment\n" + "".join(lines[::order]))
    return str(folder / name)


def test_a_data_set_is_what_was_read_however_it_is_split_drawn_or_ordered(tmp_path: Path) -> None:
    source, other = texts(tmp_path, "one.csv", "great"), texts(tmp_path, "two.csv", "fine")
    turned = texts(tmp_path, "turned.csv", "great", order=-1)
    ways = [
        ReviewsConfig(source=source, split_seed=seed, limit=limit, train_limit=train_limit)
        for seed, limit, train_limit in ((0, None, None), (1, None, None), (2, 8, None), (3, None, 6))
    ]
    read = [load_reviews(config) for config in [*ways, ReviewsConfig(source=turned)]]
    assert len({reviews.data_set for reviews in read}) == 1
    divisions = {divide(reviews, config).digest for reviews, config in zip(read, ways, strict=False)}
    assert len(divisions) == len(ways)
    assert load_reviews(ReviewsConfig(source=other)).data_set != read[0].data_set


def study(name: str, data_set: str, source: str) -> tuple[list[MadeUp], dict]:
    """Make a study of factors whose blocks split one data set in a way of their own."""
    runs, notes = factors_of(2)
    made = [
        replace(
            run,
            study=name,
            digest=f"{run.tags['seqclf.block']}{name}".ljust(64, "0"),
            tags={
                **run.tags,
                "used.data_set": data_set,
                "used.source": f"{source} (no test split: a fifth held out as such, seed {run.number})",
            },
        )
        for run in runs
    ]
    uid = hashlib.sha256(f"{name}{source}".encode()).hexdigest()[:16]
    return made, {name: {tag: value.replace("f" * 16, uid) for tag, value in notes["factors"].items()}}


@pytest.fixture(scope="module")
def folders(fill) -> list[Path]:
    """Two folders of runs: two data sets in the first, one of them again, and an old study, in the second."""
    made = []
    for of_folder in (
        [study("ours", "a" * 64, "/data/ours.csv"), study("theirs", "b" * 64, "/data/theirs.csv")],
        [study("ours", "a" * 64, "/elsewhere/ours.csv"), study("old", "", "/data/ours.csv")],
    ):
        runs = [run for each, _ in of_folder for run in each]
        stores = fill(runs, notes={name: told for _, notes in of_folder for name, told in notes.items()})
        assert stores.cache
        made.append(stores.cache.parent)
    return made


def test_each_effect_stands_side_by_side_and_data_sets_are_told_to_be_no_sample(folders, tmp_path) -> None:
    first, *pages = write_comparison(frames.Stores.under(folders[0]), tmp_path, ["ours", "theirs"], [])
    assert first.path == tmp_path / COMPARED / "index.html"
    assert {page.path for page in pages} == {
        first.path.parent / name / "index.html" for name in ("ours", "theirs")
    }
    told, no_sample, *_ = first.answer
    assert told == "2 studies of factors on 2 data sets: ours on ours.csv; theirs on theirs.csv."
    assert no_sample.startswith("Two data sets are no sample of data sets")
    found = pd.read_csv(tmp_path / COMPARED / "effects_by_data_set.csv")
    assert (found.groupby("effect")["data_set"].unique().map(list) == [["ours.csv", "theirs.csv"]] * 7).all()
    own = pd.read_csv(tmp_path / COMPARED / "ours" / "effects.csv").set_index("contrast")
    shown = found[found["study"] == "ours"].set_index("effect")
    for here, there in (("value", "trimmed"), ("low", "trimmed_low"), ("high", "trimmed_high")):
        assert shown[here].to_numpy() == pytest.approx(own.loc[shown.index, there].to_numpy())
    assert set(found["blocks"]) == {2}
    text = (tmp_path / COMPARED / "report.md").read_text()
    assert (
        "Over several splits of ours.csv" in text
    )  # what they answer is told, and no score is set beside another
    assert "ours/index.html" in (tmp_path / COMPARED / "index.html").read_text()


def test_two_studies_of_one_data_set_are_not_called_two_data_sets(folders, tmp_path) -> None:
    [first, *_] = write_comparison(frames.Stores.under(folders[0]), tmp_path, ["ours", "old"], [folders[1]])
    again = f"ours ({folders[1]})"
    repeated, left_out = first.answer
    assert repeated.startswith(f"ours and {again} read one data set, ours.csv, and not two")
    assert left_out.startswith(f"Left out: old ({folders[1]}), whose records do not say")
    assert not any("no sample" in sentence for sentence in first.answer)
    with pytest.raises(UserError, match=r"No study missing.*There are: ours, theirs"):
        write_comparison(frames.Stores.under(folders[0]), tmp_path, ["missing"], [])


def test_a_copy_of_a_study_is_no_study_beside_it(folders, tmp_path) -> None:
    written = write_comparison(frames.Stores.under(folders[0]), tmp_path, ["theirs"], [folders[0]])
    assert len(written) == 2
    assert written[0].answer == []


def test_an_effect_that_one_study_alone_has_is_not_shown() -> None:
    assert rows([]).empty
    assert list(said([])) == []
