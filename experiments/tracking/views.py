"""Named views of MLflow's UI that come with every study and experiment: what a person wants to see first.

A view is an experiment's tag ``mlflow.sharedViewState.KEY`` whose value holds the state of the runs page: filter,
order, columns, charts. Opened without one, MLflow shows a study as a single collapsed row without scores. Pure
functions; ``client`` writes the tags, and leaves those alone that a person changed or removed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.tracking import names
from experiments.tracking.journal import Header

SEARCHED = ("model.embed_dim", "model.hidden_dim", "model.pooling", "model.loss", "train.lr")
"""Settings that are shown where nothing says which ones differ."""
BEST = names.BEST_VAL_ACCURACY
SCORES = (BEST, names.BEST_VAL_LOSS, names.TEST_ACCURACY, names.TEST_LOSS)
METRICS = (
    *(names.VAL_ACCURACY, names.VAL_LOSS, names.TRAIN_ACCURACY, names.TRAIN_LOSS),
    *SCORES,
    *(names.TOKENS_PER_SECOND, names.SECONDS, names.TOTAL_SECONDS),
)
COLORS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2"),
    *("#7f7f7f", "#bcbd22", "#17becf", "#393b79", "#e6550d", "#31a354", "#843c39"),
    *("#7b4173", "#c49c94", "#ad494a", "#525252", "#8c6d31", "#6baed6"),
)
"""Twenty that are told apart: Matplotlib's tab10, and ten of its tab20b and tab20c."""
FIRST_COLUMNS = {"attributes.`Run Name`": 260, "runDateAndNestInfo": 140, "duration": 80}
"""Columns that stand in every table, by MLflow's names for them -> width in pixels."""
CHARTS_MODE = "compareRunsMode=CHART"

State = dict[str, object]


@dataclass(frozen=True)
class View:
    """A named view."""

    key: str
    """Last part of the tag's name and of the link; the same in every experiment."""
    name: str
    """Name of the view in MLflow's list of views."""
    state: State
    charts: bool
    """Whether it is made to be opened on its charts and not on its table."""

    @property
    def tag(self) -> str:
        """The name of the experiment's tag."""
        return names.VIEW + self.key

    def value(self, time: int) -> str:
        """Return the tag's value, as MLflow's UI writes it.

        Args:
            time: when it was made, in ms since 1970 UTC.
        """
        packed = zlib.compress(json.dumps(self.state, separators=(",", ":")).encode(), 9)
        state = "deflate;" + base64.b64encode(packed).decode()
        return json.dumps({"name": self.name, "createdAt": time, "updatedAt": time, "state": state})


def digest(value: str) -> str:
    """Return a short digest of a tag's value: a view with another one was changed by a person."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def color(number: int) -> str:
    """Return the color of a run in MLflow's charts; MLflow itself may give two runs of ten the same."""
    return COLORS[number % len(COLORS)]


def link(key: str) -> str:
    """Return the part of a link to a view that stands behind the experiment's page."""
    mode = f"&{CHARTS_MODE}" if key in CHARTED else ""
    return f"&viewStateShareKey={key}{mode}"


LEADERBOARD, CURVES, QUESTION = "seqclf-1-leaderboard", "seqclf-2-curves", "seqclf-3-question"
CHARTED = (CURVES, QUESTION)


def views(header: Header) -> list[View]:
    """Return the views for the runs of a study or experiment.

    Args:
        header: of the study's own run, or of an experiment's run.
    """
    plan = json.loads(header.tags.get(names.PLAN, "{}"))
    role = "trial" if header.role in ("study", "trial") and names.STUDY in header.tags else "experiment"
    searched = list(plan.get("searched") or ())
    factors = list(plan.get("factors") or ())
    kind = plan.get("study_type", "search" if role == "trial" else "experiment")
    settings = factors or searched or [name for name in SEARCHED if name in header.params]
    own = {
        "search": ("Search", _search(settings)),
        "finalists": ("Finalists", _compared([])),
        "experiment": ("Scores", _compared(settings)),
    }.get(kind, (kind.capitalize(), _compared(settings)))
    marks = {"finalists": [names.RANK, names.FINALIST], "search": []}.get(kind, [names.BLOCK])
    columns = [
        *(f"metrics.`{name}`" for name in (BEST, names.TEST_ACCURACY, names.SECONDS)),
        *(f"params.`{name}`" for name in (["seed", *settings] if kind == "finalists" else settings)),
        *(f"tags.`{name}`" for name in [names.OUTCOME, *(marks if role == "trial" else [])]),
    ]
    return [
        View(LEADERBOARD, "Leaderboard", _state(role, columns, _bars(), "SHOW_ALL"), charts=False),
        View(CURVES, "Curves", _state(role, columns, _curves(), "FIRST_10_RUNS"), charts=True),
        View(QUESTION, own[0], _state(role, columns, own[1], "SHOW_ALL"), charts=True),
    ]


def of_one(view: View, header: Header) -> View:
    """Return a view of one person's study alone, where several people's studies of a name share an experiment.

    Args:
        view: of all.
        header: of the study's own run.
    """
    whose = f"{header.tags.get(names.USER, 'study')} {header.uid[:8]}"
    only = f"{view.state['searchFilter']} AND tags.`{names.UID}` = '{header.uid}'"
    return replace(
        view,
        key=f"{view.key}-{header.uid[:8]}",
        name=f"{view.name} of {whose}",
        state={**view.state, "searchFilter": only},
    )


@dataclass(frozen=True)
class Section:
    """A row of charts."""

    name: str
    charts: Sequence[State]
    columns: int
    """Charts side by side."""
    height: int = 360
    """Height of each chart, in pixels."""


def _state(role: str, columns: Sequence[str], sections: Sequence[Section], hidden: str) -> State:
    charts, listed = [], []
    for number, section in enumerate(sections):
        uuid = f"section-{number}"
        listed.append(
            {"uuid": uuid, "name": section.name, "display": True, "isReordered": True, "deleted": False,
             "isGenerated": False, "columns": section.columns, "cardHeight": section.height}
        )  # fmt: skip
        charts += [
            {**chart, "uuid": f"{uuid}-{index}", "metricSectionId": uuid, "deleted": False, "isGenerated": False}
            for index, chart in enumerate(section.charts)
        ]
    # MLflow adds a chart for every metric that has none. A deleted one keeps it from doing so.
    shown = {chart.get("metricKey") for chart in charts}
    charts += [
        {**_line(metric), "uuid": f"none-{metric}", "metricSectionId": "section-0", "deleted": True,
         "isGenerated": True}
        for metric in METRICS
        if metric not in shown
    ]  # fmt: skip
    # MLflow's own width cuts the names of most columns. It has no way to round what stands in them.
    widths = FIRST_COLUMNS | {name: max(90, 8 * len(name.split("`")[1]) + 30) for name in columns}
    return {
        "searchFilter": f"tags.`{names.ROLE}` = '{role}'",
        "orderByKey": f"metrics.`{BEST}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsHidden": [],
        "runsHiddenMode": hidden,
        "runsVisibilityMap": {},
        "runsPinned": [],
        "runsExpanded": {},
        "compareRunCharts": charts,
        "compareRunSections": listed,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "isAccordionReordered": True,
        "groupBy": None,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "autoRefreshEnabled": True,
    }


def _line(metric: str) -> State:
    return {
        "type": "LINE", "runsCountToCompare": 10, "metricKey": metric, "selectedMetricKeys": [metric],
        "xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "lineSmoothness": 0,
        "selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": [], "range": {},
        "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True,
    }  # fmt: skip


def _bar(metric: str) -> State:
    return {"type": "BAR", "runsCountToCompare": 20, "metricKey": metric}


def _parallel(settings: Sequence[str], metrics: Sequence[str]) -> State:
    return {
        "type": "PARALLEL", "runsCountToCompare": 100, "selectedParams": list(settings),
        "selectedMetrics": list(metrics), "showAllRuns": False,
    }  # fmt: skip


def _scatter(x: str, y: str) -> State:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return {"type": "SCATTER", "runsCountToCompare": 100, **axes}


def _bars() -> list[Section]:
    return [Section("Scores", [_bar(metric) for metric in SCORES], columns=2)]


def _curves() -> list[Section]:
    return [
        Section("Validation, by training examples seen", [_line(names.VAL_ACCURACY), _line(names.VAL_LOSS)], 2),
        Section("Training, by training examples seen", [_line(names.TRAIN_ACCURACY), _line(names.TRAIN_LOSS)], 2),
        Section("Scores of the kept weights", [_bar(BEST), _bar(names.TEST_ACCURACY)], 2),
        Section("Speed", [_line(names.TOKENS_PER_SECOND)], 2),
    ]


def _search(settings: Sequence[str]) -> list[Section]:
    worth = [_scatter(BEST, names.TEST_ACCURACY), _scatter(names.SECONDS, BEST)]
    return [
        Section("Searched settings and validation accuracy", [_parallel(settings, [BEST])], 1, 420),
        Section("Validation against test; time against validation", worth, 2),
    ]


def _compared(settings: Sequence[str]) -> list[Section]:
    scores = [_bar(names.TEST_ACCURACY), _bar(BEST), _scatter(BEST, names.TEST_ACCURACY)]
    first = _parallel(settings, [BEST, names.TEST_ACCURACY])
    return [
        Section("Scores", scores, 3),
        *([Section("Settings and scores", [first], 1, 420)] if settings else []),
    ]
