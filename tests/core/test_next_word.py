"""A next-word language model: what it reads and decides, that it learns, and that it resumes where it was."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqclf_core.config import DataConfig, ModelConfig, RunConfig
from seqclf_core.data.batches import EncodedSplit
from seqclf_core.data.cache import load_corpus
from seqclf_core.data.vocabulary import UNK
from seqclf_core.errors import UserError
from seqclf_core.events import Finished, Progress, Saved, Started
from seqclf_core.models import SequenceTagger
from seqclf_core.next_word import TAGGER, chunks, next_word_loss, train_language_model
from seqclf_core.run import run
from seqclf_core.training.checkpoint import load_tagger, read_tensors
from seqclf_core.training.skeleton import CHECKPOINT
from tests.core.run_events import curve

CPU = torch.device("cpu")


@pytest.fixture
def settings(small: RunConfig) -> RunConfig:
    return small.override({"train.epochs": 2, "train.patience": 100})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "model.safetensors")[0]


def test_it_learns_what_follows_and_starts_a_classifier(settings: RunConfig, tmp_path: Path, cache: Path) -> None:
    started, *middle, finished = train_language_model(settings.override({"train.epochs": 6}), tmp_path, cache)
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    corpus = load_corpus(settings.data, cache)
    assert started.data.sizes["train"] == len(corpus.train.labels)  # no unlabelled ones here, a chunk each
    losses = [event.metrics["val/loss"] for event in middle if isinstance(event, Progress)]
    words = np.bincount(corpus.train.tokens)
    frequencies = words[words > 0] / words.sum()
    entropy = -(frequencies * np.log(frequencies)).sum()  # of a guess by frequency alone
    assert losses[-1] < losses[0]
    assert losses[-1] < entropy
    assert "test/accuracy" not in finished.metrics
    model, config, tags = load_tagger(tmp_path / "tagger")
    assert config.model == settings.model
    assert model.head.out_features == len(tags) == started.data.vocab_size  # fewer words than tags
    assert tags[UNK] == "[UNK]"

    classifier = settings.override({"model.init_from": str(tmp_path / "tagger"), "train.epochs": 1})
    *_, end = run(classifier, tmp_path / "classifier", cache)
    assert isinstance(end, Finished)
    with pytest.raises(UserError, match=r"set data\.reading=forward"):
        list(run(classifier.override({"data.reading": "backward"}), tmp_path / "backward", cache))


@pytest.mark.parametrize("checkpoints", [1, 3])
def test_interrupted_it_ends_as_if_it_had_not_been(
    checkpoints: int, settings: RunConfig, tmp_path: Path, cache: Path
) -> None:
    whole = list(train_language_model(settings, tmp_path / "one", cache))
    with closing(train_language_model(settings, tmp_path / "two", cache)) as events:
        for _ in range(checkpoints):
            next(event for event in events if isinstance(event, Saved))
    assert not (tmp_path / "two" / TAGGER).exists()
    assert (tmp_path / "two" / CHECKPOINT).is_file()
    parts = list(train_language_model(settings, tmp_path / "two", cache))
    assert curve(parts) == curve(whole)
    one, two = weights(tmp_path / "one" / TAGGER), weights(tmp_path / "two" / TAGGER)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not (tmp_path / "two" / CHECKPOINT).exists()
    again = train_language_model(settings, tmp_path / "two", cache)
    assert curve(again) == curve(whole)  # nothing to do


def test_a_model_folder_that_is_gone_is_made_anew(settings: RunConfig, tmp_path: Path, cache: Path) -> None:
    quick = settings.override({"train.epochs": 1})
    list(train_language_model(quick, tmp_path, cache))
    before = weights(tmp_path / "tagger")
    (tmp_path / "tagger").rename(tmp_path / "lost")
    list(train_language_model(quick, tmp_path, cache))
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(tmp_path / "tagger").items())


def test_every_word_but_a_texts_first_is_decided_once() -> None:
    model = SequenceTagger(ModelConfig(embed_dim=4, hidden_dim=4), vocab_size=12, tags=6)
    model.eval()
    tokens = np.array([3, 9, 4, 2, 5, 7], dtype=np.uint16)
    part = chunks(tokens, np.array([0, 4, 5, 6]))
    batch = EncodedSplit(part, DataConfig()).batch(np.array([0, 1, 2]), CPU)
    loss, tally = next_word_loss(model, batch, 0.5)  # in evaluation all are decided
    logits = model(batch.tokens, batch.lengths)[0, :3]
    following = torch.tensor([UNK, 4, 2])  # 9 is no tag of its own
    torch.testing.assert_close(loss, F.cross_entropy(logits, following, reduction="sum"))
    assert tally.count == 3
    assert int(tally.correct) == int((logits.argmax(dim=1) == following).sum())


def test_a_bag_holds_the_next_words_that_the_text_still_has() -> None:
    model = SequenceTagger(ModelConfig(embed_dim=4, hidden_dim=4), vocab_size=12, tags=6, seed=1).eval()
    texts = chunks(np.array([3, 9, 4, 2, 5, 5, 4], dtype=np.uint16), np.array([0, 4, 7]))
    batch = EncodedSplit(texts, DataConfig()).batch(np.array([0, 1]), CPU)
    loss, tally = next_word_loss(model, batch, 1, next_words=2)
    logits = model(batch.tokens, batch.lengths)
    bags = [(0, 0, [UNK, 4]), (0, 1, [4, 2]), (0, 2, [2]), (1, 0, [5, 4]), (1, 1, [4])]
    surprise = [-logits[text, at].log_softmax(dim=0)[bag].mean() for text, at, bag in bags]
    torch.testing.assert_close(loss, torch.stack(surprise).sum())
    assert tally.count == len(bags)
    assert int(tally.correct) == sum(int(logits[text, at].argmax()) in bag for text, at, bag in bags)


@pytest.mark.parametrize("next_words", [1, 3])
def test_a_model_of_previous_words_is_one_of_next_words_on_reversed_text(next_words: int) -> None:
    model = SequenceTagger(ModelConfig(embed_dim=4, hidden_dim=4), vocab_size=12, tags=12, seed=1).eval()
    tokens, offsets = np.array([3, 9, 4, 2, 5, 7, 8], dtype=np.uint16), np.array([0, 4, 7])
    turned = np.concatenate([tokens[:4][::-1], tokens[4:][::-1]])
    rows = np.array([1, 0])
    backward = EncodedSplit(chunks(tokens, offsets), DataConfig(reading="backward")).batch(rows, CPU)
    forward = EncodedSplit(chunks(turned, offsets), DataConfig()).batch(rows, CPU)
    (loss, tally), (expected, same) = (next_word_loss(model, each, 1, next_words) for each in (backward, forward))
    torch.testing.assert_close(loss, expected)
    assert (tally.count, int(tally.correct)) == (same.count, int(same.correct))


def test_in_training_a_share_of_the_words_is_drawn() -> None:
    model = SequenceTagger(ModelConfig(embed_dim=4, hidden_dim=4), vocab_size=12, tags=12)
    part = chunks(np.full(40 * 101, 5, dtype=np.uint16), np.arange(0, 40 * 101 + 1, 101))
    batch = EncodedSplit(part, DataConfig()).batch(np.arange(40), CPU)
    model.choice_generator = torch.Generator().manual_seed(0)
    counts = [next_word_loss(model, batch, 0.25)[1].count for _ in range(2)]
    assert counts[0] != counts[1]
    assert counts == pytest.approx([1000, 1000], rel=0.1)


def test_a_batch_in_which_nothing_follows_decides_nothing() -> None:
    model = SequenceTagger(ModelConfig(embed_dim=4, hidden_dim=4), vocab_size=12, tags=12)
    model.eval()
    batch = EncodedSplit(chunks(np.array([5, 6], dtype=np.uint16), np.arange(3)), DataConfig()).batch(
        np.arange(2), CPU
    )
    loss, tally = next_word_loss(model, batch, 1)
    assert (float(loss.detach()), tally.count, int(tally.correct)) == (0, 0, 0)


@pytest.mark.parametrize("lengths", [[1], [256, 257, 3], [1000, 1, 512]])
def test_chunks_hold_all_tokens_in_order(lengths: list[int]) -> None:
    offsets = np.cumsum([0, *lengths])
    part = chunks(np.arange(offsets[-1], dtype=np.int32), offsets)
    sizes = np.diff(part.offsets)
    assert part.offsets[0] == 0
    assert part.offsets[-1] == offsets[-1]
    assert set(offsets) <= set(part.offsets)  # no piece crosses a text's end
    assert 1 <= sizes.min() <= sizes.max() <= 256
    assert len(sizes) == sum(-(-length // 256) for length in lengths)


def test_both_directions_are_refused(settings: RunConfig, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="reads forward only"):
        next(train_language_model(settings.override({"model.bidirectional": True}), tmp_path, cache))
