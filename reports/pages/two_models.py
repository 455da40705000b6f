"""Two trained models on the same test texts: which answers more of them, and where they disagree most."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

import pandas as pd

from reports import frames
from reports.frames import Stores
from reports.pages.precision import movies_of
from reports.pages.verdicts import points
from reports.stats.estimates import mirrored
from reports.stats.mcnemar import ModelComparison, compare, disagreements
from seqclf_core.errors import UserError

WIDTH = 100
"""Characters of a line of text."""
SHOWN = 600
"""Characters that are shown of a text; of a longer one its beginning and its end, where the verdict stands."""


def comparison(stores: Stores, a: str, b: str, most: int = 10) -> str:
    """Compare two runs in words, and show the texts on which they disagree.

    Args:
        stores: where to read.
        a: key of the one run.
        b: key of the other.
        most: how many disagreements to list.

    Raises:
        UserError: if a run is not recorded, has no predictions, or had other data than the other.
    """
    if a == b:
        raise UserError(f"{a} was given twice; a comparison needs two different runs.")
    answers = {key: _predictions(stores, key) for key in (a, b)}
    digest = _check_data(stores, a, b)
    found = compare(answers[a], answers[b], movies_of(stores, digest, "test"))
    said = sentence(found, f"run {a}", f"run {b}")
    return f"{said}\n\n{_listed(stores, answers, most)}"


def sentence(found: ModelComparison, a: str = "run A", b: str = "run B") -> str:
    """Say in words how two trained models compare, about these models on these texts."""
    how = (
        "p over movies" if found.by_movie else "reviews one by one, since their movies are not known here; exact p"
    )
    counts = f"{found.only_a:,} only {a}, {found.only_b:,} only {b}; {how} = {found.p:.2g}"
    size = found.difference
    if found.p >= 0.05:
        same = f"{a} and {b} cannot be told apart"
        return f"On these {found.reviews:,} reviews {same}: {points(size)} ({counts})."
    if size.value < 0:
        a, b, size = b, a, mirrored(size)
    more = f"{points(size)} more of these {found.reviews:,} reviews correctly"
    return f"{a[0].upper()}{a[1:]} answers {more} than {b} ({counts})."


def _predictions(stores: Stores, key: str) -> pd.DataFrame:
    found = frames.predictions([key], stores, parts=["test"])
    if found.empty:
        raise UserError(
            f"The run {key} has no predictions: only complete runs answer the test reviews. Name a complete run."
        )
    return found


def _check_data(stores: Stores, a: str, b: str) -> str:
    """Return the digest of the first run's data.

    Rows are numbers in a source: the same number in another source is another review.
    """
    runs = frames.runs(stores).set_index("key")
    source = runs["source"]
    if source[a] != source[b]:
        raise UserError(
            f"{a} read {source[a]} and {b} read {source[b]}; only runs on the same reviews can be compared."
        )
    return str(runs["digest"][a])


def _listed(stores: Stores, answers: Mapping[str, pd.DataFrame], most: int) -> str:
    """Print the texts on which the two models disagree most confidently, each cut to what a screen can show."""
    (a, first), (b, second) = answers.items()
    found = disagreements(first, second, most)
    if found.empty:
        return "They disagree on no review."
    try:
        known = frames.texts(stores, key=a)
        texts = known[known["part"] == "test"].set_index("row")["text"]
        missing = ""
    except UserError as error:
        texts, missing = pd.Series(dtype="str"), f"\nThe texts are not shown. {error}"
    said = [
        f"{'positive' if row['label'] else 'negative'}, {a if row['right'] == 'a' else b} is right: "
        f"{row['probability_a']:.3f} by {a}, {row['probability_b']:.3f} by {b}; row {row['row']}\n"
        + _shown(texts.get(row["row"]))
        for row in found.to_dict("records")
    ]
    head = "Where they disagree most confidently, with the probability that the review is positive by each."
    return "\n\n".join([head + missing, *(text.rstrip() for text in said)])


def _shown(text: object) -> str:
    """Return a text for a terminal: wrapped, its middle left out where it is long, no control characters.

    >>> _shown("Good.\\x1b[2J<br />Very good.")
    '    Good. [2J Very good.'
    """
    if not isinstance(text, str):
        return ""
    plain = "".join(each if each.isprintable() else " " for each in re.sub(r"<br\s*/?>", " ", text))
    words = " ".join(plain.split())
    if len(words) > SHOWN:
        words = f"{words[: SHOWN // 3]} [...] {words[-2 * SHOWN // 3 :]}"
    return textwrap.fill(words, WIDTH, initial_indent="    ", subsequent_indent="    ")
