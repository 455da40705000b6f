"""Reviews as arrays of ids: split and encoded once, kept in the cache, memory-mapped by every run.

    cache/corpus/<key>/        arrays of each part, tokenizer.json, summary.json, manifest.json
    cache/corpus/seen/<name>   the key that these files gave with these settings: a second start reads no text
    cache/corpus/lock          held by the one process that writes

An entry appears whole, by the renaming of its folder, and never changes; a damaged one is made anew. Whole
reviews are stored: ``data.max_length`` and ``data.keep`` cut them when batches are made.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Container, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from seqclf_core.config import DataConfig
from seqclf_core.events import DataSummary

if TYPE_CHECKING:  # a warm start imports neither datasets nor tokenizers
    from seqclf_core.data.reviews import Reviews

FORMAT = 1
"""Raise it whenever the same reviews and settings would give other files: old entries are then left alone."""

CUT_LATER = {"max_length", "keep", "pad"}
"""Settings that only batches read."""


@dataclass(frozen=True)
class Part:
    """One part of the data: N whole reviews, encoded, read-only."""

    tokens: NDArray[Any]
    """Ids of all reviews, one after the other; uint16, or int32 for a large vocabulary."""
    offsets: NDArray[np.int64]
    """(N+1,) review n is ``tokens[offsets[n]:offsets[n + 1]]``, at least one token."""
    labels: NDArray[np.int64]
    """(N,) 0 negative, 1 positive."""
    rows: NDArray[np.int64]
    """(N,) row in the source's own train or test part, to join predictions with texts."""
    groups: NDArray[np.int64] | None
    """(N,) one number per group, the same in all parts; None where the data has no groups."""


@dataclass(frozen=True)
class Corpus:
    """All that a run reads."""

    train: Part
    val: Part
    test: Part
    tokenizer: Path
    """A ``tokenizer.json``, trained on the training part alone."""
    summary: DataSummary


def load_corpus(config: DataConfig, cache: Path) -> Corpus:
    """Return the encoded reviews; read, split and encode them first unless an earlier start did.

    Any number of processes may call it at once: one works, the others wait for what it made.

    Args:
        config: which reviews, how to split them, how many different tokens.
        cache: folder of the cache; made where there is none.

    Raises:
        DataError: if the reviews cannot be used; names the file and row where there is one.
    """
    from seqclf_core.data.reviews import load_reviews, resolve

    config = config.model_copy(update={"source": resolve(config.source)})
    folder = cache / "corpus"
    seen = folder / "seen" / _seen(config)
    if corpus := _remembered(seen):
        return corpus
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if corpus := _remembered(seen):  # made by another process while this one waited
            return corpus
        corpus = encode_corpus(load_reviews(config, cache), config, folder)
        seen.parent.mkdir(exist_ok=True)
        seen.write_text(corpus.tokenizer.parent.name)
    return corpus


def encode_corpus(reviews: "Reviews", config: DataConfig, folder: Path) -> Corpus:
    """Return these reviews, split and encoded, from or through an entry in ``folder``.

    Only one process at a time may call it on a folder: ``load_corpus`` holds the lock.

    Raises:
        DataError: if the reviews cannot be split as asked.
    """
    from seqclf_core.data import encoding

    entry = folder / _key(reviews, config)
    if corpus := open_entry(entry):
        return corpus
    for leftover in (entry, *folder.glob("new-*")):  # damaged, or of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    new = folder / f"new-{entry.name}"
    new.mkdir(parents=True)
    encoding.write(reviews, config, new)
    manifest = {file.name: _file_digest(file) for file in new.iterdir()}
    (new / "manifest.json").write_text(json.dumps(manifest, indent=1))
    new.rename(entry)
    corpus = open_entry(entry)
    assert corpus is not None, f"{entry} changed while it was written"
    return corpus


def damaged(cache: Path) -> list[Path]:
    """Return what in the cache is of no use: entries and notes that are not whole, leftovers of killed processes.

    Removing it loses nothing. Whoever asks while others encode takes their unfinished work for a leftover.
    """
    folder = cache / "corpus"
    entries = {path for path in folder.glob("*") if path.is_dir() and path.name != "seen"}
    useless = {entry for entry in entries if open_entry(entry) is None}
    names = {entry.name for entry in entries - useless}
    notes = [note for note in folder.glob("seen/*") if note.read_text(errors="replace") not in names]
    return sorted([*useless, *notes])


def open_entry(entry: Path) -> Corpus | None:
    """Map an entry's files into memory; None where there is no entry or it is not what was written."""
    try:
        manifest = json.loads((entry / "manifest.json").read_bytes())
        # The whole content, not sizes alone: after a power cut a file can have its size and zeros in it.
        # 25 MB for the whole of IMDB, which a run reads anyway.
        if any(_file_digest(entry / name) != digest for name, digest in manifest.items()):
            return None
        summary = DataSummary.model_validate_json((entry / "summary.json").read_bytes())
        train, val, test = (_open_part(entry, part, manifest) for part in ("train", "val", "test"))
    except (OSError, ValueError, TypeError, AttributeError):  # the last two: JSON, but no manifest of ours
        return None
    return Corpus(train, val, test, tokenizer=entry / "tokenizer.json", summary=summary)


def _open_part(entry: Path, part: str, manifest: Container[str]) -> Part:
    arrays = {
        field.name: np.load(entry / f"{part}.{field.name}.npy", mmap_mode="r")
        for field in fields(Part)
        if f"{part}.{field.name}.npy" in manifest
    }
    return Part(**{"groups": None, **arrays})


def _key(reviews: "Reviews", config: DataConfig) -> str:
    """Name the entry of these reviews with these settings."""
    from seqclf_core.data.encoding import column

    settings = config.model_dump(mode="json", exclude=CUT_LATER | {"source"})
    origin = [reviews.source, reviews.synthetic, reviews.group_column, reviews.skipped]
    parts = (reviews.train, reviews.test)
    rows = [hashlib.sha256(column(part, "row").tobytes()).hexdigest() for part in parts]
    return _digest(FORMAT, reviews.digest, origin, rows, settings)


def _seen(config: DataConfig) -> str:
    """Name what a start can know of its data without reading it: settings, and each file's size and time.

    This package's own files are among them: they decide what is read, and what the synthetic corpus is.
    The hub's data has no files to look at; it is taken as it was first seen.
    """
    settings = config.model_dump(mode="json", exclude=CUT_LATER)
    return _digest(FORMAT, settings, list(_states(Path(config.source))), list(_states(Path(__file__).parents[1])))


def _states(path: Path | os.DirEntry[str], above: frozenset[str] = frozenset()) -> Iterator[tuple[str, int, int]]:
    """Yield path, size and time of change of a file, or of every file in a folder, at any depth."""
    if path.is_file():
        stat = path.stat()
        yield os.fspath(path), stat.st_size, stat.st_mtime_ns
    elif path.is_dir() and path.name != "__pycache__" and (real := os.path.realpath(path)) not in above:
        # scandir, not Path.walk: the unpacked archive has 100,000 files, and every worker looks at them.
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                yield from _states(entry, above | {real})  # a link may lead back up


def _remembered(seen: Path) -> Corpus | None:
    return open_entry(seen.parents[1] / seen.read_text(errors="replace")) if seen.is_file() else None


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
