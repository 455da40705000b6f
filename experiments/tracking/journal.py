"""What happened in a run, one JSON object per line, each fsynced before anybody goes on.

A process or machine may stop in the middle of a line. Such a torn tail was never acknowledged: readers do not see
it, and the next writer cuts it off before it appends. Times are milliseconds since 1970, UTC, fixed when an entry
is written; they never go backwards within a journal, and within one process they are as far apart as its steady
clock says, whatever happens to the computer's clock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from experiments.tracking import names
from experiments.tracking.clock import CLOCK, Clock
from seqclf_core.errors import UserError
from seqclf_core.events import Finished, Progress, Started
from seqclf_core.files import make_folder, sync
from seqclf_core.masking import mask_all

Outcome = Literal["complete", "pruned", "failed"]
Setting = str | int | float | bool | None


class JournalError(UserError):
    """A journal that cannot be read or written; the message names the file and what to do."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


FORMAT = 1
"""Version of the format of journals that are written here; it grows when an older reader would misread a newer
one."""


class Header(_Value):
    """What is known of a run before it starts."""

    format: int = FORMAT
    """Version of the journal's format; a reader that knows only older ones refuses the journal by name."""
    uid: str = ""
    """Random digits of the study, else of the run: two of one key, made by two people, are told apart."""
    key: str
    """``<study or experiment>/<id>``; unique under RUNS."""
    name: str
    """Name of the run that MLflow shows, such as ``0007 last bce e96 h64``."""
    experiment: str
    """The MLflow experiment: the study's name."""
    role: Literal["study", "trial", "experiment", "tagger"]
    parent: str | None = None
    """Key of the run that this one belongs to."""
    params: dict[str, Setting] = {}
    """Every setting under its dotted name."""
    tags: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _with_uid(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {"uid": fields.get("tags", {}).get(names.UID, ""), **fields}


class Opened(_Value):
    """The first entry."""

    entry: Literal["opened"] = "opened"
    time: int
    header: Header


class Happened(_Value):
    """An event of the run."""

    entry: Literal["event"] = "event"
    time: int
    event: Annotated[Started | Progress | Finished, Field(discriminator="event")]


class Closed(_Value):
    """The end, good or bad; only ``Reopened`` may follow."""

    entry: Literal["closed"] = "closed"
    time: int
    outcome: Outcome
    reason: str = ""


class Reopened(_Value):
    """More is to come: a finished study was given a higher total."""

    entry: Literal["reopened"] = "reopened"
    time: int


Entry = Annotated[Opened | Happened | Closed | Reopened, Field(discriminator="entry")]
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


def opened(entries: Sequence[Entry]) -> Opened:
    """Return a journal's first entry, which says whose it is.

    Raises:
        JournalError: if it is missing.
    """
    if not entries or not isinstance(entries[0], Opened):
        raise JournalError("A journal without its first line, which says whose it is: restore it.")
    return entries[0]


def read(path: Path) -> list[Entry]:
    """Return the whole entries of a journal, none where there is no file yet.

    Raises:
        JournalError: if a whole line is not an entry; names the file and line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return _parse(data[: data.rfind(b"\n") + 1], path)


def _parse(data: bytes, path: Path) -> list[Entry]:
    entries: list[Entry] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            fields = json.loads(line)
            if number == 1:
                _refuse_newer(fields, path)
            entries.append(_ENTRY.validate_python(fields))
        except JournalError:
            raise
        except (ValueError, RecursionError, ValidationError) as error:
            raise JournalError(
                f"{path}, line {number}: expected an entry of a run's journal, found {line[:60]!r}. The file was "
                f"damaged from outside: restore it, or move it away and the run is recorded from now on."
            ) from error
    return entries


def _refuse_newer(fields: object, path: Path) -> None:
    """Refuse a journal that a later version of this program wrote.

    Raises:
        JournalError: if its header says so.
    """
    header = fields.get("header") if isinstance(fields, dict) else None
    found = header.get("format") if isinstance(header, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise JournalError(
            f"{path} was written by a newer version of this program: its format is {found}, and this version "
            f"reads up to {FORMAT}. Use that version, or another RUNS."
        )


class Journal:
    """The writing end of a journal. It has state: an open file, and the entries in it."""

    def __init__(self, path: Path, clock: Clock = CLOCK) -> None:
        """Open a journal, made where there is none, and cut off a torn tail.

        Args:
            path: its file.
            clock: what its entries are stamped by; it goes on from the last of those that are there.

        Raises:
            JournalError: if it holds a line that is no entry, or cannot be opened.
        """
        self._path, self._clock = path, clock
        try:
            make_folder(path.parent)
            data = path.read_bytes() if path.exists() else b""
            self._size = data.rfind(b"\n") + 1
            self.entries = _parse(data[: self._size], path)
            if self.entries:  # written by a process whose clock may have been ahead of this one's
                clock.go_on_from(self.entries[-1].time)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if self._size < len(data):
                os.ftruncate(self._file, self._size)
            if not data:
                sync(path.parent)
        except OSError as error:
            raise self._unwritable(error) from error

    def append(self, fields: Mapping[str, object]) -> None:
        """Write one entry, stamped with the time, and return once it is on disk.

        Args:
            fields: of the entry, all but its ``time``.

        Raises:
            JournalError: if the disk is full; the journal is then as it was before.
        """
        line = _line({**fields, "time": self._clock.now()})
        entry = _ENTRY.validate_python(json.loads(line))
        try:
            self._write_again_if_removed()
            _write_whole(self._file, line)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise self._unwritable(error) from error
        self._size += len(line)
        self.entries.append(entry)

    def _write_again_if_removed(self) -> None:
        """Write the file again of what is known of it, where somebody removed it while a run was at work."""
        if os.fstat(self._file).st_nlink:
            return
        whole = b"".join(_line(entry.model_dump(mode="json")) for entry in self.entries)
        make_folder(self._path.parent)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        os.close(self._file)
        self._file, self._size = file, 0
        _write_whole(file, whole)
        self._size = len(whole)
        sync(self._path.parent)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(
            f"Cannot write the journal {self._path}: {error.strerror}. Nothing that was recorded is lost: "
            "make room (or mend the permission) and run the same command again."
        )


def _line(fields: Mapping[str, object]) -> bytes:
    """Serialise an entry without credentials and without text that a database refuses."""
    # As a whole, so that no field can be forgotten.
    text = json.dumps(mask_all(fields), ensure_ascii=False).replace(r"\u0000", "\N{REPLACEMENT CHARACTER}")
    return text.encode(errors="replace") + b"\n"  # a lone surrogate becomes a question mark


def _write_whole(file: int, data: bytes) -> None:
    written = os.write(file, data)
    if written < len(data):  # the disk took a part of it; asking for the rest raises the reason
        os.write(file, data[written:])
    os.fsync(file)
