"""Which data a name means, and the raw parts that are there.

``resolve`` answers the first question once, for a study and all its workers; ``open_source`` the second.
"""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from seqclf_core.data import archive
from seqclf_core.data.download import ARCHIVE_SHA256, ARCHIVE_URL
from seqclf_core.data.rows import RawPart
from seqclf_core.errors import DataError

HUB_NAME = "stanfordnlp/imdb"
UNLABELLED = "unsupervised"
"""The part without labels, as the hub calls it."""
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


def resolve(source: str, places: Places = Places()) -> str:
    """Return what a source means here and now; what it returns means the same wherever it is resolved again.

    ``auto`` may download the data (with a progress bar), and says on standard error what it fell back to.

    Returns:
        ``synthetic``, ``hub``, or the absolute path of a folder or file.

    Raises:
        DataError: if nothing is there.
    """
    if source == "auto":
        named = os.environ.get(places.variable, "auto")
        return _find(places) if named in ("", "auto") else resolve(named, places)
    if source in ("synthetic", "hub"):
        return source
    path = Path(source).expanduser().absolute()
    if ".." in path.parts:  # not by its text alone: the way back up from a link is its target's
        path = path.resolve()
    if not path.exists():
        raise DataError(
            f"{path}: there is no such folder or file. "
            "Name one, or one of: auto, hub, synthetic; `make data` fetches the original archive."
        )
    return str(path)


def _find(places: Places) -> str:
    if places.folder.is_dir() and any(_is_data(file) for file in places.folder.iterdir()):
        return str(places.folder.absolute())
    if _answers(places.archive_url):
        from seqclf_core.data.download import fetch

        _say(f"There is no data in {places.folder}: fetching the original archive into it, once.")
        try:
            fetch(places.archive_url, places.folder / archive.ARCHIVE_NAME, places.archive_sha256, attempts=3)
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


def _is_data(file: Path) -> bool:
    return not file.name.startswith(".") and file.suffix not in (".part", ".lock")


def _answers(url: str) -> bool:
    """Tell whether a server has this, or no server answers soon."""
    import requests

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


def open_source(source: str, cache: Path, places: Places = Places()) -> dict[str, RawPart]:
    """Open the hub's data, a folder or a file: ``train`` and, where there is one, ``test`` -> its raw rows.

    Args:
        source: what ``resolve`` returned, but not ``synthetic``.
        cache: folder for what is worth keeping between two readings.
        places: where the hub is.

    Raises:
        DataError: if it cannot be read, or holds no training part.
    """
    from seqclf_core.data.readers import open_files

    if source == "hub":
        return {part: open_files(files, cache) for part, files in hub_files(places).items()}
    path = Path(source)
    if path.is_dir():
        parts = _open_folder(path, cache)
    elif path.name.endswith(_TAR):
        parts = archive.open_tar(path)
    else:
        parts = {"train": open_files([path], cache)}
    if "train" not in parts:
        raise DataError(f"{path}: there is no training part; expected {_EXPECTED}.")
    return parts


def open_unlabelled(source: str, cache: Path, places: Places = Places()) -> RawPart | None:
    """Open the part without labels of what ``resolve`` returned; None where there is none, as in ``synthetic``.

    Raises:
        DataError: if it is there and cannot be read, or it is the hub's and cannot be had.
    """
    from seqclf_core.data.readers import open_files

    path = Path(source)
    if source == "synthetic":
        return None
    if source == "hub":
        return open_files(hub_files(places, (UNLABELLED,))[UNLABELLED], cache)
    if path.is_dir():
        parts = _open_folder(path, cache, archive.UNLABELLED, (UNLABELLED,))
        # ``datasets`` finds a part of this name only where a README.md tells of it.
        named = sorted(file for file in path.iterdir() if _NO_LABELS.fullmatch(file.name))
        if named and not parts:
            return open_files(named, cache)
        return parts.get("train", parts.get(UNLABELLED))
    return archive.open_tar(path, archive.UNLABELLED).get("train") if path.name.endswith(_TAR) else None


_TAR = (".tar.gz", ".tgz")
_NO_LABELS = re.compile(rf"{UNLABELLED}(-[0-9]+.*)?\.(parquet|csv|jsonl|ndjson|json)", re.IGNORECASE)
_EXPECTED = (
    "a folder with train and test files (parquet, CSV or JSON Lines), a dataset in the hub's layout, "
    "the aclImdb folder or its aclImdb_v1.tar.gz"
)


def _open_folder(
    folder: Path,
    cache: Path,
    labels: tuple[str, ...] = archive.LABELS,
    parts: tuple[str, ...] = archive.PARTS,
) -> dict[str, RawPart]:
    """Open an archive's reviews with these labels, or these parts in the hub's layout."""
    packed = folder / archive.ARCHIVE_NAME
    if packed.is_file():
        return archive.open_tar(packed, labels)
    for unpacked in (folder, folder / "aclImdb"):
        if archive.is_folder(unpacked):
            return archive.open_folder(unpacked, labels)
    return _open_hub_layout(folder, cache, parts)


def _open_hub_layout(folder: Path, cache: Path, parts: tuple[str, ...]) -> dict[str, RawPart]:
    """Open what ``datasets`` takes for the parts: by the ``configs:`` of README.md, or by names of files."""
    import datasets

    from seqclf_core.data.readers import open_files

    try:
        builder = datasets.load_dataset_builder(str(folder), cache_dir=str(cache / "datasets"))
    except Exception as error:  # it promises no list of exceptions; whatever it is, the folder cannot be read
        raise DataError(f"{folder}: cannot be read as a dataset: {error}\nExpected {_EXPECTED}.") from error
    label = (builder.info.features or {}).get("label")
    names: Sequence[str] | None = label.names if isinstance(label, datasets.ClassLabel) else None
    found = builder.config.data_files or {}
    return {
        part: open_files([Path(file) for file in found[part]], cache, names) for part in parts if found.get(part)
    }


def hub_files(places: Places = Places(), parts: tuple[str, ...] = archive.PARTS) -> dict[str, list[Path]]:
    """Return the hub's files of these parts, from its cache where they are there; else download them.

    Raises:
        DataError: if they are not in the cache and the hub does not answer soon.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    endpoint = places.hub_url or constants.ENDPOINT

    def snapshot(offline: bool) -> dict[str, list[Path]]:
        folder = snapshot_download(
            HUB_NAME,
            repo_type="dataset",
            # No part that was not asked for: the unlabelled one is as large as the others together.
            allow_patterns=[f"plain_text/{part}-*.parquet" for part in parts],
            cache_dir=places.hub_cache,
            endpoint=endpoint,
            local_files_only=offline,
        )
        return {part: sorted(Path(folder).glob(f"plain_text/{part}-*.parquet")) for part in parts}

    with suppress(LocalEntryNotFoundError):
        if all((files := snapshot(offline=True)).values()):
            return files
    # Asked first, since the library's own attempts take most of a minute without a network.
    if constants.HF_HUB_OFFLINE or not _answers(f"{endpoint}/datasets/{HUB_NAME}/resolve/main/README.md"):
        raise DataError(
            f"{HUB_NAME}: its {' and '.join(parts)} files are not in the hub's cache, "
            f"and {endpoint} does not answer."
        )
    try:
        if all((files := snapshot(offline=False)).values()):
            return files
    except Exception as error:  # network, disk, rights: whatever the library meets, the data is not there
        raise DataError(f"{HUB_NAME}: cannot be fetched from {endpoint}: {error}") from error
    raise DataError(f"{HUB_NAME}: {endpoint} has no {' and '.join(parts)} files under plain_text; it has changed.")
