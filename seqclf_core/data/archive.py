"""Texts in files of their own, in a folder per label: ``train/pos/0_9.txt``; or in ``aclImdb_v1.tar.gz``.

In the original archive the names are ``<id>_<stars>.txt``, and line ``id`` of ``train/urls_pos.txt`` (counted from
0) is the address of the film's page, which makes the reviews' groups (Maas et al., "Learning Word Vectors for
Sentiment Analysis", ACL 2011). Such texts come out by label, then id, as in every other copy of these data; others
by name.

The tar file is a stranger's: nothing of it is ever written under a name that it chose. Only regular files with the
names above are read, into memory, and within limits.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from seqclf_core.data.readers import MAX_UNPACKED, RawTable
from seqclf_core.errors import DataError

ARCHIVE_NAME = "aclImdb_v1.tar.gz"
MAX_FILE = 64 * 2**20
"""Bytes of one text; the longest review of the original has 14 KB."""

_MEMBER = re.compile(r"(train|test)/(?:(neg|pos|(?<=train/)unsup)/[0-9]{1,9}_[0-9]{1,2}\.txt|urls_(neg|pos)\.txt)")
_NUMBERED = re.compile(r"([0-9]{1,9})_[0-9]{1,2}\.txt")
_TITLE = re.compile(rb"tt[0-9]+")


class TextFile(NamedTuple):
    """One text, in a file of its own."""

    label: str
    """Name of the folder that it lies in."""
    name: str
    """Path below the source, for a person."""
    content: bytes


def text_table(
    source: Path, texts: Sequence[TextFile], urls: Mapping[str, Sequence[bytes]], encoding: str = "auto"
) -> RawTable:
    """Put text files side by side, with the column ``movie`` where the addresses of their films are there.

    Args:
        source: the folder or archive, for messages.
        texts: of one split.
        urls: label -> lines of ``urls_<label>.txt``.
        encoding: the texts' codec; auto means UTF-8.
    """
    ids = [_NUMBERED.fullmatch(text.name.rsplit("/", 1)[-1]) for text in texts]
    numbered = [int(each[1]) for each in ids if each]
    all_numbered = len(numbered) == len(texts)
    key = [(text.label, numbered[n] if all_numbered else 0, text.name) for n, text in enumerate(texts)]
    order = sorted(range(len(texts)), key=key.__getitem__)
    ordered = [texts[n] for n in order]
    cells: dict[str, list[object]] = {
        "text": [_decoded(text, source, encoding) for text in ordered],
        "label": [text.label for text in ordered],
    }
    if all_numbered and {text.label for text in texts} <= urls.keys():
        cells["movie"] = [_film(urls[texts[n].label], numbered[n]) for n in order]
    return RawTable(
        str(source), tuple(cells), lambda name: pa.array(cells[name], pa.large_binary()), len(texts),
        lambda row: f"{source}, {ordered[row].name}",
    )  # fmt: skip


def _decoded(text: TextFile, source: Path, encoding: str) -> bytes:
    if encoding == "auto":
        return text.content
    try:
        return text.content.decode(encoding).encode()
    except (LookupError, UnicodeError) as error:
        raise DataError(
            f"{source}, {text.name}: cannot be read with --data.encoding {encoding}: {error}."
        ) from error


def _film(addresses: Sequence[bytes], number: int) -> bytes:
    address = addresses[number] if number < len(addresses) else b""
    title = _TITLE.search(address)
    return title[0] if title else address


def open_tar(file: Path, *, unlabelled: bool = False) -> dict[str, list[RawTable]]:
    """Open the archive as it was downloaded: ``train`` and ``test``, or ``unsupervised`` alone -> its texts.

    Raises:
        DataError: if the archive is broken, cut short, or not what it should be.
    """
    texts: dict[str, list[TextFile]] = {}
    urls: dict[str, dict[str, list[bytes]]] = {"train": {}, "test": {}, "unsupervised": {}}
    seen = set()
    try:
        with _Bounded(file) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./").removeprefix("aclImdb/")
                found = _MEMBER.fullmatch(name)
                if not found or (found[2] == "unsup") != unlabelled:
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or member.size > MAX_FILE or name in seen:
                    raise DataError(
                        f"{file}: {name} is a link, is too large or stands there twice; "
                        "this is not the original archive. Delete the file and run `make data`."
                    )
                seen.add(name)
                split, label, of_urls = found.groups()
                if of_urls:
                    urls[split][of_urls] = content.read().splitlines()
                else:
                    texts.setdefault("unsupervised" if label == "unsup" else split, []).append(
                        TextFile(label, name, content.read())
                    )
            while unpacked.read(2**20):  # to the end, where gzip keeps its checksum
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(
            f"{file}: the archive is broken or cut short ({error}). Delete the file and run `make data`."
        ) from error
    if not texts and not unlabelled:
        raise DataError(f"{file}: the archive holds no reviews under aclImdb/train or aclImdb/test.")
    return {split: [text_table(file, found, urls[split])] for split, found in texts.items()}


class _Bounded(gzip.GzipFile):
    """Ends in an error, not in full memory, where a small file unpacks to a huge one."""

    unpacked = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.unpacked += len(data)
        if self.unpacked > MAX_UNPACKED:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_UNPACKED} bytes")
        return data
