"""The sections of a report that say what came out, each a pure function from what was recorded.

A section is a function that takes the ``StudyData`` and returns a ``Section``, or None where it has nothing to
show. ``reports/pages/build.py`` lists them in the order of the page; ``reports/pages/background.py`` has
those on how it was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from reports import frames
from reports.html import formatting, search_plots
from reports.html.document import FEWEST_POINTS, Column, Figure, Section, Table, table
from reports.html.search_plots import METRICS
from reports.pages import precision, tables
from reports.pages.search_tables import (
    cost,
    history,
    is_number,
    outside,
    position,
    scored,
    slice_of,
    span_unit,
    timeline,
    zoom,
)
from reports.stats.clustered import Sampled

MOST_SETTINGS = 12  # that are drawn; all are in the table
MOST_NAMES = 8  # values of a setting that are drawn as rows
MOST_RUNS = 500  # that are drawn, and rows of the leaderboard; all are in runs.csv
TOO_FEW = f"Fewer than {FEWEST_POINTS} runs have a score: too few for a plot."


@dataclass(frozen=True)
class StudyData:
    """What the sections read: runs that may be compared, of one study on one data set."""

    name: str
    runs: pd.DataFrame
    """Without the study's own parent run."""
    curves: pd.DataFrame
    searched: bool
    """Whether a search chose the settings of these runs."""
    command: str
    """Command line that repeats the study; empty where it is not known."""
    ui: str = ""
    """Address of an MLflow UI, empty where none is known."""
    stores: frames.Stores | None = None
    """Stores of predictions and texts; None: they are not read."""
    drawn: Mapping[str, bool] = field(default_factory=dict)
    """Settings that a search drew, and of each whether on a logarithmic scale."""

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The complete runs, best by validation first."""
        return tables.leaderboard(self.runs)

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The runs that figures draw."""
        return few(self.runs)

    @property
    def left_out(self) -> str:
        """Say which runs figures draw, where that is not all; it begins with a space."""
        if len(self.shown) == len(self.runs):
            return ""
        return (
            f" Of {formatting.count(len(self.runs))} runs {len(self.shown)} are drawn: the best {MOST_RUNS // 2}, "
            "and others evenly over the study."
        )

    @cached_property
    def settings(self) -> list[str]:
        """Settings that figures show: those that were searched, else all in which the runs differ."""
        names = [
            name for name in tables.varied(self.runs) if name != "seed" and not name.startswith("data.source")
        ]
        return [name for name in names if not self.drawn or name in self.drawn][:MOST_SETTINGS]

    def is_log(self, setting: str) -> bool:
        """Say whether a setting is shown on a logarithmic axis."""
        return self.drawn.get(setting, False) and bool((self.runs[setting].dropna() > 0).all())

    @cached_property
    def spent(self) -> pd.DataFrame:
        """What the runs cost."""
        return tables.spent(self.runs, self.curves)

    @cached_property
    def precision(self) -> dict[str, Sampled | None]:
        """How far the scores of the best run by validation hold for other reviews, for val and test."""
        best = self.ranked.head(1)
        if self.stores is None or best.empty:
            return {}
        return precision.scores(self.stores, best["key"].tolist(), str(best["digest"].iloc[0]))

    def link(self, run: pd.Series[Any]) -> str:
        """Return the address of a run in the MLflow UI."""
        return f"{self.ui}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"


def few(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs to draw: all, or of very many the best and others evenly over the study."""
    if len(runs) <= MOST_RUNS:
        return runs
    best = runs["key"].isin(tables.leaderboard(runs)["key"].head(MOST_RUNS // 2))
    others = np.flatnonzero(~best)
    kept = np.linspace(0, len(others) - 1, MOST_RUNS - int(best.sum())).astype(int)
    return runs.iloc[np.sort(np.concatenate([np.flatnonzero(best), others[np.unique(kept)]]))]


def leaderboard(data: StudyData) -> Section | None:
    """List all runs: complete ones by validation accuracy, with test accuracy beside it, then the others."""
    ranked = data.ranked
    if ranked.empty:
        return None
    shown = tables.everything(data.runs)
    others = len(shown) > len(ranked)
    changing = [name for name in tables.varied(shown) if not name.startswith("data.source")]
    columns = [
        Column("name", "Run"),
        *([Column("outcome", "Outcome", str.capitalize)] if others else []),
        Column("rank", "Rank", number=True),
        Column("best/val_accuracy", "Validation, %", formatting.percent, number=True),
        Column("test/accuracy", "Test, %", formatting.percent, number=True, sortable=False),
        Column("best/val_loss", "Validation loss", formatting.loss, number=True),
        *([Column("val/accuracy", "Last evaluation, %", formatting.percent, number=True)] if others else []),
        *[Column(name, name, formatting.alike(shown[name]), number=is_number(shown[name])) for name in changing],
        Column("worked", "Time", formatting.duration, number=True),
    ]
    sentences = [
        "Ranked by validation accuracy, with the weights of each run's best evaluation. Test accuracy is shown "
        "beside it and decides nothing, which is why that column cannot be sorted: a model chosen by its test "
        "score has no test score any more."
    ]
    best, reviews = ranked.iloc[0], ranked["used.val"].iloc[0]
    if pd.notna(reviews):
        size, drawn = _precision(data, best, int(reviews))
        known = (
            f" make one score known to within ±{size:.1f} percentage points (95 %, {drawn})" if size > 0 else ""
        )
        many = (
            "each row is one seed: the order of close rows is mostly chance, and the best of many is optimistic"
            if len(ranked) > 1
            else "the run is one seed"
        )
        sentences.append(f"{formatting.count(reviews)} validation reviews{known or ' are scored'}, and {many}.")
    note = "A click on a row highlights its run in every figure."
    if others:
        note = f"The last evaluation of a run that is not complete is no final score. {note}"
    if len(shown) > MOST_RUNS:
        note = f"The first {MOST_RUNS} of {formatting.count(len(shown))} runs; runs.csv has all. {note}"
        shown = shown.head(MOST_RUNS)
    links = {label: data.link(run) for label, run in shown.iterrows()} if data.ui else {}
    return Section(
        "Leaderboard",
        sentences,
        [
            table(
                shown,
                columns,
                "Best runs" if len(shown) < len(data.runs) else "All runs",
                note,
                links,
                keys="key",
            )
        ],
    )


def _precision(data: StudyData, best: pd.Series[Any], reviews: int) -> tuple[float, str]:
    """Return half the width of the interval of a validation score in percentage points, and what it draws."""
    found = data.precision.get("val")
    if found and pd.notna(found.interval.low):
        return found.interval.value - found.interval.low, precision.basis(found)
    size = 100 * tables.sampling_error(best["best/val_accuracy"], reviews)
    return size, "for other reviews, taken one by one: no predictions are stored"


def learning(data: StudyData) -> Section | None:
    """Show loss and accuracy of all runs while they trained."""
    ranked = data.ranked
    curves = data.curves
    if ranked.empty or curves.empty or curves["evaluation"].max() < 2:
        return None  # one point is no curve
    if len(curves) < FEWEST_POINTS:
        return Section("Learning curves", [f"{len(curves)} evaluations: too few for a plot."])
    first = ranked.iloc[0]
    drawn = curves.assign(**{name: 100 * curves[name] for name in METRICS if name.endswith("accuracy")})
    edges = {name: zoom(drawn, name, ranked["key"]) for name in METRICS}
    runs = data.runs.set_index("key")[["name", "outcome"]]
    others = "; grey: the other runs, dashed where they are not complete" if len(runs) > 1 else ""
    cut = max(outside(drawn, name, edges[name]) for name in METRICS)
    count = len(drawn["key"].unique())
    left = f": up to {cut} of {count:,} curves lie partly outside" if cut else ""
    scale = f", on which the later halves of the complete runs differ{left}" if count > 1 else ""
    caption = (
        f"Colour: {first['name']}, the best by validation; the dot is the evaluation whose weights were "
        f"kept{others}. Each panel has a scale of its own{scale}. "
        "Training accuracy is measured under dropout and averaged since the evaluation before, so it may lie "
        "below validation."
    )
    drawn = drawn[drawn["key"].isin(data.shown["key"])]
    panels = search_plots.learning(drawn, runs, str(first["key"]), edges)
    return Section("Learning curves", (), [Figure(panels, caption + data.left_out)])


def choices(data: StudyData) -> Section | None:
    """Show accuracy by every setting in which the runs differ."""
    runs = data.runs
    names = [name for name in data.settings if is_number(runs[name]) or runs[name].nunique() <= MOST_NAMES]
    if not names or not runs["best/val_accuracy"].notna().any():
        return None
    sentences = []
    if data.searched:
        sentences.append(
            "A search spends its trials where it scores well, so the runs on one row differ from those on another "
            "in other settings too. This shows what was seen; it does not measure what a choice is worth."
        )
    named = [name for name in names if not is_number(runs[name])]
    blocks: list[Figure | Table] = []
    if len(scored(runs)) >= FEWEST_POINTS:
        panels = [
            search_plots.numbers(slice_of(data.shown, name), name, data.is_log(name))
            if is_number(runs[name])
            else search_plots.levels(slice_of(runs, name), name, set(data.shown["key"]))
            for name in sorted(names, key=named.__contains__)  # those with numbers first
        ]
        caption = (
            "A dot is a complete run; a ring is another run at the last value it showed, which is no final score. "
            "Runs far below the others stand at a panel's edge."
        ) + data.left_out
        blocks.append(Figure(panels, caption + (" The tick is the median of complete runs." if named else "")))
    else:
        sentences.append(TOO_FEW)
    if named:
        seen = pd.concat([tables.by_level(runs, name) for name in named], ignore_index=True)
        columns = [
            Column("setting", "Setting"),
            Column("value", "Value", formatting.setting),
            Column("complete", "Complete", number=True),
            Column("median", "Median, %", formatting.percent, number=True),
            Column("best", "Best, %", formatting.percent, number=True),
            Column("pruned", "Pruned", number=True),
        ]
        blocks.append(table(seen, columns, "Validation accuracy of complete runs"))
    return Section("Accuracy by setting", sentences, blocks)


def course(data: StudyData) -> Section | None:
    """Show the course of a search: the scores in order with the best so far, and what ran when."""
    runs = data.runs
    if not data.searched or runs.empty:
        return None
    found, laid = history(runs), timeline(runs)
    if min(len(found), len(laid)) < FEWEST_POINTS:
        return Section("Course of the search", [TOO_FEW])
    per, unit = span_unit(laid["end"].max())
    caption = (
        "A dot is a complete run, a ring another one at its last evaluation. A bar is a run from its start to its "
        "end, in the lowest row that was free: there are as many rows as runs at once. Colour: complete; grey: "
        "pruned or not finished; orange: failed."
    )
    keys = set(data.shown["key"])
    bars = search_plots.timeline(laid[laid["key"].isin(keys)], per, unit)
    panels = [search_plots.history(found, keys), bars]
    return Section("Course of the search", [], [Figure(panels, caption + data.left_out)])


def together(data: StudyData) -> Section | None:
    """Show every run as a line through all its settings at once."""
    runs, names = scored(data.runs), data.settings
    if not data.searched or len(names) < 2 or len(runs) < FEWEST_POINTS:
        return None
    complete = runs["outcome"] == "complete"
    if not complete.any():
        return None
    top = runs.loc[complete, "accuracy"].quantile(0.75)
    runs = runs[runs["key"].isin(data.shown["key"])]
    complete = complete[runs.index]
    final, ticks = position(runs["accuracy"].where(complete))
    through = [
        (f"{name}, logarithmic" if log else name, *position(runs[name], log))
        for name, log in ((name, data.is_log(name)) for name in names)
    ]
    through.append(("validation accuracy, %", final, ticks))
    good = set(runs.loc[complete & (runs["accuracy"] >= top), "key"])
    caption = (
        f"A line is a run, from its settings down to its accuracy; colour: the best quarter of the complete runs "
        f"({top:.2f} % or more). A dashed line is a run that has no final score and ends above."
    ) + data.left_out
    return Section("Settings together", [], [Figure([search_plots.parallel(runs, through, good)], caption)])


def price(data: StudyData) -> Section | None:
    """Show accuracy against what it cost: seconds of work, and parameters of the model."""
    found = cost(data.shown)
    panels = []
    for column, title, unit in (
        ("seconds", "Accuracy and time", "seconds of work, logarithmic"),
        ("parameters", "Accuracy and size", "parameters of the model, logarithmic"),
    ):
        known = found.dropna(subset=[column])
        known = known[known[column] > 0]
        if len(known) >= FEWEST_POINTS and len(known[column].unique()) > 1:
            panels.append(search_plots.against(known, column, title, unit, log=True))
    if not panels:
        return None
    caption = (
        "A dot is a complete run, a ring another one at its last evaluation, after the time it took."
        + data.left_out
    )
    return Section("What accuracy costs", [], [Figure(panels, caption)])
