"""Data on the network: what ``auto`` finds, each place asked once and quickly; and the hub's files."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import requests
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from seqclf_core.data.archive import ARCHIVE_NAME
from seqclf_core.data.download import ARCHIVE_SHA256, ARCHIVE_URL, fetch
from seqclf_core.errors import DataError

HUB_NAME = "stanfordnlp/imdb"
PATIENCE = 3.0
"""Seconds that a server has to answer when nobody asked for it by name."""


@dataclass(frozen=True)
class Places:
    """Where ``auto`` looks, in this order."""

    variable: str = "SEQCLF_DATA"
    folder: Path = Path("data/imdb")
    archive_url: str = ARCHIVE_URL
    archive_sha256: str = ARCHIVE_SHA256
    hub_url: str | None = None
    """Address of the hub; None: the one that ``huggingface_hub`` is set to."""
    hub_cache: Path | None = None
    """Folder of the hub's files; None: the one that ``huggingface_hub`` is set to."""


PLACES = Places()


def find(places: Places = PLACES) -> str:
    """Return what ``auto`` means here: what the variable names, the folder, ``hub`` or ``synthetic``.

    May download the data (with a progress bar), and says on standard error what it fell back to.
    """
    if (named := os.environ.get(places.variable, "auto")) not in ("", "auto"):
        return named
    if places.folder.is_dir() and any(_is_data(file) for file in places.folder.iterdir()):
        return str(places.folder.absolute())
    if _answers(places.archive_url):
        _say(f"There is no data in {places.folder}: fetching the original archive into it, once.")
        try:
            fetch(places.archive_url, places.folder / ARCHIVE_NAME, places.archive_sha256, attempts=3)
            return str(places.folder.absolute())
        except DataError as error:
            _say(str(error))
    try:
        hub_files(places)
        return "hub"
    except DataError as error:
        _say(str(error))
    _say(
        "NO REAL DATA: neither $SEQCLF_DATA nor data/imdb is there, and neither the archive nor the hub answers.\n"
        "Going on with the SYNTHETIC corpus: its scores say nothing about IMDB. `make data` fetches the real one."
    )
    return "synthetic"


def hub_files(places: Places = PLACES, splits: tuple[str, ...] = ("train", "test")) -> dict[str, list[Path]]:
    """Return the hub's files of these splits, from its cache where they are there; else download them.

    Raises:
        DataError: if they are not in the cache and the hub does not answer soon.
    """
    endpoint = places.hub_url or constants.ENDPOINT

    def snapshot(offline: bool) -> dict[str, list[Path]]:
        folder = snapshot_download(
            HUB_NAME,
            repo_type="dataset",
            # No split that was not asked for: the unlabelled one is as large as the others together.
            allow_patterns=[f"plain_text/{split}-*.parquet" for split in splits],
            cache_dir=places.hub_cache,
            endpoint=endpoint,
            local_files_only=offline,
        )
        return {split: sorted(Path(folder).glob(f"plain_text/{split}-*.parquet")) for split in splits}

    with suppress(LocalEntryNotFoundError):
        if all((files := snapshot(offline=True)).values()):
            return files
    # Asked first, since the library's own attempts take most of a minute without a network.
    if constants.HF_HUB_OFFLINE or not _answers(f"{endpoint}/datasets/{HUB_NAME}/resolve/main/README.md"):
        raise DataError(
            f"{HUB_NAME}: its {' and '.join(splits)} files are not in the hub's cache, "
            f"and {endpoint} does not answer."
        )
    try:
        if all((files := snapshot(offline=False)).values()):
            return files
    except Exception as error:  # network, disk, rights: whatever the library meets, the data is not there
        raise DataError(f"{HUB_NAME}: cannot be fetched from {endpoint}: {error}") from error
    raise DataError(
        f"{HUB_NAME}: {endpoint} has no {' and '.join(splits)} files under plain_text; it has changed."
    )


def _is_data(file: Path) -> bool:
    return not file.name.startswith(".") and file.suffix not in (".part", ".lock")


def _answers(url: str) -> bool:
    """Tell whether a server has this, or no server answers soon."""
    found = []

    def ask() -> None:
        with suppress(requests.RequestException):
            found.append(requests.head(url, timeout=PATIENCE, allow_redirects=True).ok)

    # In a thread, since looking up a name has no time limit of its own.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found == [True]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
