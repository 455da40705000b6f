"""The tagger learns from context and ignores padding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch.nn.functional import pad

from seqclf_core.config import RunConfig
from seqclf_core.data.tagged import TAGS
from seqclf_core.data.vocabulary import PAD
from seqclf_core.events import Finished, Progress, Saved, Started
from seqclf_core.tagging import (
    NO_TAG,
    TAGGER,
    TaggedBatch,
    TaggedSplit,
    most_frequent_tags,
    score_tagger,
    sentences,
    tag_loss,
    train_tagger,
)
from seqclf_core.training.checkpoint import TOKENIZER, load_tagger, read_tensors
from tests.core.run_events import CLOCK

SMALL = RunConfig().override(
    {
        "model.embed_dim": 12,
        "model.hidden_dim": 12,
        "model.embed_dropout": 0.1,
        "model.word_dropout": 0.05,
        "train.epochs": 1,
        "train.lr": 0.02,
        "train.warmup_steps": 10,
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("taggers")
    list(train_tagger(SMALL, made))
    return made / TAGGER


def batch_of(folder: Path, count: int | None = None) -> TaggedBatch:
    """Encode held-out sentences with a tagger's own tokenizer."""
    held_out = sentences()[1][:count]
    split = TaggedSplit(Tokenizer.from_file(str(folder / TOKENIZER)), held_out, SMALL)
    return split.batch(np.arange(len(held_out)), torch.device("cpu"))


def test_read_backward_every_token_keeps_its_tag(folder: Path) -> None:
    tokenizer, held_out = Tokenizer.from_file(str(folder / TOKENIZER)), sentences()[1][:20]
    batches = [
        TaggedSplit(tokenizer, held_out, SMALL.override({"data.reading": reading})).batch(
            np.arange(20), torch.device("cpu")
        )
        for reading in ("forward", "backward")
    ]
    for row, length in enumerate(batches[0].lengths.tolist()):
        forward, backward = (
            list(zip(each.tokens[row].tolist(), each.tags[row].tolist(), strict=True)) for each in batches
        )
        assert backward[:length] == forward[:length][::-1]
        assert backward[length:] == forward[length:]


def test_it_is_a_run_that_is_continued_to_the_same_end(tmp_path: Path) -> None:
    config = SMALL.override({"train.evals_per_epoch": 4})
    whole = [event for event in train_tagger(config, tmp_path / "whole") if not isinstance(event, Saved)]
    assert isinstance(whole[0], Started)
    assert [type(event) for event in whole[1:-1]] == [Progress] * 4
    assert isinstance(whole[-1], Finished)
    assert whole[-1].metrics["best/val_accuracy"] > 0.9

    stopped = train_tagger(config, tmp_path / "cut")
    for event in stopped:
        if isinstance(event, Saved):
            break
    stopped.close()  # type: ignore[attr-defined]
    again = [event for event in train_tagger(config, tmp_path / "cut") if not isinstance(event, Saved)]
    for one, other in zip(whole[1:], again[1:], strict=True):
        assert isinstance(one, Progress | Finished)
        assert isinstance(other, Progress | Finished)
        assert {name: value for name, value in one.metrics.items() if name not in CLOCK} == {
            name: value for name, value in other.metrics.items() if name not in CLOCK
        }
    first, second = (read_tensors(tmp_path / each / TAGGER / "model.safetensors")[0] for each in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_beats_the_most_frequent_tag_of_each_word(folder: Path) -> None:
    score = score_tagger(folder)
    assert score.tokens > 5_000
    assert 0.8 < score.baseline < score.accuracy - 0.05
    model, config, tags = load_tagger(folder)
    assert (config, tuple(tags)) == (SMALL, TAGS)
    assert model.head.out_features == len(TAGS)


def test_the_same_seed_gives_the_same_tagger_and_another_another(folder: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        list(train_tagger(SMALL.override({"seed": seed}), tmp_path / str(seed)))
    folders = (folder, tmp_path / "0" / TAGGER, tmp_path / "1" / TAGGER)
    first, again, other = (read_tensors(each / "model.safetensors")[0] for each in folders)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_padding_changes_neither_loss_nor_gradient(folder: Path) -> None:
    model, _, _ = load_tagger(folder)
    data = batch_of(folder, 5)
    loss = tag_loss(model(data.tokens, data.lengths), data.tags)
    wider, tags = pad(data.tokens, (0, 9), value=PAD), pad(data.tags, (0, 9), value=NO_TAG)
    logits = model(wider, data.lengths).detach().requires_grad_()
    padded = tag_loss(logits, tags)
    torch.testing.assert_close(padded, loss)
    padded.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[tags == NO_TAG] == 0).all()
    assert (logits.grad[tags != NO_TAG] != 0).any(dim=1).all()


def test_every_word_is_one_token_with_its_tag(folder: Path) -> None:
    _, held_out = sentences()
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    data = batch_of(folder)
    assert data.lengths.tolist() == [len(words) for words, _ in held_out]
    known = tokenizer.get_vocab()
    for row in (0, 1, len(held_out) - 1):
        words, tags = held_out[row]
        real = slice(0, len(words))
        assert data.tokens[row, real].tolist() == [known.get(word, 1) for word in words]
        assert [TAGS[number] for number in data.tags[row, real].tolist()] == tags
    assert torch.equal(data.tokens == PAD, data.tags == NO_TAG)


def test_held_out_sentences_are_not_learned_from() -> None:
    train, held_out = sentences()
    assert len(held_out) > 900
    assert not {tuple(words) for words, _ in train} & {tuple(words) for words, _ in held_out}


def test_the_baseline_takes_each_words_most_frequent_tag() -> None:
    guess = most_frequent_tags([(["a", "film"], ["DET", "NOUN"]), (["film", "film"], ["VERB", "NOUN"])])
    assert (guess["a"], guess["film"], guess["never"]) == ("DET", "NOUN", "NOUN")
