"""Every sentence that an answer can print, with the numbers that make it, and those that must not."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.pages import (
    comparison,
    effects,
    finalists,
    fitting,
    fraction,
    labels,
    record,
    splits,
    tables,
    tuned,
    two_models,
    variance,
    wording,
)
from reports.pages.factors import matched_said
from reports.pages.finalists import selection_said
from reports.pages.precision import basis
from reports.pages.verdicts import HEAD_RATES, on_reviews, verdict, verdicts
from reports.pages.wording import conditions, extended
from reports.stats.clustered import Sampled
from reports.stats.contrasts import simple_effects
from reports.stats.estimates import Interval
from reports.stats.factorial import Effect, Plan, analyse
from reports.stats.finalists import SelectionEffect
from reports.stats.fraction import FractionAnalysis, FractionEffect
from reports.stats.generalisation import NewReviews
from reports.stats.matched import Matched
from reports.stats.mcnemar import ModelComparison
from reports.stats.optimisation import Slope
from reports.stats.sensitivity import Sensitivity
from reports.stats.variance import Source, single_runs
from tests.reports.stats.simulated import FACTORS, LOSS, POOLING, study


def interval(value: float, low: float, high: float, n: int = 24) -> Interval:
    return Interval(value, low, high, 0.95, n)


NONE = interval(0.1, float("nan"), float("nan"), 1)
ABOVE, OPEN, BELOW = interval(0.8, 0.4, 1.2), interval(0.1, -0.3, 0.5), interval(-0.8, -1.2, -0.4)


def said(interaction: float) -> list[str]:
    plan = Plan(FACTORS, 24, simple=tuple(simple_effects(FACTORS)))
    return [str(one) for one in verdicts(analyse(study(24, seed_sd=0.2, interaction=interaction), plan))]


def test_where_an_interaction_stands_simple_effects_are_told():
    sentences = said(-2.0)
    assert len(sentences) == 5  # the interaction, and each factor at both levels of the other
    assert sum(sentence.startswith("With ") for sentence in sentences) == 4
    assert not any("gains" in sentence for sentence in sentences)  # it loses with one of the losses


def test_where_none_stands_main_effects_are_told():
    sentences = said(0.0)
    assert len(sentences) == 3
    assert not any(sentence.startswith("With ") for sentence in sentences)


# A verdict of a factors study: what of the numbers changes, and how the sentence begins, or what it holds.
ANALYSIS = analyse(study(24, seed_sd=0.2), Plan(FACTORS, 24))
SURE = {"p_holm": 0.001, "narrow": interval(0.8, 0.5, 1.1), "declared": False, "fragile": ()}
UNSURE = {"p_holm": 0.6, "narrow": interval(0.1, -0.2, 0.4), "declared": False, "fragile": ()}
VERDICTS = [
    (0, {**SURE, "trimmed": ABOVE}, "beats", "Mean pooling beats last state by 0.8 points [0.4, 1.2] on these"),
    (0, {**SURE, "trimmed": BELOW}, "beats", "Last state beats mean pooling by 0.8 points [0.4, 1.2] on these"),
    (1, {**SURE, "trimmed": ABOVE}, "beats", HEAD_RATES),
    (
        1,
        {**UNSURE, "trimmed": OPEN, "declared": True, "narrow": interval(0.05, -0.1, 0.2)},
        "equivalent",
        "No difference larger than 0.3 points between BCE and cross-entropy: ",
    ),
    (
        0,
        {**UNSURE, "trimmed": OPEN, "required_blocks": 30, "settled_at_most_by": 40},
        "inconclusive",
        "about 30 blocks",
    ),
    (0, {**UNSURE, "trimmed": OPEN, "required_blocks": None}, "inconclusive", "no number of blocks that anybody"),
    (
        0,
        {**UNSURE, "trimmed": OPEN, "required_blocks": 8, "settled_at_most_by": 9},
        "inconclusive",
        "lies too near 0.3",
    ),
    (0, {**SURE, "trimmed": OPEN}, "inconclusive", "Inconclusive: "),  # a p alone is no verdict
    (0, {**UNSURE, "trimmed": ABOVE}, "inconclusive", "Inconclusive: "),  # nor is an interval alone
    (0, {**SURE, "trimmed": ABOVE, "fragile": (("last", "bce"),)}, "training_rate", "Training rate only: "),
    (2, {**UNSURE, "trimmed": OPEN}, "none_seen", "stays open: 0.1 points [-0.3, 0.5]"),
    (2, {**SURE, "trimmed": ABOVE, "mean_trained": OPEN}, "none_seen", "stays open"),  # the two intervals disagree
    (
        2,
        {**SURE, "trimmed": ABOVE, "mean_trained": ABOVE},
        "interaction",
        "Mean pooling minus last state is 0.8 points",
    ),
    (
        2,
        {**SURE, "trimmed": BELOW, "mean_trained": BELOW},
        "interaction",
        "lower with BCE than with cross-entropy",
    ),
]


@pytest.mark.parametrize(("place", "changes", "kind", "begins"), VERDICTS)
def test_a_verdict_says_what_its_numbers_carry(place, changes, kind, begins):
    effect: Effect = replace(ANALYSIS.effects[place], **changes)
    found = verdict(effect, ANALYSIS.training[place], ANALYSIS, 25_000)
    assert found.kind == kind
    assert begins in str(found)
    assert ("beats" in str(found)) == (kind == "beats")
    assert (HEAD_RATES in str(found)) == (kind == "beats" and effect.contrast == LOSS)
    assert "no interaction" not in str(found)


@pytest.mark.parametrize(
    ("sources", "sizes", "says"),
    [
        (["imdb", "imdb"], [80, 80], "on these 80 reviews"),
        (["imdb", "imdb"], [None, None], "on these reviews"),
        (["synthetic (seed 3)", "synthetic (seed 3)"], [80, 80], "on these 80 reviews"),
        (
            ["a (no test split: held out, seed 3)", "a (no test split: held out, seed 4)"],
            [80, 80],
            "on 80 reviews ",
        ),
        (["synthetic (seed 3)", "synthetic (seed 4)"], [80, 81], "on reviews that each block draws anew"),
        (["here", "there"], [80, 80], "on these 80 reviews"),  # moved under way
    ],
)
def test_reviews_that_each_block_drew_are_not_these_reviews(sources, sizes, says):
    runs = pd.DataFrame({"source": sources, "used.test": sizes})
    reviews, drawn = tables.scored_on(runs, "test")
    said = str(verdict(ANALYSIS.effects[0], ANALYSIS.training[0], ANALYSIS, reviews, drawn=drawn))
    assert says in said
    assert says in on_reviews(reviews, drawn=drawn)
    assert ("that each block draws anew" in said) == drawn


@pytest.mark.parametrize(
    ("blocks", "planned", "total", "holds"),
    [
        (5, 24, None, "interim, no verdict: 5 of 24"),
        (5, 5, None, "too few blocks for a test"),
        (8, 6, 8, "Extended after"),
    ],
)
def test_before_the_end_and_after_looking(blocks, planned, total, holds):
    found = analyse(study(blocks, pooling=3.0, seed_sd=0.2), Plan(FACTORS, planned, total))
    assert holds in str(verdict(found.effects[0], found.training[0], found))
    assert found.effects[0].contrast == POOLING


@pytest.mark.parametrize(
    ("found", "holds", "never"),
    [
        (
            Matched(OPEN, ABOVE, ABOVE, "2.0", "1.0", start=True),
            [
                "At equal head rate and start cross-entropy minus BCE is 0.8 points [0.4, 1.2].",
                "At matched head rate (and start sqrt(2) larger: ",
                "no difference is detected: 0.1 points [-0.3, 0.5]; matching takes 0.8 points",
            ],
            "stays open",
        ),
        (
            Matched(ABOVE, ABOVE, OPEN, "2.0", "1.0", start=False),
            [
                "At equal head rate cross-entropy minus BCE is 0.8 points",
                "though not at a matched start",
                "cross-entropy minus BCE is 0.8 points [0.4, 1.2]; ",
                "whether matching takes any of it away stays open",
            ],
            "no difference",
        ),
        (Matched(OPEN, OPEN, OPEN, "2.0", "1.0", start=True), ["minus BCE is not told from 0: 0.1"], "takes 0"),
        (Matched(ABOVE, OPEN, BELOW, "2.0", "1.0", start=True), ["stays open: -0.8 points"], "matching takes -"),
    ],
)
def test_matched_losses(found, holds, never):
    sentence = matched_said(found)
    for part in holds:
        assert part in sentence
    assert never not in sentence


def test_conditions_and_extensions():
    runs = pd.DataFrame({"train.epochs": [3, 3], "data.max_length": [200, 400]})
    assert conditions(runs).startswith(
        "These are effects at a random setting (3 epochs), drawn once"
    )  # one length alone
    assert "tuning budget" not in conditions(runs, tuned=False)
    assert extended(Plan(FACTORS, 12, 24)).startswith("Extended after looking: 12 blocks were planned and 24")


@pytest.mark.parametrize(
    ("size", "holds"),
    [
        (ABOVE, "mean pooling is better than last state by 0.8 points"),
        (BELOW, "last state is better than mean pooling by 0.8 points"),
        (OPEN, "mean pooling and last state cannot be told apart"),
    ],
)
def test_tuned_arms(size, holds):
    budget = pd.DataFrame([{"trials": 8, "effect": size.value, "low": size.low, "high": size.high, "blocks": 24}])
    sentence = tuned.tuned_said(POOLING, budget)
    assert sentence.startswith("Tuned by 8 trials each, ")
    assert holds in sentence


def test_what_matters():
    rows = [("train.lr", 0.0005, 0.01, 2.4, 1.0, 3.8), ("train.batch_size", 16, 64, -1.0, -1.8, -0.2)]
    rows.append(("model.word_dropout", 0.0, 0.4, 0.2, -0.5, 0.9))
    table = pd.DataFrame(rows, columns=["setting", "from", "to", "effect", "low", "high"])
    _, rate, batch, rest = tuned.matters_said(Sensitivity(table, 0.6, 24))
    assert rate.startswith("Lr from 0.0005 to 0.01 raises accuracy by 2.4 points")
    assert batch.startswith("Batch size from 16 to 64 lowers accuracy by 1.0 points")
    assert rest == "No effect detected of: word dropout."


@pytest.mark.parametrize(
    ("seed", "part", "first", "second"),
    [
        (ABOVE, ABOVE, "Selection effect of the seed: ", "The validation split is optimistic for them by 0.8"),
        (
            OPEN,
            OPEN,
            "No selection effect of the seed detected",
            "No selection effect of the validation split detected",
        ),
        (
            BELOW,
            BELOW,
            "The selection effect of the seed is negative",
            "The selection effect of the validation split is neg",
        ),
        (
            NONE,
            NONE,
            "The search's scores are 0.10 points, one seed each",
            "The finalists' gap to test is 0.10 points",
        ),
        (
            OPEN,
            None,
            "No selection effect of the seed",
            "Whether the validation split is optimistic for them cannot be",
        ),
    ],
)
def test_selection_effects(seed, part, first, second):
    sentences = list(selection_said(SelectionEffect(seed, part)))
    assert sentences[0].startswith(first)
    assert sentences[1].startswith(second)
    if seed is BELOW:
        assert not any(sentence.startswith("No ") for sentence in sentences)  # below 0 is not "none"


def test_where_a_selection_effect_cannot_be_known():
    assert list(selection_said("The search imdb had other data.")) == ["The search imdb had other data."]


def effect_of(size: Interval, names=(("model.pooling",),), found=True, fragile=False) -> FractionEffect:
    return FractionEffect(names, size, size, 0.001, 0.001 if found else 0.6, 0.4, fragile)


@pytest.mark.parametrize(
    ("effect", "begins"),
    [
        (effect_of(ABOVE), "Mean pooling beats last state by 0.8 points"),
        (effect_of(BELOW), "Last state beats mean pooling by 0.8 points"),
        (effect_of(OPEN, found=False), "Whether pooling matters (mean pooling against last state) stays open"),
        (effect_of(ABOVE, found=False), "Whether pooling matters"),
        (effect_of(OPEN), "Whether pooling matters"),
        (
            effect_of(ABOVE, fragile=True),
            "Mean pooling against last state: at one of these over 20 % of runs failed",
        ),
    ],
)
def test_fractions(effect, begins):
    assert fraction.main_said(effect, ("last", "mean"), "on these reviews, 12 blocks").startswith(begins)


def test_interactions_of_a_fraction_are_told_by_column():
    pair, other = ("model.pooling", "data.keep"), ("data.max_length", "train.ema_decay")
    series = pd.Series([88.0] * 12)

    def told(*effects: FractionEffect) -> list[str]:
        return list(fraction.interactions_said(FractionAnalysis(effects, series, ())))

    [several] = told(effect_of(ABOVE, (pair, other)))
    assert several.startswith(
        "Pooling × keep + max length × ema decay: the sum of 2 interactions that this fraction"
    )
    [one] = told(effect_of(ABOVE, (pair,)))
    assert "the sum of" not in one
    [none] = told(effect_of(OPEN, (pair, other), found=False))
    assert none.startswith("No interaction of two factors detected in 1 column")
    assert "this study could detect" in none
    assert told(effect_of(OPEN, (pair,), fragile=True)) == [
        "Interactions are not compared, since too many runs failed to converge."
    ]


def gains(*sizes: float) -> pd.DataFrame:
    noise = pd.DataFrame([[-0.1] * 3, [0.0] * 3, [0.1] * 3, [0.05] * 3])
    return (noise + list(sizes)).set_axis([500, 2000, 8000], axis=1)


def test_labels():
    sure, lost, unsure = labels.start_said(gains(2.0, -2.0, 0.0))
    assert sure.startswith("With 500 labels, a tagger's start gains 2.0 points")
    assert lost.startswith("With 2,000 labels, a tagger's start loses 2.0 points")
    assert unsure.startswith("With 8,000 labels, whether a tagger's start is better stays open")
    assert "one seed" in next(labels.start_said(gains(2.0, 0.0, 0.0).head(1)))
    crossing = labels.crossing_said("LSTM from scratch", "NBSVM", gains(-2.0, -1.0, 2.0))
    assert crossing.startswith("The LSTM from scratch overtakes NBSVM at about ")
    for sizes in ((1.0, 2.0, 3.0), (-3.0, -2.0, -1.0), (0.0, 0.0, 0.0)):
        assert "is not seen between 500 and 8,000 labels" in labels.crossing_said("LSTM", "NBSVM", gains(*sizes))
    turned = labels.crossing_said("LSTM from scratch", "bag of words", gains(2.0, 1.0, -1.0))
    assert turned.startswith("Bag of words overtakes the LSTM from scratch at about ")
    assert "no crossing is looked for" in labels.crossing_said("LSTM", "NBSVM", gains(0.0, 0.0, 0.0).head(1))


def test_variance():
    wide, near, small = (
        Source("settings", 10, interval(1.5, 1.0, 2.7), interval(0.9, 0.7, 0.97)),
        Source("split", 10, interval(1.2, 0.8, 2.2), interval(0.06, 0.02, 0.2)),
        Source("init", 3, interval(0.2, 0.1, 0.5), interval(0.02, 0.01, 0.1)),
    )
    assert list(variance.said([wide, near], 20, 20))[1].startswith(
        "Whether that is more than with the validation split"
    )
    [alone, few] = variance.said([wide, small], 13, 13)
    assert alone.startswith(
        "Scores vary most with random settings: a standard deviation of 1.50 percentage points"
    )
    assert few.startswith("Fewer than 5 runs of a source")
    assert next(variance.said([wide], 5, 10)) == "Interim: 5 of 10 runs are complete."
    worth = single_runs({name: [88.0, 88.4, 87.6, 88.1] for name in ("init", "order", "dropout")})
    here = pd.DataFrame({"source": ["imdb"] * 2, "used.test": [80] * 2})
    drawn = here.assign(source=[f"mine (no test split: a fifth held out, seed {seed})" for seed in (1, 2)])
    assert next(variance.on_which(here)).startswith("All runs are scored on the same test reviews")
    assert next(variance.on_which(drawn)).startswith(
        "The seed of a split draws the test reviews of this source too"
    )
    by_chance, right = variance.worth_said(worth)
    assert by_chance.startswith("Two single runs of the same settings")
    assert right.startswith("Settings that are better by 1 percentage point have the higher score in ")


@pytest.mark.parametrize(
    ("size", "p", "by_movie", "holds"),
    [
        (
            ABOVE,
            0.001,
            True,
            "Run A answers 0.8 points [0.4, 1.2] more of these 25,000 reviews correctly than run B",
        ),
        (BELOW, 0.001, True, "Run B answers 0.8 points"),
        (OPEN, 0.6, False, "run A and run B cannot be told apart: 0.1 points"),
    ],
)
def test_two_models(size, p, by_movie, holds):
    sentence = two_models.sentence(ModelComparison(300, 100, 25_000, size, p, by_movie))
    assert holds in sentence
    assert ("p over movies" in sentence) == by_movie
    assert ("reviews one by one" in sentence) != by_movie
    assert "method" not in sentence


def test_what_an_interval_of_a_score_draws():
    assert basis(Sampled(ABOVE, 1.62, True)) == "for reviews of other movies, design effect 1.6"
    assert "one by one" in basis(Sampled(ABOVE, 1.0, False))


@pytest.mark.parametrize(
    ("changes", "holds", "never"),
    [
        ({}, ["Chosen by mean validation accuracy over 5 fresh seeds: imdb/0007. Its mean test accuracy is 90.10 "
              "% [89.80, 90.40] (95 % t interval over seeds, on these reviews; standard deviation 0.24 percentage",
              "; [89.50, 90.70] for other seeds and reviews of other movies."], "one by one"),
        ({"by_movie": False}, ["taken one by one, since movies are not known here"], "of other movies"),
        ({"others_low": np.nan}, ["percentage points)."], "for other seeds"),
        ({"seeds": 1, "low": np.nan, "others_low": np.nan}, ["over 1 fresh seed: imdb/0007. Its mean test "
                                                             "accuracy is 90.10 %."], "interval"),
    ],
)  # fmt: skip
def test_the_best_settings(changes, holds, never):
    row = {
        "config": "imdb/0007", "seeds": 5, "test": 90.1, "low": 89.8, "high": 90.4, "test_sd": 0.24,
        "others_low": 89.5, "others_high": 90.7, "by_movie": True,
    }  # fmt: skip
    [sentence] = finalists.champion_said(pd.DataFrame([row | changes]))
    for part in holds:
        assert part in sentence
    assert never not in sentence
    assert "beats" not in sentence


def test_ensembles():
    row = {"ensemble": finalists.ALL, "models": 15, "test": 91.2, "single": 90.1}
    [every] = finalists.together_said(pd.DataFrame([row]))
    assert (
        "averages the probabilities of all 15 models: 91.20 % on test, where its models alone have 90.10 %"
        in every
    )
    [own] = finalists.together_said(pd.DataFrame([row | {"ensemble": "imdb/0007", "models": 5}]))
    assert "of 5 of imdb/0007: " in own
    assert not list(finalists.together_said(pd.DataFrame([])))


def test_an_ensemble_is_chosen_by_validation():
    """One finalist is right on validation, the other on test."""
    done = pd.DataFrame({"key": ["a/0", "b/0"], "config": ["a", "b"], "test/accuracy": [0.0, 1.0]})
    rows = [
        {"key": key, "part": part, "row": row, "label": 1, "probability": 0.9 if right else 0.1}
        for key, part, right in (("a/0", "val", 1), ("a/0", "test", 0), ("b/0", "val", 0), ("b/0", "test", 1))
        for row in range(4)
    ]
    found = finalists.ensembles(done, pd.DataFrame(rows))
    assert found["ensemble"].iloc[0] == "a"
    assert found["val"].tolist() == sorted(found["val"], reverse=True)


def splits_said(
    shift: float, blocks: int = 8, planned: int = 8, fixed: bool = False, sd: float = 0.002
) -> list[str]:
    """Return what is said of two kinds of split, whose gap is larger with the second by so many points."""
    rng, kinds = np.random.default_rng(0), ("group", "random")
    rows = [
        {
            "block": block, splits.FACTOR: kind, "test/accuracy": 0.88, "data.split_seed": block,
            "best/val_accuracy": 0.88 + rng.normal(0, sd) + (kind == "random") * shift / 100,
            "digest": kind if fixed and kind == "random" else f"{kind} {block}",
        }
        for block in range(blocks) for kind in kinds
    ]  # fmt: skip
    done = pd.DataFrame(rows).assign(gap=lambda runs: runs["best/val_accuracy"] - runs["test/accuracy"])
    found = analyse(done, Plan({splits.FACTOR: kinds}, planned, blocks, outcome="gap", equivalence=()))
    name = {"group": "by movie", "random": "random"}
    gaps = splits.scores(done)
    return list(splits.said(found, gaps.assign(name=gaps["split_method"].map(name)), name))


def test_splits():
    by_movie, random, pair = splits_said(2.0)
    assert by_movie.startswith("Split by movie: validation minus test accuracy is ")
    assert "(mean of 8 runs, sd " in random
    assert pair.startswith("Validation minus test accuracy is 2.")
    assert pair.endswith(
        "higher with a random split than with a split by movie, on the same settings and seeds, 8 blocks."
    )
    assert splits_said(0.0)[-1].startswith("Open: validation minus test accuracy is ")
    assert "that may be chance (p = " in splits_said(0.0)[-1]
    assert "higher with a split by movie" in splits_said(-2.0)[-1]
    assert splits_said(2.0, blocks=5, planned=8) == ["Interim, no verdict: 5 of 8 blocks are complete."]
    assert splits_said(2.0, blocks=5, planned=5)[-1].startswith("Too few blocks to compare them: there are 5")
    assert splits_said(2.0, planned=6)[-1] == "Extended after looking: 6 blocks were planned and 8 were started."
    assert len(splits_said(2.0, fixed=True)) == 2  # and no pair
    one_part = splits_said(2.0, fixed=True)[1]
    assert "on its one validation split, which all 8 runs share: no interval and no verdict" in one_part


def test_the_record():
    rows = [
        {"arm": record.RECIPE, "seeds": 5, "test": 93.1, "test_sd": 0.2, "val": 93.4},
        {"arm": "no teacher", "seeds": 5, "test_cost": 0.8, "test_low": 0.4, "test_high": 1.2},
        {"arm": "no averaging", "seeds": 1, "test_cost": -0.1, "test_low": np.nan, "test_high": np.nan},
        {"arm": "no run yet", "seeds": 1, "test_cost": np.nan},
    ]
    recipe, teacher, averaging = record.said(pd.DataFrame(rows))
    assert recipe.startswith(
        "The recipe answers 93.10 % of the test split correctly (mean of 5 seeds, standard dev"
    )
    assert teacher == (
        "No teacher: -0.80 points on the test split [-1.20, -0.40], over 5 seeds: what it leaves out helps here."
    )
    assert record.worth(-1.2, -0.4).endswith("hurts here")
    assert record.worth(-1.2, 0.4).endswith("stays open")
    assert not record.worth(np.nan, np.nan)
    assert averaging == "No averaging: +0.10 points on the test split, over 1 seed."
    [single] = record.said(pd.DataFrame([rows[0] | {"seeds": 1, "test_sd": np.nan}]))
    assert "(mean of 1 seed)" in single


def test_studies_side_by_side():
    fair = {
        "scored": "settings of imdb/0007", "study": "finalists", "seeds": 5, "val": 90.0, "val_low": 89.0,
        "val_high": 91.0, "test": 89.5, "optimistic": False, "basis": "mean over 5 fresh seeds",
    }  # fmt: skip
    best = fair | {"study": "imdb", "seeds": 1, "optimistic": True, "basis": "best of 24 complete runs"}
    mean, single = comparison.leaders_said(pd.DataFrame([fair, best]))
    assert mean.startswith(
        "The best mean over seeds, by validation: settings of imdb/0007 (finalists), 90.00 % [89"
    )
    assert single.endswith("It is the best of 24 complete runs, and so its validation accuracy is optimistic.")
    assert not list(comparison.leaders_said(pd.DataFrame([fair | {"seeds": 1}])))  # one run is no answer


def test_effects_for_other_reviews():
    pooling, _, both = ANALYSIS.effects
    said = effects.for_others_said(pooling.contrast, NewReviews(BELOW, 0.1, 0.2))
    assert said == "Last state over mean pooling: 0.8 points [0.4, 1.2] for other reviews."
    said = effects.for_others_said(both.contrast, NewReviews(OPEN, 0.1, 0.2))
    assert said.startswith("The interaction mean pooling × ")


def test_effects_and_the_learning_rate():
    pooling, loss, _ = (effect.contrast for effect in ANALYSIS.effects)
    fits = {pooling: Slope(ABOVE, 0.002, 0.0), loss: Slope(OPEN, 0.002, 0.0)}
    changes, stays = fitting.rates_said(fits)
    assert changes == (
        "Mean pooling − last state changes with the learning rate: by 0.8 points [0.4, 1.2] per doubling."
    )
    assert stays.endswith("changes with the learning rate stays open: 0.1 points [-0.3, 0.5] per doubling.")
    assert not list(fitting.rates_said({pooling: None}))


def test_validation_against_test():
    rng = np.random.default_rng(0)
    test = 0.88 + rng.normal(0, 0.01, 24)
    runs = pd.DataFrame({"block": range(24), "test/accuracy": test, "best/val_accuracy": test + 0.01})
    gap, regret, tau = fitting.validation_section(runs).sentences
    assert gap.startswith("Over 24 blocks of runs that converged, validation accuracy is 1.0 points [")
    assert " above test accuracy; " in gap
    assert regret.startswith("Choosing the best run by validation cost 0.00 points")
    assert "(95 % over blocks)" in tau
    below = fitting.validation_section(runs.assign(**{"best/val_accuracy": test - 0.01})).sentences
    assert " below test accuracy; " in below[0]
    assert fitting.validation_section(runs.head(5)).sentences == [
        "Needs 20 runs that converged, in 6 blocks; there are 5 in 5."
    ]


def test_what_a_reference_takes():
    runs = pd.DataFrame({"train.epochs": [4, 4], "data.max_length": [200, 400]})
    command = finalists.reference_command(runs)
    assert command == 'make factors NAME=reference ARGS="--train.epochs 4"'
    like_texts = {"data.source": "my data", "data.keep": "head", "model.pooling": "max"}
    assert finalists.reference_command(runs.assign(**like_texts), "seqclf study finalists --runs there") == (
        "make factors NAME=reference DATA='my data' RUNS=there "
        'FACTORS="model.pooling=max,last,mean model.loss=bce,cross_entropy" '
        'ARGS="--train.epochs 4 --data.keep head"'
    )
    assert not finalists.reference_command(runs.assign(source="mine (no test split: a fifth held out, seed 3)"))
    [*_, none] = finalists.selection_said(SelectionEffect(OPEN, None), "")
    assert "cannot be said: the seed of a split draws the test texts of this source too" in none
    [*_, part] = finalists.selection_said(SelectionEffect(OPEN, None), command)
    assert f"of the same kind and on the same data ({command})" in part


def test_before_there_is_a_verdict():
    assert wording.interim(5, Plan(FACTORS, 24)).startswith("Interim, no verdict: 5 of 24 blocks")
    assert wording.too_few(5).startswith("Too few blocks for a verdict: there are 5")


PAGES = Path(wording.__file__).parent
SENTENCES = ("str", "Iterator[str]", "list[str]", "Verdict")
"""What a function that says something returns."""
ELSEWHERE = {
    "build": "tests/reports/pages/test_report_page.py",
    "labels.said": "tests/reports/pages/test_labels_page.py",
    "search": "tests/reports/pages/test_search_figures.py",
    "side_by_side.said": "tests/reports/pages/test_side_by_side.py",
    "two_models.comparison": "tests/reports/test_compare_command.py",
    "finalists.search_selection": "tests/reports/pages/test_finalists_page.py",
}
"""Module or function -> the tests of what it says, which takes recorded runs and not numbers."""


def _says(function: ast.AST) -> bool:
    """Say whether a public function of a page makes sentences: it returns text, and has four words in a row."""
    if not isinstance(function, ast.FunctionDef) or function.name.startswith("_") or function.returns is None:
        return False
    if ast.unparse(function.returns) not in SENTENCES:
        return False
    body = function.body[1:] if ast.get_docstring(function) else function.body
    texts = [each.value for part in body for each in ast.walk(part) if isinstance(each, ast.Constant)]
    return any(isinstance(text, str) and len(text.split()) >= 4 for text in texts)


def test_whatever_says_something_is_listed_here():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    called = {ast.unparse(each.func) for each in ast.walk(tree) if isinstance(each, ast.Call)}
    imported = {
        f"{each.module.rpartition('.')[2]}.{name.name}"
        for each in ast.walk(tree)
        if isinstance(each, ast.ImportFrom) and each.module
        for name in each.names
        if name.name in called
    }
    missing = [
        name
        for file in sorted(PAGES.glob("*.py"))
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if _says(function)
        for name in [f"{file.stem}.{function.name}"]
        if name not in called | imported and not {name, file.stem} & set(ELSEWHERE)
    ]
    assert not missing, f"no test of what these say: {missing}"
