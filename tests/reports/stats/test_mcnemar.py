"""Two trained models are compared by the reviews on which one alone is right."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from reports.pages.two_models import sentence
from reports.stats.mcnemar import compare, disagreements, ensemble
from seqclf_core.errors import UserError


def answers(right: list[bool], confidence: float = 0.4) -> pd.DataFrame:
    label = np.arange(len(right)) % 2
    side = np.where(np.array(right) == (label == 1), 1, -1)
    return pd.DataFrame({"row": range(len(right)), "label": label, "probability": 0.5 + side * confidence})


A = answers([True] * 70 + [True] * 20 + [False] * 5 + [False] * 5)
B = answers([True] * 70 + [False] * 20 + [True] * 5 + [False] * 5)


def test_mcnemar_counts_the_disagreements():
    found = compare(A, B)
    assert (found.only_a, found.only_b, found.reviews) == (20, 5, 100)
    assert found.p == pytest.approx(mcnemar([[70, 20], [5, 5]], exact=True).pvalue)
    assert found.difference.value == pytest.approx(15)
    assert 0 < found.difference.low < 15 < found.difference.high < 25
    assert "Run A answers 15.0 points [" in sentence(found)
    assert "more of these 100 reviews correctly than run B" in sentence(found)


def test_reviews_of_a_movie_count_together_where_movies_are_known():
    alone, of_movies = compare(A, B), compare(A, B, pd.Series(np.arange(100) // 25, name="movie"))
    assert of_movies.difference.value == pytest.approx(alone.difference.value)
    assert of_movies.difference.high - of_movies.difference.low > alone.difference.high - alone.difference.low
    assert of_movies.p > alone.p
    assert (alone.by_movie, of_movies.by_movie) == (False, True)
    assert "p over movies" in sentence(of_movies)
    assert "one by one, since their movies are not known" in sentence(alone)


def test_the_comparison_knows_no_side():
    one, other = compare(A, B), compare(B, A)
    assert other.p == one.p
    assert other.difference.low == pytest.approx(-one.difference.high)
    assert sentence(other, "run B", "run A").startswith("Run A answers 15.0 points [")


def test_equal_models_cannot_be_told_apart():
    found = compare(A, A)
    assert found.p == 1
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)
    assert "cannot be told apart" in sentence(found)


def test_other_reviews_are_refused():
    with pytest.raises(UserError, match="100 and 99"):
        compare(A, B.iloc[1:])
    with pytest.raises(UserError, match="same reviews"):
        compare(A, B.assign(label=1 - B["label"]))


def test_the_most_confident_disagreements_come_first():
    bold = B.copy()
    bold.loc[72, "probability"] = 0.5 - 0.49 * (1 if B.loc[72, "label"] else -1)
    sure = A.copy()
    sure.loc[72, "probability"] = 1 - bold.loc[72, "probability"]
    found = disagreements(sure, bold, most=3)
    assert len(found) == 3
    assert found.loc[0, "row"] == 72
    assert found.loc[0, "right"] == "a"
    assert len(disagreements(A, A)) == 0


def test_an_ensemble_averages_probabilities():
    both = pd.concat([A.assign(key="a"), B.assign(key="b")])
    found = ensemble(both)
    assert found.loc[0, "probability"] == pytest.approx(A.loc[0, "probability"])
    assert found.loc[75, "probability"] == pytest.approx(0.5)
    assert len(found) == 100
