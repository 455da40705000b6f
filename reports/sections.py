"""The sections of a report, each a pure function from what was recorded to sentences, tables and figures.

``SECTIONS`` is their order on the page. To add one, write a function that returns a ``Section``, or None where it
has nothing to say, and put it there.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports import figures, tables, words
from reports.document import Column, Commands, Figure, Pairs, Section, table
from reports.frames import ENOUGH_TRIALS
from seqclf_core.config import RunConfig

BEST_SHOWN = 25  # rows of the leaderboard; all are in runs.csv
CURVES_SHOWN = 10


@dataclass(frozen=True)
class Material:
    """What the sections read: runs that may be compared, of one study on one data set."""

    name: str
    runs: pd.DataFrame
    """Without the study's own parent run."""
    curves: pd.DataFrame
    importance: "pd.Series[float]"
    searched: bool
    """Whether a search chose the settings of these runs."""
    command: str
    """What repeats the study, empty where it is not known."""
    ui: str = ""
    """Address of an MLflow UI, empty where none is known."""

    def link(self, run: "pd.Series[Any]") -> str:
        """Return the address of a run in the MLflow UI."""
        return f"{self.ui}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"


def leaderboard(material: Material) -> Section | None:
    """Rank the complete runs by validation accuracy, with test accuracy beside it."""
    ranked = tables.leaderboard(material.runs)
    if ranked.empty:
        return None
    shown = ranked.head(BEST_SHOWN)
    changing = [name for name in tables.varied(ranked) if not name.startswith("data.source")]
    columns = [
        Column("rank", "Rank", number=True),
        Column("name", "Run"),
        Column("val/accuracy", "Validation, %", words.percent, number=True),
        Column("test/accuracy", "Test, %", words.percent, number=True, sortable=False),
        Column("val/loss", "Validation loss", words.loss, number=True),
        *[Column(name, name, words.alike(ranked[name]), number=_is_number(ranked[name])) for name in changing],
        Column("seconds", "Time", words.duration, number=True),
    ]
    sentences = [
        "Ranked by validation accuracy, with the weights of each run's best evaluation. Test accuracy is shown "
        "beside it and decides nothing, which is why that column cannot be sorted: a model chosen by its test "
        "score has no test score any more."
    ]
    best, reviews = ranked.iloc[0], ranked["used.val"].iloc[0]
    if pd.notna(reviews):
        error = tables.sampling_error(best["val/accuracy"], int(reviews))
        sentences.append(
            f"{words.count(reviews)} validation reviews pin one score down to ±{100 * error:.1f} points (95 %), "
            "and each row is one seed: the order of close rows is mostly luck, and the best of many is flattered."
        )
    note = f"The best {len(shown)} of {len(ranked)}; all are in runs.csv." if len(shown) < len(ranked) else ""
    links = {label: material.link(run) for label, run in shown.iterrows()} if material.ui else {}
    return Section("Leaderboard", sentences, [table(shown, columns, "Complete runs", note, links)])


def learning(material: Material) -> Section | None:
    """Show loss and accuracy of the best runs while they trained."""
    best = tables.leaderboard(material.runs).head(CURVES_SHOWN)
    curves = material.curves[material.curves["key"].isin(best["key"])]
    if curves.empty:
        return None
    first = best.iloc[0]
    others = f"; grey: the {len(best) - 1} next best" if len(best) > 1 else ""
    caption = (
        f"Colour: {first['name']}, the best by validation; the dot is the evaluation whose weights were "
        f"kept{others}. Training accuracy is measured under dropout and averaged since the evaluation before, so "
        "it may lie below validation."
    )
    panels = figures.learning(curves, str(first["key"]))
    return Section("Learning curves", (), [Figure(panels, caption)])


def choices(material: Material) -> Section | None:
    """Show accuracy by pooling, by loss, and by any other setting with names for values."""
    names = ["model.pooling", "model.loss"]
    names += [
        name for name in tables.varied(material.runs) if name not in names and _few_names(material.runs[name])
    ]
    names = [name for name in names if name in tables.varied(material.runs)]
    if not names or not material.runs["val/accuracy"].notna().any():
        return None
    sentences = []
    if material.searched:
        sentences.append(
            "A search spends its trials where it scores well, so the runs on one row differ from those on another "
            "in other settings too. This shows what was seen; it does not measure what a choice is worth."
        )
    caption = (
        "Each dot is a complete run, the tick is the median. A ring is a pruned run at the last value it showed, "
        "which is no final score and enters no median."
    )
    panels = [figures.levels(material.runs, name) for name in names]
    seen = pd.concat([tables.by_level(material.runs, name) for name in names], ignore_index=True)
    columns = [
        Column("setting", "Setting"),
        Column("value", "Value", words.setting),
        Column("complete", "Complete", number=True),
        Column("median", "Median, %", words.percent, number=True),
        Column("best", "Best, %", words.percent, number=True),
        Column("pruned", "Pruned", number=True),
    ]
    return Section(
        "Accuracy by choice",
        sentences,
        [Figure(panels, caption), table(seen, columns, "Validation accuracy of complete runs")],
    )


def importance(material: Material) -> Section | None:
    """Show which searched settings went with being among the best."""
    if not material.searched:
        return None
    if material.importance.empty:
        complete = int((material.runs["outcome"] == "complete").sum())
        return Section(
            "Parameter importance",
            [f"Needs at least {ENOUGH_TRIALS} complete trials to say anything; there are {complete} so far."],
        )
    sentence = (
        "How much each setting tells of a trial being among the best of this search (PED-ANOVA). The trials "
        "come from a search that favours what did well, so this is a description of the search, not an effect."
    )
    panel = figures.shares(material.importance, "Share of importance")
    return Section("Parameter importance", [sentence], [Figure([panel], "")])


def cost(material: Material) -> Section | None:
    """Show the time and work that went into the runs."""
    spent = tables.spent(material.runs, material.curves)
    columns = [
        Column("outcome", "Runs", str.capitalize),
        Column("runs", "Number", number=True),
        Column("seconds", "Time in all", words.duration, number=True),
        Column("median", "Median run", words.duration, number=True),
        Column("longest", "Longest run", words.duration, number=True),
        Column("reviews", "Training reviews read", words.about, number=True),
        Column("tokens", "Tokens, about", words.about, number=True),
    ]
    speed = material.runs["tokens_per_second"].median()
    devices = ", ".join(sorted({f"{d} in {p}" for d, p in _pairs(material.runs, "device", "precision")}))
    sentences = [f"Median throughput {words.about(speed)} real tokens per second per run, on {devices}."]
    sentences = sentences if pd.notna(speed) and devices else []
    return Section("Time spent", sentences, [table(spent, columns, "Time and work by outcome")])


def _pairs(runs: pd.DataFrame, *names: str) -> list[tuple[str, ...]]:
    return list(runs[list(names)].dropna().drop_duplicates().itertuples(index=False, name=None))


def failures(material: Material) -> Section | None:
    """Name the runs that failed, and why."""
    failed = material.runs[material.runs["outcome"] == "failed"]
    if failed.empty:
        return None
    columns = [
        Column("name", "Run"),
        Column("seconds", "After", words.duration, number=True),
        Column("reason", "Reason", long=True),
    ]
    links = {label: material.link(run) for label, run in failed.iterrows()} if material.ui else {}
    shown = failed.head(BEST_SHOWN)
    note = f"The first {len(shown)} of {len(failed)}; all are in runs.csv." if len(shown) < len(failed) else ""
    return Section("Failures", (), [table(shown, columns, "Runs that failed", note, links)])


SPLITS = {
    "group": "Reviews with the same {column} stand on one side only, so that the validation score cannot be won "
    "by recognising them.",
    "random": "The validation part is a stratified random draw. Where reviews of one film stand on both sides, "
    "the validation score is flattered and keeps rising after the test score has stopped.",
    "contiguous": "The validation part is the last rows of each class, as they stand in the source: a pessimistic "
    "ablation.",
}


def data(material: Material) -> Section | None:
    """Say what was read and how it was split."""
    known = material.runs.dropna(subset=["digest"])
    if known.empty:
        return None
    run = known.iloc[0]
    sizes = pd.DataFrame(
        {
            "part": ["Training", "Validation", "Test"],
            "reviews": [run["used.train"], run["used.val"], run["used.test"]],
            "use": ["fits the weights", "ranks, prunes, stops early", "scored once per complete run"],
        }
    )
    columns = [
        Column("part", "Part"),
        Column("reviews", "Reviews", words.count, number=True),
        Column("use", "What it does"),
    ]
    sentences = [
        f"Source: {run['source']} ({run['kind']}). Digest of texts, labels and split: {run['digest'][:16]}."
    ]
    sentences.append(SPLITS.get(str(run["split"]), "").format(column=run["group_column"]))
    skipped = run.get("used.skipped")
    if pd.notna(skipped) and int(skipped) > 0:
        sentences.append(f"{words.plural(int(skipped), 'bad row')} left out.")
    return Section("Data and split", [s for s in sentences if s], [table(sizes, columns, "Parts of the data")])


def repeat(material: Material) -> Section | None:
    """Give the commands and settings that repeat the study and its best run."""
    ranked = tables.leaderboard(material.runs)
    commits = material.runs["commit"].dropna().unique()
    checkout = [f"git checkout {shlex.quote(commits[0].removesuffix('-dirty'))}"] if len(commits) else []
    blocks: list[Commands | Pairs] = []
    if material.command:
        blocks.append(Commands("The study", [*checkout, material.command]))
    if len(ranked):
        blocks.append(
            Commands(f"Its best run, {ranked.iloc[0]['name']}", [*checkout, run_command(ranked.iloc[0])])
        )
    sentences = []
    if len(commits) > 1:
        sentences.append(f"The runs come from {len(commits)} commits; the first one is named below.")
    if any(str(commit).endswith("-dirty") for commit in commits):
        sentences.append(
            "There were changes that were not committed, so the commit alone does not repeat the runs."
        )
    shared = [name for name in tables.settings(material.runs) if name not in tables.varied(material.runs)]
    first = material.runs.iloc[0]
    values = [(name, "none" if pd.isna(first[name]) else words.setting(first[name])) for name in shared]
    blocks.append(Pairs("Settings that all runs share", values))
    versions = material.runs.filter(like="versions.")
    used = [(str(name)[9:], ", ".join(sorted(versions[name].dropna().unique()))) for name in versions]
    blocks.append(Pairs("Versions", used))
    return Section("Repeat it", sentences, blocks)


def run_command(run: "pd.Series[Any]") -> str:
    """Return the command that does one run again: every setting that is not the default."""
    options = []
    for name, default in RunConfig().flat().items():
        value = None if pd.isna(run[name]) else run[name]
        if value == default or name == "data.source":
            continue
        flag = f"--{name}".replace("_", "-")
        if isinstance(default, bool):
            options.append(flag if value else "--" + name.replace("_", "-").replace(".", ".no-", 1))
        else:
            options += [flag, shlex.quote(str(value))]
    source = f" DATA={shlex.quote(str(run['data.source']))}" if run["data.source"] != "auto" else ""
    return f"make experiment NAME=baseline{source}" + (
        f" ARGS={shlex.quote(' '.join(options))}" if options else ""
    )


def _is_number(column: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _few_names(column: "pd.Series[Any]") -> bool:
    return not _is_number(column) and column.nunique() <= 8


SECTIONS: list[Callable[[Material], Section | None]] = [
    leaderboard,
    learning,
    choices,
    importance,
    cost,
    failures,
    data,
    repeat,
]
