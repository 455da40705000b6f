"""Which data a name means (``resolve``, once for a study and all its workers); its tables (``open_source``)."""

from __future__ import annotations

from pathlib import Path

from seqclf_core.config import ReviewsConfig
from seqclf_core.data.archive import open_tar
from seqclf_core.data.folders import EXPECTED, WHOLE, Folder, open_folder
from seqclf_core.data.hub import HUB_NAME, PLACES, Places, find, hub_files
from seqclf_core.data.readers import open_file
from seqclf_core.data.synthetic import open_corpus
from seqclf_core.errors import DataError

_TAR = (".tar.gz", ".tgz")


def resolve(source: str, places: Places = PLACES) -> str:
    """Return what a source means here and now; what it returns means the same wherever it is resolved again.

    Returns:
        ``synthetic``, ``hub``, or the absolute path of a folder or file.

    Raises:
        DataError: if nothing is there.
    """
    if source == "auto":
        source = find(places)
    if source in ("synthetic", "hub"):
        return source
    path = Path(source).expanduser().absolute()
    try:
        if ".." in path.parts:  # not by its text alone: the way back up from a link is its target's
            path = path.resolve()
        path.stat()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such folder or file. "
            "Name one, or one of: auto, hub, synthetic; `make data` fetches the original archive."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    return str(path)


def name_of(config: ReviewsConfig) -> str:
    """Return what a person calls the source."""
    if config.source == "synthetic":
        return f"synthetic (seed {config.split_seed})"
    return f"the hub's {HUB_NAME}" if config.source == "hub" else config.source


def open_source(config: ReviewsConfig, places: Places = PLACES, *, unlabelled: bool = False) -> Folder:
    """Open the tables of a source, split by split: ``train`` and others, or the whole.

    Args:
        config: its ``source`` is what ``resolve`` returned.
        places: where the hub is.
        unlabelled: open the split without labels, which is the hub's only where it is asked for.

    Raises:
        DataError: if it cannot be read, or holds nothing to train on.
    """
    columns = tuple(name.strip() for name in config.columns.split(",")) if config.columns else ()
    path = Path(config.source)
    if config.source == "synthetic":
        return Folder({} if unlabelled else open_corpus(config.split_seed), (), None)
    if config.source == "hub":
        files = hub_files(places, ("unsupervised",)) if unlabelled else hub_files(places)
        return Folder({split: [open_file(file) for file in found] for split, found in files.items()}, (), None)
    if path.is_dir():
        explained = config.labels != "auto"
        found = open_folder(path, config.encoding, columns, unlabelled=unlabelled, explained=explained)
    elif path.name.lower().endswith(_TAR):
        found = Folder(open_tar(path, unlabelled=unlabelled), (), None)
    else:
        found = Folder({WHOLE: [open_file(path, config.encoding, columns)]}, (), None)
    if not found.splits.keys() & {"train", WHOLE} and not unlabelled:
        raise DataError(f"{path}: there is nothing to train on; expected {EXPECTED}.")
    return found
