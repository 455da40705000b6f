"""A page as files: index.html, the same as report.md with its figures, and its tables.

A page asks for nothing from anywhere: styles, script and figures are in it. Everything that was recorded (names,
settings, tags) is escaped by Jinja2, and a content security policy lets no script run but our own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.html import formatting
from reports.html.document import BLOCKS, Page
from reports.html.markdown import TEMPLATES, markdown
from reports.records.spreadsheet import to_csv
from seqclf_core.files import atomic_write

INTERVAL = re.compile(r"\[[^,]{1,9}, [^,]{1,9}\](, \d+)?")
"""Limits, which stand on one line of a table."""


def put(folder: Path, page: Page) -> None:
    """Write a page to a folder: as HTML, as Markdown with its figures, and its tables."""
    written = files(page, now())
    for file, text in written.items():
        replace(folder / file, text)
    replace(folder / "index.html", study_page(page))
    for left in {*folder.glob("figures/*.svg")} - {folder / file for file in written}:
        left.unlink()  # of a report that had other figures


def files(page: Page, written: str) -> dict[str, str]:
    """Return a page as Markdown with its figures, and its tables: path beside it -> text.

    Args:
        page: what to write.
        written: when, for a person.
    """
    tables = {file: to_csv(table) for part in page.parts for file, table in part.answer.files.items()}
    text, drawn = markdown(page, written)
    return {**tables, **drawn, "report.md": text}


def study_page(page: Page) -> str:
    """Return a page as HTML."""
    return _render("study.html", page=page)


def replace(path: Path, text: str) -> None:
    """Write a file in one step: who reads it sees the one before or this one, never half."""
    atomic_write(path, text.encode(errors="replace"))


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
    environment.tests["interval"] = INTERVAL.fullmatch
    script = (TEMPLATES / "page.js").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        script=Markup(script),
        script_digest=digest,
        style=Markup((TEMPLATES / "style.css").read_text("utf-8")),
        written=now(),
        **values,
    )
