"""Several studies -> one page that sets those on the same data side by side, by validation; test is shown.

Scores mean something only beside others on the same data, so limited, synthetic and other data stand apart. And
they are of different sorts: a mean over seeds is what settings are worth, the best of many is high partly by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from reports.html import formatting, plots
from reports.html.document import Column, Conclusion, Page, Part, Section, StudySummary, figure, table
from reports.pages import build
from reports.pages.side_by_side import side_by_side

DRAWN = 24  # rows of a figure; the table has all
ORDER = {"whole": 0, "limited": 1, "synthetic": 2}
STUDY_TYPES = {
    "search": "Search",
    "factors": "Factors",
    "finalists": "Finalists",
    "splits": "Splits",
    "labels": "Labels",
    "variance": "Variance",
    "experiment": "Experiment",
}


def page(pages: Sequence[Page], runs: pd.DataFrame, link: Callable[[str], str]) -> Page:
    """Compose the page of several studies.

    Args:
        pages: theirs.
        runs: all rows of ``frames.runs``.
        link: name of a study -> address of its page.
    """
    standings = [part.standing for page in pages for part in page.parts if part.standing]
    groups = comparable(standings)
    effects = side_by_side(standings, link)
    parts = [*([effects] if effects else []), *[_part(group, link) for group in groups]]
    parts += [_over_splits(group, link) for group in over_splits(standings)]
    files = {"comparison.csv": rows([each for group in groups for each in group])} if groups else {}
    parts.append(
        Part(
            "All that is recorded",
            Conclusion([], files=files),
            ["Newest first."],
            [],
            [_recorded(pages, runs, link)],
        )
    )
    unfinished = sorted({each.study for each in standings if each.interim})
    return Page(
        title="Recorded studies",
        kind="Comparison",
        question="What came out where, on the same reviews?",
        interim=f"Not finished: {', '.join(unfinished)}; figures will change." if unfinished else "",
        parts=parts,
    )


def comparable(standings: Sequence[StudySummary]) -> list[list[StudySummary]]:
    """Set those apart that had other data: whole data first, then where most was run; best validation first."""
    groups: dict[tuple[str, str], list[StudySummary]] = {}
    for each in standings:
        if each.digest:
            groups.setdefault((each.data_scope, each.digest), []).append(each)
    found = [sorted(group, key=_by_validation) for group in groups.values()]
    return sorted(found, key=lambda group: (ORDER.get(group[0].data_scope, 3), -sum(each.runs for each in group)))


def over_splits(standings: Sequence[StudySummary]) -> list[list[StudySummary]]:
    """Set together those whose runs split one data set in several ways: what they answer, not their scores."""
    groups: dict[str, list[StudySummary]] = {}
    for each in standings:
        if not each.digest and each.data_set.digest:
            groups.setdefault(each.data_set.digest, []).append(each)
    return [sorted(group, key=lambda each: each.study) for group in groups.values()]


def _by_validation(each: StudySummary) -> tuple[float, str]:
    return min((-score.val for score in each.scores if pd.notna(score.val)), default=0.0), each.study


def rows(standings: Sequence[StudySummary]) -> pd.DataFrame:
    """Return one row per score, and one per study that stands by none, best validation accuracy first.

    Returns:
        ``study``, ``study_type``, ``data_scope``, ``digest``, ``scored`` and ``basis`` (what was scored, how it
        was chosen), ``seeds``, ``val`` and ``test`` with the limits of their intervals (per cent), ``optimistic``
        (best of many single runs), ``lowest`` and ``highest`` validation accuracy of the study's runs, ``runs``,
        ``complete``, ``seconds`` and ``tokens`` of the whole study.
    """
    table = pd.DataFrame([row for each in standings for row in _rows(each)])
    order, ascending = ["data_scope", "digest", "val", "study", "scored"], [False, True, False, True, True]
    return table.sort_values(order, ascending=ascending, ignore_index=True)


def _rows(each: StudySummary) -> Iterator[dict[str, object]]:
    study = {
        "study_type": each.study_type,
        "data_scope": each.data_scope,
        "digest": each.digest,
        "lowest": min(each.every, default=float("nan")),
        "highest": max(each.every, default=float("nan")),
        "runs": each.runs,
        "complete": each.complete,
        "seconds": each.seconds,
        "tokens": each.tokens,
    }
    for score in each.scores:
        (val_low, val_high), (test_low, test_high) = score.val_limits, score.test_limits
        yield {
            "study": each.study, "scored": score.name, "basis": score.basis, "seeds": score.seeds,
            "val": score.val, "val_low": val_low, "val_high": val_high,
            "test": score.test, "test_low": test_low, "test_high": test_high,
            "optimistic": score.optimistic, **study,
        }  # fmt: skip
    if not each.scores:
        nothing = dict.fromkeys(["val", "val_low", "val_high", "test", "test_low", "test_high"], float("nan"))
        basis = "effects, no score" if each.study_type == "factors" else "no score yet"
        yield {
            "study": each.study,
            "scored": "",
            "basis": basis,
            "seeds": pd.NA,
            **nothing,
            "optimistic": False,
            **study,
        }


def _part(group: Sequence[StudySummary], link: Callable[[str], str]) -> Part:
    first, found = group[0], rows(group)
    title = build.data_title(first.data_scope, first.digest)
    summary = [f"{formatting.plural(len(group), 'study or experiment', 'studies and experiments')} on the same "
               f"{', '.join(first.sizes)} reviews."]  # fmt: skip
    sections = [_scores(found, group, link), *_answers(group, link)]
    return Part(title, Conclusion([*leaders_said(found)]), summary, [], sections)


def _over_splits(group: Sequence[StudySummary], link: Callable[[str], str]) -> Part:
    """Show what studies answer whose runs split one data set in several ways."""
    data = group[0].data_set
    summary = [
        f"{formatting.plural(len(group), 'study', 'studies')} whose runs split {data.name} in several ways. Their "
        "scores are on other validation texts from run to run, so that they stand beside no other's."
    ]
    title = f"Over several splits of {data.name}, digest {data.digest[:8]}"
    return Part(title, Conclusion([]), summary, [], [*_answers(group, link)])


def _answers(group: Sequence[StudySummary], link: Callable[[str], str]) -> Iterator[Section]:
    """Show every study's answer to its own question, where one has an answer."""
    answers = pd.DataFrame(
        [(each.study, said) for each in group for said in each.sentences], columns=["study", "said"]
    )
    if len(answers):
        columns = [Column("study", "Study"), Column("said", "Conclusion", long=True, sortable=False)]
        links = {label: link(str(study)) for label, study in answers["study"].items()}
        told = table(answers, columns, "Every study's answer to its own question", "", links)
        yield Section("What they answer", [], [told])


def leaders_said(found: pd.DataFrame) -> Iterator[str]:
    """Say which score is the best by validation, fair ones and optimistic ones apart."""
    scored = found.dropna(subset=["val"])
    means = scored[scored["seeds"] > 1]
    for _, best in means.head(1).iterrows():
        yield (
            f"The best mean over seeds, by validation: {best['scored']} ({best['study']}), {best['val']:.2f} % "
            f"{formatting.between(best['val_low'], best['val_high'])}; {best['test']:.2f} % on test."
        )
    for _, best in scored[scored["optimistic"]].head(1).iterrows():
        yield (
            f"The best single run of a search, by validation: {best['scored']} ({best['study']}), "
            f"{best['val']:.2f} %; {best['test']:.2f} % on test. It is the {best['basis']}, and so its validation "
            "accuracy is optimistic."
        )


def _scores(found: pd.DataFrame, group: Sequence[StudySummary], link: Callable[[str], str]) -> Section:
    sentences = [
        "In order of validation accuracy. Test accuracy stands beside it and decides nothing. A mean over seeds "
        "is what settings are worth; the best of many single runs is optimistic; a single run is one draw of "
        "the seed. Intervals of means are over seeds (t, 95 %), on these reviews; those of a single run "
        "and an ensemble are for other reviews: movies drawn anew where they are known, else reviews one by one."
    ]
    shown = found.assign(
        study_type=found["study_type"].map(STUDY_TYPES),
        scored=found["scored"].where(found["scored"] != "", float("nan")),
        val_limits=[formatting.between(low, high) for low, high in found[["val_low", "val_high"]].to_numpy()],
        test_limits=[formatting.between(low, high) for low, high in found[["test_low", "test_high"]].to_numpy()],
        range=[_range(low, high) for low, high in found[["lowest", "highest"]].to_numpy()],
    )
    columns = [
        Column("study", "Study"),
        Column("study_type", "Kind"),
        Column("val", "Validation, %", formatting.point, number=True),
        Column("val_limits", "95 %", sortable=False),
        Column("test", "Test, %", formatting.point, number=True, sortable=False),
        Column("test_limits", "95 %", sortable=False),
        Column("scored", "Scored"),
        Column("basis", "What it is"),
        Column("range", "All its runs, validation, %", sortable=False),
        Column("complete", "Complete", number=True),
        Column("runs", "Runs", number=True),
        Column("seconds", "Time in all", formatting.duration, number=True),
        Column("tokens", "Tokens, about", formatting.about, number=True),
    ]
    links = {label: link(str(study)) for label, study in found["study"].items()}
    note = "Complete, runs, time and tokens are of the whole study."
    drawn = found.head(DRAWN)
    every = {each.study: each.every for each in group}
    more = f" The first {DRAWN} rows of the table." if len(found) > DRAWN else ""
    caption = (
        "A dot is a mean over seeds or a single run, with its 95 % interval; a ring is the best of many single "
        f"runs, and optimistic. Grey: every complete run of the study, on validation.{more}"
    )
    points = int(drawn["val"].notna().sum()) + sum(map(len, every.values()))
    scores = figure(plots.standings(drawn, every), caption, points, "score")
    return Section("Side by side", sentences, [scores, table(shown, columns, "Scores by validation", note, links)])


def _range(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def _recorded(pages: Sequence[Page], runs: pd.DataFrame, link: Callable[[str], str]) -> Section:
    """List every study, also those that are to be compared with none."""
    listed = []
    for each in pages:
        of_study = runs[runs["study"] == each.title]
        children = of_study[of_study["role"] != "study"]
        listed.append(
            {
                "study": each.title,
                "data": ", ".join(sorted(children["data_scope"].dropna().unique())) or float("nan"),
                "runs": len(children),
                "complete": int((children["outcome"] == "complete").sum()),
                "first": of_study["started"].min(),
                "last": of_study["started"].max(),
            }
        )
    columns = [
        Column("study", "Study"),
        Column("data", "Data"),
        Column("runs", "Runs", number=True),
        Column("complete", "Complete", number=True),
        Column("first", "First run", formatting.moment, order=lambda time: time.isoformat()),
        Column("last", "Last run", formatting.moment, order=lambda time: time.isoformat()),
    ]
    found = pd.DataFrame(listed)
    links = {label: link(str(study)) for label, study in found["study"].items()}
    return Section("", [], [table(found, columns, "Studies and experiments", "", links)])
