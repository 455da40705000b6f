"""The door for data: what is right comes in as it is, what is wrong is refused by name."""

import os

import datasets
import numpy as np
import pytest

from seqclf_core.errors import DataError
from tests.core.data.review_files import ROWS, folder, load, write


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_every_kind_of_file_gives_the_same_reviews(tmp_path, suffix):
    reviews = load(folder(tmp_path / "data", suffix=suffix))
    assert reviews.train["text"].to_pylist() == [row["text"] for row in ROWS]
    assert reviews.train["label"].to_pylist() == [row["label"] for row in ROWS]
    assert reviews.train["row"].to_pylist() == list(range(30))
    assert reviews.train["group"].to_pylist() == [row["movie"] for row in ROWS]
    assert reviews.test.num_rows == 10
    assert (reviews.group_column, reviews.skipped, reviews.synthetic) == ("movie", 0, False)
    assert reviews.digest == load(folder(tmp_path / "other", suffix=".jsonl")).digest


def test_columns_have_the_promised_types(tmp_path):
    train = load(folder(tmp_path / "data")).train
    types = {name: str(kind) for name, kind in zip(train.column_names, train.schema.types, strict=True)}
    assert types == {"text": "large_string", "label": "int64", "row": "int64", "group": "large_string"}


def test_texts_that_look_like_something_else_stay_texts(tmp_path):
    texts = [
        "NA",
        "null",
        "007",
        "2020-01-01",
        "true",
        "nan",
        " padded ",
        "=1+1",
        "a\0b",
        "\ufeffb",
        "1e5",
        "None",
    ]
    made = [{"text": text, "label": number % 2} for number, text in enumerate(texts)]
    for suffix in (".csv", ".jsonl", ".parquet"):
        assert load(folder(tmp_path / suffix[1:], made, made, suffix)).train["text"].to_pylist() == texts


@pytest.mark.parametrize(
    "names", [(0, 1), ("0", "1"), ("neg", "pos"), ("Negative", "POSITIVE"), (False, True), (0.0, 1.0)]
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_labels_are_understood_under_their_usual_names(tmp_path, names, suffix):
    made = [{"text": "t", "label": names[number % 2]} for number in range(4)]
    assert load(folder(tmp_path / "data", made, made, suffix)).train["label"].to_pylist() == [0, 1, 0, 1]


def test_labels_of_several_types_in_one_file_are_each_read_as_they_are(tmp_path):
    made = [{"text": "t", "label": label} for label in (0, "1", "pos", True, "negative", 0.0)]
    assert load(folder(tmp_path / "data", made, made, ".jsonl")).train["label"].to_pylist() == [0, 1, 1, 1, 0, 0]


def test_a_class_label_means_its_name_not_its_number(tmp_path):
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["pos", "neg"]))
    made = datasets.Dataset.from_dict({"text": ["good", "bad"], "label": [0, 1]}, features=features)
    for part in ("train", "test"):
        (tmp_path / "data").mkdir(exist_ok=True)
        made.to_parquet(tmp_path / "data" / f"{part}.parquet")
    assert load(tmp_path / "data").train["label"].to_pylist() == [1, 0]


def test_the_hubs_layout_is_read_by_its_readme_and_the_unsupervised_part_never(tmp_path):
    data = tmp_path / "data"
    write(data / "plain_text" / "train-00000-of-00002.parquet", ROWS[:20])
    write(data / "plain_text" / "train-00001-of-00002.parquet", ROWS[20:])
    write(data / "plain_text" / "test-00000-of-00001.parquet", ROWS[:10])
    (data / "plain_text" / "unsupervised-00000-of-00001.parquet").write_bytes(b"not parquet at all")
    splits = "".join(
        f"  - split: {split}\n    path: plain_text/{split}-*.parquet\n"
        for split in ("train", "test", "unsupervised")
    )
    readme = (
        "---\nconfigs:\n- config_name: plain_text\n  default: true\n  data_files:\n" + splits + "---\n# Data\n"
    )
    (data / "README.md").write_text(readme)
    reviews = load(data)
    assert (reviews.train.num_rows, reviews.test.num_rows) == (30, 10)
    assert reviews.train["row"].to_pylist() == list(range(30))
    assert reviews.digest == load(folder(tmp_path / "plain")).digest


def test_changed_content_is_never_taken_from_the_cache(tmp_path):
    data = folder(tmp_path / "data", suffix=".parquet")
    before = load(data).digest
    stat = (data / "train.parquet").stat()
    write(data / "train.parquet", [{**row, "text": row["text"].replace("review", "REVIEW")} for row in ROWS])
    os.utime(data / "train.parquet", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load(data).digest != before


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path, suffix):
    made = [{"opinion": "t", "label": 1}]
    message = r"no column 'text'; its columns are 'opinion', 'label'.*add --data.text-column opinion"
    with pytest.raises(DataError, match=message):
        load(folder(tmp_path / "data", made, made, suffix))
    with pytest.raises(DataError, match="no column 'film'"):
        load(folder(tmp_path / "data", suffix=suffix), group_column="film")


def test_groups_come_from_the_column_that_is_named(tmp_path):
    made = [{**row, "film": f"f{row['movie']}"} for row in ROWS]
    reviews = load(folder(tmp_path / "data", made, ROWS[:4]), group_column="film")
    assert reviews.group_column == "film"
    assert reviews.train["group"][0].as_py() == "ftt0"
    assert "group" not in reviews.test.column_names
    with pytest.raises(DataError, match="is not a group"):
        load(tmp_path / "data", group_column="label")


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_label_that_never_occurs_is_an_error(tmp_path, part):
    one_sided = {part: [row for row in ROWS if row["label"]]}
    with pytest.raises(DataError, match=f"the {part} split has 0 negative"):
        load(folder(tmp_path / "data", **one_sided))


def test_a_file_without_a_test_part_gives_a_fifth_of_its_reviews_by_group(tmp_path):
    reviews = load(write(tmp_path / "all.csv", ROWS))
    assert (reviews.train.num_rows, reviews.test.num_rows) == (24, 6)
    assert not set(reviews.train["group"].to_pylist()) & set(reviews.test["group"].to_pylist())
    assert sorted([*reviews.train["row"].to_pylist(), *reviews.test["row"].to_pylist()]) == list(range(30))
    assert "held out" in reviews.source
    assert reviews.digest == load(tmp_path / "all.csv").digest != load(tmp_path / "all.csv", split_seed=1).digest
    without = load(write(tmp_path / "plain.csv", [{"text": row["text"], "label": row["label"]} for row in ROWS]))
    assert (without.test.num_rows, sum(without.test["label"].to_pylist())) == (6, 3)
    with pytest.raises(DataError, match="no test split"):
        load(write(tmp_path / "few.csv", ROWS[:8]))


def test_a_limit_takes_so_many_of_each_label(tmp_path):
    data = folder(tmp_path / "data", test=ROWS)
    reviews = load(data, limit=11)
    for part in (reviews.train, reviews.test):
        assert part.num_rows == 11
        assert sum(part["label"].to_pylist()) == 5
        assert part["row"].to_pylist() == sorted(set(part["row"].to_pylist()))
        assert all(part["text"][i].as_py() == ROWS[row]["text"] for i, row in enumerate(part["row"].to_pylist()))
    assert reviews.digest == load(data, limit=11).digest != load(data, limit=11, split_seed=1).digest
    with pytest.raises(DataError, match=r"--data.limit 32 asks for 16 and 16. At most 30 can be asked for"):
        load(data, limit=32)


@pytest.mark.parametrize("cut", [0, 4, 200, -1])
def test_a_broken_parquet_file_is_named(tmp_path, cut):
    data = folder(tmp_path / "data", suffix=".parquet")
    content = (data / "train.parquet").read_bytes()
    (data / "train.parquet").write_bytes(content[:cut])
    with pytest.raises(DataError, match=r"train\.parquet"):
        load(data)


def test_what_cannot_be_a_source_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder or file"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to train on"):
        load(tmp_path / "empty")
    (tmp_path / "notes.docx").write_text("hello")
    with pytest.raises(DataError, match=r"expected a file that ends with .parquet, .arrow, .csv"):
        load(tmp_path / "notes.docx")
    write(tmp_path / "half" / "test.csv", ROWS)
    with pytest.raises(DataError, match="nothing to train on"):
        load(tmp_path / "half")
    for suffix in (".csv", ".jsonl"):
        (tmp_path / f"empty{suffix}").write_text("")
        with pytest.raises(DataError):
            load(tmp_path / f"empty{suffix}")


def test_nothing_is_written_beside_the_data(tmp_path):
    data = folder(tmp_path / "data", suffix=".parquet")
    before = sorted(data.rglob("*"))
    load(data)
    assert sorted(data.rglob("*")) == before


def test_the_digest_tells_texts_labels_and_groups_apart(tmp_path):
    made = [[dict(row) for row in ROWS] for _ in range(4)]
    made[1][0]["text"] += "."
    made[2][0]["label"], made[2][1]["label"] = 1, 0
    made[3][0]["movie"] = "tt99"
    digests = {load(folder(tmp_path / str(number), train)).digest for number, train in enumerate(made)}
    assert len(digests) == 4
    assert np.all([len(digest) == 64 for digest in digests])
