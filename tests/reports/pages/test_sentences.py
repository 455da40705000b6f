"""Sentences of a factors page, with the numbers that make them and those that must not."""

from reports.pages.verdicts import verdicts
from reports.stats.contrasts import simple_effects
from reports.stats.factorial import Plan, analyse
from tests.reports.stats.simulated import FACTORS, study


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
