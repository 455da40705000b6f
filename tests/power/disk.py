"""What a power cut leaves of a folder: of each file and list of names what was brought onto the disk, no more.

    disk = Disk.of(runs, tmp_path)          # builds the recorder; None where that cannot be done
    subprocess.Popen(..., env={**os.environ, **disk.environment})
    disk.cut(place, draw)                   # what a machine that lost its power at this moment would find

POSIX promises a file's bytes after its ``fsync``, and its name after that of its folder. What a disk wrote beyond
that by itself, it may have written for one file and not for another: with ``draw``, each file and folder has at
random its state of that time or the present one. Without, everything has the older state.
"""

import ctypes
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SOURCE = Path(__file__).with_name("recorder.c")
AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX = -100, 0x100, 0xFFF


@dataclass(frozen=True)
class Disk:
    """The record of what is on the disk of one folder."""

    root: Path
    """The folder that the power is cut for; its own name is taken to be on the disk."""
    kept: Path
    """Where the record is."""
    library: Path

    @classmethod
    def of(cls, root: Path, place: Path) -> Self | None:
        """Build the recorder in ``place``, and begin a record there; None without Linux and a compiler for C."""
        compiler = shutil.which("cc")
        if sys.platform != "linux" or compiler is None:
            return None
        kept, library = place / "disk", place / "recorder.so"
        kept.mkdir(parents=True)
        flags = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
        return cls(root.resolve(), kept, library)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs, so that it is recorded, and those that it starts."""
        return {"LD_PRELOAD": str(self.library), "POWER_ROOT": str(self.root), "POWER_DISK": str(self.kept)}

    def cut(self, place: Path, draw: random.Random | None = None) -> None:
        """Write what is left to ``place``, as a folder that was not there; nobody may write meanwhile."""
        present = dict(_present(self.root))
        self._rebuild(f"d{identity(self.root)}", place, present, draw)

    def _rebuild(self, name: str, place: Path, present: dict[str, Path], draw: random.Random | None) -> None:
        """Write a file or folder as the record has it, or as it is now."""
        record, now = self.kept / name, present.get(name)
        use_now = draw is not None and now is not None and draw.random() < 0.5
        if name.startswith("f"):
            if use_now and now:
                shutil.copyfile(now, place)
            elif record.exists():
                shutil.copyfile(record, place)
            else:
                place.touch()  # its name was on the disk, and none of its bytes
            return
        place.mkdir()
        if use_now and now:
            names = [(_name_of(path), path.name) for path in now.iterdir()]
        elif record.exists():
            names = [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in record.read_text().splitlines()]
        else:
            names = []
        for each, called in sorted(names):
            self._rebuild(each, place / called, present, draw)

    def restore(self, place: Path) -> None:
        """Put what ``cut`` left in the root's place, as a machine that starts again finds it."""
        shutil.rmtree(self.root)
        place.rename(self.root)
        shutil.rmtree(self.kept)
        self.kept.mkdir()
        for name, path in _present(self.root):
            if path.is_dir():
                listed = "".join(f"{_name_of(each)} {each.name}\n" for each in path.iterdir())
                (self.kept / name).write_text(listed)
            else:
                shutil.copyfile(path, self.kept / name)


def _present(root: Path) -> Iterator[tuple[str, Path]]:
    for path in (root, *root.rglob("*")):
        yield _name_of(path), path


def _name_of(path: Path) -> str:
    return f"{'d' if path.is_dir() and not path.is_symlink() else 'f'}{identity(path)}"


def identity(path: Path) -> str:
    """Return a file's number and time of birth, which no later file shares."""
    about = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW, STATX, about):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    number, seconds, nanoseconds = (
        struct.unpack_from(form, about, at)[0] for form, at in (("Q", 32), ("q", 80), ("I", 88))
    )
    return f"{number}-{seconds}-{nanoseconds}"
