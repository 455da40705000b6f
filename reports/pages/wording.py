"""Sentences that several pages say in the same words."""

from __future__ import annotations

import pandas as pd

from reports.stats.estimates import FEWEST_FOR_TEST
from reports.stats.factorial import Plan


def conditions(runs: pd.DataFrame, tuned: bool = True) -> str:
    """Say what a random setting is here: how long runs learn, and how much of a text they read.

    Args:
        runs: of the study.
        tuned: whether the page also compares arms that are tuned.
    """
    shown = []
    for name, unit in (("train.epochs", "epochs"), ("data.max_length", "tokens of a review kept")):
        values = runs[name].dropna().unique().tolist() if name in runs else []
        if len(values) == 1:
            shown.append(f"{float(values[0]):g} {unit if values[0] != 1 else unit.replace('epochs', 'epoch')}")
    where = f" ({', '.join(shown)})" if shown else ""
    between = "see the tuning budget" if tuned else "effects may be others"
    return (
        f"These are effects at a random setting{where}, drawn once for each block; between arms that are tuned, "
        f"{between}."
    )


def interim(finished: int, plan: Plan) -> str:
    """Say that blocks are missing, so that there is no verdict yet."""
    return (
        f"Interim, no verdict: {finished} of {plan.wanted} blocks are complete. "
        f"{plan.planned} were planned before the first one ran, and looking earlier would find too much."
    )


def too_few(finished: int) -> str:
    """Say that there are fewer blocks than any test needs."""
    return (
        f"Too few blocks for a verdict: there are {finished}, and no test can succeed with fewer "
        f"than {FEWEST_FOR_TEST}."
    )


def extended(plan: Plan) -> str:
    """Say that blocks were added after somebody could look."""
    return (
        f"Extended after looking: {plan.planned} blocks were planned and {plan.wanted} were started, so that "
        "more than 5 % of such verdicts err."
    )
