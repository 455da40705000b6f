"""A fraction's answer: what each factor is worth, in words, and what is confounded with what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.html import formatting, plots
from reports.html.document import Column, Conclusion, EffectSummary, Fact, Figure, Section, table
from reports.pages import fitting, tables, tuned
from reports.pages.effects import POINT, between
from reports.pages.factorial_data import finished_runs, plan_of
from reports.pages.verdicts import HEAD_RATES, level_of, on_reviews, points, word
from reports.pages.wording import conditions, extended, interim, too_few
from reports.records.study_run import StudyRun
from reports.stats.estimates import FEWEST_FOR_TEST, mirrored
from reports.stats.factorial import Plan
from reports.stats.fraction import FractionAnalysis, FractionEffect, analyse_fraction
from reports.stats.sensitivity import Range, ranges, what_matters


@dataclass(frozen=True)
class FractionData:
    """What the sections of a fraction's page read."""

    runs: pd.DataFrame
    """One row per finished run of a block: see ``finished_runs``."""
    plan: Plan
    analysis: FractionAnalysis

    @property
    def part(self) -> str:
        """The part of the data that the outcome was measured on."""
        return self.plan.outcome.partition("/")[0]

    @property
    def interim(self) -> bool:
        """Whether blocks are missing, so that there is no verdict yet."""
        return self.analysis.finished < self.plan.wanted

    @property
    def too_few(self) -> bool:
        """Whether no test could succeed with so few blocks."""
        return self.analysis.finished < FEWEST_FOR_TEST


def answer(parent: StudyRun, runs: pd.DataFrame) -> Conclusion:
    """Answer a study of factors whose blocks run a fraction of the cells.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``.

    Raises:
        UserError: if the runs are not those of the plan's factors.
    """
    plan = plan_of(parent.plan, runs)
    done = finished_runs(runs, plan.factors)
    if done.empty:
        return Conclusion([f"No verdict: none of {plan.wanted} blocks is complete."], study_type="factors")
    study = FractionData(done, plan, analyse_fraction(done, plan.factors, plan.outcome))
    count = study.analysis.finished
    facts = [Fact("Complete blocks", f"{count} of {plan.wanted}", f"{plan.planned} planned, of 8 runs each")]
    numbers = study.analysis.table()
    hidden = {} if not study.interim else dict.fromkeys(("p", "p_holm"), float("nan"))
    shared = ranges(parent.plan.searched)
    sections = [_matters(study, shared), effects(study), confounding(study)]
    sections.append(fitting.validation_section(done))
    return Conclusion(
        list(said(study)),
        facts,
        [section for section in sections if section],
        {"effects.csv": numbers.assign(**hidden)},
        "factors",
        effects=list(summarised(study)),
    )


def summarised(study: FractionData) -> Iterator[EffectSummary]:
    """Give every main effect as a page over several data sets shows it; of interactions there are but sums."""
    for effect in study.analysis.effects:
        if not effect.is_interaction:
            [factor] = effect.names[0]
            reference, level = study.plan.factors[factor]
            value, low, high = _limits(effect)
            yield EffectSummary(
                name=f"{factor}: {level} - {reference}",
                label=_label(effect, study),
                value=value,
                low=low,
                high=high,
                blocks=effect.interval.n,
                outcome=study.plan.outcome,
                margin=study.plan.margin,
                fragile=effect.fragile,
            )


def said(study: FractionData) -> Iterator[str]:
    """Say what came out: one sentence per factor, and what is seen of interactions."""
    analysis, plan = study.analysis, study.plan
    if study.interim:
        yield interim(analysis.finished, plan)
    elif study.too_few:
        yield too_few(analysis.finished)
    else:
        reviews, drawn = tables.scored_on(study.runs, study.part)
        where = on_reviews(reviews, drawn=drawn)
        for effect in analysis.effects:
            if not effect.is_interaction:
                yield main_said(effect, plan.factors[effect.names[0][0]], f"{where}, {analysis.finished} blocks")
        yield from interactions_said(analysis)
        yield conditions(study.runs, tuned=False)
    if plan.extended:
        yield extended(plan)


def main_said(effect: FractionEffect, levels: Sequence[str], where: str) -> str:
    """Say what one factor is worth, and never more than its numbers carry."""
    [factor] = effect.names[0]
    first, second, size = level_of(factor, levels[1]), level_of(factor, levels[0]), effect.interval
    if effect.fragile:
        return (
            f"{formatting.opening(first)} against {second}: at one of these over 20 % of runs failed to converge, "
            "so that accuracies are not compared."
        )
    if not effect.found:
        return (
            f"Whether {word(factor)} matters ({first} against {second}) stays open: {points(size)} {where}; this "
            f"study could detect {effect.minimum_detectable_effect:.1f} percentage points or more (80 % power)."
        )
    if size.value < 0:
        first, second, size = second, first, mirrored(size)
    about_loss = factor == "model.loss" and set(levels) == {"bce", "cross_entropy"}
    rates = f" {HEAD_RATES}" if about_loss else ""
    return (
        f"{formatting.opening(first)} beats {second} by {points(size)} {where}, averaged over the levels of the "
        f"other factors.{rates}"
    )


def interactions_said(analysis: FractionAnalysis) -> Iterator[str]:
    """Say which sums of interactions are there; the fraction does not tell whose they are."""
    every = [effect for effect in analysis.effects if effect.is_interaction]
    columns = [effect for effect in every if not effect.fragile]
    found = [effect for effect in columns if effect.found]
    for effect in found:
        several = len(effect.names) > 1
        which = (
            f"the sum of {len(effect.names)} interactions that this fraction cannot tell apart" if several else ""
        )
        yield (
            f"{formatting.opening(column_name(effect))}: {f'{which} is ' if which else 'an interaction of '}"
            f"{points(effect.interval)}, so that the effects of these factors hold for an average over the others "
            "alone."
        )
    if columns and not found:
        visible = max(effect.minimum_detectable_effect for effect in columns)
        yield (
            f"No interaction of two factors detected in {formatting.plural(len(columns), 'column')} of the "
            f"design; this study could detect sums of {visible:.1f} percentage points or more (80 % power)."
        )
    if every and not columns:
        yield "Interactions are not compared, since too many runs failed to converge."


def column_name(effect: FractionEffect) -> str:
    """Name the effects of a column for a person: ``pooling × keep + loss × max length``."""
    return " + ".join(" × ".join(map(word, each)) for each in effect.names)


def _label(effect: FractionEffect, study: FractionData) -> str:
    if effect.is_interaction:
        return column_name(effect)
    [factor] = effect.names[0]
    reference, level = study.plan.factors[factor]
    return f"{level_of(factor, level)} − {level_of(factor, reference)}"


def effects(study: FractionData) -> Section | None:
    """Show every column of the design with its interval."""
    analysis = study.analysis
    if not analysis.finished:
        return None
    sentences = [
        "A block runs eight of the combinations on the same settings, seed, split and order of reviews, and the "
        "next block the eight opposite ones. An effect is the mean over both kinds of block of the 20 % trimmed "
        f"mean of the blocks' differences in percentage points of {study.part} accuracy, with its 95 % t interval "
        "(Yuen's errors, Welch's degrees of freedom), not adjusted for several questions. p is that of the same "
        "t, adjusted by Holm's method over all rows of the table. Validation accuracy stands beside it."
    ]
    if study.interim:
        sentences.append("No p is shown before the planned blocks are complete.")
    if left_out := len(analysis.incomplete):
        sentences.append(f"{formatting.plural(left_out, 'block')} with a missing cell left out.")
    rows = [(_label(effect, study), *_limits(effect)) for effect in analysis.effects]
    shown = pd.DataFrame(
        [
            {
                "effect": name,
                "value": value,
                "limits": between(low, high),
                "p": float("nan") if study.interim else effect.p_holm,
                "validation": effect.validation.value,
                "validation_limits": between(effect.validation.low, effect.validation.high),
                "visible": effect.minimum_detectable_effect,
            }
            for (name, value, low, high), effect in zip(rows, analysis.effects, strict=True)
        ]
    )
    columns = [
        Column("effect", "Effect", long=True),
        Column("value", "Trimmed mean", POINT, number=True),
        Column("limits", "95 %", sortable=False),
        Column("p", "p, Holm", "{:.2g}".format, number=True),
        Column("validation", "On validation", POINT, number=True),
        Column("validation_limits", "95 %", sortable=False),
        Column("visible", "Minimum detectable effect", POINT, number=True),
    ]
    forest = plots.forest(rows, study.plan.margin, plots.Labels("Effects, 95 % intervals", "percentage points"))
    caption = f"The band around 0 is ±{study.plan.margin:g} percentage points."
    return Section(
        "Effects", sentences, [Figure([forest], caption), table(shown, columns, "Effects in percentage points")]
    )


def _limits(effect: FractionEffect) -> tuple[float, float, float]:
    return effect.interval.value, effect.interval.low, effect.interval.high


def confounding(study: FractionData) -> Section | None:
    """Say what cannot be told apart: of main effects within a kind of block, and of interactions at all."""
    columns = [effect for effect in study.analysis.effects if effect.is_interaction]
    if not columns:
        return None
    sentences = [
        "Over pairs of a block and its fold-over, every main effect is free of interactions of two factors "
        "(resolution IV); those of three or more are assumed to be zero. Interactions that share a row are "
        "confounded with each other: their sum is estimated, and not what each adds to it. A study of two "
        "of the factors alone (DESIGN=full) tells them apart."
    ]
    shown = pd.DataFrame(
        [
            {"column": " × ".join(map(word, effect.names[0])), "others": _others(effect), **_size(effect)}
            for effect in columns
        ]
    )
    listed = [
        Column("column", "Interaction"),
        Column("others", "Confounded with", long=True, sortable=False),
        Column("value", "Their sum", POINT, number=True),
        Column("limits", "95 %", sortable=False),
    ]
    return Section("What is confounded with what", sentences, [table(shown, listed, "Aliases")])


def _others(effect: FractionEffect) -> str:
    return ", ".join(" × ".join(map(word, each)) for each in effect.names[1:]) or "none"


def _size(effect: FractionEffect) -> dict[str, object]:
    return {"value": effect.interval.value, "limits": between(effect.interval.low, effect.interval.high)}


def _matters(study: FractionData, drawn: Mapping[str, Range]) -> Section | None:
    if study.interim or study.too_few:
        return None
    shared = study.runs.groupby("block").first()
    found = what_matters(study.analysis.means, shared, drawn)
    factors = [(_label(e, study), *_limits(e)) for e in study.analysis.effects if not e.is_interaction]
    return tuned.matters_section(found, factors)
