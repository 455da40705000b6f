"""Embedded tagged sentences: what a tagger learns from before it becomes a classifier.

Generated from a small grammar about films. Many words have two tags and only their place in the sentence tells
which: "they film the play" and "they play the film", "a late cut" and "they cut it late", "her" before a noun and
alone. Giving each word its most frequent tag gets 87 % right.
"""

from __future__ import annotations

from seqclf_core.data.lexicon import ASPECTS, BAD, DEGREES, GOOD, NAMES, RELATIVES
from seqclf_core.data.synthetic import Draw

TAGS = ("DET", "ADJ", "NOUN", "VERB", "ADV", "PRON", "ADP", "CONJ", "PUNCT")
"""Parts of speech, by their Universal Dependencies names where those are so coarse."""

Tagged = tuple[list[str], list[str]]
"""The words of a sentence and, for each, its tag."""

DETERMINERS = ("the", "a", "this", "that", "every")
NOUNS = (*ASPECTS, *RELATIVES, *NAMES)
VERBS = ("see", "love", "hate", "enjoy", "watch", "praise", "forget")
NOUN_OR_VERB = ("film", "play", "cut", "score", "show", "shoot", "dance", "end", "star", "review", "name", "plan")
ADJECTIVES = (*GOOD, *BAD)
ADJECTIVE_OR_ADVERB = ("fast", "hard", "late", "early", "long", "straight")
ADVERBS = ("again", "twice", "slowly", "today", "together")
SUBJECTS = ("i", "you", "we", "they")
OBJECTS = ("it", "them", "us")
PREPOSITIONS = ("with", "after", "before", "about", "near")
CONJUNCTIONS = ("and", "but", "while", "because")


def tagged_sentences(seed: int, count: int) -> list[Tagged]:
    """Generate tagged sentences; the same seed gives the same ones, on every machine.

    Args:
        seed: of all that is drawn.
        count: how many sentences.

    Returns:
        Words and tags of each sentence, equally many; tags are from ``TAGS``.
    """
    draw = Draw(f"{seed} tagged")
    return [_sentence(draw) for _ in range(count)]


def _sentence(draw: Draw) -> Tagged:
    pairs = _clause(draw)
    while draw.happens(0.4):
        pairs += [(draw.one(CONJUNCTIONS), "CONJ"), *_clause(draw)]
    pairs.append((".", "PUNCT"))
    return [word for word, _ in pairs], [tag for _, tag in pairs]


def _clause(draw: Draw) -> list[tuple[str, str]]:
    verb = draw.one(NOUN_OR_VERB if draw.happens(0.6) else VERBS)
    pairs = [(draw.one(SUBJECTS), "PRON"), (verb, "VERB")]
    if draw.happens(0.3):
        pairs.insert(1, (draw.one(ADVERBS), "ADV"))
    pairs += _object(draw)
    if draw.happens(0.4):
        pairs += [(draw.one(PREPOSITIONS), "ADP"), *_object(draw)]
    if draw.happens(0.4):
        pairs.append((draw.one(ADJECTIVE_OR_ADVERB if draw.happens(0.7) else ADVERBS), "ADV"))
    return pairs


def _object(draw: Draw) -> list[tuple[str, str]]:
    if draw.happens(0.2):
        return [(draw.one(("her", *OBJECTS)), "PRON")]
    if draw.happens(0.1):
        return [("that", "PRON")]
    pairs = [(draw.one(("her", *DETERMINERS)), "DET")]
    if draw.happens(0.6):
        if draw.happens(0.3):
            pairs.append((draw.one(DEGREES), "ADV"))
        pairs.append((draw.one(ADJECTIVE_OR_ADVERB if draw.happens(0.4) else ADJECTIVES), "ADJ"))
    return [*pairs, (draw.one(NOUN_OR_VERB if draw.happens(0.5) else NOUNS), "NOUN")]
