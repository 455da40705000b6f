"""Sections of a factors study on what matters most, and on arms that were tuned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from reports.html import formatting, plots
from reports.html.document import Column, Figure, Section, table
from reports.pages.effects import POINT, between, label
from reports.pages.factorial_data import FactorialData
from reports.pages.verdicts import names, points, word
from reports.stats.contrasts import Contrast
from reports.stats.estimates import Interval, mirrored
from reports.stats.sensitivity import Sensitivity, what_matters
from reports.stats.tuning_budget import effects_by_budget


def matters(study: FactorialData) -> Section | None:
    """Show what each setting is worth over its drawn range, and each factor beside them."""
    if study.analysis.too_few or study.analysis.interim:
        return None
    means = study.analysis.blocks.table.mean(axis=1)
    shared = study.runs.groupby("block").first()
    factors = [
        (label(effect.contrast), effect.trimmed.value, effect.trimmed.low, effect.trimmed.high)
        for effect in study.analysis.effects
        if not effect.contrast.is_interaction and not effect.contrast.at
    ]
    return matters_section(what_matters(means, shared, study.ranges), factors)


def matters_section(
    found: Sensitivity | None, factors: Sequence[tuple[str, float, float, float]]
) -> Section | None:
    """Show settings and factors, the largest effect first; None where nothing is known of the settings.

    Args:
        found: what the shared settings do.
        factors: name, effect, and its limits.
    """
    if found is None:
        return None
    settings = [
        (f"{word(row['setting'])}, {row['from']:g} to {row['to']:g}", row["effect"], row["low"], row["high"])
        for row in found.table.to_dict("records")
    ]
    rows = sorted([*settings, *factors], key=lambda row: -abs(row[1]))
    labels = plots.Labels("What matters most, 95 % intervals", "percentage points of accuracy")
    shown = pd.DataFrame(rows, columns=["what", "effect", "low", "high"])
    shown = shown.assign(limits=[between(low, high) for low, high in shown[["low", "high"]].to_numpy()])
    columns = [
        Column("what", "Setting"),
        Column("effect", "Points", POINT, number=True),
        Column("limits", "95 %", sortable=False),
    ]
    caption = (
        "A setting from the low to the high end of the range it was drawn from; a factor from level to level."
    )
    return Section(
        "What matters most",
        list(matters_said(found)),
        [Figure([plots.forest(rows, 0, labels)], caption), table(shown, columns, "Effects in percentage points")],
    )


def matters_said(found: Sensitivity) -> Iterator[str]:
    """Say which settings matter, and how much of the variance all of them explain."""
    yield (
        "Block means regressed on the settings that each block drew at random, all together, on the scale on "
        f"which they were drawn; {found.blocks} blocks, intervals unadjusted. The settings explain "
        f"{100 * max(0.0, found.r_squared):.0f} % of the variance of block means (adjusted R squared)."
    )
    clear = found.table[(found.table["low"] > 0) | (found.table["high"] < 0)]
    for row in clear.to_dict("records"):
        interval = Interval(row["effect"], row["low"], row["high"], 0.95, found.blocks)
        verb, size = ("raises", interval) if interval.value > 0 else ("lowers", mirrored(interval))
        yield (
            f"{formatting.opening(word(row['setting']))} from {row['from']:g} to {row['to']:g} {verb} accuracy by "
            f"{points(size)}."
        )
    others = [word(name) for name in found.table["setting"] if name not in set(clear["setting"])]
    if others:
        yield f"No effect detected of: {', '.join(others)}."


def tuned_arms(study: FactorialData) -> Section | None:
    """Show each main effect after the best of 1, 2, 4, 8 trials of each arm by validation."""
    if study.analysis.too_few or study.analysis.interim:
        return None
    asked = {
        effect.contrast.name: effect.contrast
        for effect in study.analysis.effects
        if not effect.contrast.is_interaction
    }
    found = effects_by_budget(study.runs, study.factors, list(asked.values()), study.plan.outcome)
    if found.empty:
        return None
    found = found.assign(
        what=[label(asked[name]) for name in found["contrast"]],
        limits=[between(low, high) for low, high in found[["low", "high"]].to_numpy()],
    )
    columns = [
        Column("what", "Contrast"),
        Column("trials", "Trials", number=True),
        Column("effect", "Points", POINT, number=True),
        Column("limits", "95 %", sortable=False),
    ]
    sentences = [
        "An effect at a random setting is not one between tuned arms. Here each cell keeps the best of so many "
        f"random settings by validation, and what is kept is compared by {study.part} accuracy: the mean over all "
        "subsets of blocks, with the jackknife's interval over blocks, unadjusted.",
        *[tuned_said(contrast, found[found["contrast"] == name]) for name, contrast in asked.items()],
    ]
    return Section("Against the tuning budget", sentences, [table(found, columns, "Tuned arms")])


def tuned_said(contrast: Contrast, by_budget: pd.DataFrame) -> str:
    """Say what is left of an effect at the largest budget."""
    last = by_budget.iloc[-1]
    interval = Interval(last["effect"], last["low"], last["high"], 0.95, int(last["blocks"]))
    first, second = names(contrast)
    at = "".join(f", with {word(level)}" for _, level in contrast.at)
    how = f"Tuned by {formatting.plural(int(last['trials']), 'trial')} each{at}"
    if not interval.excludes(0):
        return f"{how}, {first} and {second} cannot be told apart: {points(interval)}."
    if interval.value < 0:
        first, second, interval = second, first, mirrored(interval)
    return f"{how}, {first} is better than {second} by {points(interval)}."
