"""One run after another, one event per call; and what is the machine's fault is no failure of the run."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seqclf_core.config import RunConfig
from seqclf_core.data.cache import ATTEMPTS as READS
from seqclf_core.data.cache import Corpus, load_corpus
from seqclf_core.data.travel import key_of, pack, unpack
from seqclf_core.errors import DataError
from seqclf_core.run import run
from seqclf_core.slot import Slot, environment


def words(line: str) -> str:
    return str(json.loads(line)["event"])


def test_a_slot_does_one_run_after_another(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    config = small.override({"train.epochs": 1})
    slot = Slot()
    for name in ("one", "two"):
        said = [slot.run(config.model_dump(mode="json"), tmp_path / name, cache)]
        while words(said[-1]) != "finished":
            said.append(slot.go())
    expected = [event.model_dump(mode="json") for event in run(config, tmp_path / "three", cache)]
    assert [words(line) for line in said] == [event["event"] for event in expected]
    assert json.loads(said[-1])["metrics"]["best/val_loss"] == expected[-1]["metrics"]["best/val_loss"]

    assert words(slot.run(config.model_dump(mode="json"), tmp_path / "four", cache)) == "started"
    assert words(slot.stop()) == "stopped"
    assert not (tmp_path / "four" / "predictions").exists()


@pytest.mark.parametrize(
    ("change", "said"), [({"data.source": "/gone"}, "unfit"), ({"model.init_from": "/gone"}, "failed")]
)
def test_data_that_are_missing_here_are_the_machines_fault(
    small: RunConfig, tmp_path: Path, cache: Path, change: dict[str, str], said: str
) -> None:
    line = Slot().run(small.override(change).model_dump(mode="json"), tmp_path / "run", cache)
    assert words(line) == said
    assert "/gone" in json.loads(line)["reason"]


def test_a_folder_that_cannot_be_written_is_the_machines_fault(
    small: RunConfig, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "file").write_text("")
    line = Slot().run(small.model_dump(mode="json"), tmp_path / "file" / "run", cache)
    assert words(line) == "unfit"


def test_a_run_whose_files_are_removed_begins_again(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    """Whoever cleans up beside a study fails no trial and costs it no worker."""
    corpus, hidden = load_corpus(small.data, cache), tmp_path / "hidden.json"
    shutil.copy(corpus.tokenizer, hidden)
    removed = Removed(**{**vars(corpus), "tokenizer": tmp_path / "tokenizer.json"}, hidden=hidden)
    config, slot = small.override({"train.epochs": 1}).model_dump(mode="json"), Slot()
    said = [slot.run(config, tmp_path / "run", cache, removed)]
    while words(said[-1]) not in ("finished", "unfit", "failed"):
        said.append(slot.go())
    assert [words(said[0]), words(said[-1])] == ["started", "finished"]


@dataclass(frozen=True)
class Removed(Corpus):
    """Data whose tokenizer is not there for the first reads: only then somebody puts it there."""

    hidden: Path = Path()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name == "tokenizer" and not found.exists():
            reads = found.with_suffix(".reads")
            count = int(reads.read_text()) + 1 if reads.exists() else 1
            reads.write_text(str(count))
            if count > READS:
                shutil.copy(super().__getattribute__("hidden"), found)
        return found


def test_an_encoded_corpus_travels_without_its_reviews(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    corpus = load_corpus(small.data, cache)
    files, asked = pack(corpus), 0

    def fetch() -> dict[str, bytes]:
        nonlocal asked
        asked += 1
        return dict(files)

    arrived = unpack(key_of(corpus), tmp_path, fetch)
    again = unpack(key_of(corpus), tmp_path, fetch)
    assert asked == 1
    assert arrived.summary == again.summary == corpus.summary
    assert (arrived.train.tokens == corpus.train.tokens).all()

    config = small.override({"train.epochs": 1})
    away = config.override({"data.source": "/not/on/this/machine"})
    scores = [
        [event.metrics["val/loss"] for event in stream if event.event == "progress"]
        for stream in (run(config, tmp_path / "here", cache), run(away, tmp_path / "there", tmp_path, arrived))
    ]
    assert scores[0] == scores[1]

    damaged = arrived.tokenizer.parent / "train.tokens.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert unpack(key_of(corpus), tmp_path, fetch).summary == corpus.summary
    assert asked == 2

    files = {**files, "train.tokens.npy": b"cut"}
    with pytest.raises(DataError, match="damaged"):
        unpack(key_of(corpus), tmp_path / "another", fetch)


def test_the_environment_tells_code_from_other_code() -> None:
    assert set(environment()) == {"code", "Python", "torch", "tokenizers", "bf16", "own kernel"}
    assert environment() == environment()
