"""The record's answer: how good the recipe is over its seeds, and what each ingredient adds to it.

An arm leaves one ingredient out. It shares seeds with the recipe, so that each seed gives a difference; the test
split decides nothing, it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from experiments.tracking import names
from reports import frames
from reports.html import formatting
from reports.html.document import Column, Conclusion, Fact, Section, table
from reports.html.formatting import between, point
from reports.records.study_run import StudyRun
from reports.stats.contrasts import POINTS
from reports.stats.estimates import Interval, mean_interval

RECIPE = "recipe"
BESIDE = {"nbsvm": "NBSVM", "record-teachers": "teacher", "ensemble": "ensemble", "refit": "refit"}
"""Study or experiment -> what a person calls its models, which the recipe is made of or goes into."""


def shown(value: float) -> str:
    """Write a number of points, or a dash where there is none."""
    return "–" if np.isnan(value) else point(value)


def answer(parent: StudyRun, runs: pd.DataFrame, curves: pd.DataFrame, stores: frames.Stores) -> Conclusion:
    """Answer the record's study.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``.
        curves: not needed.
        stores: where the other parts of the recipe are.
    """
    done = runs[(runs["outcome"] == "complete") & runs[names.TEST_ACCURACY].notna()]
    if done.empty:
        return Conclusion(["No run is complete yet."], study_type="record")
    numbers = arms(done)
    sentences = list(said(numbers))
    if len(done) < parent.plan.total:
        sentences.insert(0, f"Interim: {len(done)} of {parent.plan.total} runs are complete.")
    beside = others(done, frames.runs(stores))
    tested = len(done) + len(beside)
    facts = [
        Fact("Complete runs", f"{len(done)} of {parent.plan.total}", f"{parent.plan.seeds} seeds of the recipe"),
        Fact("Scored on test", formatting.count(tested), "models, each once; none was chosen by it"),
    ]
    sections = [ingredients(numbers), *([around(beside)] if len(beside) else [])]
    return Conclusion(sentences, facts, sections, {"arms.csv": numbers, "beside.csv": beside}, "record")


def arms(done: pd.DataFrame) -> pd.DataFrame:
    """Return one row per arm, the recipe first: means over seeds, and what leaving the ingredient out costs.

    Args:
        done: complete runs, with ``arm`` and ``block``.
    """
    rows = []
    recipe = done[done["arm"] == RECIPE].set_index("block")
    order = [RECIPE, *sorted(set(done["arm"]) - {RECIPE})]
    for arm in order:
        own = done[done["arm"] == arm].set_index("block")
        if own.empty:
            continue
        row: dict[str, object] = {
            "arm": arm,
            "seeds": len(own),
            "val": own[names.BEST_VAL_ACCURACY].mean() * POINTS,
            "test": own[names.TEST_ACCURACY].mean() * POINTS,
            "test_sd": own[names.TEST_ACCURACY].std() * POINTS if len(own) > 1 else np.nan,
            "test_loss": own[names.TEST_LOSS].mean(),
            "seconds": own["worked"].mean(),
        }
        shared = own.index.intersection(recipe.index)
        for split, metric in (("val", names.BEST_VAL_ACCURACY), ("test", names.TEST_ACCURACY)):
            costs = paired(recipe.loc[shared, metric], own.loc[shared, metric]) if arm != RECIPE else None
            row |= {
                f"{split}_cost": costs.value if costs else np.nan,
                f"{split}_low": costs.low if costs else np.nan,
                f"{split}_high": costs.high if costs else np.nan,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def paired(recipe: pd.Series[float], arm: pd.Series[float]) -> Interval:
    """Estimate the mean of the seeds' differences, in percentage points, with Student's interval."""
    return mean_interval(np.asarray((recipe - arm) * POINTS, dtype=np.float64))


def said(numbers: pd.DataFrame) -> Iterator[str]:
    """Say how good the recipe is, and what leaving out costs."""
    for row in numbers.to_dict("records"):
        seeds = formatting.plural(int(row["seeds"]), "seed")
        if row["arm"] == RECIPE:
            sd = "" if np.isnan(row["test_sd"]) else f", standard deviation {row['test_sd']:.2f}"
            yield (
                f"The recipe answers {row['test']:.2f} % of the test split correctly (mean of {seeds}{sd}), "
                f"and {row['val']:.2f} % of the validation split."
            )
        elif not np.isnan(row["test_cost"]):
            lost = 0.0 - round(row["test_cost"], 2)
            limits = between(-row["test_high"], -row["test_low"])
            known = "" if np.isnan(row["test_low"]) else f" {limits}"
            verdict = worth(row["test_low"], row["test_high"])
            yield f"{row['arm'].capitalize()}: {lost:+.2f} points on the test split{known}, over {seeds}{verdict}."


def worth(low: float, high: float) -> str:
    """Say what the limits of an ingredient's gain allow to be said of it; nothing without limits."""
    if np.isnan(low):
        return ""
    if low > 0:
        return ": what it leaves out helps here"
    return ": what it leaves out hurts here" if high < 0 else "; whether what it leaves out helps stays open"


def ingredients(numbers: pd.DataFrame) -> Section:
    """Show what each ingredient adds."""
    rows = numbers.assign(
        val_limits=[between(low, high) for low, high in zip(numbers["val_low"], numbers["val_high"], strict=True)],
        test_limits=[
            between(low, high) for low, high in zip(numbers["test_low"], numbers["test_high"], strict=True)
        ],
    )
    columns = [
        Column("arm", "Arm"),
        Column("seeds", "Seeds", number=True),
        Column("val", "Validation, %", shown, number=True),
        Column("test", "Test, %", point, number=True),
        Column("test_sd", "sd", shown, number=True),
        Column("test_loss", "Test log loss", "{:.3f}".format, number=True),
        Column("val_cost", "Recipe better, validation", shown, number=True),
        Column("val_limits", "95 %", sortable=False),
        Column("test_cost", "Recipe better, test", shown, number=True),
        Column("test_limits", "95 %", sortable=False),
        Column("seconds", "Work of a run", formatting.duration, number=True),
    ]
    sentence = (
        "Each arm leaves one ingredient out and has the recipe's seeds. Differences are in percentage points, "
        "paired by seed, with Student's 95 % interval over seeds: they hold for these texts. No two arms are "
        "compared."
    )
    return Section("What each ingredient adds", [sentence], [table(rows, columns, "Arms")])


def others(done: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """Return the models that the recipe is made of or goes into, on the same texts: one row each.

    Args:
        done: complete runs of the study.
        recorded: all rows of ``frames.runs``.
    """
    first = done.iloc[0]
    kinds = recorded["study"].str.removesuffix(f"-{first['data_scope']}").map(BESIDE)
    same = (recorded["digest"] == first["digest"]) & (recorded["outcome"] == "complete") & kinds.notna()
    same &= recorded[names.TEST_ACCURACY].notna()
    found = recorded[same].assign(model=kinds[same], validated=recorded[names.BEST_VAL_ACCURACY].notna())
    return pd.DataFrame(
        {
            "model": found["model"] + np.where(found["validated"], "", ", on both splits"),
            "key": found["key"],
            "val": found[names.BEST_VAL_ACCURACY] * POINTS,
            "test": found[names.TEST_ACCURACY] * POINTS,
            "test_loss": found[names.TEST_LOSS],
        }
    ).sort_values(["model", "key"], ignore_index=True)


def around(beside: pd.DataFrame) -> Section:
    """Show the models around the recipe."""
    columns = [
        Column("model", "Model"),
        Column("key", "Run"),
        Column("val", "Validation, %", shown, number=True),
        Column("test", "Test, %", point, number=True),
        Column("test_loss", "Test log loss", "{:.3f}".format, number=True),
    ]
    sentence = (
        "Weights of ensembles and teachers are those that fit the validation split best, so that an ensemble's "
        "score there is a little optimistic. What learned from both splits repeats what was chosen before, "
        "without validation: a dash stands for its score."
    )
    return Section("Beside it", [sentence], [table(beside, columns, "Models of the recipe")])
