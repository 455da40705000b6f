"""Compile the C++ beside this file, once per source and processor, and load it.

Whatever is missing (the processor's instructions, a compiler, a folder to write to) is an answer, not an error:
the caller has another way to compute the same.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCES = (Path(__file__).with_name("lstm.cpp"), Path(__file__).with_name("tiles.hpp"))
"""The file to compile, and what it includes."""
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16", "fma")
"""Instruction sets that the processor must have, as /proc/cpuinfo spells them."""
FLAGS = (
    *("-O3", "-std=c++17", "-shared", "-fPIC"),
    # Without contraction a row has the same bits whichever rows are computed beside it.
    *("-ffp-contract=off", "-fno-math-errno"),
    *(f"-m{name.replace('_', '')}" for name in INSTRUCTIONS),
)
COMPILERS = ("c++", "g++", "clang++")
"""Tried in this order where the environment sets no CXX."""
TIMEOUT = 120.0
"""Seconds after which a compiler is taken for broken; it needs three."""


@dataclass(frozen=True)
class Unavailable:
    """Why there is no kernel here."""

    reason: str
    """A full sentence without its full stop."""


def load(folder: Path | None = None) -> ctypes.CDLL | Unavailable:
    """Return the compiled kernel, from the folder where it lies there already, else compiled into it.

    Several processes may do this at once: each writes a file of its own and renames it.

    Args:
        folder: where compiled kernels are kept, made if need be. It should be writable only by who runs this,
            since code is loaded from it. The default lies in the user's cache folder. Where nothing can be written
            to it, the kernel is compiled into a temporary folder for this process alone.

    Returns:
        The library, or why it cannot be had. Nothing is raised.
    """
    missing = [name for name in INSTRUCTIONS if name not in processor_flags()]
    if missing:
        return Unavailable(f"the processor has no {', '.join(missing)}")
    compiler = find_compiler()
    if isinstance(compiler, Unavailable):
        return compiler
    name = f"lstm-{_key(compiler)}.so"
    folder = folder or default_folder()
    if folder is not None:
        loaded = _open(folder / name)
        if not isinstance(loaded, Unavailable):
            return loaded
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as private:
                return _build(compiler, Path(private) / name, folder / name)
        except OSError:  # read-only, full, a file where the folder should be
            pass
    try:
        # A loaded library needs its file no more.
        with tempfile.TemporaryDirectory(prefix="seqclf-kernel-", ignore_cleanup_errors=True) as private:
            return _build(compiler, Path(private) / name, None)
    except OSError as error:
        return Unavailable(f"there is no folder to compile it in: {error}")


def default_folder() -> Path | None:
    """Return where compiled kernels are kept if nothing else is said; None for a user without a home folder."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqclf" / "kernels"
    except RuntimeError:
        return None


def processor_flags() -> frozenset[str]:
    """Return the instruction sets of this processor that its operating system lets be used; empty if unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "").split())


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that answers."""

    command: tuple[str, ...]
    version: str
    """All that ``--version`` prints."""


def find_compiler() -> Compiler | Unavailable:
    """Return the compiler that CXX names, or else the first one found; only one that runs counts."""
    wanted = os.environ.get("CXX")
    try:
        candidates = [shlex.split(wanted)] if wanted else [[name] for name in COMPILERS]
    except ValueError:
        return Unavailable(f"CXX is no command: {wanted!r}")
    answer = f"there is no C++ compiler: none of {', '.join(COMPILERS)} is on the PATH, and CXX is not set"
    for command in candidates:
        if not command or shutil.which(command[0]) is None:
            if wanted:
                answer = f"CXX names no program that is there: {wanted!r}"
            continue
        version = _run([*command, "--version"])
        if not isinstance(version, Unavailable):
            return Compiler(tuple(command), version)
        answer = version.reason
    return Unavailable(answer)


def _key(compiler: Compiler) -> str:
    """Name all that the compiled file depends on: source, flags, compiler and processor."""
    digest = hashlib.sha256()
    for part in (
        *(source.read_bytes() for source in SOURCES),
        repr((compiler, FLAGS, sorted(processor_flags()))).encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]


def _build(compiler: Compiler, private: Path, shared: Path | None) -> ctypes.CDLL | Unavailable:
    """Compile into a file of one's own, see that it loads, and only then put it where others look."""
    said = _run([*compiler.command, *FLAGS, "-o", str(private), str(SOURCES[0])])
    if isinstance(said, Unavailable):
        return said
    loaded = _open(private)
    if isinstance(loaded, Unavailable):
        return Unavailable(f"what {shlex.join(compiler.command)} made cannot be loaded: {loaded.reason}")
    if shared is not None:
        with private.open("rb") as file:
            os.fsync(file.fileno())  # a crash must not leave half a library under the name that others load
        private.replace(shared)
    return loaded


def _open(file: Path) -> ctypes.CDLL | Unavailable:
    """Load a library, if it is one and has what we call."""
    try:
        library = ctypes.CDLL(str(file))
        _ = library.seqclf_lstm_forward, library.seqclf_lstm_backward
    except (OSError, AttributeError) as error:  # missing, cut short, not a library; another library
        return Unavailable(str(error))
    return library


def _run(command: list[str]) -> str | Unavailable:
    """Return what a command prints, or the last line of its complaint."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT, encoding="utf-8", errors="replace",
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return Unavailable(f"the C++ compiler does not run: {error}")
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["(it says nothing)"]
        error_line = next((line for line in said if "error" in line), said[-1])
        return Unavailable(f"{command[0]} fails with exit code {done.returncode}: {error_line.strip()}")
    return done.stdout
