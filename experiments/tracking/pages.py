"""Where the report on a study lies under RUNS: written by ``reports``, handed to MLflow by ``experiments``."""

import hashlib
import re
from pathlib import Path

FOLDER = "report"
PAGE = "index.html"


def page_of(runs: Path, study: str) -> Path:
    """Return the page of a study under RUNS, whether it is there or not."""
    return runs / FOLDER / folder_name(study) / PAGE


def folder_name(study: str) -> str:
    """Return the folder of a study's report: its name, if that can be nothing but one folder's name.

    >>> folder_name("imdb-mean")
    'imdb-mean'
    """
    plain = re.sub(r"[^\w.-]", "-", study, flags=re.ASCII)[:80].lstrip(".-")
    return plain if plain == study else f"{plain or 'study'}-{hashlib.sha256(study.encode()).hexdigest()[:8]}"
