"""Soft labels and word vectors: what a student reads, what it never sees, and that it goes on where it was."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from seqclf_core.classification import ClassificationTask, learned_from
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus, load_corpus
from seqclf_core.data.reviews import load_reviews
from seqclf_core.data.soft_labels import each_text, joined, read_soft_labels, soft_split, write_soft_labels
from seqclf_core.errors import DataError, SavedError, UserError
from seqclf_core.events import Finished, Progress, Saved, Started
from seqclf_core.next_word import NextWordTask
from seqclf_core.places import beside, located
from seqclf_core.run import run
from seqclf_core.vectors import load_vectors, save_vectors, start_from_vectors
from tests.core.run_events import curve

NEW = ["superb superb plot", "dull dull plot", "the plot was dull and hollow and dull"]


@pytest.fixture
def corpus(small: RunConfig, cache: Path) -> Corpus:
    return load_corpus(small.data, cache)


@pytest.fixture
def texts(small: RunConfig, corpus: Corpus) -> dict[str, str]:
    """A text of each split."""
    reviews = load_reviews(small.data)
    of_row = dict(zip(reviews.train["row"].to_pylist(), reviews.train["text"].to_pylist(), strict=True))
    return {
        "train": of_row[int(corpus.train.rows[0])],
        "val": of_row[int(corpus.val.rows[0])],
        "test": reviews.test["text"][0].as_py(),
    }


def test_a_student_never_sees_a_held_out_text_nor_one_twice(
    small: RunConfig, corpus: Corpus, texts: dict[str, str], tmp_path: Path
) -> None:
    copies = [texts["val"].upper(), f"  {texts['test']}<br />", texts["train"], *NEW, NEW[0].upper()]
    write_soft_labels(tmp_path, copies, np.linspace(0, 1, len(copies)))
    soft = soft_split(tmp_path, corpus)
    assert soft.rows.tolist() == [3, 4, 5]
    assert soft.labels == pytest.approx([0.5, 4 / 6, 5 / 6])
    config = small.override({"train.soft_labels": str(tmp_path)})
    learned, data = learned_from(config, corpus)
    read = list(each_text(learned.tokens, learned.offsets))
    held_out = {text for part in (corpus.val, corpus.test) for text in each_text(part.tokens, part.offsets)}
    of_train = set(each_text(corpus.train.tokens, corpus.train.offsets))
    assert not (set(read) - of_train) & held_out
    assert len(read) == len(corpus.train.labels) + 3 == data.sizes["train"]
    assert data.sizes["soft"] == 3
    assert data.digest == corpus.summary.digest  # validated and tested on the same texts as all others
    write_soft_labels(tmp_path, copies[:3], np.ones(3))
    with pytest.raises(DataError, match="nothing more to learn"):
        soft_split(tmp_path, corpus)


@pytest.mark.parametrize("harm", [b"", b"PAR1", None])
def test_what_holds_no_probabilities_is_refused(harm: bytes | None, tmp_path: Path) -> None:
    write_soft_labels(tmp_path / "soft", ["one"], np.array([1.5]))
    if harm is not None:
        (tmp_path / "soft" / "texts.parquet").write_bytes(harm)
    with pytest.raises(DataError, match=r"texts\.parquet"):
        read_soft_labels(tmp_path / "soft")


def test_joined_splits_hold_all_texts_in_order(corpus: Corpus) -> None:
    both = joined([corpus.val, corpus.test])
    wanted = [
        *each_text(corpus.val.tokens, corpus.val.offsets),
        *each_text(corpus.test.tokens, corpus.test.offsets),
    ]
    assert list(each_text(both.tokens, both.offsets)) == wanted
    assert both.labels.tolist() == [*corpus.val.labels, *corpus.test.labels]


def student(small: RunConfig, folder: Path) -> RunConfig:
    write_soft_labels(folder, NEW, np.array([0.9, 0.1, 0.2]))
    changes = {"train.soft_labels": str(folder), "train.batch_tokens": 90, "train.patience": 99}
    return small.override(changes)


def test_a_student_with_batches_of_tokens_is_resumed_to_the_same_end(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    config = student(small, tmp_path / "soft")
    whole = list(run(config, tmp_path / "one", cache))
    with closing(run(config, tmp_path / "two", cache)) as events:
        for _ in range(3):
            next(event for event in events if isinstance(event, Saved))
    assert curve(run(config, tmp_path / "two", cache)) == curve(whole)
    marks = [event.epoch for event in whole if isinstance(event, Progress)]
    assert marks == pytest.approx([0.5, 1, 1.5, 2, 2.5, 3], abs=0.02)


def test_a_refit_learns_from_both_splits_and_is_not_validated(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    changes = {"train.learn_from": "train_and_val", "train.ema_decay": 0.9, "train.epochs": 2}
    config = student(small, tmp_path / "soft").override(changes)
    started, *middle, end = run(config, tmp_path / "one", cache)
    assert isinstance(started, Started)
    assert isinstance(end, Finished)
    assert "val" not in started.data.sizes
    assert started.data.sizes["train"] == 360 + 3
    assert all(isinstance(event, Saved) for event in middle)
    assert end.files.keys() == {"model", "test_predictions"}
    assert end.metrics.keys() == {"test/loss", "test/accuracy", "total_seconds"}
    assert end.metrics["test/accuracy"] > 0.9
    with closing(run(config, tmp_path / "two", cache)) as events:
        next(event for event in events if isinstance(event, Saved))
    assert curve(run(config, tmp_path / "two", cache)) == curve([started, end])


def test_models_start_from_vectors_of_the_words_that_they_know(
    small: RunConfig, corpus: Corpus, tmp_path: Path, cache: Path
) -> None:
    ours = Tokenizer.from_file(str(corpus.tokenizer))
    vectors = torch.randn(corpus.summary.vocab_size, 8, generator=torch.Generator().manual_seed(0))
    save_vectors(tmp_path / "vectors", vectors, corpus.tokenizer)
    assert torch.equal(load_vectors(tmp_path / "vectors")[0], vectors)
    config = small.override({"model.init_from": str(tmp_path / "vectors")})
    task = ClassificationTask.of(config, corpus)
    assert torch.equal(task.model.encoder.embedding.weight[1:], vectors[1:])
    assert not task.model.encoder.embedding.weight[0].any()
    tagger = NextWordTask.of(config, tmp_path / "run", cache)
    assert torch.equal(tagger.model.encoder.embedding.weight[1:], vectors[1:])
    fewer = load_corpus(small.data.model_copy(update={"vocab_size": 16}), cache)
    other = ClassificationTask.of(config, fewer).model.encoder.embedding.weight
    ids = Tokenizer.from_file(str(fewer.tokenizer)).get_vocab()
    assert all(torch.equal(other[id_], vectors[ours.token_to_id(word)]) for word, id_ in ids.items() if id_)
    with pytest.raises(UserError, match=r"set model\.embed_dim=8"):
        ClassificationTask.of(config.override({"model.embed_dim": 9}), corpus)
    (tmp_path / "vectors" / "vectors.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(SavedError, match="word vectors"):
        start_from_vectors(task.model.encoder, tmp_path / "vectors", ours)


def test_a_folder_beside_the_runs_is_found_wherever_they_lie(tmp_path: Path) -> None:
    here, there, elsewhere = tmp_path / "here" / "work", tmp_path / "there" / "work", tmp_path / "vectors"
    named = {
        "model.init_from": beside(here / "word_vectors" / "1f0c" / "vectors", here),
        "train.soft_labels": beside(elsewhere, here),
    }
    config = RunConfig().override(named)
    found = located(config, there / "record" / "0000")
    assert found.model.init_from == str(there / "word_vectors" / "1f0c" / "vectors")
    assert found.train.soft_labels == str(elsewhere)
    assert found.override(named) == config
