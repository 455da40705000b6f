"""The encoded corpus: what went in comes out, once encoded it stays, and damage never shows as wrong numbers."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from seqclf_core.config import DataConfig
from seqclf_core.corpus import Corpus, Part, load_corpus
from seqclf_core.errors import DataError

PARTS = ("train", "val", "test")
LOAD = """
import sys
from pathlib import Path
from seqclf_core.config import DataConfig
from seqclf_core.corpus import load_corpus
corpus = load_corpus(DataConfig(source=sys.argv[1]), Path(sys.argv[2]))
entry = corpus.tokenizer.parent
print(entry.name, entry.stat().st_ino, corpus.summary.digest, int(corpus.train.tokens.sum()))
print(*sorted({"torch", "datasets", "tokenizers", "sklearn"} & set(sys.modules)))
"""


def reviews(movies: range, seed: int) -> list[dict[str, object]]:
    """Two to five reviews a movie; each says its movie's name, and ends with the verdict."""
    rng = random.Random(seed)
    rows = []
    for movie in movies:
        for _ in range(rng.randint(2, 5)):
            label = rng.randint(0, 1)
            words = rng.choices(["film", "plot", "It's", "the", "music,", "<br />"], k=rng.randint(0, 12))
            text = " ".join([f"Movie{movie}", *words, "bad" if label == 0 else "good"])
            rows.append({"text": text, "label": label, "movie": f"tt{movie}"})
    return rows


def write(folder: Path, train: list[dict[str, object]], test: list[dict[str, object]]) -> str:
    folder.mkdir(exist_ok=True)
    for part, rows in (("train", train), ("test", test)):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "data", reviews(range(60), seed=0), reviews(range(60, 90), seed=1))


def rows_of(source: str, part: str) -> list[dict[str, object]]:
    file = Path(source, "test.jsonl" if part == "test" else "train.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def texts(corpus: Corpus, part: Part) -> list[str]:
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer))
    starts = part.offsets[:-1], part.offsets[1:]
    return [" ".join(map(tokenizer.id_to_token, part.tokens[a:b].tolist())) for a, b in zip(*starts, strict=True)]


def same(one: Corpus, other: Corpus) -> bool:
    arrays = ("tokens", "offsets", "labels", "rows", "groups")
    pairs = [(getattr(one, p), getattr(other, p)) for p in PARTS]
    equal = all(np.array_equal(getattr(a, name), getattr(b, name)) for a, b in pairs for name in arrays)
    return equal and one.summary == other.summary


def test_what_went_in_comes_out(source, tmp_path):
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    train_movies = {row["movie"] for n, row in enumerate(rows_of(source, "train")) if n in corpus.train.rows}
    for name in PARTS:
        part = getattr(corpus, name)
        given = [rows_of(source, name)[row] for row in part.rows]
        assert part.labels.tolist() == [row["label"] for row in given]
        for row, text in zip(given, texts(corpus, part), strict=True):
            expected = str(row["text"]).lower().replace("<br />", "").replace(",", " ,").split()
            # A movie's name is in the vocabulary only where its reviews are in the training part.
            if row["movie"] not in train_movies:
                expected[0] = "[UNK]"
            assert text == " ".join(expected)
    assert corpus.summary.sizes == {name: len(getattr(corpus, name).labels) for name in PARTS}
    assert corpus.summary.vocab_size == Tokenizer.from_file(str(corpus.tokenizer)).get_vocab_size()


def test_groups_are_numbered_alike_in_all_parts_and_stay_on_one_side(source, tmp_path):
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    numbers = {}
    for name in PARTS:
        part = getattr(corpus, name)
        for row, number in zip(part.rows, part.groups, strict=True):
            movie = rows_of(source, name)[row]["movie"]
            assert numbers.setdefault(movie, number) == number
    assert len(set(numbers.values())) == len(numbers) == 90
    assert not set(corpus.train.groups) & set(corpus.val.groups)
    assert (corpus.summary.split, corpus.summary.group_column) == ("group", "movie")


def test_arrays_are_mapped_and_cannot_be_written(source, tmp_path):
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert isinstance(corpus.train.tokens, np.memmap)
    assert corpus.train.tokens.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        corpus.train.tokens[0] = 0


def test_without_groups_the_split_is_random_and_says_so(tmp_path):
    rows = [{"text": "good" if n % 2 else "bad", "label": n % 2} for n in range(40)]
    source = write(tmp_path / "data", rows, rows[:10])
    with pytest.warns(UserWarning, match="no group column"):
        corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert corpus.train.groups is None
    assert (corpus.summary.split, corpus.summary.group_column) == ("random", None)
    with pytest.raises(DataError, match=r"--data\.split random"):
        load_corpus(DataConfig(source=source, split="group"), tmp_path / "cache")


def test_a_test_part_may_do_without_groups(tmp_path):
    test = [{"text": row["text"], "label": row["label"]} for row in reviews(range(60, 70), seed=1)]
    source = write(tmp_path / "data", reviews(range(60), seed=0), test)
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert corpus.summary.split == "group"
    assert corpus.train.groups is not None
    assert corpus.test.groups is None


def test_rows_count_in_the_source_where_bad_ones_are_skipped(source, tmp_path):
    train = rows_of(source, "train")
    train.insert(0, {"text": "", "label": 1, "movie": "tt0"})
    source = write(tmp_path / "data", train, rows_of(source, "test"))
    corpus = load_corpus(DataConfig(source=source, on_bad_row="skip"), tmp_path / "cache")
    assert corpus.summary.skipped == 1
    used = sorted([*corpus.train.rows, *corpus.val.rows])
    assert used == list(range(1, len(train)))
    assert [train[row]["label"] for row in corpus.val.rows] == corpus.val.labels.tolist()


def test_the_digest_tells_data_and_split_and_nothing_else(source, tmp_path):
    def digest(cache="cache", **settings):
        return load_corpus(DataConfig(source=source, **settings), tmp_path / cache).summary.digest

    first = digest()
    assert digest(vocab_size=20) == digest(cache="elsewhere") == digest(split="group") == first
    others = [digest(split_seed=1), digest(split="random"), digest(val_fraction=0.3), digest(limit=60)]
    changed = rows_of(source, "train")
    changed[3]["movie"] = "tt4"
    write(Path(source), changed, rows_of(source, "test"))
    assert len({first, *others, digest()}) == 6


def test_limited_and_synthetic_data_are_called_so(source, tmp_path):
    kinds = {
        name: load_corpus(DataConfig(source=name, limit=limit), tmp_path / "cache").summary.kind
        for name, limit in ((source, 60), ("synthetic", 200))
    }
    assert kinds == {source: "limited", "synthetic": "synthetic"}


def test_the_same_data_gives_the_same_bytes(source, tmp_path):
    entries = [load_corpus(DataConfig(source=source), tmp_path / name).tokenizer.parent for name in ("a", "b")]
    assert entries[0].name == entries[1].name
    assert (entries[0] / "manifest.json").read_bytes() == (entries[1] / "manifest.json").read_bytes()


def test_what_batches_cut_is_not_encoded_again_and_what_shapes_the_ids_is(source, tmp_path):
    def entry(**settings):
        return load_corpus(DataConfig(source=source, **settings), tmp_path / "cache").tokenizer.parent

    assert entry() == entry(max_length=5) == entry(keep="head") == entry(pad="max_length")
    assert len({entry(), entry(vocab_size=20), entry(split_seed=1), entry(val_fraction=0.3)}) == 4


def test_changed_files_are_read_again_and_the_old_state_found_again(source, tmp_path):
    config, cache = DataConfig(source=source), tmp_path / "cache"
    first = load_corpus(config, cache)
    entry, made = first.tokenizer.parent, first.tokenizer.stat().st_mtime_ns

    os.utime(Path(source, "train.jsonl"))  # read again, but known by its content
    assert load_corpus(config, cache).tokenizer.stat().st_mtime_ns == made

    write(Path(source), reviews(range(60), seed=7), rows_of(source, "test"))
    second = load_corpus(config, cache)
    assert second.tokenizer.parent != entry
    assert second.summary.digest != first.summary.digest

    write(Path(source), reviews(range(60), seed=0), rows_of(source, "test"))
    assert same(load_corpus(config, cache), first)


def test_changes_behind_links_are_noticed_and_links_to_nowhere_are_not_followed(source, tmp_path):
    linked = tmp_path / "linked"
    linked.symlink_to(source)
    Path(source, "loop").symlink_to(source)
    Path(source, "gone").symlink_to(tmp_path / "nowhere")
    first = load_corpus(DataConfig(source=str(linked)), tmp_path / "cache")
    write(Path(source), reviews(range(60), seed=7), rows_of(source, "test"))
    second = load_corpus(DataConfig(source=str(linked)), tmp_path / "cache")
    assert second.summary.digest != first.summary.digest


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [cut, zero, Path.unlink])
def test_a_damaged_file_is_made_anew(damage, source, tmp_path):
    config, cache = DataConfig(source=source), tmp_path / "cache"
    first = load_corpus(config, cache)
    whole = {file.name: file.read_bytes() for file in first.tokenizer.parent.iterdir()}
    assert len(whole) == 3 * 5 + 3
    for name in whole:
        damage(first.tokenizer.parent / name)
        again = load_corpus(config, cache)
        assert {file.name: file.read_bytes() for file in again.tokenizer.parent.iterdir()} == whole
    damage(next((cache / "corpus" / "seen").iterdir()))
    assert same(load_corpus(config, cache), again)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a\0b", b"x" * 5000, b"../..", b"[]", b"{}", b"null", b'{"a": 1}']
)
def test_anything_in_place_of_note_or_manifest_is_made_anew(content, source, tmp_path):
    config, cache = DataConfig(source=source), tmp_path / "cache"
    first = load_corpus(config, cache)
    [note] = (cache / "corpus" / "seen").iterdir()
    whole = [note.read_bytes(), (first.tokenizer.parent / "manifest.json").read_bytes()]
    for path in (note, first.tokenizer.parent / "manifest.json"):
        path.write_bytes(content)
        assert same(load_corpus(config, cache), first)
    assert [note.read_bytes(), (first.tokenizer.parent / "manifest.json").read_bytes()] == whole


def start(source: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, source, str(cache)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def test_processes_that_start_at_once_encode_once(source, tmp_path):
    cache = tmp_path / "cache"
    outputs = [process.communicate() for process in [start(source, cache) for _ in range(3)]]
    found, imported = zip(*(output.splitlines() for output, _ in outputs), strict=True)
    assert len(set(found)) == 1  # the same folder, never replaced, and the same numbers in it
    assert sorted(imported)[:2] == ["", ""]  # only one of them read the reviews
    assert "tokenizers" in sorted(imported)[2]
    assert sorted(entry.name for entry in (cache / "corpus").iterdir() if entry.is_dir()) == sorted(
        [found[0].split()[0], "seen"]
    )


def test_a_killed_process_leaves_nothing_that_is_taken_for_an_entry(tmp_path):
    source = write(tmp_path / "data", reviews(range(300), seed=0), reviews(range(300, 600), seed=1))
    process = start(source, tmp_path / "cache")
    while process.poll() is None and not list((tmp_path / "cache").glob("corpus/new-*/tokenizer.json")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert same(corpus, load_corpus(DataConfig(source=source), tmp_path / "elsewhere"))
    assert not list((tmp_path / "cache").glob("corpus/new-*"))
