"""Sections of a factors study on what it asked: effects, also for other reviews, and who trains at all."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from markupsafe import Markup

from reports.html import formatting, plots
from reports.html.document import Column, Section, figure, table
from reports.pages import tables
from reports.pages.factorial_data import FactorialData
from reports.pages.verdicts import level_of, names, points, word
from reports.stats.contrasts import Contrast, cells
from reports.stats.estimates import mirrored
from reports.stats.generalisation import NewReviews, correct_answers, for_new_reviews

POINT, between = formatting.point, formatting.between


def label(contrast: Contrast) -> str:
    """Name a contrast for a person: ``mean pooling − last state``; an interaction by the levels it adds."""
    if contrast.is_interaction:
        pairs = zip(contrast.factors, contrast.pairs, strict=True)
        return " × ".join(level_of(factor, level) for factor, (level, _) in pairs)
    return " − ".join(names(contrast)) + "".join(f", with {word(level)}" for _, level in contrast.at)


def cell_name(cell: tuple[str, ...] | str) -> str:
    """Name a cell for a person: ``mean pooling, BCE``."""
    return ", ".join(map(word, (cell,) if isinstance(cell, str) else cell))


def effects(study: FactorialData) -> Section | None:
    """Show every contrast with its interval, and each block's part in it."""
    analysis, margin = study.analysis, study.plan.margin
    if not analysis.finished:
        return None
    sentences = [
        "A block runs every cell on the same settings, seed, split and order of reviews; the block is the unit. "
        "An effect is the 20 % trimmed mean of the blocks' differences in percentage points of "
        f"{'test' if study.part == 'test' else 'validation'} accuracy, with Yuen's 95 % interval, not adjusted "
        "for several questions. p is that of the exact signed-rank test over blocks, adjusted by Holm's method "
        "over all contrasts of the table. The same estimate for validation accuracy stands beside it."
    ]
    if analysis.interim:
        sentences.append("No p is shown before the planned blocks are complete.")
    left_out = len(analysis.blocks.incomplete)
    if left_out:
        sentences.append(f"{formatting.plural(left_out, 'block')} with a missing cell left out.")
    diverged = int(study.runs["diverged"].sum())
    if diverged:
        sentences.append(
            f"{formatting.plural(diverged, 'run')} diverged and count{'s' if diverged == 1 else ''} as scored: "
            "by the "
            "best weights before that, or as guessing."
        )
    rows = [
        (label(effect.contrast), effect.trimmed.value, effect.trimmed.low, effect.trimmed.high)
        for effect in analysis.effects
    ]
    labels = plots.Labels("Effects, 95 % intervals", "percentage points of accuracy")
    panels = [plots.forest(rows, margin, labels), *_slopes(study)]
    caption = (
        f"The band around 0 is ±{margin:g} percentage points. A grey line is a block; colour: the median of each "
        "level."
    )
    return Section(
        "Effects",
        sentences,
        [
            figure(panels, caption, analysis.finished, "complete block"),
            table(*_rows(study), "Effects in percentage points"),
        ],
    )


def _slopes(study: FactorialData) -> Iterator[Markup]:
    for factor, levels in study.factors.items():
        of_level = study.analysis.blocks.table.T.groupby(level=factor).mean().T[list(levels)]
        shown = of_level.set_axis([level_of(factor, level) for level in levels], axis=1)
        title = f"Each block by {word(factor)}"
        yield plots.paired(shown, plots.Labels(title, y=f"{study.part} accuracy, %"))


def _rows(study: FactorialData) -> tuple[pd.DataFrame, list[Column]]:
    found = []
    for effect in study.analysis.effects:
        median, mean, better = effect.median, effect.mean_trained, effect.better
        found.append(
            {
                "contrast": label(effect.contrast),
                "trimmed": effect.trimmed.value,
                "limits": between(effect.trimmed.low, effect.trimmed.high),
                "p": float("nan") if study.analysis.interim else effect.p_holm,
                "mean": mean.value,
                "mean_limits": f"{between(mean.low, mean.high)}, {mean.n}",
                "median": median.value,
                "median_limits": between(median.low, median.high),
                "validation": effect.validation.value,
                "validation_limits": between(effect.validation.low, effect.validation.high),
                "better": 100 * better.value,
                "better_limits": between(100 * better.low, 100 * better.high, 0),
                "visible": effect.minimum_detectable_effect,
            }
        )
    columns = [
        Column("contrast", "Contrast"),
        Column("trimmed", "Trimmed mean", POINT, number=True),
        Column("limits", "95 %", sortable=False),
        Column("p", "p, Holm", "{:.2g}".format, number=True),
        Column("mean", "Mean, all trained", POINT, number=True),
        Column("mean_limits", "95 %, blocks", sortable=False),
        Column("median", "Median", POINT, number=True),
        Column("median_limits", "95 %", sortable=False),
        Column("validation", "On validation", POINT, number=True),
        Column("validation_limits", "95 %", sortable=False),
        Column("better", "P(better), %", "{:.0f}".format, number=True),
        Column("better_limits", "95 %", sortable=False),
        Column("visible", "Minimum detectable effect", POINT, number=True),
    ]
    return pd.DataFrame(found), columns


def new_reviews(study: FactorialData) -> Section | None:
    """Say what of the effects holds for reviews of other movies."""
    title = "For other reviews"
    if study.analysis.too_few:
        return None
    if study.predictions.empty:
        return Section(title, ["The runs' predictions are not stored here, so that this cannot be said."])
    answered = study.predictions.groupby("row")["key"].nunique()
    if answered.min() < study.predictions["key"].nunique() or tables.scored_on(study.runs, study.part)[1]:
        return Section(title, ["Each block drew its own part of the test reviews, so that this cannot be said."])
    complete = study.runs[study.runs["block"].isin(study.analysis.blocks.table.index)]
    movies = study.reviews["movie"] if study.reviews is not None and "movie" in study.reviews else None
    correct = correct_answers(study.predictions[study.predictions["key"].isin(complete["key"])])
    found = [
        for_new_reviews(complete, correct, study.factors, effect.contrast, movies, study.plan.outcome)
        for effect in study.analysis.effects
    ]
    if all(pd.isna(one.interval.low) for one in found):
        return None
    by = (
        "by movie"
        if movies is not None
        else "one by one, since the movies are not known here (so it is too narrow)"
    )
    sentences = [
        "All runs answered the same reviews, so more blocks do not average away which reviews these are. "
        f"The wider interval takes other reviews, drawn {by}, and other blocks together."
    ]
    sentences += [
        for_others_said(effect.contrast, one) for effect, one in zip(study.analysis.effects, found, strict=True)
    ]
    rows = [
        {
            "contrast": label(effect.contrast),
            "effect": one.interval.value,
            "these": between(effect.trimmed.low, effect.trimmed.high),
            "others": between(one.interval.low, one.interval.high),
            "blocks": one.from_blocks,
            "reviews": one.from_reviews,
        }
        for effect, one in zip(study.analysis.effects, found, strict=True)
    ]
    columns = [
        Column("contrast", "Contrast"),
        Column("effect", "Effect", POINT, number=True),
        Column("these", "95 %, these reviews", sortable=False),
        Column("others", "95 %, other reviews", sortable=False),
        Column("blocks", "Error from blocks", POINT, number=True),
        Column("reviews", "Error from reviews", POINT, number=True),
    ]
    return Section(title, sentences, [table(pd.DataFrame(rows), columns, "Two intervals, in percentage points")])


def for_others_said(contrast: Contrast, found: NewReviews) -> str:
    """Say how large an effect is for other reviews."""
    interval = found.interval
    if contrast.is_interaction:
        return f"The interaction {label(contrast)}: {points(interval)} for other reviews."
    first, second = names(contrast)
    if interval.value < 0:
        first, second, interval = second, first, mirrored(interval)
    at = "".join(f", with {word(level)}" for _, level in contrast.at)
    return f"{formatting.opening(first)} over {second}{at}: {points(interval)} for other reviews."


def training(study: FactorialData) -> Section | None:
    """Show in how many blocks each cell trained at all."""
    analysis = study.analysis
    if not analysis.finished:
        return None
    rates = analysis.rates.assign(
        cell=[cell_name(cell) for cell in cells(study.factors)],
        percent=100 * analysis.rates["proportion"],
        limits=[between(100 * low, 100 * high, 0) for low, high in analysis.rates[["low", "high"]].to_numpy()],
    )
    sentences = ["A run converged if it got at least 60 % of the validation reviews right; guessing gets 50 %."]
    if (analysis.rates["proportion"] == 1).all():
        sentences.append("Every run did.")
    elif not analysis.interim:
        for effect in analysis.training:
            if not effect.contrast.is_interaction and not effect.contrast.at:
                p = (
                    f"exact p = {effect.p_holm:.2g} by Holm's method"
                    if pd.notna(effect.p_holm)
                    else "too few to test"
                )
                shift = f"{effect.difference:+.0f} points of runs ({p})"
                sentences.append(f"{formatting.opening(label(effect.contrast))}: {shift}.")
    columns = [
        Column("cell", "Cell"),
        Column("trained", "Trained", number=True),
        Column("blocks", "Blocks", number=True),
        Column("percent", "Proportion, %", "{:.0f}".format, number=True),
        Column("limits", "95 %, exact", sortable=False),
    ]
    return Section("Does it train at all?", sentences, [table(rates, columns, "Runs that trained")])
