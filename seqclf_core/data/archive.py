"""The original ``aclImdb`` data: a folder, or ``aclImdb_v1.tar.gz`` as it was downloaded.

One file per review, ``train/pos/<id>_<stars>.txt``; line ``id`` of ``train/urls_pos.txt`` (counted from 0) is the
address of its film's page, which makes the reviews' groups (Maas et al., "Learning Word Vectors for Sentiment
Analysis", ACL 2011). Reviews come out by label, then id, as in every other copy of these data.

The tar file is a stranger's: nothing of it is ever written under a name that it chose. Only regular files with the
names above are read, into memory, and within limits.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from seqclf_core.data.rows import RawPart, RawRow
from seqclf_core.errors import DataError

ARCHIVE_NAME = "aclImdb_v1.tar.gz"
PARTS = ("train", "test")
LABELS = ("neg", "pos")
UNLABELLED = ("unsup",)
"""Stands where a label does, in the training part."""
_REVIEW = re.compile(r"(train|test)/(neg|pos|(?<=train/)unsup)/([0-9]{1,9})_[0-9]{1,2}\.txt")
_URLS = re.compile(r"(train|test)/urls_(neg|pos)\.txt")
_TITLE = re.compile(rb"tt[0-9]+")

# The real archive holds 100,000 reviews of at most 14 KB and unpacks to about 0.3 GB.
MAX_FILE = 64 * 2**20
MAX_UNPACKED = 2 * 2**30


class _Review(NamedTuple):
    part: str
    label: str
    id: int
    name: str
    text: bytes


class _Found:
    """What has been read so far of the reviews with these labels."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.reviews: list[_Review] = []
        self.urls: dict[tuple[str, str], list[bytes]] = {}  # part and label -> one address per id

    def wants(self, name: str) -> bool:
        """Tell whether a file by this name is to be taken."""
        found = _REVIEW.fullmatch(name) or _URLS.fullmatch(name)
        return found is not None and found[2] in self.labels

    def take(self, name: str, data: bytes) -> None:
        """Take a file by its name, such as ``train/pos/0_9.txt``."""
        if review := _REVIEW.fullmatch(name):
            self.reviews.append(_Review(review[1], review[2], int(review[3]), name, data))
        elif urls := _URLS.fullmatch(name):
            self.urls[urls[1], urls[2]] = data.splitlines()


def is_folder(folder: Path) -> bool:
    """Tell whether a folder is an unpacked archive."""
    return any((folder / part / label).is_dir() for part in PARTS for label in LABELS)


def open_folder(folder: Path, labels: tuple[str, ...] = LABELS) -> dict[str, RawPart]:
    """Open an unpacked archive: part -> its rows, with the column ``movie`` where the addresses are there.

    Args:
        folder: ``aclImdb``.
        labels: of the reviews to read; with ``UNLABELLED`` these alone, as the training part.

    Raises:
        DataError: if a file cannot be read; names it.
    """
    found = _Found(labels)
    try:
        for part in PARTS:
            for label in labels:
                urls = folder / part / f"urls_{label}.txt"
                files = [*folder.glob(f"{part}/{label}/*.txt"), *([urls] if urls.is_file() else [])]
                for file in files:
                    found.take(file.relative_to(folder).as_posix(), file.read_bytes())
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}.") from error
    return _parts(found, folder)


def open_tar(file: Path, labels: tuple[str, ...] = LABELS) -> dict[str, RawPart]:
    """Open the archive as it was downloaded: part -> its rows, as ``open_folder`` does.

    Raises:
        DataError: if the archive is broken, cut short, or not what it should be.
    """
    return _parts(_read_tar(file, labels), file)


def _read_tar(file: Path, labels: tuple[str, ...]) -> _Found:
    found, seen = _Found(labels), set()
    try:
        with _Bounded(file) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./").removeprefix("aclImdb/")
                if not found.wants(name):
                    continue
                data = tar.extractfile(member) if member.isreg() else None
                if data is None or member.size > MAX_FILE or name in seen:
                    raise DataError(
                        f"{file}: {name} is a link, is too large or stands there twice; "
                        "this is not the original archive. Delete the file and run `make data`."
                    )
                seen.add(name)
                found.take(name, data.read())
            while unpacked.read(2**20):  # to the end, where gzip keeps its checksum
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(
            f"{file}: the archive is broken or cut short ({error}). Delete the file and run `make data`."
        ) from error
    if not found.reviews and labels == LABELS:
        raise DataError(f"{file}: the archive holds no reviews under aclImdb/train or aclImdb/test.")
    return found


class _Bounded(gzip.GzipFile):
    """Ends in an error, not in full memory, where a small file unpacks to a huge one."""

    unpacked = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.unpacked += len(data)
        if self.unpacked > MAX_UNPACKED:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_UNPACKED} bytes")
        return data


def _parts(found: _Found, source: Path) -> dict[str, RawPart]:
    parts = {}
    for part in PARTS:
        reviews = sorted(review for review in found.reviews if review.part == part)
        if reviews:
            has_films = all((part, label) in found.urls for label in found.labels)
            columns = ("text", "label", "movie") if has_films else ("text", "label")
            rows = partial(_rows, reviews, found.urls, source)
            parts[part] = RawPart(f"{source}, {part}", columns, rows)
    return parts


def _rows(
    reviews: list[_Review], urls: dict[tuple[str, str], list[bytes]], source: Path, group: str | None
) -> Iterator[RawRow]:
    for review in reviews:
        film = None
        if group:
            addresses = urls[review.part, review.label]
            address = addresses[review.id] if review.id < len(addresses) else b""
            title = _TITLE.search(address)
            film = title[0] if title else address
        yield RawRow(f"{source}, {review.name}", review.text, review.label, film)
