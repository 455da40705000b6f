"""Publishes studies: their tables into a folder of a repository, and their pages, which are made of these alone.

Verifying makes every page again from the tables and compares; and it looks up every number of a README that stands
between the marks ``<!-- numbers of: FILES -->`` and ``<!-- end of numbers -->`` in the files that are named there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from experiments.tracking.paths import folder_name
from reports import frames
from reports.html import formatting, render
from reports.html.document import Page
from reports.pages import build, comparison
from reports.records import published
from reports.records.study_run import read_study_run
from seqclf_core.errors import UserError
from seqclf_core.files import atomic_write, remove

WITH_PROBABILITIES = ("search", "finalists", "record")
"""Types of study whose pages read probabilities; of others, right and wrong are published."""
MARKS = re.compile(r"<!-- numbers of: (?P<files>[^>]*?) -->(?P<text>.*?)<!-- end of numbers -->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?![\w]|\.\d)")
UNREAD = re.compile(r"`[^`]*`|\]\([^)]*\)|^> ?", re.MULTILINE)
"""What of a README says no number: code, and addresses of links."""
TOLERANCE = 1e-6
"""Relative difference of numbers in tables and figures that processors may differ by."""


def publish(stores: frames.Stores, study: str, root: Path) -> None:
    """Put the tables of a study into what is published, in place of those that are there.

    Args:
        stores: where it is recorded.
        study: the study or experiment.
        root: folder of all that is published.

    Raises:
        UserError: if nothing is recorded of it, or it has not ended.
    """
    runs = frames.runs(stores, study)
    if runs.empty:
        raise UserError(f"No runs of {study!r} are recorded, so that there is nothing to publish.")
    if (runs["outcome"] == "running").any():
        raise UserError(f"{study!r} has not ended: continue it first; only what is finished is published.")
    own = read_study_run(runs)
    done = runs[runs["outcome"] == "complete"].dropna(subset=["digest"])
    predictions = frames.predictions(list(done["key"]), stores) if len(done) else frames.no_predictions()
    digests, known = _texts(stores, done, predictions)
    published.write_texts(root, known)
    kept = predictions[[(key, part) in digests for key, part in predictions[["key", "part"]].to_numpy()]]
    whole = own is None or own.plan.study_type in WITH_PROBABILITIES
    answers = published.answers_of(kept, digests, whole)
    published.write_study(root, study, elsewhere(runs, stores), frames.curves(stores, study), answers)


def _texts(
    stores: frames.Stores, done: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[dict[tuple[str, str], str], list[tuple[str, str, pd.DataFrame]]]:
    """Find the texts that runs answered: those of a split are published once, whatever digest they come under.

    Returns:
        Run and split -> the digest under which its texts are published; and these texts.
    """
    digests: dict[tuple[str, str], str] = {}
    known: list[tuple[str, str, pd.DataFrame]] = []
    of_run = dict(zip(done["key"], done["digest"], strict=True))
    for (key, part), said in predictions.groupby(["key", "part"], sort=False):
        texts = said.set_index("row")[["label"]]
        same = [digest for digest, of, table in known if of == part and table[["label"]].equals(texts)]
        if not same:
            digest = str(of_run[key])
            about = frames.reviews(stores, digest, str(part))
            if part == "val" and len({*of_run.values()}) > 1:
                continue  # splits of their own: their test split is what they have in common
            known.append((digest, str(part), texts if about is None else texts.join(about)))
            same = [digest]
        digests[str(key), str(part)] = same[0]
    return digests, known


def elsewhere(runs: pd.DataFrame, stores: frames.Stores) -> pd.DataFrame:
    """Return runs without the folders of the machine that they ran on: a source goes by its last name."""
    sources = [Path(source) for source in runs["source"].dropna().unique()]
    places = {str(source): source.name for source in sources if source.is_absolute()}
    if stores.cache:
        places[str(stores.cache.parent)] = "RUNS"
    longest = sorted(places, key=len, reverse=True)

    def short(cell: object) -> object:
        if isinstance(cell, str):
            for place in longest:
                cell = cell.replace(place, places[place])
        return cell

    texts = [name for name, kind in runs.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    return runs.assign(**{str(name): runs[name].map(short) for name in texts if name not in ("started", "ended")})


def pages(root: Path) -> Iterator[tuple[Path, Page, str]]:
    """Make the page of every published study, and that of all: folder, page, and when its runs had ended."""
    stores = frames.Stores.of_published(root)
    runs = frames.runs(stores)
    made = []
    for study in dict.fromkeys(runs["study"]):
        of_study = runs[runs["study"] == study]
        made.append(build.page(stores, str(study), of_study))
        yield root / folder_name(str(study)), made[-1], formatting.moment(of_study["ended"].max())
    if len(made) > 1:
        link = comparison.page(made, runs, link=lambda name: f"{folder_name(name)}/report.md")
        yield root, link, formatting.moment(runs["ended"].max())


def write(root: Path) -> list[Path]:
    """Write all pages from the tables, as Markdown with figures, in place of those there; return the reports."""
    written = []
    for folder, page, ended in pages(root):
        files = render.files(page, ended)
        for file, text in files.items():
            render.replace(folder / file, text)
        for left in {*folder.glob("figures/*.svg")} - {folder / file for file in files}:
            remove(left)
        written.append(folder / "report.md")
    return written


def write_site(root: Path, site: Path) -> None:
    """Write all pages as HTML to a folder of their own, such as a web server shows."""
    for folder, page, _ in pages(root):
        text = render.study_page(page).replace("/report.md", "/index.html")
        atomic_write(site / folder.relative_to(root) / "index.html", text.encode())


def verify(root: Path, readmes: Sequence[Path]) -> list[str]:
    """Make all pages again and look up all numbers; return what differs, a line each, empty where nothing does.

    Raises:
        UserError: if nothing is published there, or a table cannot be read.
    """
    if not published.studies(root):
        raise UserError(
            f"{root}: nothing is published there; expected folders with {published.RUNS} and {published.CURVES}."
        )
    found = []
    for folder, page, ended in pages(root):
        for file, text in render.files(page, ended).items():
            place = folder / file
            there = place.read_text(encoding="utf-8") if place.is_file() else ""
            if not alike(there, text, TOLERANCE if place.suffix in (".csv", ".svg") else 0):
                found.append(f"{place}: {_first_difference(there, text)}")
    for readme in readmes:
        found += list(numbers_without_source(readme))
    return found


def alike(one: str, other: str, tolerance: float) -> bool:
    """Return whether two texts say the same, numbers up to a relative tolerance.

    >>> alike("x 1.0000000001", "x 1", 1e-6), alike("x 1.1", "x 1", 1e-6), alike("x 1", "y 1", 1e-6)
    (True, False, False)
    """
    if one == other or not tolerance:
        return one == other
    pattern = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
    if re.sub(pattern, "#", one) != re.sub(pattern, "#", other):
        return False
    pairs = zip(re.findall(pattern, one), re.findall(pattern, other), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=tolerance, abs_tol=tolerance) for a, b in pairs)


def _first_difference(there: str, made: str) -> str:
    if not there:
        return "is missing, or empty"
    lines = zip_longest(there.splitlines(), made.splitlines(), fillvalue="")
    for number, (old, new) in enumerate(lines, start=1):
        if old != new:
            return f"line {number} says {old[:120]!r}; the tables give {new[:120]!r}"
    return "has more or fewer lines than the tables give"


def numbers_without_source(readme: Path) -> Iterator[str]:
    """Yield a line for each number between marks that none of the named files has, as it is or rounded."""
    text = readme.read_text(encoding="utf-8")
    for block in MARKS.finditer(text):
        files = [readme.parent / name.strip() for name in block["files"].split(",")]
        if missing := [str(file) for file in files if not file.is_file()]:
            yield f"{readme}: there is no {', '.join(missing)}"
            continue
        known = [float(_plain(number)) for file in files for number in NUMBER.findall(file.read_text("utf-8"))]
        for number in NUMBER.findall(UNREAD.sub(" ", block["text"])):
            plain = _plain(number)
            digits = len(plain.partition(".")[2])
            if not any(abs(round(value, digits) - float(plain)) < 10 ** -(digits + 6) for value in known):
                line = text[: block.start("text") + block["text"].find(number)].count("\n") + 1
                yield f"{readme}, line {line}: {number} is in none of {block['files']}"


def _plain(number: str) -> str:
    return number.replace(",", "")
