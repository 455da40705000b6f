"""A variance study's answer: the sources of random variation, and what a comparison of single runs is worth."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from reports.frames import Stores
from reports.html import plots
from reports.html.document import Column, Conclusion, Fact, Figure, Section, table
from reports.html.formatting import between, point
from reports.pages import tables
from reports.records.study_run import StudyRun
from reports.stats.contrasts import POINTS, VALIDATION, scored
from reports.stats.estimates import Interval
from reports.stats.variance import REAL, SingleRuns, Source, single_runs, sources

NAMES = {
    "init": "initial weights",
    "order": "the order of texts",
    "dropout": "dropout",
    "split": "the validation split",
    "settings": "random settings",
}
"""Source of random variation -> its name in sentences."""
FEWEST = 5
"""Runs of each source below which the page says that they tell little."""


def answer(parent: StudyRun, runs: pd.DataFrame, curves: pd.DataFrame, stores: Stores) -> Conclusion:
    """Answer a variance study.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``.
        curves: not needed.
        stores: not needed.
    """
    outcome = parent.plan.outcome or "test/accuracy"
    done = runs[(runs["outcome"] == "complete") & runs["varied"].notna()] if "varied" in runs else runs.iloc[:0]
    wanted = len(NAMES) * parent.plan.seeds
    by_outcome = {name: scores_of(done, name) for name in (outcome, VALIDATION)}
    found = sources(by_outcome[outcome])
    if not found:
        return Conclusion(["No source of random variation has two complete runs yet."], study_type="variance")
    worth = single_runs(by_outcome[outcome])
    sentences = [*said(found, len(done), wanted), *([] if worth is None else worth_said(worth))]
    facts = [Fact("Complete runs", f"{len(done)} of {wanted}", f"{parent.plan.seeds} for each source")]
    if worth:
        facts.append(Fact("Difference of two runs by chance", f"{worth.by_chance.value:.2f}", "percentage points"))
    numbers = numbers_of(found, sources(by_outcome[VALIDATION]))
    sections = [section(found, numbers, *on_which(done))]
    return Conclusion(sentences, facts, sections, {"variance.csv": numbers}, "variance")


def scores_of(done: pd.DataFrame, outcome: str) -> dict[str, list[float]]:
    """Return source -> scores in per cent; a run that diverged without one counts as guessing."""
    diverged = done.assign(diverged=done["finish"] == "diverged")
    values = (scored(diverged, outcome) * POINTS).dropna()
    return {str(name): group.tolist() for name, group in values.groupby(done["varied"])}


def said(found: list[Source], done: int, wanted: int) -> Iterator[str]:
    """Say which source moves scores most, and how sure that is."""
    if done < wanted:
        yield f"Interim: {done} of {wanted} runs are complete."
    first, *others = found
    if not others:
        yield (
            f"Of {NAMES.get(first.name, first.name)} alone two or more runs are complete: their scores have a "
            f"standard deviation of {size(first.sd)} over {first.runs} runs."
        )
    else:
        yield (
            f"Scores vary most with {NAMES.get(first.name, first.name)}: a standard deviation of "
            f"{size(first.sd)} over {first.runs} runs, {percent(first.proportion)} of the sum of variances."
        )
    if others and (second := others[0]) and first.sd.low <= second.sd.high:
        yield (
            f"Whether that is more than with {NAMES.get(second.name, second.name)} "
            f"({size(second.sd)}) stays open: their intervals overlap."
        )
    if min(each.runs for each in found) < FEWEST:
        yield f"Fewer than {FEWEST} runs of a source tell little about how much it varies."


def worth_said(worth: SingleRuns) -> Iterator[str]:
    """Say what a comparison of two single runs on one split is worth."""
    yield (
        f"Two single runs of the same settings that differ in initial weights, order and dropout differ by up to "
        f"{size(worth.by_chance)} in 95 % of comparisons: a smaller difference of single runs may be chance."
    )
    low, high = (100 * limit for limit in (worth.right.low, worth.right.high))
    yield (
        f"Settings that are better by {REAL:g} percentage point have the higher score in "
        f"{100 * worth.right.value:.0f} % [{low:.0f}, {high:.0f}] of comparisons of single runs; to find that "
        f"difference in 80 % of studies takes {worth.seeds.value:.0f} [{worth.seeds.low:.0f}, "
        f"{worth.seeds.high:.0f}] seeds of each."
    )


def size(interval: Interval) -> str:
    """Write a standard deviation or a difference with its limits, in percentage points."""
    return f"{interval.value:.2f} percentage points {between(interval.low, interval.high)}"


def percent(proportion: Interval) -> str:
    """Write a proportion with its limits, in per cent."""
    limits = between(100 * proportion.low, 100 * proportion.high, 0)
    return "all" if pd.isna(proportion.low) else f"{100 * proportion.value:.0f} % {limits}"


def numbers_of(test: list[Source], validation: list[Source]) -> pd.DataFrame:
    """Return one row per source: how much it moves the outcome, and validation accuracy beside it."""
    beside = {each.name: each for each in validation}
    rows = []
    for each in test:
        seen = beside.get(each.name)
        rows.append(
            {
                "source": each.name,
                "runs": each.runs,
                "sd": each.sd.value,
                "sd_low": each.sd.low,
                "sd_high": each.sd.high,
                "proportion": each.proportion.value,
                "proportion_low": each.proportion.low,
                "proportion_high": each.proportion.high,
                "validation_sd": seen.sd.value if seen else float("nan"),
                "validation_sd_low": seen.sd.low if seen else float("nan"),
                "validation_sd_high": seen.sd.high if seen else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def on_which(done: pd.DataFrame) -> Iterator[str]:
    """Say on which reviews the runs were scored."""
    if tables.scored_on(done, "test")[1]:
        yield ("The seed of a split draws the test reviews of this source too, so that the split stands for both.")
    else:
        yield (
            "All runs are scored on the same test reviews, so that the choice of reviews is not among the sources."
        )


def section(found: list[Source], numbers: pd.DataFrame, *where: str) -> Section:
    """Show the sources side by side."""
    sentences = [
        "Each source is varied alone, all others held at one value. Standard deviations have chi-square 95 % "
        "intervals, which suppose normal scores; the proportion of the sum of variances has limits from draws of "
        "all of them. Interactions of two sources are in none of them.",
        *where,
    ]
    rows = [(NAMES.get(each.name, each.name), each.sd.value, each.sd.low, each.sd.high) for each in found]
    shown = numbers.assign(
        source=[name for name, *_ in rows],
        percent=100 * numbers["proportion"],
        sd_limits=[between(low, high) for low, high in numbers[["sd_low", "sd_high"]].to_numpy()],
        limits=[
            between(100 * low, 100 * high, 0)
            for low, high in numbers[["proportion_low", "proportion_high"]].to_numpy()
        ],
        validation_limits=[
            between(low, high) for low, high in numbers[["validation_sd_low", "validation_sd_high"]].to_numpy()
        ],
    )
    columns = [
        Column("source", "Varied alone"),
        Column("runs", "Runs", number=True),
        Column("sd", "sd on test", point, number=True),
        Column("sd_limits", "95 %", sortable=False),
        Column("percent", "Proportion, %", "{:.0f}".format, number=True),
        Column("limits", "95 %", sortable=False),
        Column("validation_sd", "sd on validation", point, number=True),
        Column("validation_limits", "95 %", sortable=False),
    ]
    labels = plots.Labels("Standard deviation, 95 % intervals", "percentage points of test accuracy")
    return Section(
        "Sources of random variation",
        sentences,
        [
            Figure([plots.forest(rows, 0, labels)], "Each source varied alone."),
            table(shown, columns, "Sources of random variation"),
        ],
    )
