"""The sections of a report that say what came out, each a pure function from what was recorded.

A section is a function that takes the ``Material`` and returns a ``Section``, or None where it has nothing to say.
``reports/pages/build.py`` lists them in the order of the page; ``reports/pages/background.py`` has
those on how it was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from reports.html import formatting, svg
from reports.html.document import Column, Figure, Section, table
from reports.pages import tables

BEST_SHOWN = 25  # rows of the leaderboard; all are in runs.csv
CURVES_SHOWN = 10


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
    """What repeats the study, empty where it is not known."""
    ui: str = ""
    """Address of an MLflow UI, empty where none is known."""

    @cached_property
    def spent(self) -> pd.DataFrame:
        """What the runs cost."""
        return tables.spent(self.runs, self.curves)

    def link(self, run: pd.Series[Any]) -> str:
        """Return the address of a run in the MLflow UI."""
        return f"{self.ui}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"


def leaderboard(material: StudyData) -> Section | None:
    """Rank the complete runs by validation accuracy, with test accuracy beside it."""
    ranked = tables.leaderboard(material.runs)
    if ranked.empty:
        return None
    shown = ranked.head(BEST_SHOWN)
    changing = [name for name in tables.varied(ranked) if not name.startswith("data.source")]
    columns = [
        Column("rank", "Rank", number=True),
        Column("name", "Run"),
        Column("best/val_accuracy", "Validation, %", formatting.percent, number=True),
        Column("test/accuracy", "Test, %", formatting.percent, number=True, sortable=False),
        Column("best/val_loss", "Validation loss", formatting.loss, number=True),
        *[
            Column(name, name, formatting.alike(ranked[name]), number=_is_number(ranked[name]))
            for name in changing
        ],
        Column("worked", "Time", formatting.duration, number=True),
    ]
    sentences = [
        "Ranked by validation accuracy, with the weights of each run's best evaluation. Test accuracy is shown "
        "beside it and decides nothing, which is why that column cannot be sorted: a model chosen by its test "
        "score has no test score any more."
    ]
    best, reviews = ranked.iloc[0], ranked["used.val"].iloc[0]
    if pd.notna(reviews):
        error = tables.sampling_error(best["best/val_accuracy"], int(reviews))
        sentences.append(
            f"{formatting.count(reviews)} validation reviews make one score known to within ±{100 * error:.1f} "
            "points (95 %), and each row is one seed: the order of close rows is mostly chance, and the best of "
            "many is optimistic."
        )
    note = f"The best {len(shown)} of {len(ranked)}; all are in runs.csv." if len(shown) < len(ranked) else ""
    links = {label: material.link(run) for label, run in shown.iterrows()} if material.ui else {}
    return Section("Leaderboard", sentences, [table(shown, columns, "Complete runs", note, links)])


def learning(material: StudyData) -> Section | None:
    """Show loss and accuracy of the best runs while they trained."""
    best = tables.leaderboard(material.runs).head(CURVES_SHOWN)
    curves = material.curves[material.curves["key"].isin(best["key"])]
    if curves.empty or curves["evaluation"].max() < 2:  # one point is no curve: see the leaderboard
        return None
    first = best.iloc[0]
    others = f"; grey: the {len(best) - 1} next best" if len(best) > 1 else ""
    caption = (
        f"Colour: {first['name']}, the best by validation; the dot is the evaluation whose weights were "
        f"kept{others}. Training accuracy is measured under dropout and averaged since the evaluation before, so "
        "it may lie below validation."
    )
    panels = svg.learning(curves, str(first["key"]))
    return Section("Learning curves", (), [Figure(panels, caption)])


def choices(material: StudyData) -> Section | None:
    """Show accuracy by pooling, by loss, and by any other setting with names for values."""
    names = ["model.pooling", "model.loss"]
    names += [
        name for name in tables.varied(material.runs) if name not in names and _few_names(material.runs[name])
    ]
    names = [name for name in names if name in tables.varied(material.runs)]
    if not names or not material.runs["best/val_accuracy"].notna().any():
        return None
    sentences = []
    if material.searched:
        sentences.append(
            "A search spends its trials where it scores well, so the runs on one row differ from those on another "
            "in other settings too. This shows what was seen; it does not measure what a choice is worth."
        )
    caption = (
        "Each dot is a complete run, the tick is the median. A ring is a pruned run at the last value it showed, "
        "which is no final score and enters no median."
    )
    panels = [svg.levels(material.runs, name) for name in names]
    seen = pd.concat([tables.by_level(material.runs, name) for name in names], ignore_index=True)
    columns = [
        Column("setting", "Setting"),
        Column("value", "Value", formatting.setting),
        Column("complete", "Complete", number=True),
        Column("median", "Median, %", formatting.percent, number=True),
        Column("best", "Best, %", formatting.percent, number=True),
        Column("pruned", "Pruned", number=True),
    ]
    return Section(
        "Accuracy by choice",
        sentences,
        [Figure(panels, caption), table(seen, columns, "Validation accuracy of complete runs")],
    )


def _is_number(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _few_names(column: pd.Series[Any]) -> bool:
    return not _is_number(column) and column.nunique() <= 8
