"""make compare says which of two models is right more often, about the same reviews only."""

from pathlib import Path

import pytest

from reports import frames
from reports.pages.two_models import comparison
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
    table = text.partition("\n\n")[2]
    rows = table.splitlines()[3:]
    assert len(rows) == 5
    assert all(("positive" in row) != ("negative" in row) for row in rows)
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
