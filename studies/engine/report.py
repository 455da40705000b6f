"""Pages of what has been recorded so far, also with their studies' runs in MLflow: ``make report``.

``python -m reports`` only reads the stores; this hands its pages to ``experiments``, which alone writes to MLflow.
A tracker that is down costs nothing: the pages are written, and `make sync` brings them there later.
"""

import sys

import tyro

from experiments.tracking.sync import sync_reports
from reports.__main__ import Options, write
from seqclf_core.cli import run_command


def main() -> None:
    """Write the pages, then put those under RUNS into MLflow; pages in a folder of one's own stay there alone.

    Raises:
        UserError: if there is nothing to report, or the stores cannot be read.
    """
    options = tyro.cli(Options, prog="python -m studies.engine.report")
    write(options)
    if options.out is not None:
        return
    result = sync_reports(options.runs, options.tracking_uri)
    if result.pages:
        print("In MLflow it is with the study's own run: Artifacts, report.")
    for reason in sorted(set(result.unsent.values())):
        print(f"MLflow has not got the page yet; `make sync` brings it there: {reason}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
