"""A factors study's answers in words: never more than its blocks carry."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.pages.verdicts import about, points, verdicts
from reports.stats.estimates import Interval
from reports.stats.factorial import Analysis, Plan, analyse
from reports.stats.power import (
    blocks_for_difference,
    blocks_for_equivalence,
    minimum_detectable_effect,
    upper_sd,
)
from tests.reports.stats.simulated import FACTORS, study


def analysed(blocks: int, planned: int | None = None, total: int | None = None, **world: float) -> Analysis:
    runs = study(blocks, **world) if blocks else study(1).iloc[:0]
    return analyse(runs, Plan(FACTORS, planned or blocks, total))


def kinds(analysis: Analysis) -> list[str]:
    return [one.kind for one in verdicts(analysis, 25_000)]


def test_a_clear_winner_is_named_with_interval_reviews_and_blocks():
    for pooling, start in (
        (0.8, "Mean pooling beats last state by "),
        (-0.8, "Last state beats mean pooling by "),
    ):
        analysis = analysed(24, pooling=pooling, seed_sd=0.3)
        verdict = verdicts(analysis, 25_000)[0]
        effect = analysis.effects[0]
        assert verdict.kind == "beats"
        assert verdict.sentence.startswith(start)
        assert verdict.sentence.endswith("on these 25,000 reviews, 24 blocks.")
        assert f"{abs(effect.trimmed.value):.1f} points [" in verdict.sentence
        assert effect.p_holm < 0.05
        assert effect.trimmed.excludes(0)


def test_to_beat_takes_both_a_test_and_an_interval():
    effect = analysed(24, pooling=0.8, seed_sd=0.3).effects[0]
    assert effect.beats
    assert not replace(effect, p_holm=0.06).beats
    assert not replace(effect, p_holm=math.nan).beats
    assert not replace(effect, trimmed=Interval(0.8, -0.1, 1.7, 0.95, 24)).beats


def test_no_difference_is_said_only_inside_the_margin():
    sure = verdicts(analysed(24, seed_sd=0.2))[1]
    assert sure.kind == "equivalent"
    assert sure.sentence.startswith("No difference larger than 0.3 points between BCE and cross-entropy")
    unsure = verdicts(analysed(24, seed_sd=1.0))[1]
    assert unsure.kind == "inconclusive"
    assert "blocks would settle it (up to" in unsure.sentence


def test_a_question_that_was_not_declared_is_never_answered_by_equivalence():
    assert kinds(analysed(24, seed_sd=0.2))[0] == "inconclusive"


def test_a_difference_may_be_certain_and_still_too_small_to_matter():
    verdict = verdicts(analysed(24, seed_sd=0.1, loss=0.15))[1]
    assert verdict.kind == "beats"
    assert "smaller than 0.3 points" in verdict.sentence


def test_an_interaction_is_named_or_its_minimum_detectable_size():
    seen = verdicts(analysed(24, seed_sd=0.2, interaction=-1.0))[2]
    assert seen.kind == "interaction"
    assert "lower with BCE than with cross-entropy" in seen.sentence
    analysis = analysed(24)
    unseen = verdicts(analysis)[2]
    assert unseen.kind == "none_seen"
    assert f"this study could detect {analysis.effects[2].minimum_detectable_effect:.1f} points" in unseen.sentence
    assert "no interaction" not in unseen.sentence.lower()


def test_unfinished_studies_have_no_verdict():
    assert {str(v) for v in verdicts(analysed(5, planned=24, pooling=3))} == {
        "interim, no verdict: 5 of 24 blocks"
    }
    assert set(kinds(analysed(30, planned=24, total=48, pooling=3))) == {"interim"}
    assert set(kinds(analysed(0, planned=24))) == {"interim"}


def test_few_blocks_have_no_test():
    found = verdicts(analysed(5, pooling=3))
    assert {verdict.kind for verdict in found} == {"too_few"}
    assert all("too few blocks for a test" in str(verdict) for verdict in found)


def test_a_raised_total_is_told():
    found = verdicts(analysed(24, planned=12, total=24, pooling=1))
    assert all(verdict.extended and "Extended after looking" in str(verdict) for verdict in found)
    assert not any(verdict.extended for verdict in verdicts(analysed(24, total=24, pooling=1)))


def test_incomplete_blocks_do_not_count():
    runs = study(12, pooling=1).drop(index=[3, 8])
    analysis = analyse(runs, Plan(FACTORS, 12))
    assert analysis.finished == 10
    assert analysis.blocks.incomplete == (0, 2)
    assert analysis.interim


def test_where_a_cell_often_fails_only_training_rates_are_compared():
    analysis = analysed(24, failing=0.5)
    found = verdicts(analysis)
    assert {verdict.kind for verdict in found} == {"training_rate"}
    assert "mean pooling trains more often than last state" in found[0].sentence
    assert not any("beats" in str(verdict) for verdict in found)
    rates = analysis.rates.set_index(["model.pooling", "model.loss"])
    assert (rates.loc["mean", "proportion"] == 1).all()
    assert (rates.loc["last", "proportion"] < 0.8).all()


def test_a_few_failures_leave_the_headline_and_the_trained_mean_alone():
    analysis = analysed(24, seed=4, pooling=0.8, failing=0.1, seed_sd=0.3)
    effect = analysis.effects[0]
    assert effect.mean_trained.n < 24
    assert effect.trimmed.high < 1.5
    assert effect.mean_trained.high < 1.5
    all_runs = analysis.blocks.contrast(effect.contrast).mean()
    assert all_runs > 2  # what a mean over all runs would say


def test_numbers_agree_with_each_other():
    analysis = analysed(24, pooling=0.5)
    table = analysis.table().set_index("contrast")
    assert len(table) == 3
    for effect in analysis.effects:
        row = table.loc[effect.contrast.name]
        assert (
            row["trimmed_low"] <= effect.narrow.low <= row["trimmed"] <= effect.narrow.high <= row["trimmed_high"]
        )
        assert effect.p <= effect.p_holm <= 1
        assert effect.required_blocks <= effect.settled_at_most_by


def test_all_equal_runs_are_handled():
    runs = study(8)
    runs[["test/accuracy", "best/val_accuracy"]] = 0.86
    analysis = analyse(runs, Plan(FACTORS, 8))
    assert kinds(analysis) == ["inconclusive", "equivalent", "none_seen"]
    assert analysis.effects[0].ties == 8
    assert (analysis.effects[0].better.low, analysis.effects[0].better.high) == (0, 1)


def test_three_levels_are_compared_pair_by_pair():
    runs = study(12, pooling=1.0, seed_sd=0.2)
    third = runs[runs["model.pooling"] == "mean"].assign(**{"model.pooling": "max"})
    factors = {"model.pooling": ["last", "mean", "max"], "model.loss": ["cross_entropy", "bce"]}
    found = verdicts(analyse(pd.concat([runs, third]), Plan(factors, 12)))
    assert len(found) == 7
    assert found[0].sentence.startswith("Mean pooling beats last state")
    assert found[1].sentence.startswith("Max pooling beats last state")
    assert found[2].kind == "inconclusive"


def test_the_table_of_blocks_for_equivalence_is_met():
    for sd, blocks in ((0.3, 12), (0.5, 30), (1.0, 112)):
        assert blocks_for_equivalence(1.06 * sd, 0.3) == pytest.approx(blocks, abs=2)


def test_planning_grows_with_the_spread_and_ends():
    assert blocks_for_equivalence(0.0, 0.3) == 6
    assert blocks_for_difference(1.0, 0.3) < blocks_for_difference(2.0, 0.3) < blocks_for_difference(2.0, 0.2)
    assert blocks_for_difference(1e6, 0.3) == 10_000
    assert upper_sd(1.0, 7) > upper_sd(1.0, 30) > 1
    assert minimum_detectable_effect(0.1, 15, alpha=0.05 / 3) > minimum_detectable_effect(0.1, 15)


def test_numbers_in_words():
    assert points(Interval(0.8, 0.4, 1.2, 0.95, 24)) == "0.8 points [0.4, 1.2]"
    assert points(Interval(0.31, 0.02, 0.6, 0.95, 24)) == "0.31 points [0.02, 0.60]"
    assert [about(n) for n in (7, 38, 137, 1234)] == ["7", "38", "140", "1,300"]
    assert math.isnan(analysed(5).effects[0].p)
    assert np.isnan(analysed(0, planned=24).table()["trimmed"]).all()
