"""A linear model over runs of words: which runs it knows, what a folder of it holds, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from seqclf_core.data.vocabulary import split_words
from seqclf_core.errors import SavedError
from seqclf_core.inference import Ensemble, load_model, save_ensemble
from seqclf_core.ngrams import Features, NgramClassifier, scaled
from tests.experiments.serving.served import make_model

TEXTS = ["a superb film , a superb plot", "dull , dull film", "a superb ending", "the film", "~"]


def model(unit_length: bool = True) -> NgramClassifier:
    features, _ = Features.learn(split_words(TEXTS), 3, 1)
    draw = np.random.default_rng(0)
    ratios, weights = draw.normal(size=(2, len(features.keys))).astype(np.float32)
    return NgramClassifier(features, ratios, weights, 0.25, unit_length)


@pytest.mark.parametrize(("longest", "min_count"), [(1, 1), (2, 2), (3, 1), (3, 2)])
def test_features_are_the_runs_of_words_that_enough_texts_hold(longest: int, min_count: int) -> None:
    other = CountVectorizer(token_pattern=r"\S+", ngram_range=(1, longest), min_df=min_count, binary=True)
    wanted = other.fit_transform(TEXTS).toarray()
    features, held = Features.learn(split_words(TEXTS), longest, min_count)
    columns = held.toarray()
    assert len(features.keys) == wanted.shape[1]
    assert sorted(map(tuple, columns.T)) == sorted(map(tuple, wanted.T))
    assert (features.of(split_words(TEXTS)).toarray() == columns).all()


def test_a_run_never_reaches_into_the_next_text() -> None:
    features, held = Features.learn(split_words(["one two", "three four"]), 3, 1)
    assert held.shape == (2, 6)
    assert features.of(split_words(["two three", "nothing known"])).toarray().sum(axis=1).tolist() == [2, 0]


def test_rows_have_unit_length_and_empty_ones_are_left() -> None:
    one = model()
    held = one.features.of(split_words([*TEXTS, "unknown", "a", "unknown"]))
    norms = np.linalg.norm(scaled(held, one.ratios, True).toarray(), axis=1)
    assert norms == pytest.approx([1] * len(TEXTS) + [0, 1, 0], abs=1e-6)
    assert scaled(held, one.ratios, False).toarray() == pytest.approx(held.toarray() * one.ratios, abs=1e-6)
    assert one.log_odds(["unknown"])[0] == pytest.approx(0.25)


@pytest.mark.parametrize("unit_length", [True, False])
def test_a_folder_gives_the_same_answers_alone_and_in_an_ensemble(unit_length: bool, tmp_path: Path) -> None:
    one = model(unit_length)
    one.save(tmp_path / "ngrams", {"seed": 0})
    again = load_model(tmp_path / "ngrams")
    assert isinstance(again, NgramClassifier)
    assert (again.predict(TEXTS) == one.predict(TEXTS)).all()
    lstm = make_model(tmp_path / "made" / "model")
    save_ensemble(tmp_path / "both", {tmp_path / "ngrams": 0.6, lstm: 0.4})
    both = load_model(tmp_path / "both")
    assert isinstance(both, Ensemble)
    wanted = 0.6 * one.predict(TEXTS) + 0.4 * load_model(lstm).predict(TEXTS)
    assert both.predict(TEXTS) == pytest.approx(wanted, abs=1e-12)
    assert len(one.predict([])) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("words.json", json.dumps([1, 2])),
        ("words.json", json.dumps(["a", "a"])),
        ("words.json", "[" * 100_000),
        ("config.json", json.dumps({"format": 1, "kind": "ngrams", "longest": 9, "bias": 0, "unit_length": True})),
        ("config.json", '{"format": 1, "kind": "ngrams", "longest": 3, "bias": NaN, "unit_length": true}'),
        ("ngrams.safetensors", "\x80\x04K\x01."),
    ],
)
def test_a_harmful_folder_is_refused_in_a_line(name: str, content: str, tmp_path: Path) -> None:
    model().save(tmp_path / "model", {})
    (tmp_path / "model" / name).write_text(content, encoding="latin-1")
    with pytest.raises(SavedError, match="runs of words") as raised:
        load_model(tmp_path / "model")
    assert "\n" not in str(raised.value)
