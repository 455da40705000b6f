"""A labels study's answer: how accuracy grows with labels, what overtakes what, what a tagger's start is worth."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from reports import frames
from reports.html import formatting, plots
from reports.html.document import Block, Column, Commands, Conclusion, Fact, Section, figure, table
from reports.html.formatting import between, point
from reports.pages.background import options_of, runs_option
from reports.pages.verdicts import points
from reports.records.study_run import StudyRun
from reports.stats.contrasts import POINTS, VALIDATION, scored
from reports.stats.estimates import Interval, mirrored
from reports.stats.factorial import ALPHA
from reports.stats.labels import at_sizes, crossing, curve, differences, paired_p
from seqclf_core.config import ReviewsConfig

SCRATCH, TRANSFER = "LSTM from scratch", "LSTM from a tagger"
DRAW = "data.train_limit_seed"
"""Setting that tells draws of texts apart."""
BASELINES = {"nbsvm": "NBSVM", "bag_of_words": "bag of words"}
"""Experiment -> what a person calls its model; linear models whose runs stand on the same axis."""
SCOPE = r"-(limited|synthetic)$"
"""End of an experiment's name where its data are not whole, as those of a few labels are not."""
SAME = ("source", "used.test", "data.split_seed", "data.val_fraction")
"""Parameters and tags that must be equal in a linear model's run and in the study's runs, to show both
together."""
READ = [
    f"data.{name}"
    for name in ReviewsConfig.model_fields
    if name not in ("source", "train_limit", "train_limit_seed")
]
"""Settings by which a linear model reads the same texts as the study."""


@dataclass(frozen=True)
class LabelsData:
    """What the sections of a labels study read."""

    arms: Mapping[str, pd.DataFrame]
    """Model -> outcome in per cent: a row per draw of texts, a column per number of labels."""
    validation: Mapping[str, pd.DataFrame]
    """The same of validation accuracy."""
    missing: list[str]
    """Commands that give the linear models what they lack beside the study's runs."""


def answer(parent: StudyRun, runs: pd.DataFrame, curves: pd.DataFrame, stores: frames.Stores) -> Conclusion:
    """Answer a labels study.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``.
        curves: not needed.
        stores: where the linear models' runs are.
    """
    outcome = parent.plan.outcome or "test/accuracy"
    done = runs[(runs["outcome"] == "complete") & runs["used.train"].notna()]
    if done.empty:
        return Conclusion(["No run is complete yet."], study_type="labels")
    study = labels_data(done, frames.runs(stores), outcome, parent.command)
    sentences = list(said(study))
    if len(done) < parent.plan.total:
        sentences.insert(0, f"Interim: {len(done)} of {parent.plan.total} runs are complete.")
    numbers = pd.concat([curve(once(name, scores)).assign(model=name) for name, scores in study.arms.items()])
    facts = [Fact("Complete runs", f"{len(done)} of {parent.plan.total}", f"{parent.plan.seeds} seeds")]
    sections = [growth(study, numbers), *_starts(study)]
    return Conclusion(sentences, facts, sections, {"labels.csv": numbers}, "labels")


def labels_data(done: pd.DataFrame, recorded: pd.DataFrame, outcome: str, command: str = "") -> LabelsData:
    """Arrange the study's runs, and those of linear models that learned from the same texts or from as many.

    Args:
        done: complete runs of the study.
        recorded: all rows of ``frames.runs``.
        outcome: metric that is compared.
        command: command line of the study.
    """
    first = done.iloc[0]
    alike = (recorded["outcome"] == "complete") & recorded[VALIDATION].notna() & (recorded["role"] == "experiment")
    for name in SAME:
        alike &= recorded[name].astype("str") == str(first[name])
    names = recorded["study"].str.replace(SCOPE, "", regex=True).map(BASELINES)
    linear = recorded[alike & names.notna()].assign(model=names, diverged=False)
    own = done.assign(
        model=done["model.init_from"].notna().map({True: TRANSFER, False: SCRATCH}),
        diverged=done["finish"] == "diverged",
    )
    draws = sorted(own[DRAW].unique().tolist())
    # All labels are the same texts whatever the draw, and a linear model of the same texts is the same model.
    whole = linear[linear["data.train_limit"].isna()].drop_duplicates("model")
    of_draws = linear[linear["data.train_limit"].notna() & linear[DRAW].isin(draws)]
    every = pd.concat([own, of_draws, *[whole.assign(**{DRAW: draw}) for draw in draws]])
    every = every[every["used.train"].isin(own["used.train"].unique())]
    return LabelsData(_arms(every, outcome), _arms(every, VALIDATION), _commands(own, every, command))


def once(model: str, scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores without repetitions: of all labels a linear model is one model, whatever the seed."""
    repeated = [labels for labels in scores if model in BASELINES.values() and len(scores[labels].unique()) == 1]
    found = scores.copy()
    found.loc[found.index[1:], repeated] = math.nan
    return found


def _arms(runs: pd.DataFrame, score: str) -> dict[str, pd.DataFrame]:
    """Return model -> its scores in per cent, a row per draw of texts, a column per number of labels."""
    scores = runs.assign(score=scored(runs, score) * POINTS, labels=runs["used.train"].astype(int))
    order = [SCRATCH, TRANSFER, *BASELINES.values()]
    groups = dict(list(scores.groupby("model")))
    return {
        name: groups[name].pivot_table(index=DRAW, columns="labels", values="score")
        for name in order
        if name in groups
    }


def _commands(own: pd.DataFrame, every: pd.DataFrame, command: str) -> list[str]:
    """Return what a person types for the linear models that lack a run beside the study's.

    Args:
        own: the study's runs.
        every: theirs and those of linear models on the same texts.
        command: command line of the study, which says where it is recorded.
    """
    lines = []
    first = own.iloc[0]
    same = "".join(f" {part}" for part in options_of(first, READ))
    for experiment, model in BASELINES.items():
        there = every[every["model"] == model]
        for size, runs in own.groupby("data.train_limit", dropna=False):
            of_size = there[there["used.train"].isin(runs["used.train"])]
            lacking = sorted(set(runs[DRAW]) - set(of_size[DRAW]))
            if not lacking:
                continue
            source = f" DATA={shlex.quote(str(first['data.source']))}"
            start = f"make experiment NAME={experiment}{source}{runs_option(command)}"
            if pd.isna(size):
                lines.append(f"{start} ARGS={shlex.quote(same.strip())}" if same else start)
                continue
            limits = f"--data.train-limit {int(str(size))} --data.train-limit-seed $draw{same}"
            draws = " ".join(map(str, lacking))
            lines.append(f'for draw in {draws}; do {start} ARGS="{limits}"; done')
    return lines


def said(study: LabelsData) -> Iterator[str]:
    """Say where a tagger's start pays, and where an LSTM overtakes the linear models."""
    scratch = study.arms.get(SCRATCH)
    if scratch is None:
        return
    transfer = study.arms.get(TRANSFER)
    if transfer is not None:
        yield from start_said(differences(transfer, scratch))
    for model in BASELINES.values():
        if model in study.arms:
            for arm in (SCRATCH, TRANSFER):
                if arm in study.arms:
                    yield crossing_said(arm, model, differences(study.arms[arm], study.arms[model]))
    if not set(BASELINES.values()) & set(study.arms):
        yield "No linear model has learned from the same texts, so that nothing is said about what overtakes it."


def start_said(gains: pd.DataFrame) -> Iterator[str]:
    """Say at each number of labels whether a tagger's start is better than random weights.

    Args:
        gains: transfer minus scratch in percentage points; a row per seed, a column per number of labels.
    """
    for (labels, size), p in zip(at_sizes(gains).items(), paired_p(gains), strict=True):
        where = f"With {labels:,} labels"
        seeds = formatting.plural(size.n, "seed")
        if math.isnan(size.low):
            yield f"{where}, a tagger's start and a random one differ by {size.value:.2f} points: one seed."
        elif p < ALPHA and size.excludes(0):
            better, shown = ("gains", size) if size.value > 0 else ("loses", mirrored(size))
            yield f"{where}, a tagger's start {better} {points(shown)} over a random one, {seeds}."
        else:
            yield f"{where}, whether a tagger's start is better stays open: {points(size)}, {seeds}."


def crossing_said(arm: str, model: str, gains: pd.DataFrame) -> str:
    """Say where a model overtakes another, or that this is not seen.

    Args:
        arm: the one that is expected to need more labels.
        model: the other.
        gains: the first minus the second in percentage points; a row per seed, a column per number of labels.
    """
    name = formatting.opening("the " + arm)
    if len(gains) < 2 or gains.shape[1] < 2:
        return f"{name} and {model} share fewer than two seeds or numbers of labels: no crossing is looked for."
    turned = formatting.opening(model), "the " + arm, crossing(-gains)
    for first, second, found in ((name, model, crossing(gains)), turned):
        if found.seen:
            return (
                f"{first} overtakes {second} at about {_about(found.value)} labels "
                f"[{_about(found.low)}, {_about(found.high)}], {formatting.plural(len(gains), 'seed')}."
            )
    fewest, most = (int(str(gains.columns[at])) for at in (0, -1))
    sizes = at_sizes(gains)
    return (
        f"A crossing of {'the ' + arm} and {model} is not seen between {fewest:,} and {most:,} labels: "
        f"{_gap(sizes[fewest])} with {fewest:,}, {_gap(sizes[most])} with {most:,}."
    )


def _gap(size: Interval) -> str:
    if not size.excludes(0):
        return f"no difference detected, {points(size)},"
    return f"{points(size)} above" if size.value > 0 else f"{points(mirrored(size))} below"


def _about(labels: float) -> str:
    """Round a number of labels to two digits."""
    unit = 10 ** max(0, len(str(round(labels))) - 2)
    return f"{round(labels / unit) * unit:,}"


def growth(study: LabelsData, numbers: pd.DataFrame) -> Section:
    """Show every model's learning curve, with its band."""
    drawn = {
        str(name): group.rename(columns={"labels": "x", "mean": "y"})
        for name, group in numbers.groupby("model", sort=False)
    }
    labels = plots.Labels("Test accuracy, %", "labelled texts learned from, logarithmic")
    seen = pd.concat([curve(scores).assign(model=name) for name, scores in study.validation.items()])
    beside = seen.set_index(["model", "labels"])["mean"]
    shown = numbers.assign(
        limits=[between(low, high) for low, high in numbers[["low", "high"]].to_numpy()],
        validation=[
            beside.get(key, math.nan) for key in numbers[["model", "labels"]].itertuples(index=False, name=None)
        ],
    )
    columns = [
        Column("model", "Model"),
        Column("labels", "Labels", formatting.count, number=True),
        Column("seeds", "Seeds", number=True),
        Column("mean", "Test, %", point, number=True),
        Column("limits", "95 %", sortable=False),
        Column("sd", "sd", point, number=True),
        Column("validation", "Validation, %", point, number=True),
    ]
    sentences = [
        "A seed draws the texts that are learned from, the initial weights and the order, and every model learns "
        "from the same draws. Intervals are over seeds (t, 95 %), on these reviews. With all labels the texts are "
        "the same for each seed, and a linear model of them is one model. Models are kept by validation, whose "
        "split is larger than the smallest training sets."
    ]
    blocks: list[Block] = [
        figure(
            [plots.lines(drawn, labels, log=True)], "Means over seeds; bands are 95 % intervals.", len(numbers)
        ),
        table(shown, columns, "Means over seeds"),
    ]
    if study.missing:
        blocks.append(Commands("The linear models on the same texts", study.missing))
    return Section("Accuracy by number of labels", sentences, blocks)


def _starts(study: LabelsData) -> Iterator[Section]:
    """Show the difference of both starts at each number of labels."""
    if SCRATCH not in study.arms or TRANSFER not in study.arms:
        return
    gains = differences(study.arms[TRANSFER], study.arms[SCRATCH])
    seen = at_sizes(differences(study.validation[TRANSFER], study.validation[SCRATCH]))
    rows = [
        {
            "labels": labels,
            "gain": size.value,
            "limits": between(size.low, size.high),
            "p": p,
            "validation": seen[labels].value if labels in seen else math.nan,
            "seeds": size.n,
        }
        for (labels, size), p in zip(at_sizes(gains).items(), paired_p(gains), strict=True)
    ]
    columns = [
        Column("labels", "Labels", formatting.count, number=True),
        Column("gain", "Transfer − scratch", point, number=True),
        Column("limits", "95 %", sortable=False),
        Column("p", "p, Holm", "{:.2g}".format, number=True),
        Column("validation", "On validation", point, number=True),
        Column("seeds", "Seeds", number=True),
    ]
    sentence = (
        "Both starts learn from the same texts with the same seed, and are compared seed by seed: mean difference "
        "with its t interval, unadjusted; p of the paired t test, adjusted by Holm's method over all numbers of "
        "labels."
    )
    yield Section(
        "What a tagger's start is worth", [sentence], [table(pd.DataFrame(rows), columns, "In percentage points")]
    )
