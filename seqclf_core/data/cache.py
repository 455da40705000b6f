"""Texts as arrays of ids: split and encoded once, kept in the cache, memory-mapped by every run.

    cache/corpus/<key>/        arrays of each split, tokenizer.json, summary.json, manifest.json
    cache/corpus/seen/<name>   the key that these files gave with these settings: a second start reads no text
    cache/corpus/lock          held by the one process that writes

An entry appears whole, by the renaming of its folder, and never changes; a damaged one is made anew. Whole
texts are stored: ``data.max_length`` and ``data.keep`` cut them when batches are made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from seqclf_core.config import DataConfig
from seqclf_core.data.sources import resolve
from seqclf_core.errors import DataError
from seqclf_core.events import DataSummary
from seqclf_core.files import atomic_path, atomic_write, make_folder, remove, sha256_of

FORMAT = 3
"""Raise it whenever the same texts and settings would give other files: old entries are then not used."""

CUT_LATER = {"max_length", "keep", "pad", "reading"}
"""Settings that only batches read."""


@dataclass(frozen=True)
class Split:
    """The training, validation or test split: N whole texts, encoded, read-only."""

    tokens: NDArray[Any]
    """Ids of all texts, one after the other; uint16, or int32 for a large vocabulary."""
    offsets: NDArray[np.int64]
    """(N+1,) text n is ``tokens[offsets[n]:offsets[n + 1]]``, at least one token."""
    labels: NDArray[Any]
    """(N,) int64, 0 negative, 1 positive; where a split has soft labels, floating probabilities of the latter."""
    rows: NDArray[np.int64]
    """(N,) row in the source's own training or test split, to join predictions with texts."""
    groups: NDArray[np.int64] | None
    """(N,) one number per group, the same in all splits; None where the data has no groups."""


@dataclass(frozen=True)
class Corpus:
    """All that a run reads."""

    train: Split
    val: Split
    test: Split
    tokenizer: Path
    """A ``tokenizer.json``, trained on the training split alone."""
    summary: DataSummary


Result = TypeVar("Result")
ATTEMPTS = 5


def while_freed(read: Callable[[], Result]) -> Result:
    """Read from the cache, which somebody may be removing right now: what has gone is made again.

    Args:
        read: calls ``load_corpus``; called again where a file was gone before it could be read.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(FileNotFoundError):
            return read()
    return read()


def load_corpus(config: DataConfig, cache: Path) -> Corpus:
    """Return the encoded texts; read, split and encode them first unless an earlier start did.

    Any number of processes may call it at once: one works, the others wait for what it made.

    Args:
        config: which texts, how to split them, how many different tokens.
        cache: folder of the cache; made where there is none.

    Raises:
        DataError: if the texts cannot be used; names the file and row where there is one.
    """
    config = config.model_copy(update={"source": resolve(config.source)})
    return while_freed(lambda: _load(config, cache / "corpus"))


def _load(config: DataConfig, folder: Path) -> Corpus:
    try:
        seen = folder / "seen" / _seen(config)
        if corpus := _remembered(seen):
            return corpus
        make_folder(folder)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise DataError(
            f"{error.filename}: cannot be used: {error.strerror}. This user must be able to read the data, and to "
            f"write in the cache {folder}."
        ) from error
    with FileLock(folder / "lock"):
        if corpus := _remembered(seen):  # made by another process while this one waited
            return corpus
        corpus = _encode_corpus(config, folder)
        atomic_write(seen, corpus.tokenizer.parent.name)
    return corpus


def _encode_corpus(config: DataConfig, folder: Path) -> Corpus:
    """Read, split and encode texts, unless they are known by their content; the folder's lock is held."""
    # scikit-learn and the readers: a second that every worker does without, since the texts are encoded by then.
    from seqclf_core.data import encoding, reviews  # noqa: PLC0415

    texts = reviews.load_reviews(config)
    settings = config.model_dump(mode="json", exclude=CUT_LATER | {"source"})
    entry = folder / _digest(FORMAT, texts.identity(), settings)
    if corpus := open_entry(entry):
        return corpus
    remove(entry, *folder.glob(".*"))  # damaged, or of processes that were killed
    with atomic_path(entry) as new:
        new.mkdir()
        encoding.write_entry(texts, config, new)
        manifest = {file.name: sha256_of(file) for file in new.iterdir()}
        (new / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    corpus = open_entry(entry)
    if corpus is None:
        raise FileNotFoundError(errno.ENOENT, "it was removed while it was written", str(entry))
    return corpus


def damaged(cache: Path) -> list[Path]:
    """Return what in the cache is of no use: entries and notes that are not whole, leftovers of killed processes.

    Removing it loses nothing. Whoever asks while others encode takes their unfinished work for a leftover.
    """
    folder = cache / "corpus"
    entries = {path for path in folder.glob("*") if path.is_dir() and path.name != "seen"}
    useless = {entry for entry in entries if entry.name.startswith(".") or open_entry(entry) is None}
    names = {entry.name for entry in entries - useless}
    notes = [note for note in folder.glob("seen/*") if note.read_text(errors="replace") not in names]
    return sorted([*useless, *notes])


def open_entry(entry: Path) -> Corpus | None:
    """Map an entry's files into memory; None where there is no entry or it is not what was written."""
    try:
        manifest = json.loads((entry / "manifest.json").read_bytes())
        # The whole content, not sizes alone: after a power cut a file can have its size and zeros in it.
        # 25 MB for the whole of IMDB, which a run reads anyway.
        if any(sha256_of(entry / name) != digest for name, digest in manifest.items()):
            return None
        summary = DataSummary.model_validate_json((entry / "summary.json").read_bytes())
        train, val, test = (_open_split(entry, name, manifest) for name in ("train", "val", "test"))
    except (OSError, ValueError, TypeError, AttributeError):  # the last two: JSON, but no manifest of ours
        return None
    return Corpus(train, val, test, tokenizer=entry / "tokenizer.json", summary=summary)


def _open_split(entry: Path, name: str, manifest: Container[str]) -> Split:
    arrays = {
        field.name: np.load(entry / f"{name}.{field.name}.npy", mmap_mode="r")
        for field in fields(Split)
        if f"{name}.{field.name}.npy" in manifest
    }
    return Split(**{"groups": None, **arrays})


def _seen(config: DataConfig) -> str:
    """Name what a start can know of its data without reading it: settings, and each file's state.

    This package's own files are among them: they decide what is read, and what the synthetic corpus is.
    The hub's data has no files to look at; it is taken as it was first seen.
    """
    settings = config.model_dump(mode="json", exclude=CUT_LATER)
    return _digest(FORMAT, settings, list(_states(Path(config.source))), list(_states(Path(__file__).parents[1])))


def _states(path: Path | os.DirEntry[str], above: frozenset[str] = frozenset()) -> Iterator[tuple[str | int, ...]]:
    """Yield path, size, times and number of a file, or of every file in a folder, at any depth.

    Reproducible archives set the time of the last change back; nobody can set back that of the file's own record.
    """
    if path.is_file():
        stat = path.stat()
        yield os.fspath(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
    elif path.is_dir() and path.name != "__pycache__" and (real := os.path.realpath(path)) not in above:
        # scandir, not Path.walk: the unpacked archive has 100,000 files, and every worker looks at them.
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                yield from _states(entry, above | {real})  # a link may lead back up


def _remembered(seen: Path) -> Corpus | None:
    return open_entry(seen.parents[1] / seen.read_text(errors="replace")) if seen.is_file() else None


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
