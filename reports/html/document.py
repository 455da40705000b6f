"""What a report is made of, whatever it is written as: sections of sentences, tables and figures. Plain values.

Texts are plain text and are escaped where a page is written; only a figure's SVG is markup, and that is our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.html.formatting import plural


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    order: float | str
    """Sort key of the cell within its column."""
    link: str | None = None


@dataclass(frozen=True)
class Column:
    """How a column of a DataFrame is shown."""

    name: str
    title: str
    show: Callable[[Any], str] = str
    number: bool = False
    """Set to the right, in digits of one width."""
    sortable: bool = True
    order: Callable[[Any], str] | None = None
    """Sort key as a function of the value, where it is not the number or the text that is shown."""
    long: bool = False
    """Text of any length, which may run over several lines."""


@dataclass(frozen=True)
class Table:
    """A table of a page; the first column names the row."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    keys: Sequence[str] = ()
    """Key of the run that each row describes; the marks of that run in figures light up with the row."""

    @property
    def cards(self) -> bool:
        """Whether a row is a card on a phone: where the columns have no room beside each other."""
        return len(self.columns) > 3 or any(column.long for column in self.columns)

    @property
    def labels(self) -> Sequence[str]:
        """Titles of the columns where each stands alone: ``95 %`` twice becomes ``Validation, % · 95 %``."""
        titles = [column.title for column in self.columns]
        labels, of = [], ""
        for title in titles:
            alone = titles.count(title) == 1
            labels.append(title if alone or not of else f"{of} · {title}")
            of = title if alone else of
        return labels


@dataclass(frozen=True)
class Figure:
    """Panels that are looked at together."""

    panels: Sequence[Markup]
    caption: str


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Pairs:
    """Names and their values, set in as many columns as there is room for."""

    title: str
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class MarkedText:
    """A text of the data, some of whose words are marked."""

    title: str
    spans: Sequence[tuple[str, int]]
    """One after the other: a piece of the text and its mark, from -4 (speaks for negative) to 4 (for positive);
    0 is not marked."""


@dataclass(frozen=True)
class Texts:
    """Texts of the data, each folded until somebody wants to read it."""

    title: str
    texts: Sequence[MarkedText]
    note: str = ""


Block = Table | Figure | Commands | Pairs | Texts
BLOCKS: dict[type, str] = {
    Table: "table",
    Figure: "figure",
    Commands: "commands",
    Pairs: "pairs",
    Texts: "texts",
}
"""Kind of block -> its name in the templates."""


@dataclass(frozen=True)
class RunFiles:
    """The run that a section is about, and a picture of what it shows."""

    key: str
    name: str
    picture: bytes = field(repr=False)
    """PNG."""
    ensemble: bool = False
    """Whether it is about an ensemble in which this run counts most."""


@dataclass(frozen=True)
class Section:
    """One question and what is known about it."""

    title: str
    sentences: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    kept: RunFiles | None = None
    """With which run it is kept too, as a page and a picture of its own; None: with none."""


@dataclass(frozen=True)
class Fact:
    """A number that stands at the top of a page."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Score:
    """A score that a study stands by, in per cent; NaN where there is none."""

    name: str
    """Name of the settings or the run."""
    basis: str
    """Kind of score and how its model was chosen, such as ``mean over 5 seeds``."""
    seeds: int
    val: float
    test: float
    val_limits: tuple[float, float] = (math.nan, math.nan)
    """95 % interval over seeds; of a single run or an ensemble, for other reviews."""
    test_limits: tuple[float, float] = (math.nan, math.nan)
    optimistic: bool = False
    """Whether it is the best of many single runs."""


@dataclass(frozen=True)
class EffectSummary:
    """What a study of factors says of one question, in percentage points, for a page over several data sets."""

    name: str
    """The question as tables name it, such as ``model.pooling: mean - last``: the same in every study."""
    label: str
    """The question for a person: ``mean pooling − last state``."""
    value: float
    low: float
    """Limits of the 95 % interval, unadjusted; NaN where there is none."""
    high: float
    blocks: int
    outcome: str
    """Metric that was compared."""
    margin: float
    """Points below which a difference does not matter, as declared."""
    fragile: bool
    """Whether too many runs failed to train for accuracies to be compared."""


@dataclass(frozen=True)
class DataSet:
    """What was read, however it was split."""

    digest: str
    """Digest of every text and label of the source; empty where it is not known, or not one."""
    name: str
    """Name of the source for a person: the last part of its path."""
    sizes: Sequence[str]
    """``21,415 training`` and so on; ``50 to 408`` where runs differ."""


@dataclass(frozen=True)
class StudySummary:
    """What a study brings to a comparison with others on the same data."""

    study: str
    study_type: str
    """search, factors, finalists or experiment."""
    data_scope: str
    """Scope of the study's data: whole, limited or synthetic."""
    digest: str
    """Digest of the study's data; empty where it is not known, or not one."""
    sizes: Sequence[str]
    """``21,415 training`` and so on."""
    scores: Sequence[Score]
    sentences: Sequence[str]
    """Sentences that answer the study's own question."""
    every: Sequence[float]
    """Validation accuracy of every complete run, in per cent."""
    runs: int
    complete: int
    seconds: float
    tokens: float
    interim: bool
    data_set: DataSet = DataSet("", "", ())
    effects: Sequence[EffectSummary] = ()
    """Effects that it estimates, where it is a study of factors."""


@dataclass(frozen=True)
class Conclusion:
    """What a study says to its own question."""

    sentences: Sequence[str]
    """They stand at the top of the page, and where the report is written a person reads them too."""
    facts: Sequence[Fact] = ()
    sections: Sequence[Section] = ()
    files: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Name of a CSV file beside the page -> its rows."""
    study_type: str = ""
    """Type of the study, such as factors or finalists."""
    scores: Sequence[Score] = ()
    """Scores that stand for the study in a comparison with others."""
    effects: Sequence[EffectSummary] = ()
    """Effects that stand for a study of factors on a page over several data sets."""


@dataclass(frozen=True)
class Part:
    """What is known from one data set; scores of different parts are not to be compared."""

    title: str
    """Empty where it is the only one."""
    answer: Conclusion
    """Without sentences where the runs answer no question of their own."""
    summary: Sequence[str]
    facts: Sequence[Fact]
    sections: Sequence[Section]
    standing: StudySummary | None = None
    """Summary of the study for a comparison on the same data; None on a page about several studies."""


@dataclass(frozen=True)
class Page:
    """A report on one study or experiment, or a comparison of several."""

    title: str
    kind: str
    """Study, Experiment or Comparison."""
    question: str
    interim: str
    """Why this is not the last word; empty where it is."""
    parts: Sequence[Part]


FEWEST_POINTS = 5
"""With fewer there is no plot: numbers say more."""


def figure(panels: Sequence[Markup], caption: str, points: int, of: str = "point") -> Figure:
    """Return a figure, or a sentence in its place where it would show too few points.

    Args:
        panels: of the figure.
        caption: below them.
        points: what it would show: runs, blocks, evaluations.
        of: what a person calls one of these.
    """
    if points < FEWEST_POINTS:
        return Figure((), f"{plural(points, of)}: too few for a plot.")
    return Figure(panels, caption)


def table(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    title: str,
    note: str = "",
    links: Mapping[object, str] | None = None,
    keys: str = "",
) -> Table:
    """Make a table of some columns of a frame.

    Args:
        frame: one row per row of the table, in its order.
        columns: which to show, and how; the first may carry links.
        title: above the table.
        note: below the table.
        links: index label of a row -> address that its first cell leads to.
        keys: the column with the key of the run that a row is about; empty where rows are about other things.
    """
    rows = []
    for label, row in zip(frame.index, frame.to_dict("records"), strict=True):
        cells = [_cell(row[column.name], column) for column in columns]
        link = (links or {}).get(label)
        rows.append([Cell(cells[0].text, cells[0].order, link), *cells[1:]])
    return Table(title, columns, rows, note, frame[keys].tolist() if keys else ())


def _cell(value: object, column: Column) -> Cell:
    if pd.isna(value):  # type: ignore[call-overload]
        return Cell("–", "")
    text = column.show(value)
    order = float(value) if isinstance(value, int | float) else column.order(value) if column.order else text
    return Cell(text, order)
