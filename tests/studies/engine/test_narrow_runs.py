"""RUNS on a file system that takes nothing more, or no locks, and few file descriptors: one line says so."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.studies.engine.study_command import Command

SMALL = ["--workers", "1", "--train.epochs", "1"]


@contextmanager
def mounted(place: Path, *arguments: str) -> Iterator[Path]:
    """Mount something on a folder for a while; skip the test where that is not allowed."""
    place.mkdir()
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def line_of(code: int, output: str) -> str:
    """Return the one line that a command ended with, which is no success."""
    assert code == 2, output
    assert "Traceback" not in output
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


def refused(command: Command, before: Sequence[str] = ()) -> str:
    command.arguments[:0] = before
    command.start()
    return line_of(*command.end())


@pytest.mark.parametrize("count", [12, 40])
def test_no_more_inodes_is_told_in_a_line(reviews_folder: Path, tmp_path: Path, count: int) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", f"nr_inodes={count}", "none") as place:
        said = refused(Command(reviews_folder, place / "runs", 2, SMALL))
    assert "No space left on device" in said
    assert "make room" in said.lower()


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a compiler for C")
def test_a_file_system_without_locks_is_told_in_a_line(reviews_folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "no_locks.so"
    source = str(Path(__file__).with_name("no_locks.c"))
    subprocess.run(["cc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
    command = Command(reviews_folder, tmp_path / "runs", 2, SMALL)
    command.environment = {"LD_PRELOAD": str(library)}
    assert "has no locks" in refused(command)


def test_32_file_descriptors_are_told_in_a_line(reviews_folder: Path, tmp_path: Path) -> None:
    command = Command(reviews_folder, tmp_path / "runs", 2, SMALL)
    assert "ulimit -n 1024" in refused(command, ["sh", "-c", 'ulimit -n 32; exec "$@"', "sh"])


def test_a_read_only_folder_is_told_in_a_line(reviews_folder: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "ro", "none") as place:
        assert "cannot be written (Read-only file system)" in refused(Command(reviews_folder, place, 2, SMALL))
