"""The sections of a report that say how it was done: cost, failures, data and split, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

import pandas as pd

from reports.html import formatting
from reports.html.document import Column, Commands, Pairs, Section, table
from reports.pages import tables
from reports.pages.search import StudyData
from seqclf_core.config import RunConfig

FAILURES_SHOWN = 25  # all are in runs.csv


def cost(data: StudyData) -> Section | None:
    """Show the time and work that went into the runs."""
    columns = [
        Column("outcome", "Runs", str.capitalize),
        Column("runs", "Number", number=True),
        Column("seconds", "Time in all", formatting.duration, number=True),
        Column("median", "Median run", formatting.duration, number=True),
        Column("longest", "Longest run", formatting.duration, number=True),
        Column("reviews", "Training reviews read", formatting.about, number=True),
        Column("tokens", "Tokens, about", formatting.about, number=True),
    ]
    speed = data.runs["tokens_per_second"].median()
    devices = ", ".join(sorted({f"{d} in {p}" for d, p in _pairs(data.runs, "device", "precision")}))
    sentences = [f"Median throughput {formatting.about(speed)} real tokens per second per run, on {devices}."]
    sentences = sentences if pd.notna(speed) and devices else []
    return Section("Time spent", sentences, [table(data.spent, columns, "Time and work by outcome")])


def _pairs(runs: pd.DataFrame, *names: str) -> list[tuple[str, ...]]:
    return list(runs[list(names)].dropna().drop_duplicates().itertuples(index=False, name=None))


def failures(data: StudyData) -> Section | None:
    """Name the runs that failed, and why."""
    failed = data.runs[data.runs["outcome"] == "failed"]
    if failed.empty:
        return None
    columns = [
        Column("name", "Run"),
        Column("worked", "After", formatting.duration, number=True),
        Column("reason", "Reason", long=True),
    ]
    links = {label: data.link(run) for label, run in failed.iterrows()} if data.ui else {}
    shown = failed.head(FAILURES_SHOWN)
    note = f"The first {len(shown)} of {len(failed)}; all are in runs.csv." if len(shown) < len(failed) else ""
    return Section("Failures", (), [table(shown, columns, "Runs that failed", note, links)])


SPLITS = {
    "group": "Reviews with the same {column} stand on one side only, so that the validation score cannot be won "
    "by recognising them.",
    "random": "The validation split is a stratified random draw. Where reviews of one movie stand on both sides, "
    "the validation score is optimistic and keeps rising after the test score has stopped.",
    "contiguous": "The validation split is a window of adjacent rows of each class, as they stand in the data, "
    "drawn by the seed of the split: a pessimistic ablation.",
    "given": "The validation split is a file of its own that came with the data.",
}


def data_and_split(data: StudyData) -> Section | None:
    """Say what was read and how it was split."""
    known = data.runs.dropna(subset=["digest"])
    if known.empty:
        return None
    splits = known.drop_duplicates("digest")
    sentences = [_read(splits.iloc[0])] if len(splits) == 1 else [_several(splits)]
    sentences += [
        SPLITS.get(str(kind), "").format(column=of_kind["group_column"].iloc[0])
        for kind, of_kind in splits.groupby("split_method", sort=False)
    ]
    skipped = known["used.skipped"].iloc[0] if "used.skipped" in known else None
    if pd.notna(skipped) and int(skipped) > 0:
        sentences.append(f"{formatting.plural(int(skipped), 'bad row')} left out.")
    sizes = pd.DataFrame(
        {
            "part": ["Training", "Validation", "Test"],
            "reviews": [_sizes(splits[f"used.{part}"]) for part in ("train", "val", "test")],
            "use": ["fits the weights", "ranks, prunes, stops early", "scored once per complete run"],
        }
    )
    columns = [Column("part", "Split"), Column("reviews", "Reviews", number=True), Column("use", "What it does")]
    return Section("Data and split", [s for s in sentences if s], [table(sizes, columns, "Splits of the data")])


def _read(run: pd.Series[Any]) -> str:
    return f"Source: {run['source']}. Digest of texts, labels and split: {run['digest'][:16]}."


def _several(splits: pd.DataFrame) -> str:
    sources = tables.source_of(splits)
    ways = f"split in {len(splits)} ways; the digest of each is in runs.csv."
    if splits["source"].nunique() > sources.nunique():
        ways += " The test split is another one wherever the seed of the split is."
    return f"Source: {', '.join(sources.unique())}, {ways}"


def _sizes(reviews: pd.Series[Any]) -> str:
    low, high = (formatting.count(size) for size in (reviews.astype(int).min(), reviews.astype(int).max()))
    return low if low == high else f"{low} to {high}"


def repeat(data: StudyData) -> Section | None:
    """Give the commands and settings that repeat the study and its best run."""
    ranked = data.ranked
    commits = data.runs["commit"].dropna().unique()
    checkout = [f"git checkout {shlex.quote(commits[0].removesuffix('-dirty'))}"] if len(commits) else []
    blocks: list[Commands | Pairs] = []
    if data.command:
        blocks.append(Commands("The study", [*checkout, data.command]))
    best = run_command(ranked.iloc[0]) if len(ranked) else ""
    if best and best != data.command:
        blocks.append(Commands(f"Its best run, {ranked.iloc[0]['name']}", [*checkout, best]))
    sentences = []
    if len(commits) > 1:
        sentences.append(f"The runs come from {len(commits)} commits; the first one is named below.")
    if any(str(commit).endswith("-dirty") for commit in commits):
        sentences.append(
            "There were changes that were not committed, so the commit alone does not repeat the runs."
        )
    known, varied = RunConfig().flat(), set(tables.varied(data.runs))
    shared = [
        name
        for name in tables.settings(data.runs)
        if name not in varied
        and (data.runs[name].notna().any() or known.get(name, "") is None)  # else it is no setting of these
    ]
    first = data.runs.iloc[0]
    values = [(name, "none" if pd.isna(first[name]) else formatting.setting(first[name])) for name in shared]
    blocks.append(Pairs("Settings that all runs share", values))
    versions = data.runs.filter(like="versions.")
    used = [(str(name)[9:], ", ".join(sorted(versions[name].dropna().unique()))) for name in versions]
    blocks.append(Pairs("Versions", used))
    return Section("Repeat it", sentences, blocks)


def run_command(run: pd.Series[Any]) -> str:
    """Return the command that does one run again: every setting that is not the default.

    A run without the settings of an LSTM, such as that of a linear baseline, is done by what was typed then.
    """
    if pd.isna(run["model.pooling"]):
        return str(run["command"]) if "command" in run and pd.notna(run["command"]) else ""
    options = options_of(run, [name for name in RunConfig().flat() if name != "data.source"])
    return f"make experiment NAME=baseline{data_option(run)}" + (
        f" ARGS={shlex.quote(' '.join(options))}" if options else ""
    )


def data_option(run: pd.Series[Any]) -> str:
    """Return `` DATA=...`` of a run, empty where that is the default."""
    return f" DATA={shlex.quote(str(run['data.source']))}" if run["data.source"] != "auto" else ""


def runs_option(command: str) -> str:
    """Return `` RUNS=...`` of a command line, empty where it names none or the default."""
    words = iter(shlex.split(command))
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--runs":
            folder = value if equals else next(words, "")
            return "" if folder in ("", "runs") else f" RUNS={shlex.quote(folder)}"
    return ""


def options_of(run: pd.Series[Any], names: Iterable[str]) -> list[str]:
    """Return the options of a command line that set what differs from the defaults among these settings."""
    options, defaults = [], RunConfig().flat()
    for name in names:
        value, default = run.get(name), defaults[name]
        # None is a default alone, so a value that is missing is the default, or of a setting younger than the run.
        if pd.isna(value) or value == default:
            continue
        flag = f"--{name}".replace("_", "-")
        if isinstance(default, bool):
            options.append(flag if value else "--" + name.replace("_", "-").replace(".", ".no-", 1))
        else:
            options += [flag, shlex.quote(str(value))]
    return options
