"""What a report says in numbers: pure functions, the frames of ``reports.frames`` in, small tables out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.serving.selection import ranking

GROUPS = ("data.", "model.", "train.")


def settings(runs: pd.DataFrame) -> list[str]:
    """Return the columns that are settings of a run."""
    return [str(name) for name in runs if str(name).startswith(GROUPS) or name == "seed"]


def varied(runs: pd.DataFrame) -> list[str]:
    """Return the settings in which these runs differ."""
    return [name for name in settings(runs) if len(runs[name].drop_duplicates()) > 1]


def comparable(runs: pd.DataFrame, across: bool = False) -> Iterator[pd.DataFrame]:
    """Give the runs apart by their data: scores on different data are not to be compared.

    A run that ended before its data were read goes with the data that most runs had.

    Args:
        runs: rows of ``frames.runs``.
        across: whether runs that drew other splits or texts of one data set belong together.
    """
    told = (
        data_set_of(runs) if across else (runs["data_scope"] + " " + runs["digest"]).where(runs["digest"].notna())
    )
    counts = told.value_counts()
    if counts.empty:
        yield runs
        return
    told = told.fillna(str(counts.index[0]))
    for each in counts.index:
        yield runs[told == each]


def data_set_of(runs: pd.DataFrame) -> pd.Series[Any]:
    """Return the data set of each run, whatever was drawn of it or split; its source where that is all we know."""
    known = runs["data_set"].where(runs["data_set"].notna() & (runs["data_set"] != ""), source_of(runs))
    return known.mask(runs["data_scope"] == "synthetic", "synthetic")  # the seed of a split makes another corpus


def source_of(runs: pd.DataFrame) -> pd.Series[Any]:
    """Return the source of each run without the seed by which a test split was held out."""
    return runs["source"].str.replace(r", seed \d+\)$", ")", regex=True)


def seed_draws_test(runs: pd.DataFrame) -> pd.Series[Any]:
    """Say of each run whether the seed of its split drew its test texts: its source has none, or is synthetic."""
    return runs["source"].astype("str").str.contains(r"seed \d+\)$")


def scored_on(runs: pd.DataFrame, part: str) -> tuple[int | None, bool]:
    """Return the number of texts of a split that runs were scored on, and whether blocks drew them anew."""
    sizes = runs[f"used.{part}"].dropna().unique()
    drawn = bool(seed_draws_test(runs).all()) and len(runs["source"].unique()) > 1
    return int(sizes[0]) if len(sizes) == 1 or (len(sizes) and not drawn) else None, drawn


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the complete runs, best validation accuracy first; ties go by validation loss, never by test."""
    complete = runs[runs["outcome"] == "complete"].dropna(subset=["best/val_accuracy"])
    best_first = ranking(
        zip(complete["best/val_accuracy"], complete["best/val_loss"], complete["key"], strict=True)
    )
    ranked = complete.iloc[best_first].reset_index(drop=True)
    ranked.insert(0, "rank", ranked["best/val_accuracy"].rank(method="min", ascending=False).astype(int))
    return ranked


def everything(runs: pd.DataFrame) -> pd.DataFrame:
    """Return all runs: ``leaderboard`` first, then pruned, running and failed ones, which have no ``rank``.

    Among these the last accuracy that a run showed decides, which is no final score.
    """
    ranked = leaderboard(runs)
    others = runs[~runs["key"].isin(ranked["key"])]
    place = others["outcome"].map({"pruned": 0, "running": 1, "failed": 2}).fillna(3)
    others = others.assign(_place=place).sort_values(["_place", "val/accuracy"], ascending=[True, False])
    together = pd.concat([ranked, others.drop(columns="_place")], ignore_index=True)
    return together.astype({"rank": "Int64"})


def by_level(runs: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Return what was seen at each value of a setting.

    Returns:
        One row per value: ``setting``, ``value``, ``complete`` runs, their ``median`` and ``best`` validation
        accuracy, and how many more were ``pruned``. A pruned run's accuracy enters nothing: it is no final score.
    """
    by_value = runs.assign(pruned=runs["outcome"] == "pruned").groupby(setting)
    table = by_value.agg(
        complete=("best/val_accuracy", "count"),
        median=("best/val_accuracy", "median"),
        best=("best/val_accuracy", "max"),
        pruned=("pruned", "sum"),
    )
    return table.rename_axis("value").reset_index().astype({"value": object}).assign(setting=setting)


def sampling_error(accuracy: float, reviews: int) -> float:
    """Return half the width of a 95 % interval of an accuracy counted over so many reviews (binomial, normal)."""
    return 1.96 * float(np.sqrt(accuracy * (1 - accuracy) / reviews))


def spent(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return what the runs cost, by outcome and in all.

    Returns:
        One row per outcome and one for ``all``: ``runs``, ``seconds`` of work, the ``median`` and ``longest`` run
        in seconds, training ``reviews`` read, and about how many ``tokens``: throughput by the time between
        evaluations, so some per cent too many, since that time includes evaluating.
    """
    by_key = curves.groupby("key")
    between = by_key["seconds"].diff().fillna(curves["seconds"])
    read = pd.DataFrame(
        {
            "reviews": by_key["step"].max(),
            "tokens": (between * curves["tokens_per_second"]).groupby(curves["key"]).sum(),
        }
    )
    each = runs[["key", "outcome", "worked"]].merge(read, left_on="key", right_index=True, how="left")
    each = pd.concat([each, each.assign(outcome="all")])
    table = each.groupby("outcome").agg(
        runs=("key", "count"),
        seconds=("worked", "sum"),
        median=("worked", "median"),
        longest=("worked", "max"),
        reviews=("reviews", "sum"),
        tokens=("tokens", "sum"),
    )
    order = [name for name in ("complete", "pruned", "failed", "running", "all") if name in table.index]
    return table.loc[order].reset_index()


def span(runs: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return when the first of these runs started and when the last thing happened: an end, or a start."""
    return runs["started"].min(), runs[["started", "ended"]].max().max()
