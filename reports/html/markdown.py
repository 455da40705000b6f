"""The same page as Markdown, for a repository or a mail: text, tables, and figures as files of their own.

Everything recorded is text here too: what Markdown or the HTML in it would take for markup is escaped.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.html.document import BLOCKS, Figure, Page

TEMPLATES = Path(__file__).parent / "templates"
_MARKS = re.compile(r"[\\`*|]|\](?=\()")
_FONT = 'text { font-family: "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif !important; }'


def markdown(page: Page, written: str) -> tuple[str, dict[str, str]]:
    """Return a page as Markdown, and its figures: path beside it -> SVG.

    Args:
        page: what to write.
        written: when, for a person.
    """
    files: dict[str, str] = {}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.tests |= {name: lambda block, kind=kind: isinstance(block, kind) for kind, name in BLOCKS.items()}
    environment.filters |= {"text": escaped, "code": code}
    environment.globals["placed"] = lambda figure: [_place(panel, files) for panel in _panels(figure)]
    text = environment.get_template("study.md").render(page=page, written=written)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", files


def escaped(value: object) -> Markup:
    """Write a value so that Markdown shows it as it is, on one line.

    >>> str(escaped("a*b <i> | [x](y)"))
    'a\\\\*b &lt;i&gt; \\\\| [x\\\\](y)'
    """
    line = " ".join(str(value).split())
    line = _MARKS.sub(lambda found: "\\" + found[0], line)
    return Markup(line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def code(value: object) -> Markup:
    """Write a value as a block of code: indented, in which Markdown looks for nothing."""
    return Markup("\n".join(f"    {line}" for line in str(value).splitlines() or [""]))


def _panels(figure: Figure) -> list[str]:
    return [str(panel) for panel in figure.panels]


def _place(panel: str, files: dict[str, str]) -> dict[str, Any]:
    """Give a panel a file, and say which, and what it shows."""
    found = re.search(r'aria-label="([^"]*)"', panel)
    alt = Markup(found[1]).unescape() if found else ""
    slug = re.sub(r"[^a-z0-9]+", "-", alt.lower()).strip("-")[:40]
    path = f"figures/{len(files) + 1:02d}-{slug}.svg"
    files[path] = standalone(panel)
    return {"path": path, "alt": re.sub(r"[\[\]]", "", alt)}


def standalone(panel: str) -> str:
    """Return an inline panel as a file of its own, with the page's colours, light and dark."""
    colours = (TEMPLATES / "style.css").read_text("utf-8").partition("* {")[0]
    style = f"<style>{colours}svg {{ background: var(--paper); }} {_FONT}</style>"
    head, _, rest = panel.partition(">")
    named = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{named}>{style}{rest}"
