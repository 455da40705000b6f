"""The encoded corpus: what went in comes out, split as asked, under a digest of its own."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from seqclf_core.config import DataConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import DataError
from tests.core.data.corpus_samples import PARTS, reviews, rows_of, texts, write


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "data", reviews(range(60), seed=0), reviews(range(60, 90), seed=1))


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
    assert (corpus.summary.split_method, corpus.summary.group_column) == ("group", "movie")


def test_arrays_are_mapped_and_cannot_be_written(source, tmp_path):
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert isinstance(corpus.train.tokens, np.memmap)
    assert corpus.train.tokens.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        corpus.train.tokens[0] = 0


def test_without_groups_the_split_is_random_and_says_so(tmp_path):
    rows = [{"text": "good" if n % 2 else "bad", "label": n % 2} for n in range(40)]
    source = write(tmp_path / "data", rows, rows[:10])
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert any("no group column" in note for note in corpus.summary.notes)
    assert corpus.train.groups is None
    assert (corpus.summary.split_method, corpus.summary.group_column) == ("random", None)
    with pytest.raises(DataError, match=r"--data\.split-method random"):
        load_corpus(DataConfig(source=source, split_method="group"), tmp_path / "cache")


def test_a_test_part_may_do_without_groups(tmp_path):
    test = [{"text": row["text"], "label": row["label"]} for row in reviews(range(60, 70), seed=1)]
    source = write(tmp_path / "data", reviews(range(60), seed=0), test)
    corpus = load_corpus(DataConfig(source=source), tmp_path / "cache")
    assert corpus.summary.split_method == "group"
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
    assert digest(vocab_size=20) == digest(cache="elsewhere") == digest(split_method="group") == first
    others = [digest(split_seed=1), digest(split_method="random"), digest(val_fraction=0.3), digest(limit=60)]
    changed = rows_of(source, "train")
    changed[3]["movie"] = "tt4"
    write(Path(source), changed, rows_of(source, "test"))
    assert len({first, *others, digest()}) == 6


def test_limited_and_synthetic_data_are_called_so(source, tmp_path):
    kinds = {
        name: load_corpus(DataConfig(source=name, limit=limit), tmp_path / "cache").summary.data_scope
        for name, limit in ((source, 60), ("synthetic", 200))
    }
    assert kinds == {source: "limited", "synthetic": "synthetic"}
