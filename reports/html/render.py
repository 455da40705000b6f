"""Pages from what was recorded: per study an index.html, the same as report.md, tables; of several, a comparison.

A page asks for nothing from anywhere: styles, script and figures are in it. Everything that was recorded (names,
settings, tags) is escaped by Jinja2, and a content security policy lets no script run but our own.
"""

import base64
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from experiments.tracking.paths import folder_name
from reports import frames
from reports.html import formatting
from reports.html.document import BLOCKS, Page
from reports.html.markdown import TEMPLATES, markdown
from reports.pages import build, comparison
from reports.records.spreadsheet import to_csv


@dataclass(frozen=True)
class Written:
    """A page that was written."""

    path: Path
    answer: Sequence[str] = ()
    """What the study says to its question, where it has one of its own."""


def write(stores: frames.Stores, out: Path, study: str | None = None, ui: str = "") -> list[Written]:
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
    newest = runs.groupby("study")["started"].max().sort_values(ascending=False)
    written: list[Written] = []
    pages: list[Page] = []
    for name in newest.index:
        of_study = runs[runs["study"] == name]
        folder = out / folder_name(str(name))
        replace(folder / "runs.csv", to_csv(of_study.dropna(axis="columns", how="all")))
        page = build.page(stores, str(name), of_study, ui)
        put(folder, page)
        said = [sentence for part in page.parts for sentence in part.answer.sentences]
        written.append(Written(folder / "index.html", said))
        pages.append(page)
    if len(pages) > 1:
        put(out, comparison.page(pages, runs, link=lambda name: quote(folder_name(name)) + "/index.html"))
        written.insert(0, Written(out / "index.html"))
    return written


def put(folder: Path, page: Page) -> None:
    """Write a page to a folder: as HTML, as Markdown with its figures, and its tables."""
    for part in page.parts:
        for file, table in part.answer.files.items():
            replace(folder / file, to_csv(table))
    replace(folder / "index.html", study_page(page))
    text, drawn = markdown(page, now())
    for file, svg in drawn.items():
        replace(folder / file, svg)
    replace(folder / "report.md", text)
    for left in {*folder.glob("figures/*.svg")} - {folder / file for file in drawn}:
        left.unlink()  # of a report that had other figures


def study_page(page: Page) -> str:
    """Return a page as HTML."""
    return _render("study.html", page=page)


def replace(path: Path, text: str) -> None:
    """Write a file in one step: who reads it sees the one before or this one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def now() -> str:
    """Return this moment for a person."""
    return formatting.moment(pd.Timestamp(datetime.now(UTC)))


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {name: lambda block, kind=kind: isinstance(block, kind) for kind, name in BLOCKS.items()}
    script = (TEMPLATES / "sort.js").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        script=Markup(script),
        script_digest=digest,
        style=Markup((TEMPLATES / "style.css").read_text("utf-8")),
        written=now(),
        **values,
    )
