"""Where a study stands: the few numbers by which it is held against others on the same data.

The page of a study makes them once, of what it shows itself; ``reports/pages/comparison.py`` sets them side
by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from statistics import fmean

import pandas as pd

from experiments.serving.selection import ranking
from reports.html import formatting
from reports.html.document import Conclusion, DataSet, Score, StudySummary
from reports.pages import precision, tables
from reports.pages.search import StudyData
from reports.stats.estimates import mean_interval

PARTS = {"train": "training", "val": "validation", "test": "test"}
"""Split of the data -> its name in sentences."""


def standing(data: StudyData, answer: Conclusion | None, interim: bool) -> StudySummary:
    """Return where a study stands.

    Args:
        data: its runs on one data set.
        answer: to its own question, if it has one, with the scores it stands by.
        interim: whether more is to come.
    """
    runs = data.runs
    known = runs.dropna(subset=["digest"])
    same = len(known["digest"].unique()) == 1  # a study of several splits is to be compared with none
    first = known.iloc[0] if same else runs.iloc[0]
    cost = data.spent[data.spent["outcome"] == "all"].iloc[0]
    complete = runs[runs["outcome"] == "complete"]
    return StudySummary(
        study=data.name,
        study_type=(answer and answer.study_type) or ("search" if data.searched else "experiment"),
        data_scope=str(first["data_scope"]),
        digest=str(first["digest"]) if same else "",
        sizes=[*_sizes(known if same else runs.head(1))],
        scores=answer.scores if answer else [*(searched(data) if data.searched else repeated(data))],
        sentences=answer.sentences if answer else [],
        every=(100 * complete["best/val_accuracy"].dropna()).tolist(),
        runs=len(runs),
        complete=len(complete),
        seconds=float(cost["seconds"]),
        tokens=float(cost["tokens"]),
        interim=interim,
        data_set=data_set(known),
        effects=answer.effects if answer else [],
    )


def data_set(runs: pd.DataFrame) -> DataSet:
    """Return what these runs read, however each of them split it."""
    digests = runs["data_set"].dropna().unique().tolist()
    digest = str(digests[0]) if len(digests) == 1 and runs["data_set"].notna().all() else ""
    sources = runs["source"].dropna()
    # "/data/reviews.csv (no test split: ...)" -> "reviews.csv"; "synthetic (seed 0)" stays, since it is no path
    paths = [str(source).partition(" (no test split")[0] for source in sources.head(1)]
    return DataSet(digest, next((PurePath(path).name or path for path in paths), ""), [*_sizes(runs)])


def _sizes(runs: pd.DataFrame) -> Iterator[str]:
    for part, name in PARTS.items():
        sizes = runs[f"used.{part}"].dropna()
        if len(sizes):
            low, high = (formatting.count(size) for size in (sizes.min(), sizes.max()))
            yield f"{low if low == high else f'{low} to {high}'} {name}"


def searched(data: StudyData) -> Iterator[Score]:
    """Give the best run of a search: a single seed, and the best of many."""
    ranked = data.ranked
    for _, run in ranked.head(1).iterrows():
        basis = (
            f"best of {len(ranked)} complete runs by validation, one seed"
            if len(ranked) > 1
            else "one run, one seed"
        )
        val, test = 100 * run["best/val_accuracy"], 100 * run["test/accuracy"]
        limits = {split: precision.limits(data.precision.get(split)) for split in ("val", "test")}
        many = len(ranked) > 1
        yield Score(str(run["name"]), basis, 1, val, test, limits["val"], limits["test"], optimistic=many)


def repeated(data: StudyData) -> Iterator[Score]:
    """Give the settings of an experiment, each with its mean over seeds, best validation accuracy first.

    A run that learned from the validation split too has no score there, and stands last.
    """
    complete = data.runs[data.runs["outcome"] == "complete"]
    if complete.empty:
        return
    names = complete["name"].str.replace(r" seed \d+$", "", regex=True)
    settings = [name for name in tables.varied(complete) if name != "seed"]
    alike = complete[settings].astype("str").fillna("").agg("|".join, axis=1) if settings else ""
    groups = [group for _, group in complete.groupby(names + "|" + alike)]
    found = [_mean(str(group.iloc[0]["name"]), group) for group in groups]
    means = [(fmean(group["best/val_accuracy"]), fmean(group["best/val_loss"])) for group in groups]
    for place in ranking((*mean, score.name) for mean, score in zip(means, found, strict=True)):
        yield found[place]


def _mean(name: str, runs: pd.DataFrame) -> Score:
    if len(runs) == 1:
        run = runs.iloc[0]
        return Score(name, "one run", 1, 100 * run["best/val_accuracy"], 100 * run["test/accuracy"])
    val, test = (
        mean_interval(100 * runs[name].to_numpy(dtype=float)) for name in ("best/val_accuracy", "test/accuracy")
    )
    return Score(
        name.rpartition(" seed ")[0] or name, f"mean over {len(runs)} seeds", len(runs), val.value, test.value,
        (val.low, val.high), (test.low, test.high),
    )  # fmt: skip
