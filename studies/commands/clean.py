"""``seqclf clean``: say what could be freed under RUNS, and free it when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Say what could be freed, and free it with --yes. What is recorded always stays."""

    runs: Path = Path("runs")
    """Folder with all that is recorded."""
    yes: bool = False
    """Remove what is listed."""


def main(arguments: Sequence[str]) -> int:
    """List what can go, with sizes; with --yes, remove it."""
    options = parse(Options, arguments, "clean")
    print(f"Looking for what could be freed under {options.runs}.", flush=True)
    from studies.engine.clean import clean

    return clean(options.runs, options.yes)
