"""Pages from what was recorded: a self-contained index.html per study, its runs.csv, and an index of the studies.

A page asks for nothing from anywhere: styles, script and figures are in it. Everything that was recorded (names,
settings, tags) is escaped by Jinja2, and a content security policy lets no script run but our own.
"""

import base64
import hashlib
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import compose, frames, words
from reports.document import Cell, Column, Commands, Figure, Pairs, Table

TEMPLATES = Path(__file__).parent / "templates"
_BLOCKS = {Table: "table", Figure: "figure", Commands: "commands", Pairs: "pairs"}


def write(stores: frames.Stores, out: Path, study: str | None = None, ui: str = "") -> list[Path]:
    """Write ``<out>/<study>/index.html`` and ``runs.csv`` for one study or all, and an index of several.

    Args:
        stores: where to read.
        out: folder of the reports; made where there is none.
        study: the study or experiment; default all.
        ui: address of an MLflow UI to link to; empty for none.

    Returns:
        The pages: of several studies their index first, then that of the newest. Empty where nothing has been
        recorded.
    """
    runs = frames.runs(stores, study)
    newest = runs.groupby("study")["started"].max().sort_values(ascending=False)
    pages = []
    for name in newest.index:
        of_study = runs[runs["study"] == name]
        folder = out / folder_name(str(name))
        replace(folder / "runs.csv", of_study.dropna(axis="columns", how="all").to_csv(index=False))
        replace(folder / "index.html", study_page(stores, str(name), of_study, ui))
        pages.append(folder / "index.html")
    if len(pages) > 1:
        replace(out / "index.html", index_page(runs))
        pages.insert(0, out / "index.html")
    return pages


def study_page(stores: frames.Stores, study: str, runs: pd.DataFrame, ui: str = "") -> str:
    """Return the page of one study or experiment as HTML."""
    return _render("study.html", page=compose.page(stores, study, runs, ui))


def index_page(runs: pd.DataFrame) -> str:
    """Return a page that leads to those of the studies; without scores, which are not to be compared over data."""
    rows = []
    for name, of_study in runs.groupby("study"):
        children = of_study[of_study["role"] != "study"]
        start, end = children["started"].min(), children["started"].max()
        kinds = ", ".join(sorted(children["kind"].dropna().unique()))
        complete = int((children["outcome"] == "complete").sum())
        rows.append(
            [
                Cell(str(name), str(name), quote(folder_name(str(name))) + "/index.html"),
                Cell(kinds or "–", kinds),
                Cell(words.count(len(children)), len(children)),
                Cell(words.count(complete), complete),
                Cell(words.moment(start), start.isoformat()),
                Cell(words.moment(end), end.isoformat()),
            ]
        )
    rows.sort(key=lambda cells: str(cells[-1].order), reverse=True)
    columns = [
        Column("study", "Study"),
        Column("kind", "Data"),
        Column("runs", "Runs", number=True),
        Column("complete", "Complete", number=True),
        Column("first", "First run"),
        Column("last", "Last run"),
    ]
    return _render("studies.html", table=Table("Studies and experiments", columns, rows))


def folder_name(study: str) -> str:
    """Return the folder of a study's report: its name, if that can be nothing but one folder's name.

    >>> folder_name("imdb-mean")
    'imdb-mean'
    """
    plain = re.sub(r"[^\w.-]", "-", study, flags=re.ASCII)[:80].lstrip(".-")
    return plain if plain == study else f"{plain or 'study'}-{hashlib.sha256(study.encode()).hexdigest()[:8]}"


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


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {name: lambda block, kind=kind: isinstance(block, kind) for kind, name in _BLOCKS.items()}
    script = (TEMPLATES / "sort.js").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        script=Markup(script),
        script_digest=digest,
        style=Markup((TEMPLATES / "style.css").read_text("utf-8")),
        written=words.moment(pd.Timestamp(datetime.now(UTC))),
        **values,
    )
