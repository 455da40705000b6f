"""A factors study's answer: verdicts in words, then the sections that show what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from reports import frames
from reports.html.document import Conclusion, EffectSummary, Fact, Section
from reports.pages import effects, fitting, fraction, probabilities, tables, tuned
from reports.pages.factorial_data import FactorialData, finished_runs, plan_of
from reports.pages.verdicts import points, verdicts
from reports.pages.wording import conditions, extended, interim, too_few
from reports.records.study_run import StudyRun
from reports.stats.factorial import Analysis, analyse
from reports.stats.matched import Matched, matched_losses
from reports.stats.sensitivity import ranges

SECTIONS: list[Callable[[FactorialData], Section | None]] = [
    tuned.matters,
    effects.effects,
    tuned.tuned_arms,
    effects.new_reviews,
    effects.training,
    fitting.optimisation,
    fitting.tuning,
    probabilities.by_length,
    probabilities.calibrated,
    fitting.validation,
]


def answer(parent: StudyRun, runs: pd.DataFrame, curves: pd.DataFrame, stores: frames.Stores) -> Conclusion:
    """Answer a factors study.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``.
        curves: theirs.
        stores: where predictions are.

    Raises:
        UserError: if the runs are not those of the plan's cells.
    """
    if parent.plan.design == "fraction":
        return fraction.answer(parent, runs)
    plan = plan_of(parent.plan, runs)
    done = finished_runs(runs, plan.factors)
    if done.empty:
        return Conclusion([f"No verdict: none of {plan.wanted} blocks is complete."], study_type="factors")
    study = FactorialData(done, plan, analyse(done, plan), curves, stores, ranges(parent.plan.searched))
    count = study.analysis.finished
    facts = [Fact("Complete blocks", f"{count} of {plan.wanted}", f"{plan.planned} planned")]
    files = {"effects.csv": effects_table(study.analysis), "training_rates.csv": study.analysis.rates}
    sections = [section for make in SECTIONS if (section := make(study))]
    return Conclusion(
        list(said(study)), facts, sections, files, "factors", effects=list(summarised(study.analysis))
    )


def summarised(analysis: Analysis) -> Iterator[EffectSummary]:
    """Give every effect as a page over several data sets shows it."""
    for effect in analysis.effects:
        size = effect.trimmed
        yield EffectSummary(
            name=effect.contrast.name,
            label=effects.label(effect.contrast),
            value=size.value,
            low=size.low,
            high=size.high,
            blocks=size.n,
            outcome=analysis.plan.outcome,
            margin=analysis.plan.margin,
            fragile=bool(effect.fragile),
        )


def said(study: FactorialData) -> Iterator[str]:
    """Say what came out, one sentence per question; no verdict where blocks are missing."""
    analysis, plan = study.analysis, study.plan
    if analysis.interim:
        yield interim(analysis.finished, plan)
    elif analysis.too_few:
        yield too_few(analysis.finished)
    else:
        reviews, drawn = tables.scored_on(study.runs, study.part)
        for verdict in verdicts(analysis, reviews, drawn=drawn):
            yield str(verdict)
        if matched := matched_losses(analysis.blocks, plan.factors):
            yield matched_said(matched)
        yield conditions(study.runs)
    if plan.extended and (analysis.interim or analysis.too_few):  # a verdict says it itself
        yield extended(plan)


def matched_said(found: Matched) -> str:
    """Say what is left of the difference of losses once the heads learn alike."""
    size = points(found.interval)
    start, at_equal = (
        ("and start sqrt(2) larger", " and start") if found.start else ("though not at a matched start", "")
    )
    told = "cross-entropy minus BCE is" if found.interval.excludes(0) else "no difference is detected:"
    equal = "is" if found.equal.excludes(0) else "is not told from 0:"
    goes = (
        f"matching takes {points(found.change)} of it away"
        if found.change.value > 0 and found.change.excludes(0)
        else f"whether matching takes any of it away stays open: {points(found.change)}"
    )
    return (
        f"At equal head rate{at_equal} cross-entropy minus BCE {equal} {points(found.equal)}. "
        f"At matched head rate ({start}: head lr scale {found.rate} with BCE, {found.reference} with "
        f"cross-entropy), {told} {size}; {goes} (95 %, unadjusted)."
    )


def effects_table(analysis: Analysis) -> pd.DataFrame:
    """Return the numbers of every contrast, without a p where there is no verdict yet."""
    table = analysis.table()
    hidden = [name for name in table if name in ("p", "p_holm", "training_p_holm")]
    return table.assign(**dict.fromkeys(hidden, float("nan"))) if analysis.interim else table
