"""Whatever lies in a model folder gives a model or an error that names the file; predictions are probabilities."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from seqclf_core.config import RunConfig
from seqclf_core.data.vocabulary import train_tokenizer
from seqclf_core.errors import SavedError
from seqclf_core.inference import Classifier
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import load_classifier, load_tagger, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that has learned nothing."""
    place = tmp_path_factory.mktemp("saved")
    tokenizer: Tokenizer = train_tokenizer(["a good film", "a bad film", "a good film"], 50)
    tokenizer.save(str(place / "tokenizer.json"))
    config = RunConfig().override({"model.embed_dim": 4, "model.hidden_dim": 4})
    model = SequenceClassifier(config.model, tokenizer.get_vocab_size())
    save_model(place / "model", model, config, place / "tokenizer.json", tags=[])
    return place / "model"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    ["format", "vocab_size", "tags", "config", "config.model", "config.model.embed_dim", "config.model.hidden_dim",
     "config.model.num_layers", "config.model.bidirectional", "config.model.pooling", "config.data.max_length",
     "seed"]
)  # fmt: skip


@given(content=st.one_of(st.binary(max_size=100), JSON.map(lambda value: json.dumps(value).encode())))
@settings(max_examples=100, deadline=None)
def test_odd_settings_are_refused(content: bytes, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    refused_or_loaded(folder, content, tmp_path_factory)


@given(place=PLACES, value=JSON | st.integers(1, 2**31))
@settings(max_examples=150, deadline=None)
def test_settings_with_one_odd_value_are_refused_or_fit(
    place: str, value: object, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = json.loads((folder / "config.json").read_text())
    *path, leaf = place.split(".")
    branch = tree
    for step in path:
        branch = branch[step]
    branch[leaf] = value
    refused_or_loaded(folder, json.dumps(tree).encode(), tmp_path_factory)


def refused_or_loaded(folder: Path, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    odd = tmp_path_factory.getbasetemp() / "odd model"
    if not odd.exists():
        shutil.copytree(folder, odd)
    (odd / "config.json").write_bytes(content)
    for load in (load_classifier, load_tagger):
        refusal = ""
        try:
            model, config, *_ = load(odd)  # type: ignore[operator]
        except SavedError as error:
            refusal = str(error)
        assert "odd model" in refusal or model.encoder.embedding.embedding_dim == config.model.embed_dim == 4


def test_widths_that_no_memory_holds_are_refused_before_they_take_any(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    for place, value in (("vocab_size", 2**31 - 1), ("num_layers", 8), ("hidden_dim", 4096), ("embed_dim", 4096)):
        tree = json.loads((folder / "config.json").read_text())
        (tree if place == "vocab_size" else tree["config"]["model"])[place] = value
        (tmp_path / "model" / "config.json").write_text(json.dumps(tree))
        with pytest.raises(SavedError, match="do not fit"):
            load_classifier(tmp_path / "model")


@given(texts=st.lists(st.text(st.characters(), max_size=50), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_chance(texts: list[str], folder: Path) -> None:
    probabilities = classifier(folder).predict(texts)
    assert probabilities.shape == (len(texts),)
    assert np.all((probabilities >= 0) & (probabilities <= 1))


def test_a_text_of_a_million_words_gets_a_chance(folder: Path) -> None:
    [probability] = classifier(folder).predict(["good film " * 500_000])
    assert 0 <= probability <= 1


def classifier(folder: Path, known: dict[Path, Classifier] = {}) -> Classifier:  # noqa: B006  # loaded once
    return known.setdefault(folder, Classifier.load(folder))
