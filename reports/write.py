"""Writes the pages of what has been recorded so far, and says where they are."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from experiments.tracking.paths import ENSEMBLE_PAGE, ERRORS, ERRORS_PAGE, RunPaths, folder_name
from reports import frames
from reports.html import render
from reports.html.document import Conclusion, Page, Part
from reports.pages import build, comparison
from reports.records import database
from reports.records.spreadsheet import to_csv
from seqclf_core.errors import UserError
from seqclf_core.files import atomic_write, remove

COMPARED = "_compared"
"""Folder of a comparison of chosen studies; no study's name begins so."""


@dataclass(frozen=True)
class Written:
    """A page that was written."""

    path: Path
    answer: Sequence[str] = ()
    """Sentences that answer the study's question, where it has one of its own."""


def write_pages(stores: frames.Stores, out: Path, study: str | None = None, ui: str = "") -> list[Written]:
    """Write a page and tables to ``<out>/<study>`` for one study or all, and a comparison of several.

    Args:
        stores: where to read.
        out: folder of the reports; made where there is none.
        study: the study or experiment; default all.
        ui: address of an MLflow UI to link to; empty for none.

    Returns:
        The pages: of several studies their comparison first, then that of the newest. Empty where nothing has been
        recorded.
    """
    runs = frames.runs(stores, study)
    pages = _put_pages(stores, out, runs, ui)
    written = [_written(out, page) for page in pages]
    if len(pages) > 1:
        render.put(out, comparison.page(pages, runs, link=lambda name: quote(folder_name(name)) + "/index.html"))
        written.insert(0, Written(out / "index.html"))
    return written


def write_comparison(
    stores: frames.Stores, out: Path, studies: Sequence[str], beside: Sequence[Path], ui: str = ""
) -> list[Written]:
    """Write a comparison of chosen studies and their pages, also of other folders, to ``<out>/_compared``.

    Args:
        stores: where to read.
        out: folder of the reports; made where there is none.
        studies: which; empty: all.
        beside: other folders of runs, whose studies are called ``name (folder)`` here. One that is recorded in
            several folders, as a copy is, is shown once.
        ui: address of an MLflow UI to link to; empty for none.

    Returns:
        The comparison, with what it says, then the pages.

    Raises:
        UserError: if a study is not there.
    """
    folder, known = out / COMPARED, set[str]()
    pages, tables, written = list[Page](), list[pd.DataFrame](), list[Written]()
    for place in (None, *beside):
        of_place = stores if place is None else frames.Stores.under(place)
        runs = frames.runs(of_place)
        known |= set(runs["study"])
        runs = runs[runs["study"].isin(studies)] if studies else runs
        if "uid" in runs:
            seen = {uid for table in tables if "uid" in table for uid in table["uid"].dropna()}
            runs = runs[~runs["study"].isin(runs.loc[runs["uid"].isin(seen), "study"])]
        where = folder if place is None else folder / folder_name(str(place.absolute()))
        for page in _put_pages(of_place, where, runs, ui if place is None else ""):
            name = page.title if place is None else f"{page.title} ({place})"
            written.append(_written(where, page))
            pages.append(_called(page, name))
            tables.append(runs[runs["study"] == page.title].assign(study=name))
    if missing := sorted(set(studies) - known):
        raise UserError(f"No study {', '.join(missing)} is recorded there. There are: {', '.join(sorted(known))}.")
    if not pages:
        return []
    links = {page.title: each.path.relative_to(folder) for page, each in zip(pages, written, strict=True)}
    page = comparison.page(pages, pd.concat(tables), link=lambda name: quote(str(links[name])))
    render.put(folder, page)
    said = [sentence for part in page.parts for sentence in part.answer.sentences]
    return [Written(folder / "index.html", said), *written]


def _put_pages(stores: frames.Stores, out: Path, runs: pd.DataFrame, ui: str) -> list[Page]:
    """Write a page and tables for each study of these runs, the newest first."""
    newest = runs.groupby("study")["started"].max().sort_values(ascending=False)
    pages = []
    for name in newest.index:
        of_study = runs[runs["study"] == name]
        folder = out / folder_name(str(name))
        render.replace(folder / "runs.csv", to_csv(of_study.dropna(axis="columns", how="all")))
        page = build.page(stores, str(name), of_study, ui)
        render.put(folder, page)
        _put_errors(folder / ERRORS, page)
        pages.append(page)
    return pages


def _written(out: Path, page: Page) -> Written:
    said = [sentence for part in page.parts for sentence in part.answer.sentences]
    return Written(out / folder_name(page.title) / "index.html", said)


def _called(page: Page, name: str) -> Page:
    """Return a page whose study has a name that tells it from one of the same name in another folder."""
    parts = [replace(part, standing=part.standing and replace(part.standing, study=name)) for part in page.parts]
    return replace(page, title=name, parts=parts)


def _put_errors(folder: Path, page: Page) -> None:
    """Write each section that is about one run as a page and a picture, in a folder of that run's id."""
    written: set[Path] = set()
    for section in [each for part in page.parts for each in part.sections if each.kept]:
        assert section.kept
        of_run = folder / section.kept.key.rpartition("/")[2]
        file = of_run / (ENSEMBLE_PAGE if section.kept.ensemble else ERRORS_PAGE)
        part = Part("", Conclusion([]), [], [], [replace(section, title="")])
        alone = Page(section.kept.name, "Run", "What does this model get wrong?", "", [part])
        atomic_write(file.with_suffix(".png"), section.kept.picture)
        render.replace(file, render.study_page(alone))
        written.add(file)
    for left in {*folder.glob("*/*.html")} - written:  # of a run that was the best one before
        remove(left, left.with_suffix(".png"))
        if not any(left.parent.iterdir()):
            remove(left.parent)


def write(
    runs: Path,
    study: str | None = None,
    out: Path | None = None,
    tracking_uri: str | None = None,
    storage: str | None = None,
    ui: str | None = None,
    studies: Sequence[str] = (),
    beside: Sequence[Path] = (),
) -> None:
    """Write the pages and print where they are.

    Args:
        runs: folder with all that is recorded.
        study: name of the study or experiment to report on; None: all of them.
        out: folder to write to; None: RUNS/report.
        tracking_uri: address of MLflow; None: $MLFLOW_TRACKING_URI, else mlflow.db under RUNS.
        storage: address of Optuna's database; None: $SEQCLF_OPTUNA_URI, else optuna.db under RUNS.
        ui: address of the MLflow user interface that runs link to; None: that of the tracking server.
        studies: names of studies to compare; empty, with ``beside``: all.
        beside: other folders of runs, whose studies are compared with these.

    Raises:
        UserError: if there is nothing to report, or the stores cannot be read.
    """
    gc.freeze()  # what is imported stays; searching it for cycles again and again takes seconds
    stores = frames.Stores.under(runs, tracking_uri, storage)
    address = (ui or database.address(stores.tracking)).rstrip("/")
    if out is None and runs.is_dir() and not os.access(runs, os.W_OK):
        raise UserError(f"{runs} cannot be written to: --out names another folder for the pages.")
    place = out or RunPaths(runs).report
    if studies or beside:
        pages = write_comparison(stores, place, studies, beside, address)[:1]
    else:
        pages = write_pages(stores, place, study, address)
    if not pages:
        of = f" of {study!r}" if study else ""
        raise UserError(
            f"No runs{of} are recorded in {database.shown(stores.tracking)}. Start some with make study, "
            "send what is recorded and not in MLflow yet with make sync, or name another folder: make report "
            "RUNS=..."
        )
    for page in pages:
        for sentence in page.answer:
            print(sentence)
        print(page.path)
