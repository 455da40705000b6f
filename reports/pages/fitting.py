"""Sections of a factors study on fitting: cost, learning rate, what more trials buy, validation and test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from markupsafe import Markup

from reports.html import formatting, plots
from reports.html.document import FEWEST_POINTS, Block, Column, Figure, Section, table
from reports.pages.effects import POINT, between, cell_name, label
from reports.pages.factorial_data import FactorialData
from reports.pages.verdicts import level_of, points
from reports.stats.contrasts import Contrast, family
from reports.stats.estimates import Interval, mirrored
from reports.stats.generalisation import trained_runs
from reports.stats.optimisation import Slope, examples_to_reach, faster, median_examples, ratio, slope
from reports.stats.over_blocks import validation_over_blocks
from reports.stats.tuning import FEWEST_TRIALS, tuning_curves

LOSS_TO_REACH = 0.4
"""Nats of validation loss, fixed before any study was seen; a coin has 0.69, a good model here 0.28."""


def optimisation(study: FactorialData) -> Section | None:
    """Compare levels as optimisation problems: size, time per step, examples to a loss, learning rate."""
    if not study.analysis.finished:
        return None
    main = [contrast for contrast in family(study.factors) if not contrast.is_interaction]
    slopes = {contrast: slope(study.analysis.blocks, contrast, _rates(study)) for contrast in main}
    blocks: list[Block] = [table(_costs(study, slopes), COSTS, "Level against reference")]
    panels = [_rate_figure(study, contrast, fit) for contrast, fit in slopes.items() if fit]
    if panels:
        caption = "A dot is a block; the line is the median of pairwise slopes (Theil 1950; Sen 1968)."
        blocks.append(Figure(panels, caption))
    examples = examples_to_reach(study.curves[study.curves["key"].isin(study.runs["key"])], LOSS_TO_REACH)
    reached = median_examples(examples, study.runs, list(study.factors))
    reached = reached.assign(cell=[cell_name(tuple(row)) for row in reached[list(study.factors)].to_numpy()])
    reached = reached.assign(limits=[between(low, high, 0) for low, high in reached[["low", "high"]].to_numpy()])
    blocks.append(table(reached, REACHED, f"Training reviews read until validation loss is {LOSS_TO_REACH:g}"))
    sentences = list(rates_said(slopes)) + list(_faster_sentences(study, examples))
    return Section("As optimisation", sentences, blocks)


COSTS = [
    Column("contrast", "Level − reference"),
    Column("parameters", "Parameters, times", "{:.4f}".format, number=True),
    Column("time", "Time per step, times", "{:.3f}".format, number=True),
    Column("time_limits", "95 %", sortable=False),
    Column("per_doubling", "Points per doubling of the rate", POINT, number=True),
    Column("slope_limits", "95 %", sortable=False),
]
REACHED = [
    Column("cell", "Cell"),
    Column("runs", "Runs", number=True),
    Column("reached", "Reached it", number=True),
    Column("median", "Median reviews", formatting.count, number=True),
    Column("limits", "95 %", sortable=False),
]


def _rates(study: FactorialData) -> pd.Series:
    """Return each block's learning rate; where it is a factor itself, 1 in all, so that nothing is fitted."""
    rates = study.runs.groupby("block")["train.lr"].agg(["min", "max"]).astype(float)
    return rates["min"] if (rates["min"] == rates["max"]).all() else rates["min"] * 0 + 1


def _costs(study: FactorialData, slopes: dict[Contrast, Slope | None]) -> pd.DataFrame:
    """Return one row per main effect: size and time per step as ratios, and the slope on the learning rate."""
    speed = study.curves.groupby("key")["tokens_per_second"].median()  # of a run; its first evaluations warm up
    per_token = 1 / study.runs["key"].map(speed).astype(float)
    runs = study.runs.assign(per_token=per_token, parameters=study.runs["used.parameters"].astype(float))
    rows = []
    for contrast, fit in slopes.items():
        size = ratio(runs, study.factors, contrast, "parameters")
        time = ratio(runs, study.factors, contrast, "per_token")
        none = Interval(np.nan, np.nan, np.nan, 0.95, 0)
        rise = fit.per_doubling if fit else none
        rows.append(
            {
                "contrast": label(contrast),
                "parameters": size.value,
                "time": time.value,
                "time_limits": between(time.low, time.high, 3),
                "per_doubling": rise.value,
                "slope_limits": between(rise.low, rise.high),
            }
        )
    return pd.DataFrame(rows)


def _rate_figure(study: FactorialData, contrast: Contrast, fit: Slope) -> Markup:
    values = study.analysis.blocks.contrast(contrast)
    rates = _rates(study).loc[study.analysis.blocks.table.index]
    ends = np.array([rates.min(), rates.max()])
    line = pd.DataFrame({"x": ends, "y": fit.at_center + fit.per_doubling.value * np.log2(ends / fit.center)})
    labels = plots.Labels(label(contrast), "learning rate (one per block)", "percentage points")
    return plots.scatter(rates.to_numpy(), values, labels, line, log=True)


def rates_said(slopes: dict[Contrast, Slope | None]) -> Iterator[str]:
    """Say which effects change with the learning rate."""
    for contrast, fit in slopes.items():
        if fit is None:
            continue
        rise = points(fit.per_doubling)
        if fit.per_doubling.excludes(0):
            yield f"{formatting.opening(label(contrast))} changes with the learning rate: by {rise} per doubling."
        else:
            yield f"Whether {label(contrast)} changes with the learning rate stays open: {rise} per doubling."


def _faster_sentences(study: FactorialData, examples: pd.DataFrame) -> Iterator[str]:
    if not examples["reached"].any():
        yield f"No run reached a validation loss of {LOSS_TO_REACH:g}."
        return
    for factor in study.factors:
        for row in faster(examples, study.runs, study.factors, factor).to_dict("records"):
            p = "" if study.analysis.interim or np.isnan(row["p"]) else f", exact p = {row['p']:.2g}, not adjusted"
            level, reference = (level_of(factor, row[side]) for side in ("level", "reference"))
            yield (
                f"{formatting.opening(level)} was first at a validation loss of {LOSS_TO_REACH:g} "
                f"in {row['first']} "
                f"pairs of runs, {reference} in {row['last']}; {row['open']} are open{p}."
            )


def tuning(study: FactorialData) -> Section | None:
    """Show what more random trials would buy in each cell."""
    title = "What more trials buy"
    factors = list(study.factors)
    fewest = int(study.runs.groupby(factors).size().min())
    if fewest < FEWEST_TRIALS:
        return Section(title, [f"Needs {FEWEST_TRIALS} runs of every cell; the smallest has {fewest} so far."])
    curves = tuning_curves(study.runs, factors, sampler="random")
    panels = []
    by_cell = [(cell_name(tuple(map(str, cell))), curve) for cell, curve in curves.groupby(factors, sort=False)]
    for name, curve in by_cell:
        drawn = curve.rename(columns={"trials": "x", "median": "y"})
        labels = plots.Labels(name, "random trials", "validation accuracy, %")
        panels.append(plots.steps(drawn, labels, (curves["low"].min(), curves["high"].max())))
    sentence = (
        "The settings of each block are drawn at random, so a cell's runs tell what a random search over them "
        "would find: the median of the best validation accuracy after so many trials, with a 95 % band for all "
        "numbers of trials together."
    )
    caption = f"From {fewest} runs a cell. A curve ends where the upper limit reaches 100 %: the data say no more."
    if max((len(curve) for _, curve in by_cell), default=0) >= FEWEST_POINTS:
        return Section(title, [sentence], [Figure(panels, caption)])
    found = pd.concat([curve.assign(cell=name) for name, curve in by_cell]) if by_cell else curves.assign(cell="")
    found = found.assign(limits=[between(low, high) for low, high in found[["low", "high"]].to_numpy()])
    columns = [
        Column("cell", "Cell"),
        Column("trials", "Random trials", number=True),
        Column("median", "Validation, %", POINT, number=True),
        Column("limits", "95 %", sortable=False),
    ]
    return Section(title, [sentence], [table(found, columns, "Median of the best of so many", caption)])


def validation(study: FactorialData) -> Section | None:
    """Say how far validation accuracy can be trusted."""
    return validation_section(study.runs)


def validation_section(runs: pd.DataFrame) -> Section:
    """Say how far the validation accuracy of the runs of blocks can be trusted."""
    title = "Validation against test"
    found = validation_over_blocks(runs)
    runs = trained_runs(runs)
    if found is None:
        return Section(
            title,
            [f"Needs 20 runs that converged, in 6 blocks; there are {len(runs)} in {runs['block'].nunique()}."],
        )
    gap = found.gap
    side, size = ("above", gap) if gap.value >= 0 else ("below", mirrored(gap))
    sentences = [
        f"Over {formatting.plural(gap.n, 'block')} of runs that converged, validation accuracy is {points(size)} "
        f"{side} test accuracy; "
        f"from run to run this gap has a standard deviation of {found.gap_sd:.2f} percentage points.",
        f"Choosing the best run by validation cost {found.regret:.2f} points of test accuracy against the best by "
        "test, at most: that best is itself partly chance.",
        f"Kendall's tau-b between the two is {found.tau.value:.2f} {between(found.tau.low, found.tau.high)} "
        "(95 % over blocks).",
    ]
    val, test = (100 * runs[name].to_numpy(dtype=float) for name in ("best/val_accuracy", "test/accuracy"))
    ends = np.array([min(val.min(), test.min()), max(val.max(), test.max())])
    labels = plots.Labels("Trained runs", "validation accuracy, %", "test accuracy, %")
    panel = plots.scatter(val, test, labels, pd.DataFrame({"x": ends, "y": ends}))
    return Section(title, sentences, [Figure([panel], "A dot is a run; on the line both are equal.")])
