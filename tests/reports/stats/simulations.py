"""Does every interval cover, every test keep its level? Each simulation checks one claim on the real code.

`python -m tests.simulate` runs them all, pytest the same with fewer repetitions of the slow ones.
"""

import numpy as np

from tests.reports.stats import simulated_answers as answers
from tests.reports.stats import simulated_effects as effects
from tests.reports.stats import simulated_pages as pages
from tests.reports.stats import simulated_runs as runs
from tests.reports.stats import simulated_studies as studies
from tests.reports.stats.checks import Check, Simulation

SIMULATIONS: dict[str, Simulation] = {
    simulation.__name__: simulation
    for simulation in (
        effects.t_on_normal,
        effects.trimmed_t,
        effects.trimmed_bias_and_width,
        effects.median_covers,
        effects.trained_mean,
        effects.power_as_computed,
        effects.equivalence,
        effects.sign_flips,
        effects.false_verdicts,
        effects.looking_twice,
        effects.training_rate,
        runs.new_reviews,
        runs.search_selection,
        runs.held_out,
        runs.rank_correlation,
        runs.slopes,
        runs.tuning_band,
        answers.tuning_budget,
        answers.sensitivity,
        answers.over_blocks,
        studies.family_of_seven,
        studies.simple_effects_cover,
        studies.equivalence_of_simple_effects,
        studies.fraction_effects,
        studies.clustered_scores,
        studies.label_crossing,
        studies.chance_sources,
        studies.proportions,
        pages.matched_heads,
        pages.two_models,
        pages.ensembles,
        pages.lengths,
        pages.label_family,
        pages.costs,
        pages.needed_seeds,
    )
}
SHORT = {
    "trimmed_t": 0.5,
    "median_covers": 0.2,
    "trained_mean": 0.4,
    "sign_flips": 0.2,
    "false_verdicts": 0.25,
    "search_selection": 0.15,
    "held_out": 0.05,
    "rank_correlation": 0.3,
    "slopes": 0.25,
    "tuning_band": 0.2,
    "tuning_budget": 0.1,
    "sensitivity": 0.3,
    "over_blocks": 0.1,
    "family_of_seven": 0.1,
    "simple_effects_cover": 0.25,
    "equivalence_of_simple_effects": 0.25,
    "fraction_effects": 0.05,
    "clustered_scores": 0.1,
    "label_crossing": 0.05,
    "chance_sources": 0.05,
    "proportions": 0.3,
    "matched_heads": 0.05,
    "two_models": 0.05,
    "ensembles": 0.05,
    "lengths": 0.02,
    "label_family": 0.1,
    "costs": 0.05,
    "needed_seeds": 0.05,
}
"""Share of the repetitions that pytest makes of the slow ones."""


def simulate(name: str, scale: float = 1.0) -> list[Check]:
    """Run one simulation; the same name and scale give the same numbers."""
    return list(SIMULATIONS[name](np.random.default_rng(20_240), scale))
