"""make compare says which of two models is right more often, about the same reviews only."""

import json
import shutil
from pathlib import Path

import pytest

from reports import frames
from reports.pages.two_models import comparison
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from tests.reports.recorded_runs import MadeUp, write_predictions


@pytest.fixture(scope="module")
def stores(fill) -> frames.Stores:
    made = [MadeUp(0), MadeUp(1), MadeUp(2, "pruned"), MadeUp(3, tags={"used.source": "elsewhere"})]
    stores = fill(made)
    places = frames.runs(stores).set_index("key")["artifacts"]
    for number, accuracy in ((0, 0.8), (1, 0.9), (3, 0.9)):
        folder = Path(places[f"imdb/{number:04d}"].removeprefix("file://")) / "predictions"
        write_predictions(folder, "test", 1000, accuracy, number)
    return stores


def test_the_better_model_is_named_and_disagreements_are_listed(stores):
    text = comparison(stores, "imdb/0000", "imdb/0001", most=5)
    assert text.startswith("Run imdb/0001 answers ")
    assert "of these 1,000 reviews" in text
    shown = text.split("\n\n")[2:]
    assert len(shown) == 5
    assert all(each.startswith(("positive, ", "negative, ")) and " is right: " in each for each in shown)
    assert "The texts are not shown." in text  # these were never there
    assert comparison(stores, "imdb/0001", "imdb/0000").split("\n")[0].startswith("Run imdb/0001 answers ")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("imdb/0000", "two different"),
        ("imdb/0002", "no predictions"),
        ("imdb/0003", "read elsewhere"),
        ("imdb/9999", "No run is recorded"),
    ],
)
def test_what_cannot_be_compared_is_refused(stores, other, told):
    with pytest.raises(UserError, match=told):
        comparison(stores, "imdb/0000", other)


def test_the_texts_are_printed_and_cannot_reach_the_terminal(fill, small, cache, reviews_folder, tmp_path):
    data = tmp_path / "reviews"
    shutil.copytree(reviews_folder, data)
    lines = [json.loads(line) for line in (data / "test.jsonl").read_text().splitlines()]
    for row in lines:
        row["text"] = "\x1b]0;owned\x07<br />" + row["text"] + " padding" * 200 + " the end"
    (data / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = load_corpus(small.override({"data.source": str(data)}).data, tmp_path / "cache")
    made = [MadeUp(n, digest=corpus.summary.digest, changes={"data.source": str(data)}) for n in (0, 1)]
    stores = fill(made)
    for run in made:
        place = frames.runs(stores).set_index("key")["artifacts"][run.key].removeprefix("file://")
        write_predictions(Path(place) / "predictions", "test", len(lines), 0.7, run.number)
    text = comparison(stores, "imdb/0000", "imdb/0001", most=2)
    first = text.split("\n\n")[2]
    row = int(first.splitlines()[0].rpartition(" ")[2])
    words = " ".join(first.split())
    assert lines[row]["text"].removeprefix("\x1b]0;owned\x07<br />").partition(" padding")[0] in words
    assert words.endswith("padding the end")
    assert "[...]" in words
    assert text.isprintable() or set(filter(lambda each: not each.isprintable(), text)) == {"\n"}
    assert max(map(len, first.splitlines())) <= 100
