"""Which experiments there are: every file in this folder that declares one is found, without a list to edit.

A file declares an experiment with a line that begins with ``EXPERIMENT = ``; the first line of its docstring is
what is listed. Files are read for the list, and only the one that is named is imported.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

from experiments.experiment import Experiment
from seqclf_core.errors import UserError

FOLDER = Path(__file__).parent
DECLARES = "\nEXPERIMENT = "


def experiments() -> dict[str, str]:
    """Return name -> purpose of every experiment."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py"))}
    return {name: _first_line(source) for name, source in sources.items() if DECLARES in source}


def _first_line(source: str) -> str:
    return (ast.get_docstring(ast.parse(source)) or "(no docstring)").splitlines()[0]


def load(name: str) -> Experiment:
    """Import the experiment of this name.

    Raises:
        UserError: if there is none; names those there are.
    """
    if name not in experiments():
        raise UserError(f"There is no experiment {name!r}. Name one of these:\n{listed()}")
    experiment: Experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    return experiment


def listed() -> str:
    """Return the experiments there are, one a line, each with its purpose."""
    return "\n".join(f"  {name:22} {purpose}" for name, purpose in experiments().items())
