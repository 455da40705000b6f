"""Files that are whole or not there: written beside their place, brought onto the disk, then renamed.

Whoever reads sees the old content or the new one. After a power cut the same holds: the content is on the disk
before the name is, and the name before anybody is told.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write a file or folder to; when the block ends, it takes the place of ``path``.

    Folders above ``path`` are made where they are missing. If the block raises, ``path`` stays as it was.

    Args:
        path: a file or folder; an older one in its place is replaced.

    Yields:
        A path in the same folder, at which nothing exists yet.
    """
    make_folder(path.parent)
    # On a folder that several machines share, a process number alone may be two processes'.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    remove(temporary)
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            sync(file)
        if path.is_dir():  # a folder cannot be renamed onto one that holds something
            shutil.rmtree(path)
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        raise
    sync(path.parent)


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a small file whole or not at all, and onto the disk; text is written as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing, so that their names last through a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(*paths: Path) -> None:
    """Remove files and folders, those that are there; a link is removed, and not what it leads to."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def open_plain(path: Path, most_bytes: int) -> Iterator[BinaryIO]:
    """Open a file that somebody else may have made: only a plain one, which never blocks, of a bounded size.

    Args:
        path: the file; a link is not followed.
        most_bytes: largest size.

    Raises:
        FileNotFoundError: if it does not exist.
        OSError: if it is a link, a pipe, a device or a folder, or larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise (OSError("it is a link") if error.errno == errno.ELOOP else error) from None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("it is no plain file")
        if about.st_size > most_bytes:
            raise OSError(f"it has {about.st_size:,} bytes; at most {most_bytes:,} are read")
        yield file


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
