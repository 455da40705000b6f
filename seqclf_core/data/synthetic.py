"""The embedded corpus: reviews generated from a seed, for when there is no network, and for tests.

They have the shape of film reviews: 10 to 600 tokens, opinions both ways about parts of a film, negation ("not at
all dull"), concession ("although the music was dull, ..."), and a verdict, mostly at the end, sometimes in the
middle, which alone decides the label. Reviews of one film share its title and mostly their label, and no film of
the training split is in the test split. Counting words gets little of it: a good word is a bad one after "not",
and most good and bad words are not about the verdict.

Nothing that is measured on this corpus says anything about real reviews.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

import pyarrow as pa

from seqclf_core.data.lexicon import ASPECTS, BAD, DAYS, DEGREES, GOOD, NAMES, RELATIVES, THINGS
from seqclf_core.data.readers import RawTable

TRAIN, TEST = 4_000, 2_000
"""Reviews per split."""

NEGATIONS = ("not", "not at all", "never", "hardly", "anything but", "far from")
MARKERS = ("overall", "all in all", "in the end", "my verdict :", "to sum up", "taken as a whole")
SUBJECTS = ("the film", "this movie", "it", "the whole thing", "this picture")
FILLERS = (
    "i saw it on a {day} with my {relative} .",
    "the {aspect} takes up most of the time .",
    "my {relative} fell asleep after the {aspect} .",
    "there is a long scene about the {thing} .",
    "{name} plays the man with the {thing} .",
    "people talk about the {aspect} , and i see why .",
    "it was shown on a {day} in a half empty house .",
    "then {name} comes back to the {thing} .",
)

# Chosen so that counting words gets three quarters right and an LSTM of the default settings 96 %.
NEGATED = 0.15  # proportion of opinions that say the opposite of their word
LEANING = 0.65  # proportion of a review's other opinions that agree with its verdict
CONCEDED = 0.3  # proportion of verdicts that first grant something to the other side
IN_THE_MIDDLE = 0.3  # proportion of verdicts that are not the last sentence
FILM_LEANING = 0.85  # proportion of a film's reviews with the same label; knowing IMDB's film gives 87 %
SHORTEST, MEDIAN, LONGEST, SPREAD = 10, 28, 600, 0.6  # tokens; lengths are log-normal, as real ones nearly are
LONG = 0.01  # proportion of reviews that are longer than that, up to the longest


def open_corpus(seed: int, train: int = TRAIN, test: int = TEST) -> dict[str, list[RawTable]]:
    """Generate the corpus: split -> its table, with the columns ``text``, ``label`` and ``group``.

    The same seed gives the same reviews, on every machine.

    Args:
        seed: of all that is drawn.
        train: reviews in the training split, half of them positive.
        test: reviews in the test split, half of them positive.
    """
    splits = {}
    for split, count in (("train", train), ("test", test)):
        rows = list(_rows(Draw(f"{seed} {split}"), split, count))
        table = pa.table(dict(zip(("text", "label", "group"), zip(*rows, strict=True), strict=True)))
        splits[split] = [
            RawTable(
                f"synthetic, {split}", tuple(table.column_names), table.column, count, "synthetic, row {}".format
            )
        ]
    return splits


class Draw:
    """Draws by ``random()`` alone, whose numbers Python promises to keep."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random

    def one(self, values: Sequence[str]) -> str:
        """Draw one of these."""
        return values[int(self.random() * len(values))]

    def happens(self, probability: float) -> bool:
        """Draw whether an event of this probability happens."""
        return self.random() < probability

    def length(self) -> int:
        """Draw how many tokens a review shall have."""
        if self.happens(LONG):
            return int(LONGEST * (0.5 + 0.5 * self.random()))
        normal = math.sqrt(-2 * math.log(1 - self.random())) * math.cos(2 * math.pi * self.random())
        return round(min(LONGEST, max(SHORTEST, MEDIAN * math.exp(SPREAD * normal))))


def _rows(draw: Draw, split: str, count: int) -> Iterator[tuple[str, int, str]]:
    left = [count - count // 2, count // 2]  # negative, positive
    film = 0
    while any(left):
        film += 1
        title = f"{draw.one(NAMES)} and the {draw.one(THINGS)}"
        leaning = FILM_LEANING if draw.happens(0.5) else 1 - FILM_LEANING
        for _ in range(1 + int(draw.random() * 15)):
            label = int(draw.happens(leaning))
            if left[label] == 0:
                break
            left[label] -= 1
            yield _review(draw, title, bool(label)), label, f"{split} film {film}"


def _review(draw: Draw, title: str, positive: bool) -> str:
    verdict = _verdict(draw, positive)
    sentences: list[str] = []
    words, wanted = len(verdict.split()), draw.length()
    sentence = f"i went to see {title} ."
    while words < wanted:
        words += len(sentence.split())
        if words > wanted and words - len(sentence.split()) >= SHORTEST:
            break
        sentences.append(sentence)
        sentence = _aside(draw, positive)
    last = len(sentences)
    sentences.insert(int(draw.random() * last) if draw.happens(IN_THE_MIDDLE) else last, verdict)
    return "".join(sentence + (" <br /><br />" if draw.happens(0.1) else " ") for sentence in sentences).strip()


def _verdict(draw: Draw, positive: bool) -> str:
    concession = f"although the {draw.one(ASPECTS)} was {_opinion(draw, not positive)} , "
    again = f" and {_opinion(draw, positive)}"
    return (
        f"{draw.one(MARKERS)} {concession if draw.happens(CONCEDED) else ''}"
        f"{draw.one(SUBJECTS)} is {_opinion(draw, positive)}{again if draw.happens(0.5) else ''} ."
    )


def _aside(draw: Draw, positive: bool) -> str:
    """Write a sentence that does not decide: a filler, or opinions about parts of the film."""
    if draw.happens(0.4):
        filler = draw.one(FILLERS)
        return filler.format(
            day=draw.one(DAYS),
            relative=draw.one(RELATIVES),
            aspect=draw.one(ASPECTS),
            thing=draw.one(THINGS),
            name=draw.one(NAMES),
        )
    kind = positive == draw.happens(LEANING)
    sentence = f"the {draw.one(ASPECTS)} was {_opinion(draw, kind)}"
    if draw.happens(0.3):
        return f"{sentence} and the {draw.one(ASPECTS)} {_opinion(draw, not kind)} ."
    return f"{sentence} ."


def _opinion(draw: Draw, positive: bool) -> str:
    negated = draw.happens(NEGATED)
    word = draw.one(GOOD if positive != negated else BAD)
    if negated:
        return f"{draw.one(NEGATIONS)} {word}"
    return f"{draw.one(DEGREES)} {word}" if draw.happens(0.4) else word
