"""An encoded corpus on its way to another machine: an entry of the cache as files, under its key.

The key is a digest of the reviews and of how they were split and encoded, so that an entry is the same wherever it
has the same key. A machine that has it needs neither the texts nor their path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from seqclf_core.data.cache import Corpus, open_entry
from seqclf_core.errors import DataError
from seqclf_core.files import atomic_path, make_folder

Files = Mapping[str, bytes]
"""Name -> content of every file of an entry."""


def key_of(corpus: Corpus) -> str:
    """Return the key of an encoded corpus."""
    return corpus.tokenizer.parent.name


def pack(corpus: Corpus) -> Files:
    """Read the files of an encoded corpus."""
    return {file.name: file.read_bytes() for file in sorted(corpus.tokenizer.parent.iterdir()) if file.is_file()}


def unpack(key: str, cache: Path, fetch: Callable[[], Files]) -> Corpus:
    """Return an encoded corpus from the cache; one that is not there yet, or is damaged, is fetched first.

    Any number of processes may call it at once: one fetches, the others wait for what it writes.

    Args:
        key: of the corpus.
        cache: folder of this machine's cache; made where there is none.
        fetch: brings the corpus's files here.

    Raises:
        DataError: if what was fetched is damaged.
    """
    entry = cache / "corpus" / key
    if corpus := open_entry(entry):
        return corpus
    make_folder(entry.parent)
    with FileLock(entry.parent / "lock"):
        if corpus := open_entry(entry):  # fetched by another process while this one waited
            return corpus
        with atomic_path(entry) as new:
            new.mkdir()
            for name, content in fetch().items():
                (new / name).write_bytes(content)
        corpus = open_entry(entry)
    if corpus is None:
        raise DataError(f"{entry}: the encoded reviews that were sent here are damaged. Look at this disk.")
    return corpus
