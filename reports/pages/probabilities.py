"""Sections of a factors study from stored predictions: accuracy by length of review, and honest probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.html import formatting, plots
from reports.html.document import Column, Figure, Section, table
from reports.pages.effects import POINT, between, cell_name, label
from reports.pages.factorial_data import FactorialData
from reports.pages.verdicts import word
from reports.stats.calibration import accuracy_by_length, calibration, reliability
from reports.stats.contrasts import blocks, cells, family
from reports.stats.estimates import trimmed_interval

POOLING = "model.pooling"


def by_length(study: FactorialData) -> Section | None:
    """Show which lengths of review each pooling does well on: where does the last state lose?"""
    title = "Accuracy by length of review"
    runs = study.where_trained
    if POOLING not in study.factors or study.predictions.empty or runs["block"].nunique() < 2:
        return None
    if study.reviews is None:
        return Section(title, ["Left out: the encoded reviews of these runs are not in the cache of this folder."])
    predictions = study.predictions[study.predictions["key"].isin(runs["key"])]
    means, differences = accuracy_by_length(predictions, runs, study.reviews["tokens"], POOLING)
    names = {level: word(level) for level in study.factors[POOLING]}
    labels = plots.Labels("Accuracy by length", "longest review of the bin, tokens", f"{study.part} accuracy, %")
    figure = Figure(
        [plots.binned(means, POOLING, names, labels)],
        "Bins hold about as many reviews each; lines are 95 % intervals over blocks in which every cell trained.",
    )
    shown = differences.assign(
        pair=[f"{word(a)} − {word(b)}" for a, b in differences[["level", "reference"]].to_numpy()],
        limits=[between(low, high) for low, high in differences[["low", "high"]].to_numpy()],
        lengths=[f"{low:,} to {high:,}" for low, high in differences[["shortest", "longest"]].to_numpy()],
    )
    columns = [
        Column("lengths", "Tokens", sortable=False),
        Column("reviews", "Reviews", "{:,}".format, number=True),
        Column("pair", "Contrast"),
        Column("difference", "Difference", POINT, number=True),
        Column("limits", "95 %", sortable=False),
    ]
    most = int(study.runs["data.max_length"].max())
    end = "the end" if (study.runs["data.keep"] == "tail").all() else "a part"
    sentence = (
        f"Lengths are of whole reviews; the model reads at most {most:,} tokens of each, {end} of a longer one. "
        "Differences are paired within blocks, their intervals unadjusted."
    )
    return Section(
        title, [sentence], [figure, table(shown, columns, "Difference by length, in percentage points")]
    )


def calibrated(study: FactorialData) -> Section | None:
    """Show how good the probabilities of each cell are."""
    title = "Calibration of probabilities"
    runs = study.where_trained
    if study.predictions.empty or runs.empty:
        return None
    predictions = study.predictions[study.predictions["key"].isin(runs["key"])]
    if predictions["probability"].isin([0, 1]).all():
        return Section(title, ["Left out: of these runs, only whether each answer is right is published."])
    scores = {key: calibration(each) for key, each in predictions.groupby("key")}
    runs = runs[runs["key"].isin(scores)]
    columns = {
        name: [getattr(scores[key], name) for key in runs["key"]]
        for name in ("brier", "log_loss", "expected_error")
    }
    runs = runs.assign(**columns)
    rows, curves = [], {}
    for cell in cells(study.factors):
        of_cell = runs[
            np.logical_and.reduce([runs[f] == level for f, level in zip(study.factors, cell, strict=True)])
        ]
        if of_cell.empty:
            continue
        means = of_cell[list(columns)].mean()
        rows.append({"cell": cell_name(cell), "runs": len(of_cell), **means.to_dict()})
        curve = reliability(predictions[predictions["key"].isin(of_cell["key"])])
        curves[cell_name(cell)] = curve[["predicted", "observed"]].set_axis(["x", "y"], axis=1)
    labels = plots.Labels("Reliability", "predicted probability", "proportion of positive reviews")
    figure = Figure(
        [plots.lines(curves, labels, diagonal=True)], "All runs of a cell together; grey: if they were exact."
    )
    shown = [
        Column("cell", "Cell"),
        Column("runs", "Runs", number=True),
        Column("brier", "Brier", "{:.4f}".format, number=True),
        Column("log_loss", "Log loss", "{:.4f}".format, number=True),
        Column("expected_error", "Calibration error", "{:.4f}".format, number=True),
    ]
    sentences = [
        "Brier score and log loss are proper scores, smaller is better; the expected calibration error alone is "
        "not, since it is blind to how sharp probabilities are. Means over blocks in which every cell trained."
    ]
    sentences += _differences(study, runs)
    return Section(
        title,
        sentences,
        [figure, table(pd.DataFrame(rows), shown, "Probabilities")],
    )


def _differences(study: FactorialData, runs: pd.DataFrame) -> list[str]:
    """Say how much levels differ in log loss, block by block."""
    found = blocks(runs, study.factors, "log_loss", scale=1)
    said = []
    for contrast in family(study.factors):
        size = trimmed_interval(found.contrast(contrast))
        if not contrast.is_interaction and not pd.isna(size.low):
            said.append(
                f"{formatting.opening(label(contrast))}: log loss {size.value:+.4f} "
                f"{between(size.low, size.high, 4)}."
            )
    return said
