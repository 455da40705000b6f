"""The compiled kernel where it cannot be had, and where it lies once it can."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqclf_core.kernels import build
from seqclf_core.kernels.build import INSTRUCTIONS, Unavailable, load
from seqclf_core.kernels.lstm import LSTMKernel, load_kernel


@pytest.fixture
def able(monkeypatch):
    """A processor that has all that is asked for, here or not: nothing is run on it."""
    monkeypatch.setattr(build, "processor_flags", lambda: frozenset(INSTRUCTIONS))


def script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return str(path)


def reason(answer: ctypes.CDLL | Unavailable) -> str:
    assert isinstance(answer, Unavailable)
    return answer.reason


def test_a_processor_without_the_instructions_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "processor_flags", lambda: frozenset(INSTRUCTIONS) - {"avx512_bf16"})
    assert reason(load(tmp_path)) == "the processor has no avx512_bf16"


def test_no_compiler_is_a_reason(able, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C++ compiler" in reason(load(tmp_path / "kernels"))


@pytest.mark.parametrize("wanted", ["/no/such/compiler", "'unclosed", " "])
def test_a_variable_that_names_no_compiler_is_a_reason(able, monkeypatch, tmp_path, wanted):
    monkeypatch.setenv("CXX", wanted)
    assert "CXX" in reason(load(tmp_path / "kernels"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["exit 1"], "exit code 1"),
        (
            ['[ "$1" = --version ] && exit 0', "echo 'error: unknown -mavx512bf16' >&2; exit 4"],
            "unknown -mavx512bf16",
        ),
        (["exit 0"], "cannot be loaded"),  # says that all went well, and wrote nothing
        (
            ['for last; do [ "$out" = 1 ] && echo rubbish > "$last"; out=; [ "$last" = -o ] && out=1; done; true'],
            "loaded",
        ),
    ],
)
def test_a_broken_compiler_is_a_reason(able, monkeypatch, tmp_path, lines, expected):
    monkeypatch.setenv("CXX", script(tmp_path / "c++", *lines))
    assert expected in reason(load(tmp_path / "kernels"))
    assert not list((tmp_path / "kernels").glob("*"))


def test_it_is_said_once(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with caplog.at_level(logging.WARNING):
        answers = [load_kernel(tmp_path / "said once") for _ in range(3)]
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert len(caplog.records) == 1


@pytest.fixture
def copier(kernel: LSTMKernel, kernel_folder: Path, tmp_path: Path) -> str:
    """A compiler that takes half a second to copy what the real one made, and counts how often it was asked."""
    made = next(kernel_folder.glob("*.so"))
    return script(
        tmp_path / "c++",
        '[ "$1" = --version ] && exit 0',
        f'echo once >> "{tmp_path}/asked"; sleep 0.5',
        f'for word; do [ "$out" = 1 ] && cp "{made}" "$word"; out=; [ "$word" = -o ] && out=1; done; true',
    )


@pytest.mark.parametrize("place", ["/proc/seqclf-kernels", "file", "locked"])
def test_a_folder_that_takes_nothing_does_not_matter(request, monkeypatch, tmp_path, place):
    (tmp_path / "file").write_text("a file where the folder should be")
    (tmp_path / "locked").mkdir(mode=0o500)  # root writes to it all the same
    able_here = set(INSTRUCTIONS) <= build.processor_flags() and not isinstance(build.find_compiler(), Unavailable)
    if able_here:
        monkeypatch.setenv("CXX", request.getfixturevalue("copier"))
    assert isinstance(load(tmp_path / place), ctypes.CDLL) == able_here


def test_it_is_compiled_once(copier, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", copier)
    for _ in range(3):
        assert isinstance(load(tmp_path / "kernels"), ctypes.CDLL)
    assert (tmp_path / "asked").read_text() == "once\n"


def test_a_library_cut_short_is_made_anew(copier, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", copier)
    load(tmp_path / "kernels")
    library = next((tmp_path / "kernels").glob("*.so"))
    library.unlink()
    library.write_bytes(b"\x7fELF")
    assert isinstance(load(tmp_path / "kernels"), ctypes.CDLL)
    assert library.stat().st_size > 1000


def test_another_compiler_or_processor_is_another_file(kernel, monkeypatch):
    compiler = build.find_compiler()
    assert isinstance(compiler, build.Compiler)
    other = build.Compiler(compiler.command, compiler.version + "1")
    keys = {build._key(compiler), build._key(other)}
    monkeypatch.setattr(build, "processor_flags", lambda: frozenset(INSTRUCTIONS))
    assert len(keys | {build._key(compiler)}) == 3


def test_two_processes_at_once_end_with_one_library(copier, tmp_path):
    code = "import sys, pathlib, seqclf_core.kernels.build as build; print(build.load(pathlib.Path(sys.argv[1])))"
    environment = os.environ | {"CXX": copier, "PYTHONPATH": str(Path(build.__file__).parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert all("CDLL" in process.communicate(timeout=60)[0] for process in processes)
    assert len(list(tmp_path.glob("*.so"))) == 1
    assert not list(tmp_path.glob(".building-*"))
