"""A study's frames -> its page: what ran, in words and numbers, then the sections for each data set."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from reports import background, frames, sections, tables, words
from reports.document import Fact, Page, Part, Section
from reports.sections import Material

SECTIONS: list[Callable[[Material], Section | None]] = [
    sections.leaderboard,
    sections.learning,
    sections.choices,
    sections.importance,
    background.cost,
    background.failures,
    background.data,
    background.repeat,
]
KINDS = {"whole": "the whole data", "limited": "a part of the data", "synthetic": "synthetic data"}
OUTCOMES = ("complete", "pruned", "failed", "running")
PARTS = {"train": "training", "val": "validation", "test": "test"}


def page(stores: frames.Stores, study: str, runs: pd.DataFrame, ui: str = "") -> Page:
    """Compose the page of one study or experiment.

    Args:
        stores: where its curves and trials are read.
        study: its name.
        runs: its rows of ``frames.runs``, the parent run among them.
        ui: address of an MLflow UI to link to; empty for none.
    """
    parents, children = runs[runs["role"] == "study"], runs[runs["role"] != "study"]
    searched = bool((children["role"] == "trial").any())
    curves = frames.curves(stores, study)
    groups = list(tables.comparable(children))
    importance = frames.importance(stores, study) if searched and len(groups) == 1 else None
    parts = []
    for group in groups:
        material = Material(
            name=study,
            runs=group,
            curves=curves[curves["key"].isin(group["key"])],
            importance=importance,
            searched=searched,
            command=_text(parents, "command"),
            ui=ui,
        )
        parts.append(_part(material, alone=len(groups) == 1))
    return Page(
        title=study,
        kind="Study" if len(parents) else "Experiment",
        question=_text(parents, "question"),
        interim=interim(parents, children),
        parts=parts,
    )


def interim(parents: pd.DataFrame, children: pd.DataFrame) -> str:
    """Return why the records are not complete, empty where they are."""
    running = int((children["outcome"] == "running").sum())
    if running:
        return f"{words.plural(running, 'run is', 'runs are')} not finished; figures will change."
    if (parents["outcome"] == "running").any():
        return "The study is not finished; figures will change."
    return ""


def _part(material: Material, alone: bool) -> Part:
    first = material.runs.iloc[0]
    title = (
        "" if alone else f"On {KINDS.get(str(first['kind']), 'unknown data')}, digest {str(first['digest'])[:8]}"
    )
    made = [section(material) for section in SECTIONS]
    return Part(title, summary(material), facts(material), [section for section in made if section])


def summary(material: Material) -> list[str]:
    """Say in sentences what ran, on what, when, and what came out."""
    runs = material.runs
    outcomes = runs["outcome"].value_counts()
    ended = [
        f"{outcomes[name]} {name}" for name in ("complete", "pruned", "failed", "running") if name in outcomes
    ]
    known = runs.dropna(subset=["digest"])
    data = ""
    if len(known):
        of = known.iloc[0]
        sizes = [f"{words.count(of[f'used.{part}'])} {name}" for part, name in PARTS.items()]
        data = f" on {_kind(of)} ({', '.join(sizes)} reviews)"
    start, end = tables.span(runs)
    sentences = [f"{words.plural(len(runs), 'run')}{data}, {words.span(start, end)}: {', '.join(ended)}."]
    ranked = tables.leaderboard(runs)
    if len(ranked):
        best = ranked.iloc[0]
        sentences.append(
            f"The best by validation is {best['name']}: {words.percent(best['val/accuracy'])} % on validation, "
            f"{words.percent(best['test/accuracy'])} % on test."
        )
    else:
        sentences.append("No run is complete yet, so there is no score to show.")
    return sentences


def facts(material: Material) -> list[Fact]:
    """Return the numbers that stand at the top."""
    runs = material.runs
    ranked = tables.leaderboard(runs)
    found = []
    if len(ranked):
        best = ranked.iloc[0]
        found.append(
            Fact("Best validation accuracy", f"{words.percent(best['val/accuracy'])} %", str(best["name"]))
        )
        found.append(
            Fact("Its test accuracy", f"{words.percent(best['test/accuracy'])} %", "shown, not used to choose")
        )
    outcomes = runs["outcome"].value_counts()
    others = [f"{outcomes[name]} {name}" for name in OUTCOMES[1:] if name in outcomes]
    found.append(Fact("Complete runs", str(outcomes.get("complete", 0)), ", ".join(others)))
    start, end = tables.span(runs)
    work = words.duration(runs["seconds"].sum())
    found.append(Fact("Wall time", words.duration((end - start).total_seconds()), f"{work} of work in all"))
    return found


def _kind(run: "pd.Series[Any]") -> str:
    return KINDS.get(str(run["kind"]), "unknown data")


def _text(rows: pd.DataFrame, column: str) -> str:
    """Return the first text of a column that may not be there."""
    texts = rows[column].dropna() if column in rows else pd.Series(dtype="str")
    return str(texts.iloc[0]) if len(texts) else ""
