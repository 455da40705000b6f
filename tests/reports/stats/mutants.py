"""Do the tests of the statistics see mistakes? Make each known mistake in a copy, and show which test fails.

    python -m tests.reports.stats.mutants [NAME ...]

Prints one line per mutant and exits with status 1 where one survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
SIMULATED = "tests/reports/stats/test_simulations.py::test_what_is_claimed_holds_in_simulation"


@dataclass(frozen=True)
class Mutant:
    """A mistake: in which file, what was right, what is wrong, and the tests that must see it."""

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


def simulated(*names: str) -> tuple[str, ...]:
    """Return the tests of these simulations."""
    return tuple(f"{SIMULATED}[{name}]" for name in names)


MUTANTS = {
    "z for t": Mutant(
        "reports/stats/estimates.py",
        "stats.t.ppf((1 + level) / 2, df)",
        "stats.norm.ppf((1 + level) / 2)",
        simulated("t_on_normal"),
    ),
    "unpaired": Mutant(
        "reports/stats/contrasts.py",
        "values @ np.asarray",
        "np.random.default_rng(0).permuted(values, axis=-2) @ np.asarray",
        simulated("trimmed_bias_and_width", "power_as_computed"),
    ),
    "runs counted as blocks": Mutant(
        "reports/stats/contrasts.py",
        "values @ np.asarray(contrast.weights)",
        "np.repeat(values @ np.asarray(contrast.weights), values.shape[-1], axis=-1)",
        simulated("trimmed_t"),
    ),
    "no Holm": Mutant(
        "reports/stats/estimates.py",
        " * np.arange(p.shape[-1], 0, -1)",
        "",
        simulated("false_verdicts"),
    ),
    "or for and in equivalence": Mutant(
        "reports/stats/estimates.py",
        " & (np.asarray(high) < margin)",
        " | (np.asarray(high) < margin)",
        simulated("equivalence"),
    ),
    "halved interaction": Mutant(
        "reports/stats/contrasts.py",
        "weights = reduce(np.kron, signs)",
        "weights = reduce(np.kron, signs) / len(chosen)",
        simulated("trimmed_bias_and_width"),
    ),
    "selection effect of the search against test": Mutant(
        "reports/stats/finalists.py",
        "astype(float) - runs[VALIDATION]",
        'astype(float) - runs["test/accuracy"]',
        simulated("search_selection"),
    ),
    "mean of all runs as headline": Mutant(
        "reports/stats/estimates.py",
        "TRIM = 0.2",
        "TRIM = 0.0",
        simulated("trimmed_t"),
    ),
    "mean of all runs beside it": Mutant(
        "reports/stats/training_rates.py",
        "return trained.loc[:, used].all(axis=1)",
        "return trained.loc[:, used].any(axis=1)",
        simulated("trained_mean"),
    ),
    "failed runs dropped": Mutant(
        "reports/stats/contrasts.py",
        'if "diverged" not in runs or not outcome.endswith("accuracy"):',
        "if True:",
        (
            "tests/reports/stats/test_contrasts.py::test_a_loss_that_left_the_real_numbers_is_an_outcome_and_no_gap",
        ),
    ),
    "movies ignored": Mutant(
        "reports/stats/generalisation.py",
        "count = int(movies.max()) + 1",
        "movies = np.arange(reviews)\n    count = reviews",
        simulated("new_reviews"),
    ),
    "verdict before the end": Mutant(
        "reports/stats/factorial.py",
        "return self.finished < self.plan.wanted",
        "return False",
        ("tests/reports/stats/test_factorial.py::test_unfinished_studies_have_no_verdict",),
    ),
    "pooled main effect under interaction": Mutant(
        "reports/pages/verdicts.py",
        "(effect.contrast.factors[0] in told_simply)",
        "False",
        ("tests/reports/pages/test_sentences.py::test_where_an_interaction_stands_simple_effects_are_told",),
    ),
    "mixed reference": Mutant(
        "reports/stats/finalists.py",
        'return kinds.merge(trained_runs(unselected).drop(columns="config", errors="ignore"), on=list(KIND))',
        'return kinds[["config"]].merge(trained_runs(unselected), how="cross")',
        ("tests/reports/stats/test_finalists.py::test_only_unselected_runs_of_the_same_kind_are_a_reference",),
    ),
    "seeds as runs": Mutant(
        "reports/stats/finalists.py",
        'seed = mean_interval(_per_unit(excess, runs["seed"], runs["config"]))',
        "seed = mean_interval(excess.to_numpy() * POINTS)",
        (
            *simulated("search_selection"),
            "tests/reports/stats/test_finalists.py::test_shared_seeds_are_the_unit_and_not_the_runs",
        ),
    ),
    "other reviews in the reference": Mutant(
        "reports/stats/held_out.py",
        "own = there.T.astype(float) @ seen / count",
        "own = np.repeat(seen.mean(axis=0)[None, :], len(count), axis=0)",
        (
            "tests/reports/stats/test_held_out.py::test_blocks_that_hold_out_hard_reviews_alone_are_compared_on_these",
        ),
    ),
    "seeds alone in the reference": Mutant(
        "reports/stats/held_out.py",
        "variance = from_blocks + from_seeds",
        "variance = from_seeds",
        simulated("held_out"),
    ),
    "runs as blocks in tau": Mutant(
        "reports/stats/over_blocks.py",
        "jackknife(runs, rank_agreement)",
        "jackknife(runs.assign(block=range(len(runs))), rank_agreement)",
        simulated("over_blocks"),
    ),
    "runs as blocks in the gap": Mutant(
        "reports/stats/over_blocks.py",
        'mean_interval(gaps.groupby(runs["block"]).mean().to_numpy())',
        "mean_interval(gaps.to_numpy())",
        simulated("over_blocks"),
    ),
    "tuned by test": Mutant(
        "reports/stats/tuning_budget.py",
        "validation = blocks(runs, factors, VALIDATION).table",
        "validation = blocks(runs, factors, outcome).table",
        ("tests/reports/stats/test_tuning_budget.py::test_runs_are_chosen_by_validation_and_compared_by_test",),
    ),
    "beats by p alone": Mutant(
        "reports/stats/factorial.py",
        "self.p_holm < ALPHA and self.trimmed.excludes(0)",
        "self.p_holm < ALPHA or self.trimmed.excludes(0)",
        ("tests/reports/stats/test_factorial.py::test_to_beat_takes_both_a_test_and_an_interval",),
    ),
    "gains more where one loses": Mutant(
        "reports/pages/verdicts.py",
        "return len(gains) == 2 and all(gains)",
        "return True",
        ("tests/reports/pages/test_sentences.py::test_where_an_interaction_stands_simple_effects_are_told",),
    ),
    "interaction by one interval": Mutant(
        "reports/stats/factorial.py",
        "return self.beats and mean.excludes(0) and (mean.value > 0) == (self.trimmed.value > 0)",
        "return self.beats",
        ("tests/reports/pages/test_sentences.py::test_a_verdict_says_what_its_numbers_carry",),
    ),
    "none seen below 0": Mutant(
        "reports/pages/finalists.py",
        "    elif not seed.excludes(0):",
        "    elif seed.low <= 0:",
        ("tests/reports/pages/test_sentences.py::test_selection_effects",),
    ),
    "one part as many": Mutant(
        "reports/stats/over_blocks.py",
        'if len(group["digest"].unique()) == 1 < len(group["data.split_seed"].unique())',
        "if False",
        ("tests/reports/pages/test_sentences.py::test_splits",),
    ),
    "movies ignored in a score": Mutant(
        "reports/stats/clustered.py",
        "groups = movies if movies is not None else np.arange(size)",
        "groups = np.arange(size)",
        simulated("clustered_scores"),
    ),
    "ensemble chosen by test": Mutant(
        "reports/pages/finalists.py",
        'for val, name in zip(table["val"], table["ensemble"], strict=True))',
        'for val, name in zip(table["test"], table["ensemble"], strict=True))',
        ("tests/reports/pages/test_sentences.py::test_an_ensemble_is_chosen_by_validation",),
    ),
    "finalist chosen by test": Mutant(
        "reports/stats/finalists.py",
        'scores.append((fmean(group["best/val_accuracy"])',
        'scores.append((fmean(group["test/accuracy"])',
        ("tests/reports/stats/test_finalists.py::test_the_order_is_that_of_validation_whatever_the_test_says",),
    ),
    "tuned without the jackknife": Mutant(
        "reports/stats/tuning_budget.py",
        "(count - 1) / count * ((without",
        "1 / count * ((without",
        simulated("tuning_budget"),
    ),
    "ranges without their logarithm": Mutant(
        "reports/stats/sensitivity.py",
        "        if self.log:",
        "        if False:",
        ("tests/reports/stats/test_sensitivity.py",),
    ),
    "fraction without its fold-over": Mutant(
        "reports/stats/fraction.py",
        "by_kind.setdefault(kinds[number], [])",
        "by_kind.setdefault(next(iter(kinds.values())), [])",
        ("tests/reports/stats/test_fraction.py::test_one_kind_of_block_alone_gives_no_interval",),
    ),
    "halved interaction of a fraction": Mutant(
        "reports/stats/fraction.py",
        ".append(len(effect) * float(difference))",
        ".append(float(difference))",
        ("tests/reports/stats/test_fraction.py",),
    ),
    "fraction without Holm": Mutant(
        "reports/stats/fraction.py",
        "zip(found, p, holm(p), strict=True)",
        "zip(found, p, p, strict=True)",
        ("tests/reports/stats/test_fraction.py::test_the_p_of_a_column_is_adjusted_over_all",),
    ),
    "crossing seen on one side": Mutant(
        "reports/stats/labels.py",
        "return not (math.isnan(self.value) or math.isnan(self.low) or math.isnan(self.high))",
        "return not math.isnan(self.value)",
        ("tests/reports/stats/test_labels.py::test_without_both_sides_no_crossing_is_seen",),
    ),
    "labels without Holm": Mutant(
        "reports/stats/labels.py",
        "    return holm(p)",
        "    return p",
        simulated("label_family"),
    ),
    "labels unpaired": Mutant(
        "reports/stats/labels.py",
        "return (first[sizes] - second[sizes]).dropna()",
        "return (first[sizes] - second[sizes].iloc[::-1].set_axis(second.index)).dropna()",
        ("tests/reports/stats/test_labels.py::test_models_are_compared_seed_by_seed_where_both_have_all",),
    ),
    "z for chi-square": Mutant(
        "reports/stats/variance.py",
        "stats.chi2.ppf(tail, df)",
        "(df + math.sqrt(2 * df) * stats.norm.ppf(tail)).clip(0.1)",
        ("tests/reports/stats/test_variance.py::test_the_limits_of_a_standard_deviation_are_those_of_chi_square",),
    ),
    "a run without its dropout": Mutant(
        "reports/stats/variance.py",
        'RUN_SEEDS = ("init", "order", "dropout")',
        'RUN_SEEDS = ("init", "order")',
        ("tests/reports/stats/test_variance.py",),
    ),
    "heads matched the wrong way": Mutant(
        "reports/stats/matched.py",
        "levels[name] == pair[two]",
        "levels[name] == pair[not two]",
        ("tests/reports/stats/test_matched.py",),
    ),
}


def survival(mutant: Mutant) -> str:
    """Return an empty string if an assertion fails for the mutant, else what pytest said.

    Raises:
        ValueError: if the text to be changed is not in the file exactly once.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("reports", "seqclf_core", "tests/reports"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "imdb"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        target = copy / mutant.file
        text = target.read_text(encoding="utf-8")
        if text.count(mutant.right) != 1:
            raise ValueError(f"{mutant.file} has {mutant.right!r} {text.count(mutant.right)} times, not once")
        target.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "--noconftest", *mutant.tests]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 1 and "AssertionError" in done.stdout:
        return ""
    return f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-500:]}"


def main() -> int:
    """Try every mutant that is named, or all."""
    survivors = 0
    for name in sys.argv[1:] or MUTANTS:
        said = survival(MUTANTS[name])
        survivors += bool(said)
        tests = ", ".join(test.split("::")[-1].split("holds_in_")[-1] for test in MUTANTS[name].tests)
        print(f"SURVIVED {name}\n{said}" if said else f"caught    {name}: {tests}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
