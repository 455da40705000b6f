"""``seqclf serve``: answer HTTP requests with the champion, on this machine only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Answer HTTP requests with the champion's probabilities, on this machine only, to who has the token."""

    runs: Path = Path("runs")
    """Folder in which everything is recorded."""
    port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None
    """Port to listen on; without it, 8000 or the next one that is free."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Address of the MLflow to fetch the champion from, where its copy under RUNS is missing."""


def main(arguments: Sequence[str]) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    options = parse(Options, arguments, "serve")
    from experiments.serving.choosing import champion_to_serve
    from experiments.tracking.paths import RunPaths

    folder = champion_to_serve(RunPaths(options.runs), options.tracking_uri)
    print(f"Loading the champion, {folder}.", flush=True)
    from experiments.serving.serve import serve  # torch takes seconds; a missing champion is told before

    serve(folder, options.port)
