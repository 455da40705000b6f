"""The same questions asked of several data sets: each effect side by side, and never one number over them.

A data set is what was read, however it was split or limited: its digest is over every text and label of a source.
Data sets were chosen by somebody and not drawn, so that nothing is averaged, tested or promised over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from reports.html import formatting, plots
from reports.html.document import Column, Conclusion, Figure, Part, Section, StudySummary, table

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NO_SAMPLE = (
    "{sets} data sets are no sample of data sets: they were chosen, not drawn, so what they have in common says "
    "nothing about a further one, and no effect is averaged or tested over them."
)


def side_by_side(standings: Sequence[StudySummary], link: Callable[[str], str]) -> Part | None:
    """Show every effect that several studies of factors estimated; None where no two ask the same.

    Args:
        standings: of all studies.
        link: name of a study -> address of its page.
    """
    found = rows(standings)
    if found.empty:
        return None
    columns = [
        Column("label", "Effect"),
        Column("data_set", "Data set"),
        Column("sizes", "Reviews", sortable=False),
        Column("study", "Study"),
        Column("value", "Estimate, points", formatting.point, number=True),
        Column("limits", "95 %", sortable=False),
        Column("blocks", "Blocks", number=True),
        Column("outcome", "Outcome"),
        Column("state", "State", sortable=False),
    ]
    shown = found.assign(
        limits=[formatting.between(low, high) for low, high in found[["low", "high"]].to_numpy()],
        state=[_state(interim, fragile) for interim, fragile in found[["interim", "fragile"]].to_numpy()],
    )
    links = {label: link(str(study)) for label, study in found["study"].items()}
    margins = found["margin"].unique()
    labels = plots.Labels("Effects by data set, 95 % intervals", "percentage points of accuracy")
    drawn = found[~found["fragile"]]
    forest = (
        [plots.forest_by(drawn, float(margins[0]) if len(margins) == 1 else 0.0, labels)] if len(drawn) else []
    )
    band = f" The band around 0 is ±{margins[0]:g} percentage points." if len(margins) == 1 else ""
    lost = (
        " Not drawn: effects where over 20 % of runs failed to train, so that accuracies are not to be compared."
        if len(drawn) < len(found)
        else ""
    )
    section = Section(
        "",
        [
            "An estimate and its interval are those of the study's own page: over its blocks, on its own reviews, "
            "not adjusted for several questions. An interval that holds 0 on one data set and not on another is "
            "no evidence that the effects differ."
        ],
        [
            Figure(forest, f"Each colour is a data set.{band}{lost}"),
            table(shown, columns, "Each effect on each data set", "", links),
        ],
    )
    return Part(
        "Effects, data set by data set",
        Conclusion(list(said(standings)), files={"effects_by_data_set.csv": found}),
        [],
        [],
        [section],
    )


def rows(standings: Sequence[StudySummary]) -> pd.DataFrame:
    """Return one row per effect and study, of effects that at least two studies estimated.

    Returns:
        ``effect`` (its name in tables), ``label`` (for a person), ``study``, ``data_set`` (its name), ``digest``
        (of the data set), ``data_scope``, ``sizes``, ``value``, ``low``, ``high``, ``blocks``, ``outcome``,
        ``margin``, ``interim``, ``fragile``. Effects stand in the order of the first study, data sets in that of
        their names.
    """
    named = data_sets(standings)
    every = pd.DataFrame(
        [
            {
                "effect": effect.name,
                "label": effect.label,
                "study": study.study,
                "data_set": named[study.data_set.digest],
                "digest": study.data_set.digest,
                "data_scope": study.data_scope,
                "sizes": ", ".join(study.data_set.sizes),
                "value": effect.value,
                "low": effect.low,
                "high": effect.high,
                "blocks": effect.blocks,
                "outcome": effect.outcome,
                "margin": effect.margin,
                "interim": study.interim,
                "fragile": effect.fragile,
            }
            for study in comparable(standings)
            for effect in study.effects
        ]
    )
    if every.empty:
        return every
    every = every[every.groupby("effect")["study"].transform("nunique") > 1]
    order = {name: place for place, name in enumerate(every["effect"].unique())}
    ranked = every.assign(place=every["effect"].map(order)).sort_values(["place", "data_set", "study"])
    return ranked.drop(columns="place").reset_index(drop=True)


def comparable(standings: Sequence[StudySummary]) -> list[StudySummary]:
    """Return the studies that have effects and one data set that is known, by the name of their study."""
    return sorted(
        (each for each in standings if each.effects and each.data_set.digest), key=lambda each: each.study
    )


def data_sets(standings: Sequence[StudySummary]) -> dict[str, str]:
    """Return digest -> name of every data set of these studies; the same name of two tells its digest too."""
    found: dict[str, str] = {}
    for each in comparable(standings):
        found.setdefault(each.data_set.digest, each.data_set.name)
    names = list(found.values())
    return {
        digest: name if names.count(name) == 1 else f"{name}, digest {digest[:8]}"
        for digest, name in found.items()
    }


def said(standings: Sequence[StudySummary]) -> Iterator[str]:
    """Say how many data sets there are, and what they cannot be taken for."""
    studies, named = comparable(standings), data_sets(standings)
    by_set = {digest: [each.study for each in studies if each.data_set.digest == digest] for digest in named}
    if len(named) > 1:
        count = formatting.opening(_word(len(named)))
        yield (
            f"{formatting.plural(len(studies), 'study', 'studies')} of factors on {len(named)} data sets: "
            + ("; ".join(f"{', '.join(of_set)} on {named[digest]}" for digest, of_set in by_set.items()))
            + "."
        )
        yield NO_SAMPLE.format(sets=count)
    for digest, of_set in by_set.items():
        if len(of_set) > 1:
            yield (
                f"{' and '.join(of_set)} read one data set, {named[digest]}, and not {_word(len(of_set))}: they "
                "repeat each other, on the same texts."
            )
    unknown = {each.study for each in standings if each.effects and not each.data_set.digest}
    if unknown:
        yield (
            f"Left out: {', '.join(sorted(unknown))}, whose records do not say whether all runs read one data set "
            "(runs of an earlier version did not record it)."
        )


def _word(number: int) -> str:
    """Write a small number as a word."""
    return WORDS[number] if number < len(WORDS) else str(number)


def _state(interim: bool, fragile: bool) -> str:
    told = ["interim"] if interim else []
    if fragile:
        told.append("runs failed to train")
    return ", ".join(told) or "complete"
