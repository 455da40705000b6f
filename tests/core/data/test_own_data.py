"""People's own files: read at the first try, or refused with the flag to add; nothing is dropped unsaid."""

import gzip
import json
import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqclf_core.config import DataConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.reviews import load_reviews
from seqclf_core.errors import DataError
from tests.core.data.review_files import ROWS, folder, load, write

PLAIN = [{"text": f"text {number}, such as it is", "label": number % 2} for number in range(30)]
README = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': pos
          '1': neg
---
"""


def notes(source: Path, **settings: object) -> str:
    return "\n".join(load(source, **settings).notes)


def lines(rows: list[dict[str, object]], between: str = "\t", head: bool = True) -> str:
    names = [between.join(rows[0])] if head else []
    return "".join(f"{line}\n" for line in [*names, *(between.join(map(str, row.values())) for row in rows)])


# Which files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fold[1]", "fold*", "fold?", "fo{1,2}ld", "~fold", "50% fold#1"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_path_is_no_pattern_and_nothing_beside_it_is_read(tmp_path: Path, name: str, suffix: str) -> None:
    for sibling in ("fold1", "fold2", "fold"):
        folder(tmp_path / sibling, [*ROWS, *ROWS], suffix=suffix)
    data = folder(tmp_path / name, suffix=suffix)
    assert load(data).train["row"].to_pylist() == list(range(30))
    assert load(data / f"train{suffix}").train.num_rows == 24


def test_a_file_that_names_two_splits_is_all_data_where_it_is_alone_and_else_refused(tmp_path: Path) -> None:
    alone = write(tmp_path / "data" / "reviews_train_test.csv", ROWS)
    reviews = load(alone.parent)
    assert (reviews.train.num_rows, reviews.test.num_rows) == (24, 6)
    assert "a fifth held out" in reviews.source
    write(tmp_path / "two" / "training-data.csv", ROWS)
    write(tmp_path / "two" / "training-data-for-testing.csv", ROWS[:10])
    with pytest.raises(DataError, match=r"training-data-for-testing\.csv: its name says test and train.*Rename"):
        load(tmp_path / "two")


def test_shards_of_several_formats_are_one_split(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "train-part1.csv", ROWS[:10])
    write(data / "train-part2.jsonl", ROWS[10:20])
    write(data / "train-part3.parquet", ROWS[20:])
    write(data / "Testing" / "shard.csv", ROWS[:10])
    reviews = load(data)
    assert reviews.train["text"].to_pylist() == [row["text"] for row in ROWS]
    assert reviews.test.num_rows == 10


def test_two_copies_of_a_file_are_refused(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    write(data / "train.parquet", ROWS)
    with pytest.raises(DataError, match="two files of one name for the split train"):
        load(data)


def test_what_was_taken_and_what_was_left_over_is_said(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    for stray in ("notes.docx", "more.csv", "train.xlsx"):
        (data / stray).write_text("text,label\n")
    for ignored in ("README.md", "convert.py", ".hidden.csv", "LICENSE"):
        (data / ignored).write_bytes(b"---\nFilmkritiken f\xfcr: alle: {\n---\n")
    said = notes(data)
    assert "train from train.csv; test from test.csv" in said
    assert "left over" in said
    assert all(name in said for name in ("notes.docx", "more.csv", "train.xlsx"))
    assert not any(name in said for name in ("convert.py", ".hidden", "LICENSE"))


def test_names_are_read_in_upper_case_too(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS).rename(tmp_path / "TRAIN.CSV")
    write(tmp_path / "Data" / "Test" / "a.jsonl", ROWS[:10]).rename(tmp_path / "Data" / "Test" / "A.JsonL")
    reviews = load(tmp_path)
    assert (reviews.train.num_rows, reviews.test.num_rows) == (30, 10)


def test_files_whose_names_tell_nothing_are_asked_about(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, ROWS)
    with pytest.raises(DataError, match=r"do not tell which is for training .*a\.csv, b\.csv"):
        load(tmp_path)


def test_a_link_to_a_folder_elsewhere_is_not_followed(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    write(tmp_path / "elsewhere" / "train-2.csv", ROWS)
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    assert load(data).train.num_rows == 30


@pytest.mark.parametrize("name", ["validation.csv", "dev.csv", "VAL.csv"])
def test_a_validation_file_is_the_validation_split_or_is_said_not_to_be(tmp_path: Path, name: str) -> None:
    data = folder(tmp_path / "data", ROWS[:20])
    write(data / name, ROWS[20:])
    corpus = load_corpus(DataConfig(source=str(data)), tmp_path / "cache")
    assert corpus.summary.sizes == {"train": 20, "val": 10, "test": 10}
    assert corpus.summary.split_method == "given"
    assert corpus.val.rows.tolist() == list(range(20, 30))
    assert any(name in note and "used as the validation split" in note for note in corpus.summary.notes)
    drawn = load_corpus(DataConfig(source=str(data), split_method="random"), tmp_path / "cache").summary
    assert drawn.sizes["train"] + drawn.sizes["val"] == 20
    assert any(name in note and "not used" in note for note in drawn.notes)
    (data / name).unlink()
    with pytest.raises(DataError, match="no validation file"):
        load(data, split_method="given")


@pytest.mark.parametrize("labels", [("neg", "pos"), ("negative", "Positive")])
@pytest.mark.parametrize("name", ["extra-{}.txt", "review_{:03}.TXT", "{}_9.txt", "{}"])
def test_texts_in_folders_of_their_label_have_any_names(
    tmp_path: Path, labels: tuple[str, str], name: str
) -> None:
    for split, count in (("train", 30), ("test", 10)):
        for number in range(count):
            file = tmp_path / split / labels[number % 2] / name.format(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{split} {number}")
    reviews = load(tmp_path)
    assert (reviews.train.num_rows, reviews.test.num_rows) == (30, 10)
    for text, label in zip(reviews.train["text"].to_pylist(), reviews.train["label"].to_pylist(), strict=True):
        assert int(text.split()[1]) % 2 == label
    shutil.rmtree(tmp_path / "test")
    for file in (tmp_path / "train").iterdir():
        file.rename(tmp_path / file.name)
    (tmp_path / "train").rmdir()
    assert load(tmp_path).train.num_rows == 24


def test_what_datasets_saved_to_disk_is_read(tmp_path: Path) -> None:
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["pos", "neg"]))
    made = datasets.Dataset.from_dict({name: [row[name] for row in PLAIN] for name in PLAIN[0]}, features=features)
    datasets.DatasetDict(train=made, test=made.select(range(10))).save_to_disk(tmp_path / "both")
    reviews = load(tmp_path / "both")
    assert (reviews.train.num_rows, reviews.test.num_rows) == (30, 10)
    assert reviews.train["label"].to_pylist() == [1 - row["label"] for row in PLAIN]
    assert not any("left over" in note for note in reviews.notes)
    made.save_to_disk(tmp_path / "one", num_shards=2)
    assert load(tmp_path / "one").train.num_rows == 24


# What is in them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_class_names_beside_the_data_are_kept(tmp_path: Path, suffix: str) -> None:
    data = folder(tmp_path / "data", PLAIN, PLAIN[:10], suffix)
    (data / "README.md").write_text(README)
    assert load(data).train["label"].to_pylist() == [1 - row["label"] for row in PLAIN]


@pytest.mark.parametrize(
    "head",
    ["Filmkritiken f\xfcr alle\n".encode("latin-1"), b"---\ntitle: Reviews: all of them\n---\n", b"\x00\xff"],
)
def test_a_readme_of_any_bytes_keeps_no_data_from_being_read(tmp_path: Path, head: bytes) -> None:
    data = folder(tmp_path / "data", PLAIN, PLAIN[:10])
    (data / "README.md").write_bytes(head)
    reviews = load(data)
    assert reviews.train["label"].to_pylist() == [row["label"] for row in PLAIN]
    assert any("README.md: its head cannot be read" in note for note in reviews.notes) == (b"title" in head)


def test_class_names_are_kept_in_latin1_and_asked_for_where_they_cannot_be_told(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", PLAIN, PLAIN[:10])
    (data / "README.md").write_bytes(README.replace("---\n", "---\ntitle: f\xfcr alle\n", 1).encode("latin-1"))
    assert load(data).train["label"].to_pylist() == [1 - row["label"] for row in PLAIN]
    (data / "README.md").write_text(README.replace("---\n", "---\ntitle: Reviews: all\n", 1))
    with pytest.raises(DataError, match=r"README\.md.*names the classes.*--data\.labels"):
        load(data)
    assert load(data, labels="0=1,1=0").train["label"].to_pylist() == [1 - row["label"] for row in PLAIN]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint8(), pa.int32(), pa.float32(), pa.field("label", pa.int64(), False)]
)
def test_class_names_in_parquet_are_kept_whatever_the_numbers_type(tmp_path: Path, kind: pa.DataType) -> None:
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["pos", "neg"]))
    field = kind if isinstance(kind, pa.Field) else pa.field("label", kind)
    schema = pa.schema([pa.field("text", pa.string()), field], metadata=features.arrow_schema.metadata)
    pq.write_table(pa.Table.from_pylist(PLAIN, schema), tmp_path / "one.parquet")
    reviews = load(tmp_path / "one.parquet")
    labels = dict(zip(reviews.train["text"].to_pylist(), reviews.train["label"].to_pylist(), strict=True))
    assert all(labels.get(row["text"], 1 - row["label"]) == 1 - row["label"] for row in PLAIN)


def test_the_usual_csv_of_imdb_is_read_at_the_first_try(tmp_path: Path) -> None:
    made = [{"review": row["text"], "sentiment": ("negative", "positive")[row["label"]]} for row in PLAIN]
    reviews = load(write(tmp_path / "IMDB Dataset.csv", made))
    assert (reviews.train.num_rows, reviews.test.num_rows) == (24, 6)
    assert any("no test split: 6 texts, a fifth, are held out" in note for note in reviews.notes)


def test_sst2_is_read_with_its_head_and_without_it_the_flag_is_told(tmp_path: Path) -> None:
    made = [{"sentence": f'"quoted" {row["text"]}', "label": row["label"]} for row in PLAIN]
    (tmp_path / "train.tsv").write_text(lines(made))
    (tmp_path / "dev.tsv").write_text(lines(made[:10]))
    (tmp_path / "test.tsv").write_text(lines(made[:10]))
    assert load(tmp_path).test["text"].to_pylist() == [row["sentence"] for row in made[:10]]
    bare = tmp_path / "bare.tsv"
    bare.write_text(lines(made, head=False))
    with pytest.raises(DataError, match=r"add --data\.columns text,label"):
        load(bare)
    assert load(bare, columns="text,label").train.num_rows == 24


@pytest.mark.parametrize(("name", "between"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_what_divides_fields_is_seen(tmp_path: Path, name: str, between: str) -> None:
    made = [{"text": f"text {number}", "label": number % 2, "movie": f"m{number}"} for number in range(30)]
    (tmp_path / name).write_text(lines(made, between))
    assert load(tmp_path / name).group_column == "movie"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_packed_files_are_read_and_broken_ones_named(tmp_path: Path, suffix: str) -> None:
    plain = write(tmp_path / f"plain{suffix}", ROWS)
    packed = tmp_path / f"packed{suffix}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load(packed).digest == load(plain).digest
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"packed.*\.gz: cannot be unpacked"):
        load(packed)


def test_a_json_array_is_read_and_its_bad_rows_are_named(tmp_path: Path) -> None:
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps(PLAIN, indent=1))
    assert load(file).train.num_rows == 24
    file.write_text(json.dumps([*PLAIN, {"text": "no label"}, 7]))
    with pytest.raises(DataError, match=r"reviews\.json, row 30: there is no label"):
        load(file)
    assert load(file, on_bad_row="skip").skipped == 2


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_other_encodings_are_read_or_asked_for(tmp_path: Path, suffix: str) -> None:
    made = [{**row, "text": f"café {row['text']}"} for row in PLAIN]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    if suffix == ".csv":
        text = "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in made)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(text.encode())
    expected = load(file).digest
    file.write_bytes(text.encode("utf-16"))  # with its mark
    assert load(file).digest == expected
    file.write_bytes(text.encode("utf-16-le"))
    with pytest.raises(DataError, match=r"looks like UTF-16.*--data\.encoding utf-16-le"):
        load(file)
    assert load(file, encoding="utf-16-le").digest == expected
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"not valid UTF-8.*--data\.encoding"):
        load(file)
    assert load(file, encoding="latin-1").digest == expected
    for wrong in ("ascii", "no-such-codec"):
        with pytest.raises(DataError, match=f"cannot be read with --data.encoding {wrong}"):
            load(file, encoding=wrong)


def test_columns_are_named_and_labels_explained(tmp_path: Path) -> None:
    made = [{"Body": row["text"], "stars": row["label"] + 1, "id": number} for number, row in enumerate(PLAIN)]
    file = write(tmp_path / "a.csv", made)
    with pytest.raises(DataError, match=r"'Body', 'stars', 'id'\. .*text-column NAME --data.label-column NAME"):
        load(file)
    with pytest.raises(DataError, match=r"no column 'label'; .*--data.label-column"):
        load(file, text_column="Body")
    named = {"text_column": "Body", "label_column": "stars"}
    with pytest.raises(DataError, match=r"unknown label '2'.*two labels '1', '2': .*--data\.labels 1=0,2=1"):
        load(file, **named)
    reviews = load(file, labels="1=0,2=1", **named)
    assert load(file, labels="2=0, 1=1", **named).digest != reviews.digest
    with pytest.raises(DataError, match="expected which value is which"):
        load(file, labels="1=0", **named)


def test_more_than_two_classes_are_refused_clearly(tmp_path: Path) -> None:
    made = [
        {"text": row["text"], "label": ("good", "bad", "so so")[number % 3]} for number, row in enumerate(PLAIN)
    ]
    file = write(tmp_path / "a.csv", made)
    with pytest.raises(DataError, match=r"3 different labels .*two can be told apart.*--data\.labels"):
        load(file)
    reviews = load(file, labels="Good=1,bad=0", on_bad_row="skip")
    assert reviews.skipped == 10


def test_groups_can_be_left_alone(tmp_path: Path) -> None:
    made = [{**row, "group": "A" if number % 4 else ""} for number, row in enumerate(PLAIN)]
    data = folder(tmp_path / "data", made, PLAIN[:10])
    with pytest.raises(DataError, match=r"there is no group.*--data\.group-column none"):
        load(data)
    assert load(data, group_column="none").group_column is None
    reviews = load(data, split_method="random")
    assert "group" not in reviews.train.column_names
    assert any("'group' is not used" in note for note in reviews.notes)
    two = write(tmp_path / "ab.csv", [{**row, "group": "AB"[number % 2]} for number, row in enumerate(PLAIN)])
    with pytest.raises(DataError, match=r"too little to hold one out.*or --data\.group-column none"):
        load(two)
    assert load(two, group_column="none").train.num_rows == load(two, split_method="random").train.num_rows == 24


def test_a_shard_without_labels_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", PLAIN)
    write(tmp_path / "train-00001-of-00002.parquet", [{"text": "no label"}])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet: there is no column 'label'"):
        load(tmp_path)


def test_messages_speak_of_texts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="texts") as raised:
        load(folder(tmp_path / "data", [row for row in PLAIN if row["label"]]))
    assert "review" not in str(raised.value).replace(str(tmp_path), "")


# Duplicates, and fewer labels ----------------------------------------------------------------------------


def test_duplicates_are_counted_and_said_and_dropped_from_training_alone(tmp_path: Path) -> None:
    twice = [*PLAIN, PLAIN[0], {"text": "of its own", "label": 1}]
    data = folder(tmp_path / "data", twice, [PLAIN[0], PLAIN[3], PLAIN[3], {"text": "new", "label": 0}])
    write(data / "validation.csv", [PLAIN[5], {"text": "seen nowhere", "label": 0}])
    kept = load_corpus(DataConfig(source=str(data)), tmp_path / "cache")
    assert kept.summary.duplicates == {"test_in_train": 3, "val_in_train": 1, "within_test": 1}
    assert any("3 test texts and 1 validation texts" in note for note in kept.summary.notes)
    dropped = load_corpus(DataConfig(source=str(data), duplicates="drop"), tmp_path / "cache")
    assert dropped.summary.sizes == {"train": 28, "val": 2, "test": 4}
    assert not {0, 3, 5, 30} & set(dropped.train.rows.tolist())
    assert dropped.summary.duplicates == kept.summary.duplicates
    assert dropped.summary.digest != kept.summary.digest
    assert np.array_equal(dropped.test.rows, kept.test.rows)


def test_a_limit_of_training_texts_leaves_the_other_splits_whole(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", PLAIN, PLAIN[:10])

    def corpus(**settings: object) -> object:
        return load_corpus(DataConfig.model_validate({"source": str(data), **settings}), tmp_path / "cache")

    whole, some, other = corpus(), corpus(train_limit=10), corpus(train_limit=10, train_limit_seed=1)
    assert some.summary.sizes == {**whole.summary.sizes, "train": 10}
    assert np.bincount(some.train.labels).tolist() == [5, 5]
    assert set(some.train.rows) < set(whole.train.rows)
    for each in (some, other):
        assert np.array_equal(each.val.rows, whole.val.rows)
        assert np.array_equal(each.test.rows, whole.test.rows)
    assert not np.array_equal(some.train.rows, other.train.rows)
    assert (whole.summary.data_scope, some.summary.data_scope) == ("whole", "limited")
    assert len({each.summary.digest for each in (whole, some, other)}) == 3
    with pytest.raises(DataError, match=r"--data\.train-limit 30 asks for 15 and 15"):
        corpus(train_limit=30)


# The cache, and rights -----------------------------------------------------------------------------------


def test_labels_corrected_in_a_file_of_the_same_size_and_time_are_read_anew(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", PLAIN, PLAIN[:10])
    config = DataConfig(source=str(data), split_method="random")
    for file in data.iterdir():
        os.utime(file, (1, 1))
    first = load_corpus(config, tmp_path / "cache")
    swap = str.maketrans("01", "10")
    for file in data.iterdir():
        head, *rows = file.read_bytes().decode().splitlines(keepends=True)
        content = head + "".join(row[: row.rindex(",")] + row[row.rindex(",") :].translate(swap) for row in rows)
        assert len(content) == file.stat().st_size
        file.write_bytes(content.encode())
        os.utime(file, (1, 1))
    again = load_corpus(config, tmp_path / "cache")
    labels = [
        dict(zip(each.train.rows.tolist(), each.train.labels.tolist(), strict=True)) for each in (first, again)
    ]
    assert all(labels[1][row] == 1 - label for row, label in labels[0].items() if row in labels[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root can")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    locked = folder(tmp_path / "locked", PLAIN, PLAIN[:10])
    one = folder(tmp_path / "one", PLAIN, PLAIN[:10])
    locked.chmod(0)
    (one / "train.csv").chmod(0)
    for above in [tmp_path, *tmp_path.parents]:
        if not above.stat().st_mode & 0o001:
            above.chmod(0o755)
    os.seteuid(65534)
    try:
        for source in (locked, locked / "train.csv", one):
            with pytest.raises(DataError, match=r"cannot be (read|used): Permission denied"):
                load_corpus(DataConfig(source=str(source)), tmp_path / "cache")
    finally:
        os.seteuid(0)
        locked.chmod(0o755)
    with pytest.raises(DataError, match=r"cannot be used"):
        load_corpus(DataConfig(source=str(locked)), locked / "train.csv")
    assert load_reviews(DataConfig(source=str(one))).train.num_rows == 30
