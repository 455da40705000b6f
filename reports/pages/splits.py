"""A splits study's answer: with which kind of validation split the validation score is closest to the test score.

What is compared is the gap, validation accuracy minus test accuracy, of runs on the same settings and seeds. The
accuracies themselves are of different training and validation parts, and stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from reports import frames
from reports.html import formatting, plots
from reports.html.document import Column, Conclusion, Fact, Section, figure, table
from reports.pages.effects import POINT, between
from reports.pages.factorial_data import finished_runs
from reports.pages.verdicts import points
from reports.records.study_run import StudyRun
from reports.stats.contrasts import POINTS
from reports.stats.estimates import FEWEST_FOR_TEST, mirrored
from reports.stats.factorial import Analysis, Effect, Plan, analyse
from reports.stats.generalisation import split_gaps, trained_runs
from reports.stats.over_blocks import fixed_parts

FACTOR = "data.split_method"


def answer(parent: StudyRun, runs: pd.DataFrame, curves: pd.DataFrame, stores: frames.Stores) -> Conclusion:
    """Answer a splits study.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``, on all their splits.
        curves: theirs.
        stores: not read.
    """
    kinds = [str(level) for level in parent.plan.factors[FACTOR]]
    done = finished_runs(runs, {FACTOR: kinds})
    done = done.assign(gap=done["best/val_accuracy"] - done["test/accuracy"])
    started = int(runs["block"].nunique()) if "block" in runs else 0
    plan = Plan({FACTOR: kinds}, parent.plan.blocks, started, outcome="gap", equivalence=())
    if done.empty:
        return Conclusion([f"No verdict: none of {plan.wanted} blocks is complete."])
    if trained_runs(done).empty:
        runs_ended = formatting.plural(len(done), "run has", "runs have")
        return Conclusion([f"No verdict: {runs_ended} ended, and none learned to tell the labels apart."])
    analysis = analyse(done, plan)
    column = done["group_column"].dropna()
    name = {kind: f"by {column.iloc[0]}" if kind == "group" and len(column) else kind for kind in kinds}
    gaps = scores(done)
    gaps = gaps.assign(name=gaps["split_method"].map(name))
    facts = [Fact("Complete blocks", f"{analysis.finished} of {plan.wanted}", f"{plan.planned} planned")]
    return Conclusion(
        list(said(analysis, gaps, name)),
        facts,
        [_gaps(analysis, gaps, name), _while_training(done, curves, name)],
        {"splits.csv": gaps.drop(columns="name"), "pairs.csv": _pairs(analysis, gaps, name)},
    )


def scores(done: pd.DataFrame) -> pd.DataFrame:
    """Return one row per kind of split: what ``split_gaps`` says, and mean ``val`` and ``test`` in per cent."""
    gaps, _ = split_gaps(done)
    means = done.groupby(FACTOR)[["best/val_accuracy", "test/accuracy"]].mean() * POINTS
    one_part = gaps["split_method"].isin(fixed_parts(done, FACTOR))
    gaps[["low", "high"]] = gaps[["low", "high"]].mask(one_part)
    return gaps.assign(
        one_part=one_part,
        val=gaps["split_method"].map(means["best/val_accuracy"]),
        test=gaps["split_method"].map(means["test/accuracy"]),
    )


def said(analysis: Analysis, gaps: pd.DataFrame, name: Mapping[str, str]) -> Iterator[str]:
    """Say how far each kind's validation score is from the test score, and with which kind it is farther above."""
    plan = analysis.plan
    if analysis.interim:
        yield f"Interim, no verdict: {analysis.finished} of {plan.wanted} blocks are complete."
        return
    for row in gaps.to_dict("records"):
        split = formatting.opening(called(row["name"]))
        if row["one_part"]:
            yield (
                f"{split}: validation minus test accuracy is {row['gap']:.2f} points on its one "
                f"validation split, which all {formatting.plural(row['runs'], 'run')} share: no interval and no "
                "verdict about this kind of split."
            )
            continue
        if row["runs"] < 2:
            yield (
                f"{split}: validation minus test accuracy is {row['gap']:.2f} points in the one run "
                "that learned to tell the labels apart: no interval."
            )
            continue
        yield (
            f"{split}: validation minus test accuracy is {row['gap']:.2f} points "
            f"{between(row['low'], row['high'])} (mean of {formatting.plural(row['runs'], 'run')}, "
            f"sd {row['sd']:.2f})."
        )
    if analysis.too_few:
        yield (
            f"Too few blocks to compare them: there are {analysis.finished}, and no test can succeed with fewer "
            f"than {FEWEST_FOR_TEST}."
        )
        return
    one_part = set(gaps.loc[gaps["one_part"], "split_method"])
    for effect in analysis.effects:
        if not one_part & set(effect.contrast.pairs[0]):
            yield _compared(effect, name)
    if plan.extended:
        yield f"Extended after looking: {plan.planned} blocks were planned and {plan.wanted} were started."


def called(name: str) -> str:
    """Return what a split of this kind is called.

    >>> called("by movie"), called("random")
    ('split by movie', 'random split')
    """
    return f"split {name}" if name.startswith("by ") else f"{name} split"


def _compared(effect: Effect, name: Mapping[str, str]) -> str:
    (first, second), size = effect.contrast.pairs[0], effect.trimmed
    if size.value < 0:
        first, second, size = second, first, mirrored(size)
    what = (
        f"validation minus test accuracy is {points(size)} higher with a {called(name[first])} than with a "
        f"{called(name[second])}"
    )
    where = f"on the same settings and seeds, {size.n} blocks"
    if effect.beats:
        return f"{formatting.opening(what)}, {where}."
    return f"Open: {what}, {where}; that may be chance (p = {effect.p_holm:.2g} by Holm's method)."


def _pairs(analysis: Analysis, gaps: pd.DataFrame, name: Mapping[str, str]) -> pd.DataFrame:
    rows = []
    for effect in analysis.effects:
        level, reference = effect.contrast.pairs[0]
        size = effect.trimmed
        one_part = gaps.loc[gaps["split_method"].isin([level, reference]), "one_part"].any()
        rows.append(
            {
                "pair": f"{name[level]} − {name[reference]}",
                "blocks": size.n,
                "difference": size.value,
                "low": float("nan") if one_part else size.low,
                "high": float("nan") if one_part else size.high,
                "p": float("nan") if analysis.interim or one_part else effect.p_holm,
            }
        )
    return pd.DataFrame(rows)


def _gaps(analysis: Analysis, gaps: pd.DataFrame, name: Mapping[str, str]) -> Section:
    sentences = [
        "Validation accuracy stops a run, chooses its weights and ranks it, and misleads all three where it is "
        "far from test accuracy. Each block runs every kind on the same settings and seed, and draws its own "
        "splits, so that this is about kinds of split and not about a single one.",
        "Test accuracies are those of the weights that each kind's validation split chose.",
    ]
    shown = analysis.blocks.table.set_axis(list(name.values()), axis=1)
    labels = plots.Labels("Validation minus test, each block", y="percentage points")
    of_kind = [
        Column("name", "Split"),
        Column("runs", "Runs", number=True),
        Column("gap", "Gap", POINT, number=True),
        Column("limits", "95 %", sortable=False),
        Column("sd", "sd", POINT, number=True),
        Column("val", "Validation, %", POINT, number=True),
        Column("test", "Test, %", POINT, number=True, sortable=False),
    ]
    of_pair = [
        Column("pair", "Pair"),
        Column("difference", "Difference of the gaps", POINT, number=True),
        Column("limits", "95 %", sortable=False),
        Column("p", "p, Holm", "{:.2g}".format, number=True),
    ]

    def limited(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(limits=[between(low, high) for low, high in frame[["low", "high"]].to_numpy()])

    return Section(
        "Validation accuracy against test accuracy",
        sentences,
        [
            figure(
                [plots.paired(shown, labels)],
                "A grey line is a block; colour: the median of each kind.",
                len(shown),
                "complete block",
            ),
            table(limited(gaps), of_kind, "Gap between validation and test, in percentage points"),
            table(
                limited(_pairs(analysis, gaps, name)),
                of_pair,
                "Trimmed mean differences over blocks, in percentage points",
            ),
        ],
    )


def _while_training(done: pd.DataFrame, curves: pd.DataFrame, name: Mapping[str, str]) -> Section:
    drawn = {}
    for kind, group in done.groupby(FACTOR, sort=False):
        of_kind = curves[curves["key"].isin(group["key"])]
        by = of_kind.assign(percent=POINTS * of_kind["val/accuracy"]).groupby("evaluation")["percent"]
        drawn[name[str(kind)]] = pd.DataFrame({"x": by.mean().index, "y": by.mean()})
    labels = plots.Labels("Validation accuracy while training, %", "evaluation")
    points = sum(map(len, drawn.values()))
    sentence = "Mean over the runs of each kind, on the same settings and seeds."
    return Section(
        "While training", [sentence], [figure([plots.lines(drawn, labels)], "Validation accuracy.", points)]
    )
