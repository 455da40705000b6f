"""What a factors study found, as one sentence per question, and never more than its numbers carry.

Mean pooling beats last state by 0.8 points [0.4, 1.2] on these 25,000 reviews, 24 blocks.
No difference larger than 0.3 points between BCE and cross-entropy: -0.05 points [-0.20, 0.10] (90 % ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.stats.contrasts import Contrast
from reports.stats.estimates import Interval, mirrored
from reports.stats.factorial import ALPHA, Analysis, Effect
from reports.stats.power import MOST_BLOCKS
from reports.stats.training_rates import TrainingEffect

Kind = Literal[
    "interim", "too_few", "training_rate", "beats", "equivalent", "inconclusive", "interaction", "none_seen"
]

WORDS = {
    "model.pooling": "pooling",
    "model.loss": "loss",
    "last": "last state",
    "mean": "mean pooling",
    "max": "max pooling",
    "mean_max": "mean and max pooling",
    "concat": "last state, mean and max",
    "attention": "attention pooling",
    "last_position": "last position",
    "bce": "BCE",
    "cross_entropy": "cross-entropy",
}
"""Factor or level -> its name in sentences; others keep their own name."""


@dataclass(frozen=True)
class Verdict:
    """An answer in words."""

    kind: Kind
    sentence: str
    extended: bool
    """Whether blocks were added after looking, so that more than 5 % of such verdicts err."""

    def __str__(self) -> str:
        return self.sentence


def verdicts(analysis: Analysis, reviews: int | None = None, *, drawn: bool = False) -> list[Verdict]:
    """Put what was asked into sentences, in the order of ``analysis.effects``.

    Where an interaction stands, a factor in it has no one effect: its simple effects are told in place of that.
    Elsewhere simple effects are in the table alone.

    Args:
        analysis: the study's numbers.
        reviews: how many reviews the outcome was measured on.
        drawn: whether each block drew these reviews itself.
    """
    interacting = {
        factor
        for effect in analysis.effects
        if effect.contrast.is_interaction and effect.agrees and not effect.fragile
        for factor in effect.contrast.factors
    }
    told_simply = interacting & {factor for one in analysis.plan.simple for factor in one.factors}
    return [
        verdict(effect, training, analysis, reviews, drawn=drawn)
        for effect, training in zip(analysis.effects, analysis.training, strict=True)
        if effect.contrast.is_interaction
        or bool(effect.contrast.at) == (effect.contrast.factors[0] in told_simply)
    ]


def verdict(
    effect: Effect, training: TrainingEffect, analysis: Analysis, reviews: int | None = None, *,
    drawn: bool = False,
) -> Verdict:  # fmt: skip
    """Put one contrast's result into a sentence; no verdict before the planned blocks are finished."""
    n = analysis.finished
    extended = analysis.plan.extended
    if analysis.interim:
        return Verdict("interim", f"interim, no verdict: {n} of {analysis.plan.wanted} blocks", extended)
    if analysis.too_few:
        return Verdict("too_few", f"too few blocks for a test: {n}, and it takes 6", extended)
    kind, words = _words(effect, training, f"{on_reviews(reviews, drawn=drawn)}, {n} blocks", analysis)
    if effect.contrast.at:
        words = f"with {' and '.join(word(level) for _, level in effect.contrast.at)}, {words}"
    after = " Extended after looking: more than 5 % of such verdicts err." if extended else ""
    rates = f" {HEAD_RATES}" if kind == "beats" and about_losses(effect.contrast) else ""
    return Verdict(kind, words[0].upper() + words[1:] + "." + rates + after, extended)


HEAD_RATES = (
    "At equal learning rate two logits under Adam are one logit whose head learns twice as fast and starts "
    "sqrt(2) larger, so this is a contrast of head rates and not of losses; arms of matched rate and start would "
    "show it."
)


def about_losses(contrast: Contrast) -> bool:
    """Say whether a contrast is that between one logit and two."""
    return contrast.factors == ("model.loss",) and set(contrast.pairs[0]) == {"bce", "cross_entropy"}


def _words(effect: Effect, training: TrainingEffect, where: str, analysis: Analysis) -> tuple[Kind, str]:
    if effect.fragile:
        return "training_rate", _training_rate(effect, training)
    if effect.contrast.is_interaction:
        return _interaction(effect, where, analysis)
    if effect.beats:
        return "beats", _beats(effect, where)
    if effect.equivalent:
        first, second = names(effect.contrast)
        size = points(effect.narrow, "90 % interval ")
        return (
            "equivalent",
            f"no difference larger than {effect.margin:g} points between {first} and {second}: {size} {where}",
        )
    return "inconclusive", _inconclusive(effect, where)


def _beats(effect: Effect, where: str) -> str:
    first, second = names(effect.contrast)
    interval = effect.trimmed
    if interval.value < 0:
        first, second, interval = second, first, mirrored(interval)
    small = f"; the difference is smaller than {effect.margin:g} points" if effect.equivalent else ""
    return f"{first} beats {second} by {points(interval)} {where}{small}"


def _inconclusive(effect: Effect, where: str) -> str:
    first, second = names(effect.contrast)
    enough, at_most = effect.required_blocks, effect.settled_at_most_by
    if enough is None or at_most is None or enough >= MOST_BLOCKS:
        advice = "no number of blocks that anybody would run would settle it"
    elif at_most <= effect.trimmed.n:
        advice = f"the difference lies too near {effect.margin:g} points for more blocks to settle it soon"
    else:
        upper = "more" if at_most >= MOST_BLOCKS else about(at_most)
        advice = (
            f"about {about(max(enough, effect.trimmed.n + 1))} blocks would settle it "
            f"(up to {upper} at the standard deviation's upper limit)"
        )
    return f"inconclusive: {advice}; so far {first} against {second} is {points(effect.trimmed)} {where}"


def _interaction(effect: Effect, where: str, analysis: Analysis) -> tuple[Kind, str]:
    both = zip(effect.contrast.factors, effect.contrast.pairs, strict=True)
    (level, reference), (other, other_reference) = ([level_of(name, x) for x in pair] for name, pair in both)
    if effect.agrees:
        size = effect.trimmed if effect.trimmed.value > 0 else mirrored(effect.trimmed)
        more = "more" if effect.trimmed.value > 0 else "less"
        with_other = f"with {other} than with {other_reference} {where}"
        if _both_gain(effect, analysis):
            return "interaction", f"{level} gains {points(size)} {more} over {reference} {with_other}"
        higher = "higher" if effect.trimmed.value > 0 else "lower"
        return "interaction", f"{level} minus {reference} is {points(size)} {higher} {with_other}"
    first, second = (word(factor) for factor in effect.contrast.factors)
    return "none_seen", (
        f"whether {first} ({level} against {reference}) depends on {second} ({other} against {other_reference}) "
        f"stays open: {points(effect.trimmed)} {where}; this study could detect "
        f"{effect.minimum_detectable_effect:.1f} points "
        "or more (80 % power)"
    )


def _both_gain(effect: Effect, analysis: Analysis) -> bool:
    """Say whether the first factor's level is above its reference at both levels of the other factor."""
    factor, other = effect.contrast.factors
    gains = [
        one.trimmed.low > 0
        for one in analysis.effects
        if one.contrast.factors == (factor,)
        and one.contrast.pairs[0] == effect.contrast.pairs[0]
        and one.contrast.at
        and one.contrast.at[0] in [(other, level) for level in effect.contrast.pairs[1]]
    ]
    return len(gains) == 2 and all(gains)


def _training_rate(effect: Effect, training: TrainingEffect) -> str:
    fragile = ", ".join(" with ".join(map(word, cell)) for cell in effect.fragile)
    why = f"{fragile} failed to train in over 20 % of blocks, so accuracies are not compared"
    p = f"exact p = {training.p_holm:.2g} by Holm's method"
    if effect.contrast.is_interaction:
        return f"training rate only: {why}; the rates' interaction is {training.difference:.0f} points ({p})"
    first, second = names(effect.contrast)
    if training.difference < 0:
        first, second = second, first
    size = f"{abs(training.difference):.0f} points of runs"
    if training.p_holm < ALPHA:
        return f"training rate only: {first} trains more often than {second} by {size} ({p}); {why}"
    return f"training rate only: {first} trained {size} more often than {second}, which may be chance ({p}); {why}"


def names(contrast: Contrast) -> tuple[str, str]:
    """Return how a person calls a main effect's level and its reference."""
    level, reference = contrast.pairs[0]
    return level_of(contrast.factors[0], level), level_of(contrast.factors[0], reference)


def level_of(factor: str, level: str) -> str:
    """Return how a person calls a level; one without a word of its own stands behind its factor: ``lr 0.002``."""
    return WORDS.get(level, f"{word(factor)} {level}")


def word(name: str) -> str:
    """Return how a person calls a factor or a level."""
    dotted = name.startswith(("data.", "model.", "train."))
    return WORDS.get(name, (name.rpartition(".")[2] if dotted else name).replace("_", " "))


def points(interval: Interval, label: str = "") -> str:
    """Write an effect with its limits: ``0.8 points [0.4, 1.2]``; a second decimal where 0.0 would mislead."""
    numbers = (interval.value, interval.low, interval.high)
    digits = 1 if all(abs(number) >= 0.05 for number in numbers) else 2
    value, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{value} points [{label}{low}, {high}]"


def about(count: int) -> str:
    """Round a number of blocks up to two digits."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // unit) * unit:,}"


def on_reviews(reviews: int | None, *, drawn: bool = False) -> str:
    """Say which reviews an effect was measured on: the same ones in all blocks, or each block's own."""
    number = "" if reviews is None else f"{reviews:,} "
    return f"on {number}reviews that each block draws anew" if drawn else f"on these {number}reviews"
