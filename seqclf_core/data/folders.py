"""The files of a folder: which of them make up which split, and which are left over.

A file belongs to the split that its name tells (``train-00000-of-00002.parquet``, ``reviews_test.csv``), else to
the one that the nearest folder above it tells (``test/part1.csv``), in upper or lower case. A text in a file of
its own lies in a folder that tells its label (``train/pos/17.txt``). A folder whose files name no split holds
one file, or the shards of one, and that is the whole data. Nothing outside the folder is read, and no name is a
pattern.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from seqclf_core.data.archive import ARCHIVE_NAME, TextFile, open_tar, text_table
from seqclf_core.data.readers import RawTable, open_file, read_text, suffix_of
from seqclf_core.errors import DataError

WHOLE = ""
"""Stands for the split of files that name none."""
WORDS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "unsupervised": "unsupervised", "unsup": "unsupervised",
    "unlabelled": "unsupervised", "unlabeled": "unsupervised",
}  # fmt: skip
"""Word in the name of a file or folder -> the split that it means."""
LABELS = ("neg", "negative", "pos", "positive", "unsup")
"""Folders of texts that each lie in a file of their own; the last one's have no labels."""
NO_DATA = ("dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json")
"""Names of files that ``datasets`` keeps beside its data."""
EXPECTED = (
    "train and test files (parquet, CSV, tab-separated, JSON or JSON Lines, texts also as .gz), a folder of "
    "save_to_disk, folders train/pos, train/neg, test/pos and test/neg of texts, or aclImdb_v1.tar.gz"
)
_SHARD = re.compile(r"-[0-9]{5}-of-[0-9]{5}")
_URLS = re.compile(r"urls_(neg|pos)\.txt")
_PASSED_OVER = re.compile(
    r"(readme|licen[cs]e|citation|makefile)(\..*)?|.*\.(py|md|ipynb|sh|feat|vocab)|imdber\.txt", re.IGNORECASE
)
"""Names that nobody takes for data; they are not mentioned."""


@dataclass(frozen=True)
class Folder:
    """What a folder holds."""

    splits: Mapping[str, Sequence[RawTable]]
    """Some of train, validation, test, unsupervised; or the whole."""
    notes: tuple[str, ...]
    """Sentences for the user: which file was taken for which split, and which files were left over."""
    class_names: Sequence[str] | None
    """Names of the labels 0, 1, ... in the label column, as README.md gives them; None where it does not."""


def open_folder(
    folder: Path,
    encoding: str = "auto",
    columns: Sequence[str] = (),
    *,
    unlabelled: bool = False,
    explained: bool = False,
) -> Folder:
    """Find out what a folder's files are, and open them.

    Args:
        folder: where they lie, at any depth.
        encoding: of the text files, as in ``open_file``.
        columns: names of columns, as in ``open_file``.
        unlabelled: open the texts without labels, and these alone.
        explained: whether the meaning of the labels is given, so that README.md may be unclear about it.

    Raises:
        DataError: if a file cannot be read, or it is not clear which split it belongs to; names it.
    """
    packed = folder / ARCHIVE_NAME
    if packed.is_file():
        return Folder(open_tar(packed, unlabelled=unlabelled), (), None)
    tables: dict[str, list[Path]] = {}
    texts: dict[str, list[Path]] = {}
    urls: dict[str, dict[str, list[bytes]]] = {}
    left_over = []
    for file in _files(folder):
        name = file.relative_to(folder)
        if file.parent.name.lower() in LABELS and file.suffix.lower() in (".txt", "") and len(name.parts) > 1:
            split = "unsupervised" if file.parent.name.lower() == "unsup" else _split_of(name.parent)
            texts.setdefault(split, []).append(file)
        elif found := _URLS.fullmatch(file.name):
            urls.setdefault(_split_of(name), {})[found[1]] = read_text(file, "latin-1").splitlines()
        elif suffix_of(file.name) and file.name not in NO_DATA:
            tables.setdefault(_split_of(name), []).append(file)
        elif not _PASSED_OVER.fullmatch(file.name) and not _of_saved(file):
            left_over.append(str(name))
    left_over += _settle(folder, tables, texts)
    _refuse_copies(tables)

    splits: dict[str, list[RawTable]] = {}
    taken = []
    for split in sorted({*tables, *texts}, key=["train", "validation", "test", "unsupervised", WHOLE].index):
        files = tables.get(split, [])
        what = _listed([str(file.relative_to(folder)) for file in files])
        what += " and " if files and split in texts else ""
        what += f"{len(texts[split]):,} text files" if split in texts else ""
        taken.append(f"{split or 'all data'} from {what}")
        if (split == "unsupervised") != unlabelled:
            continue
        splits[split] = [open_file(file, encoding, columns) for file in files]
        if split in texts:
            found_texts = [_text(folder, file) for file in texts[split]]
            splits[split].append(text_table(folder, found_texts, urls.get(split, {}), encoding))
    notes = [f"{folder}: {'; '.join(taken)}"] if taken else []
    if left_over:
        notes.append(f"{folder}: left over, since neither name nor kind tells a split: {_listed(left_over)}")
    class_names, note = _declared_names(folder / "README.md", explained)
    return Folder(splits, (*notes, *note), class_names)


def _of_saved(file: Path) -> bool:
    """Whether a file describes what ``save_to_disk`` put beside it or below."""
    return file.name in NO_DATA and any(file.parent.rglob("*.arrow"))


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder, but for hidden ones; links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}.")

    found = []
    for above, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        found += [Path(above, name) for name in sorted(names) if not name.startswith(".")]
    return [file for file in found if file.is_file()]


def _split_of(name: Path) -> str:
    """Return the split that a file's name tells, or else the nearest folder's; ``WHOLE`` where none does."""
    for part in reversed(name.parts):
        found = {WORDS[word] for word in re.split(r"[^a-z]+", part.lower()) if word in WORDS}
        if len(found) > 1:
            return " and ".join(sorted(found))
        if found:
            return found.pop()
    return WHOLE


def _settle(folder: Path, tables: dict[str, list[Path]], texts: dict[str, list[Path]]) -> list[str]:
    """Decide about files whose names tell no split, or several; return those that are left over."""
    files = [file for found in (*tables.values(), *texts.values()) for file in found]
    if unclear := next((split for split in (*tables, *texts) if " and " in split), None):
        if len(files) == 1:  # the only file is all the data, whatever it is called
            tables[WHOLE] = tables.pop(unclear)
            return []
        raise DataError(
            f"{(tables.get(unclear) or texts[unclear])[0]}: its name says {unclear}; a file is in one split. "
            "Rename it, or name this file alone as the data, to have a part of it held out."
        )
    if {*tables, *texts} - {WHOLE, "unsupervised"}:
        without = [*tables.pop(WHOLE, []), *texts.pop(WHOLE, [])]
        return [str(file.relative_to(folder)) for file in without]
    without = tables.get(WHOLE, [])
    if len({_SHARD.sub("", str(file)) for file in without}) > 1 or (without and WHOLE in texts):
        raise DataError(
            f"{folder}: its files' names do not tell which is for training and which for testing: "
            f"{_listed([str(file.relative_to(folder)) for file in without])}. Let them begin with train and "
            "test, or name one of them as the data."
        )
    return []


def _refuse_copies(tables: Mapping[str, Sequence[Path]]) -> None:
    for split, files in tables.items():
        seen: dict[str, Path] = {}
        for file in files:
            stem = str(file)[: -len(suffix_of(file.name))].lower()
            if stem in seen:
                raise DataError(
                    f"{file} and {seen[stem].name}: two files of one name for the split {split or 'of all data'}. "
                    "If they are copies of each other, move one away; else give them different names."
                )
            seen[stem] = file


def _text(folder: Path, file: Path) -> TextFile:
    try:
        return TextFile(file.parent.name.lower(), file.relative_to(folder).as_posix(), file.read_bytes())
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}.") from error


def _declared_names(readme: Path, explained: bool) -> tuple[list[str] | None, tuple[str, ...]]:
    """Read the class names of ``dataset_info`` in README.md; return a note too where its head cannot be read.

    Raises:
        DataError: if it names classes, and it cannot be told which.
    """
    head = None
    try:
        head = re.match(rb"---\r?\n(.*?)\n---", readme.read_bytes(), re.DOTALL) if readme.is_file() else None
        infos = (yaml.safe_load(_decoded(head[1])) or {}).get("dataset_info", []) if head else []
        found = [
            [str(names[key]) for key in sorted(names, key=int)]
            for info in (infos if isinstance(infos, list) else [infos])
            for feature in info["features"]
            if isinstance(dtype := feature.get("dtype", {}), dict)
            and (names := dtype.get("class_label", {}).get("names"))
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        why = f"{readme}: its head cannot be read ({str(error).splitlines()[0]})"
        if head and b"class_label" in head[1] and not explained:
            raise DataError(
                f"{why}, though it names the classes. Correct it, or say what the labels mean: "
                "--data.labels 'VALUE=1,OTHER=0'."
            ) from error
        return None, (f"{why}; labels mean what they say",)
    if any(names != found[0] for names in found):
        if explained:
            return None, ()
        raise DataError(
            f"{readme}: it names the classes in several ways ({found}). "
            "Say what the labels mean: --data.labels 'VALUE=1,OTHER=0'."
        )
    return (found[0] if found else None), ()


def _decoded(head: bytes) -> str:
    """Return the text of bytes in UTF-8 or, failing that, Latin-1, in which any bytes are one."""
    try:
        return head.decode()
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
