"""Digests of model folders: two models with the same one are the same, whatever they are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from seqclf_core.errors import SavedError
from seqclf_core.files import sha256_of


def digest_of(files: Mapping[str, str]) -> str:
    """Return one SHA-256 for many files.

    Args:
        files: path of each within its folder -> SHA-256.
    """
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a model folder, by its path within it.

    Raises:
        SavedError: if there is none, or something that is no plain file: a link, a pipe, a device.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise SavedError(f"{path} is a link or no plain file; a model folder holds plain files only")
        if path.is_file():
            try:
                found[path.relative_to(folder).as_posix()] = sha256_of(path)
            except OSError as error:
                raise SavedError(f"{path} cannot be read: {error.strerror}") from error
    if not found:
        raise SavedError(f"{folder} is no model folder: it holds no files")
    return found
