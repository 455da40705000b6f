"""A finalists study's answer: how good a search's best settings are on fresh seeds, and what selection did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from experiments.serving.selection import ranking
from reports import frames
from reports.html import formatting, plots
from reports.html.document import Column, Conclusion, Fact, Score, Section, figure, table
from reports.pages import precision, tables
from reports.pages.background import data_option, options_of, runs_option
from reports.pages.effects import POINT, between
from reports.pages.precision import movies_of
from reports.pages.verdicts import points
from reports.records.study_run import StudyRun, read_study_run
from reports.stats.contrasts import POINTS
from reports.stats.estimates import Interval
from reports.stats.finalists import KIND, SelectionEffect, finalists, of_same_kind, selection_effect
from reports.stats.held_out import held_out_gap
from reports.stats.mcnemar import ensemble
from seqclf_core.config import RunConfig
from seqclf_core.training.predictions import decide

ALL = "all finalists"
AT_RANDOM = ("factors", "splits")
"""Types of study whose blocks draw their settings at random."""
OF_A_BLOCK = ("data.source", "data.split_seed", *KIND)
"""Settings of the data that may differ between finalists and unselected runs: where the texts lie, the block's own
split; and those that ``finalists.of_same_kind`` compares."""
ALWAYS_NAMED = ("train.epochs", "data.max_length")
"""Settings that a study of factors takes from its own base, so that they are named even where they are usual."""
COMPARED = {"last", "mean"}
"""Poolings that a study of factors compares unless it is told others."""


def answer(parent: StudyRun, runs: pd.DataFrame, curves: pd.DataFrame, stores: frames.Stores) -> Conclusion:
    """Answer a finalists study.

    Args:
        parent: the study's own run, with what was planned.
        runs: its trials, rows of ``frames.runs``.
        curves: theirs.
        stores: where predictions are, and the search and runs that nobody selected.
    """
    done = (
        runs[(runs["outcome"] == "complete") & runs["finalist"].notna()] if "finalist" in runs else runs.iloc[:0]
    )
    if done.empty:
        return Conclusion(["No finalist has a finished run yet."], study_type="finalists")
    done = done.assign(config=done["finalist"], search_value=done["search_value"].astype(float))
    predictions = frames.predictions(list(done["key"]), stores)
    movies = movies_of(stores, str(done["digest"].iloc[0]), "test")
    ranked, selection = (
        for_others(finalists(done), done, predictions, movies),
        search_selection(done, parent, stores),
    )
    together = ensembles(done, predictions, movies)
    wanted = parent.plan.seeds * runs["finalist"].nunique()
    planned = max(wanted, parent.plan.total)  # some finalists may not have begun
    if len(done) < planned and parent.running:
        sentences = [f"Interim, no champion: {len(done)} of {planned} runs are complete."]
        scores = []
    else:
        sentences = [
            *champion_said(ranked),
            *selection_said(selection, reference_command(done, parent.command)),
            *together_said(together),
        ]
        scores = [*_scores(ranked, together)]
        if diverged := int((done["finish"] == "diverged").sum()):
            count = formatting.plural(diverged, "run diverged and counts", "runs diverged and count")
            sentences.append(f"{count} as scored: by the best weights before that, or as guessing.")
        if len(done) < wanted:
            sentences.append(f"{wanted - len(done)} of {wanted} runs failed and are missing from these means.")
    first = ranked.iloc[0]
    facts = [
        Fact("Test accuracy", f"{first['test']:.2f} %", f"{first['config']}, mean of {first['seeds']} seeds"),
        Fact("Its 95 % interval", between(first["low"], first["high"]), "over seeds, on these reviews"),
    ]
    sections = [_ranking(ranked, done, curves), _selection_section(selection, done)]
    files = {"finalists.csv": ranked}
    if len(together):
        sections.append(_ensemble_section(together))
        files["ensembles.csv"] = together
    return Conclusion(sentences, facts, sections, files, "finalists", scores)


def _scores(ranked: pd.DataFrame, together: pd.DataFrame) -> Iterator[Score]:
    """Give the finalist chosen by validation, and the ensemble chosen by validation."""
    first = ranked.iloc[0]
    val_limits, test_limits = (first["val_low"], first["val_high"]), (first["low"], first["high"])
    seeds = int(first["seeds"])
    basis = f"mean over {formatting.plural(seeds, 'fresh seed')}, best of {len(ranked)} by validation"
    name = f"settings of {first['config']}"
    yield Score(name, basis, seeds, first["val"], first["test"], val_limits, test_limits)
    if len(together):
        best = together.iloc[0]
        name = "ensemble of " + (ALL if best["ensemble"] == ALL else str(best["ensemble"]))
        basis = f"{best['models']} models averaged, best of {len(together)} by validation"
        yield Score(name, basis, 1, best["val"], best["test"], test_limits=(best["low"], best["high"]))


def search_selection(done: pd.DataFrame, parent: StudyRun, stores: frames.Stores) -> SelectionEffect | str:
    """Return what selection did to the search's scores, or why it cannot be known."""
    if set(done["digest"]) != {parent.plan.of_data}:
        return f"The search {parent.plan.of} had other data, so that its scores are not to be compared with these."
    if changed := parent.changed:
        return f"The search {parent.plan.of} had another {changed}: its scores are not to be compared with these."
    drawn = unselected(done, frames.runs(stores))
    searched = dict(zip(done["config"], done["search_value"], strict=True))
    found = selection_effect(searched, done, drawn[drawn["digest"] == done["digest"].iloc[0]])
    others = of_same_kind(done, drawn)
    if found.validation is not None or set(others["config"]) != set(done["config"]):
        return found
    keys = [*done["key"], *others["key"].drop_duplicates()]
    part = held_out_gap(done, others, frames.predictions(keys, stores))
    return replace(found, validation=part, held_out=part is not None)


def unselected(done: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """Return runs at random settings, which no score selected, on the finalists' texts, read and split likewise.

    Args:
        done: the finalists' runs.
        recorded: all rows of ``frames.runs``.
    """
    at_random = [
        str(study)
        for study, rows in recorded.groupby("study")
        if (own := read_study_run(rows)) and own.plan.study_type in AT_RANDOM
    ]
    alike = recorded["study"].isin(at_random) & (recorded["outcome"] == "complete") & (recorded["role"] != "study")
    for name in ["source", "data_scope", *recorded.filter(like="data.").columns.astype("str")]:
        if name not in OF_A_BLOCK:
            value = recorded.loc[recorded["key"] == done["key"].iloc[0], name].iloc[0]
            alike &= recorded[name].isna() if pd.isna(value) else recorded[name] == value
    return recorded[alike]


def for_others(
    ranked: pd.DataFrame, done: pd.DataFrame, predictions: pd.DataFrame, movies: pd.Series | None
) -> pd.DataFrame:
    """Give each mean over seeds its second interval, which holds for other seeds and other reviews.

    Returns:
        ``others_low`` and ``others_high`` besides, ``design_effect`` and ``by_movie``.
    """
    test = predictions[predictions["part"] == "test"]
    found = {}
    for config, group in done.groupby("config"):
        of_group = test[test["key"].isin(group["key"])]
        if of_group["key"].nunique() == len(group):
            found[config] = precision.score(of_group, movies)
    each = [found.get(config) for config in ranked["config"]]
    low, high = zip(*(precision.limits(one) for one in each), strict=True)
    return ranked.assign(
        others_low=low,
        others_high=high,
        design_effect=[one.design_effect if one else float("nan") for one in each],
        by_movie=[bool(one and one.by_movie) for one in each],
    )


def ensembles(done: pd.DataFrame, predictions: pd.DataFrame, movies: pd.Series | None = None) -> pd.DataFrame:
    """Score averaged probabilities: of each finalist's seeds, and of all finalists.

    Returns:
        One row per ensemble, best validation accuracy first: ``ensemble``, ``models``, ``val`` and ``test`` in per
        cent, ``low`` and ``high`` of test for other reviews, and ``single``, the mean test accuracy of its models
        alone. Empty where a prediction is missing.
    """
    if predictions.groupby("part")["key"].nunique().reindex(frames.PARTS).fillna(0).min() < len(done):
        return pd.DataFrame(columns=["ensemble", "models", "val", "test", "low", "high", "single"])
    groups = {str(config): group for config, group in done.groupby("config")}
    if len(groups) > 1:
        groups[ALL] = done
    rows = []
    for name, group in groups.items():
        of_group = predictions[predictions["key"].isin(group["key"])]
        scores = {part: POINTS * _accuracy(ensemble(of_group[of_group["part"] == part])) for part in frames.PARTS}
        low, high = precision.limits(
            precision.score(ensemble(of_group[of_group["part"] == "test"]).assign(key=name), movies)
        )
        single = POINTS * group["test/accuracy"].mean()
        rows.append({"ensemble": name, "models": len(group), **scores, "low": low, "high": high, "single": single})
    table = pd.DataFrame(rows)
    best_first = ranking((val, None, name) for val, name in zip(table["val"], table["ensemble"], strict=True))
    return table.iloc[best_first].reset_index(drop=True)


def _accuracy(answers: pd.DataFrame) -> float:
    return float((decide(answers["probability"]) == (answers["label"] == 1)).mean())


def champion_said(ranked: pd.DataFrame) -> Iterator[str]:
    """Say which settings are the best by validation, and how well they are known on test."""
    first = ranked.iloc[0]
    seeds = formatting.plural(int(first["seeds"]), "fresh seed")
    uncertainty = (
        f" {between(first['low'], first['high'])} (95 % t interval over seeds, on these reviews; standard "
        f"deviation {first['test_sd']:.2f} percentage points)"
        if pd.notna(first["low"])
        else ""
    )
    if pd.notna(first["others_low"]):
        drawn = "of other movies" if first["by_movie"] else "taken one by one, since movies are not known here"
        uncertainty += (
            f"; {between(first['others_low'], first['others_high'])} for other seeds and reviews {drawn}"
        )
    yield (
        f"Chosen by mean validation accuracy over {seeds}: {first['config']}. Its mean test accuracy is "
        f"{first['test']:.2f} %{uncertainty}."
    )


def reference_command(done: pd.DataFrame, command: str = "") -> str:
    """Return what a person types for unselected runs of the finalists' kind; empty where none helps.

    Args:
        done: the finalists' runs.
        command: command line of their study, which says where it is recorded.
    """
    if "source" in done and tables.seed_draws_test(done).any():
        return ""  # each block would draw its own test texts
    first = done.iloc[0]
    given = [
        f"--{name.replace('_', '-')} {int(done[name].iloc[0])}"
        for name in ALWAYS_NAMED
        if name in done and len(done[name].dropna().unique()) == 1
    ]
    like_data = [name for name in RunConfig().flat() if name.startswith("data.") and name not in OF_A_BLOCK]
    given += options_of(first, like_data)
    factors = ""
    poolings = list(dict.fromkeys(done["model.pooling"])) if "model.pooling" in done else []
    if not set(poolings) <= COMPARED:
        levels = [*poolings, *sorted(COMPARED - set(poolings))]
        factors = f' FACTORS="model.pooling={",".join(levels)} model.loss=bce,cross_entropy"'
    source = data_option(first) if "data.source" in done else ""
    start = f"make factors NAME=reference{source}{runs_option(command)}{factors}"
    return f'{start} ARGS="{" ".join(given)}"' if given else start


def selection_said(found: SelectionEffect | str, reference: str = "make factors") -> Iterator[str]:
    """Say what selection by one seed and by one validation split did to the search's scores.

    Args:
        found: the effects, or why they cannot be known.
        reference: the command that gives unselected runs of the same kind; empty where there is none.
    """
    if isinstance(found, str):
        yield found
        return
    seed = found.seed
    if pd.isna(seed.low):
        yield f"The search's scores are {_size(seed)}, above those of fresh seeds on validation: no interval."
    elif not seed.excludes(0):
        yield f"No selection effect of the seed detected in the search's best scores: {_size(seed)}."
    elif seed.value > 0:
        yield (
            f"Selection effect of the seed: the search's scores are {points(seed)} above those of fresh seeds on "
            "validation."
        )
    else:
        yield (
            f"The selection effect of the seed is negative, {points(seed)}: fresh seeds score above the search. "
            "Selection cannot do that; the runs may differ from the search's in something else."
        )
    part = found.validation
    if part is None and not reference:
        yield (
            "Whether the validation split is optimistic for them cannot be said: the seed of a split draws the "
            "test texts of this source too, so that blocks of runs that nobody selected were scored on others."
        )
    elif part is None:
        yield (
            "Whether the validation split is optimistic for them cannot be said: that takes runs that nobody "
            f"selected, of the same kind and on the same data ({reference}), and their predictions."
        )
    elif pd.isna(part.low):
        yield f"The finalists' gap to test is {_size(part)}, above that of unselected runs: no interval."
    elif not part.excludes(0):
        yield f"No selection effect of the validation split detected, against unselected runs: {_size(part)}."
    elif part.value > 0:
        yield (
            f"The validation split is optimistic for them by {points(part)} more than for unselected runs of the "
            "same kind."
        )
    else:
        yield (
            f"The selection effect of the validation split is negative, {points(part)}: their validation scores "
            "promise less than those of unselected runs of the same kind, which selection cannot explain."
        )


def _size(interval: Interval) -> str:
    return points(interval) if pd.notna(interval.low) else f"{interval.value:.2f} points, one seed each"


def together_said(found: pd.DataFrame) -> Iterator[str]:
    """Say what the best ensemble by validation reaches."""
    if len(found):
        best = found.iloc[0]
        of = (
            f"all {best['models']} models"
            if best["ensemble"] == ALL
            else f"{best['models']} of {best['ensemble']}"
        )
        yield (
            f"The best ensemble by validation averages the probabilities of {of}: {best['test']:.2f} % on test, "
            f"where its models alone have {best['single']:.2f} % on average."
        )


def _ranking(ranked: pd.DataFrame, done: pd.DataFrame, curves: pd.DataFrame) -> Section:
    shown = ranked.assign(
        val_limits=[between(low, high) for low, high in ranked[["val_low", "val_high"]].to_numpy()],
        test_limits=[between(low, high) for low, high in ranked[["low", "high"]].to_numpy()],
        others=[between(low, high) for low, high in ranked[["others_low", "others_high"]].to_numpy()],
    )
    columns = [
        Column("config", "Settings of"),
        Column("seeds", "Seeds", number=True),
        Column("val", "Validation, %", POINT, number=True),
        Column("val_limits", "95 %", sortable=False),
        Column("val_sd", "sd", POINT, number=True),
        Column("test", "Test, %", POINT, number=True, sortable=False),
        Column("test_limits", "95 % over seeds", sortable=False),
        Column("others", "95 %, other reviews", sortable=False),
        Column("test_sd", "sd", POINT, number=True, sortable=False),
    ]
    names = [name for name in tables.varied(done) if name != "seed"]
    settings = done.drop_duplicates("config").set_index("config").loc[ranked["config"]].reset_index()
    of_each = [Column(name, name, formatting.alike(settings[name])) for name in names]
    drawn = {}
    for config in ranked["config"]:
        of_config = curves[curves["key"].isin(done.loc[done["config"] == config, "key"])]
        by = of_config.assign(percent=100 * of_config["val/accuracy"]).groupby("evaluation")
        drawn[str(config)] = pd.DataFrame(
            {
                "x": by["step"].mean() / 1000,
                "y": by["percent"].mean(),
                "low": by["percent"].min(),
                "high": by["percent"].max(),
            }
        )
    labels = plots.Labels("Validation accuracy, %", "thousand training reviews seen")
    sentence = (
        "Ranked by mean validation accuracy over fresh seeds. Test accuracy stands beside it and decides nothing; "
        "its first interval is over seeds (t, one degree of freedom less than seeds) and holds for these reviews."
    )
    known = ranked.dropna(subset=["others_low"])
    if len(known) and known["by_movie"].all():
        effects = known["design_effect"].dropna()  # where all is right, nothing varies
        sentence += " The second one is for other seeds and reviews of other movies" + (
            ": reviews of one movie are alike, which makes the variance "
            f"{effects.min():.1f} to {effects.max():.1f} times that of single reviews."
            if len(effects)
            else "."
        )
    elif len(known):
        sentence += (
            " The second one is for other seeds and other reviews, taken one by one, since their movies are not "
            "known here: with reviews in groups it is too narrow."
        )
    return Section(
        "Finalists",
        [sentence],
        [
            table(shown, columns, "Means over fresh seeds"),
            figure(
                [plots.lines(drawn, labels)],
                "Mean over seeds; the band is from the lowest to the highest.",
                sum(map(len, drawn.values())),
            ),
            table(settings, [Column("config", "Settings of"), *of_each], "Their settings"),
        ],
    )


def _selection_section(found: SelectionEffect | str, done: pd.DataFrame) -> Section:
    if isinstance(found, str):
        return Section("Selection effect of the search", [found])
    rows = [("Seed: search minus fresh seeds, on validation", found.seed)]
    if found.validation is not None:
        rows.append(("Validation split: gap to test, minus that of unselected runs", found.validation))
    shown = pd.DataFrame([{"part": name, "size": i.value, "limits": between(i.low, i.high)} for name, i in rows])
    columns = [
        Column("part", "Selection effect", long=True, sortable=False),
        Column("size", "Points", POINT, number=True, sortable=False),
        Column("limits", "95 %", sortable=False),
    ]
    sentence = (
        "The best of many scores is optimistic: it was selected for its seed, and for validation reviews that "
        f"suit it. Mean over {done['config'].nunique()} finalists, taken as they are; the seed is the unit, since "
        "finalists share their seeds. Unselected runs are of the same pooling, loss, epochs, length and data."
    )
    if found.held_out:
        sentence += (
            " Their blocks drew validation splits of their own, so both are compared on the reviews that a block "
            "held out of the finalists' split, and on the same test reviews; interval over blocks and seeds."
        )
    return Section(
        "Selection effect of the search", [sentence], [table(shown, columns, "In percentage points of accuracy")]
    )


def _ensemble_section(found: pd.DataFrame) -> Section:
    columns = [
        Column("ensemble", "Ensemble"),
        Column("models", "Models", number=True),
        Column("val", "Validation, %", POINT, number=True),
        Column("test", "Test, %", POINT, number=True, sortable=False),
        Column("single", "Its models alone, test, %", POINT, number=True, sortable=False),
    ]
    sentence = "Stored probabilities averaged review by review, over seeds and over all finalists."
    return Section(
        "Ensembles", [sentence], [table(found, columns, "Averaged probabilities, best validation first")]
    )
