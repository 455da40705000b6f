"""A study's frames -> its page: what ran, in words and numbers, then the sections for each data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd

from reports import frames
from reports.html import formatting
from reports.html.document import Conclusion, Fact, Page, Part, Section
from reports.pages import background, errors, factors, finalists, labels, record, search, splits, tables, variance
from reports.pages.search import StudyData
from reports.pages.summary import PARTS, standing
from reports.records.study_run import StudyRun, read_study_run

RESULTS: list[Callable[[StudyData], Section | None]] = [
    search.leaderboard,
    search.course,
    search.learning,
    search.choices,
    search.together,
    search.price,
]
"""Sections of results on the page of a search or of experiments; a study with a question of its own answers that
instead."""
ERRORS: list[Callable[[StudyData], Section | None]] = [errors.best_run, errors.champion]
"""Sections on errors, where one model is chosen from the runs; not where runs are there to be compared."""
BACKGROUND: list[Callable[[StudyData], Section | None]] = [
    background.cost,
    background.failures,
    background.data_and_split,
    background.repeat,
]
ANSWERS: Mapping[str, Callable[[StudyRun, pd.DataFrame, pd.DataFrame, frames.Stores], Conclusion]] = {
    "factors": factors.answer,
    "splits": splits.answer,
    "finalists": finalists.answer,
    "labels": labels.answer,
    "variance": variance.answer,
    "record": record.answer,
}
"""Type of study -> the function that answers its question from its run, its trials, their curves and the
stores."""
ACROSS_SPLITS = ("factors", "splits", "labels", "variance")
"""Types of study that draw other splits or texts of one source for different runs, and compare what such runs
have in common; elsewhere scores stay with their data."""
KINDS = {"whole": "the whole data", "limited": "a part of the data", "synthetic": "synthetic data"}
OUTCOMES = ("complete", "pruned", "failed", "running")


def page(stores: frames.Stores, study: str, runs: pd.DataFrame, ui: str = "") -> Page:
    """Compose the page of one study or experiment.

    Args:
        stores: where its curves and trials are read.
        study: its name.
        runs: its rows of ``frames.runs``, the parent run among them.
        ui: address of an MLflow UI to link to; empty for none.
    """
    own, children = read_study_run(runs), runs[runs["role"] != "study"]
    answer_of = ANSWERS.get(own.plan.study_type) if own else None
    searched = bool((children["role"] == "trial").any()) and not answer_of
    across = own is not None and own.plan.study_type in ACROSS_SPLITS
    apart = tables.comparable(children, across)
    groups = list(apart) if len(children) else []
    drawn_runs = None if answer_of else [key for group in groups for key in search.few(group)["key"]]
    curves = frames.curves(stores, study, drawn_runs)
    parts, unfinished = [], interim(own, children)
    drawn = own.drawn if own and searched else {}
    for group in groups:
        data = StudyData(
            name=study,
            runs=group,
            curves=curves[curves["key"].isin(group["key"])],
            searched=searched,
            command=own.command if own else _text(children, "command"),
            ui=ui,
            drawn=drawn,
            stores=stores,
        )
        answer = answer_of(own, data.runs, data.curves, stores) if own and answer_of else None
        part = _part(data, answer, alone=len(groups) == 1)
        parts.append(replace(part, standing=standing(data, answer, bool(unfinished))))
    return Page(
        title=study,
        kind="Study" if own else "Experiment",
        question=own.plan.question if own else _text(children, "question"),
        interim=unfinished,
        parts=parts,
    )


def interim(own: StudyRun | None, children: pd.DataFrame) -> str:
    """Return why the records are not complete, empty where they are."""
    running = int((children["outcome"] == "running").sum())
    if running:
        return f"{formatting.plural(running, 'run is', 'runs are')} not finished; figures will change."
    if own and own.running:
        return "The study is not finished; figures will change."
    return ""


def _part(data: StudyData, answer: Conclusion | None, alone: bool) -> Part:
    first = data.runs.iloc[0]
    title = "" if alone else data_title(str(first["data_scope"]), str(first["digest"]))
    wanted = [] if answer else RESULTS
    wanted = wanted + (ERRORS if not answer or answer.study_type == "finalists" else []) + BACKGROUND
    made = [section(data) for section in wanted]
    found = [section for section in made if section]
    if answer:
        told = {fact.title for fact in answer.facts}
        said, numbers = [ran(data)], [*answer.facts, *(each for each in work(data) if each.title not in told)]
        return Part(title, answer, said, numbers, [*answer.sections, *found])
    said, numbers = [ran(data), *best(data)], [*best_facts(data), *work(data)]
    return Part(title, Conclusion([]), said, numbers, found)


def data_title(kind: str, digest: str) -> str:
    """Say which data scores are on."""
    return f"On {KINDS.get(kind, 'unknown data')}, digest {digest[:8]}"


def ran(data: StudyData) -> str:
    """Say what ran, on what, and when."""
    runs = data.runs
    outcomes = runs["outcome"].value_counts()
    ended = [
        f"{outcomes[name]} {name}" for name in ("complete", "pruned", "failed", "running") if name in outcomes
    ]
    known = runs.dropna(subset=["digest"])
    on = ""
    if len(known):
        of = known.iloc[0]
        alike = [part for part in PARTS if len(known[f"used.{part}"].unique()) == 1]  # one split, mostly
        sizes = [f"{formatting.count(of[f'used.{part}'])} {PARTS[part]}" for part in alike]
        on = f" on {_kind(known)} ({', '.join(sizes)} reviews)"
    start, end = tables.span(runs)
    return f"{formatting.plural(len(runs), 'run')}{on}, {formatting.span(start, end)}: {', '.join(ended)}."


def best(data: StudyData) -> list[str]:
    """Say which run is the best by validation."""
    ranked = data.ranked
    if ranked.empty:
        return ["No run is complete yet, so there is no score to show."]
    first = ranked.iloc[0]
    return [
        f"The best by validation is {first['name']}: {formatting.percent(first['best/val_accuracy'])} % on "
        "validation, "
        f"{formatting.percent(first['test/accuracy'])} % on test."
    ]


def best_facts(data: StudyData) -> list[Fact]:
    """Return the scores of the best run by validation."""
    ranked = data.ranked
    if ranked.empty:
        return []
    first = ranked.iloc[0]
    return [
        Fact(
            "Best validation accuracy", f"{formatting.percent(first['best/val_accuracy'])} %", str(first["name"])
        ),
        Fact("Its test accuracy", f"{formatting.percent(first['test/accuracy'])} %", "shown, not used to choose"),
    ]


def work(data: StudyData) -> list[Fact]:
    """Return how much was done."""
    runs = data.runs
    outcomes = runs["outcome"].value_counts()
    others = [f"{outcomes[name]} {name}" for name in OUTCOMES[1:] if name in outcomes]
    start, end = tables.span(runs)
    seconds = formatting.duration(runs["worked"].sum())
    return [
        Fact("Complete runs", str(outcomes.get("complete", 0)), ", ".join(others)),
        Fact("Wall time", formatting.duration((end - start).total_seconds()), f"{seconds} of work in all"),
    ]


def _kind(runs: pd.DataFrame) -> str:
    """Say of which data runs were: a study over numbers of labels has runs on all of them and on some."""
    kinds = [KINDS[kind] for kind in KINDS if (runs["data_scope"] == kind).any()]
    return "the whole data and parts of it" if len(kinds) > 1 else kinds[0] if kinds else "unknown data"


def _text(rows: pd.DataFrame, column: str) -> str:
    """Return the first text of a column that may not be there."""
    texts = rows[column].dropna() if column in rows else pd.Series(dtype="str")
    return str(texts.iloc[0]) if len(texts) else ""
