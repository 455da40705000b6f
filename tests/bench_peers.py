"""Whole training steps beside other programs and an older version of this one, on the same reviews, in turn.

A part of ``make bench`` that is run where it is named. The others live in an environment of their own:

    python -m venv peers
    peers/bin/pip install torch==2.13.0 keras jax lightning transformers accelerate
    make bench DATA=... ARGS="--only peers --peers peers/bin/python --against FOLDER"

Each contender is a process of its own, on one processor, with the same variables as a worker's; while one works,
the others wait. An older version runs in its folder as it was, without these variables.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seqclf_core.environment import MEMORY, worker_environment

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "tests" / "peers"
OTHERS = {
    "packed loop, fp32": ("packed", 25),
    "Keras 3 on JAX": ("keras_fit", 7),
    "Lightning, bf16": ("lightning_fit", 3.5),
    "Hugging Face Trainer, bf16": ("transformers_train", 3),
}
"""Name -> its file, and how many times faster ours should be with the own kernel."""


class Contender:
    """A process that does rounds on demand, and waits in between."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start it, and wait until it is ready.

        Raises:
            RuntimeError: if it ends instead.
        """
        self.name = name
        self._process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=_one_processor,
        )  # fmt: skip
        self._line("ready")

    def rate(self) -> float:
        """Return the real tokens per second of one round."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._line("rate").split()[1])

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _line(self, start: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise RuntimeError(f"{self.name} ended with {self._process.wait()}; what it said is above")


def _one_processor() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def export(source: str | None, cache: Path, file: Path) -> None:
    """Write the reviews as this project cuts them, for programs that do not know it."""
    from tests.bench_steps import reviews_like_imdb

    reviews, _ = reviews_like_imdb(source, cache)
    cut = zip(reviews.starts, reviews.lengths, strict=True)
    tokens = np.concatenate([reviews.tokens[start : start + length] for start, length in cut])
    np.savez(file, tokens=tokens, offsets=np.concatenate([[0], np.cumsum(reviews.lengths)]), labels=reviews.labels)


def peers(source: str | None, cache: Path, rounds: int, python: str | None, against: Path | None) -> None:
    """Let every contender do its rounds in turn, at three sizes; print medians and ratios.

    Args:
        source: of the reviews; none: random tokens of IMDB's lengths.
        cache: where encoded reviews are kept; an older version has its own, in its folder.
        rounds: how often each figure is taken.
        python: of the environment in which the other programs are; none: without them.
        against: folder of an older version of this project; none: without it.
    """
    from seqclf_core.training.device import own_kernel_here
    from tests.bench_steps import SIZES, matrix_rate

    ours = worker_environment(os.environ) | {"PYTHONPATH": str(ROOT)}
    kernels = ["own", "onednn"] if own_kernel_here() else ["onednn"]
    print("\nreal tokens per second, one processor;")
    print(f"median (least - most) of {rounds} rounds, and how many times faster ours is by its kernel, by oneDNN")
    with tempfile.TemporaryDirectory() as folder:
        reviews = Path(folder) / "reviews.npz"
        export(source, cache, reviews)
        for size in SIZES:
            sizes = [str(reviews), *map(str, size)]

            def ourselves(what: str, kernel: str, cache: Path, sizes: Sequence[str] = sizes) -> list[str]:
                return [str(PEERS / "seqclf.py"), *sizes, what, kernel, source or "", str(cache.absolute())]

            contenders = [
                Contender(f"ours, {what}, {kernel}", [sys.executable, *ourselves(what, kernel, cache)], ROOT, ours)
                for what in ("train", "evaluation")
                for kernel in kernels
            ]
            if against:
                theirs = {name: value for name, value in ours.items() if name not in MEMORY}
                theirs["PYTHONPATH"] = str(against)
                contenders += [
                    Contender(f"older, {what}", [python_of(against), *command], against, theirs)
                    for what in ("train", "evaluation")
                    for command in [ourselves(what, "onednn", against / "runs" / "cache")]
                ]
            if python and size == SIZES[0]:
                contenders += [
                    Contender(name, [python, str(PEERS / f"{script}.py"), *sizes], Path(folder), ours)
                    for name, (script, _) in OTHERS.items()
                ]
            peaks, rates = [], []
            for _ in range(rounds + 1):
                peaks.append(matrix_rate(bf16=True))
                rates.append([each.rate() for each in contenders])
            for each in contenders:
                each.end()
            names = (each.name for each in contenders)
            show(
                size,
                dict(zip(names, zip(*rates[1:], strict=True), strict=True)),
                statistics.median(peaks),
                kernels,
            )


def python_of(folder: Path) -> str:
    """Return the Python of a folder's own environment, or this one where it has none."""
    own = folder / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def show(size: Sequence[int], rates: Mapping[str, Sequence[float]], peak: float, kernels: Sequence[str]) -> None:
    """Print one line per contender."""
    embed, hidden, _ = size
    print(f"\n  a matrix product in bf16 does {peak / 1e9:,.0f} GFLOP/s")
    print(f"  {'/'.join(map(str, size)):30} {'tokens/s':>12}   {'(least - most)':23} "
          + " ".join(f"{kernel:>8}" for kernel in kernels), "  of the product")  # fmt: skip
    for name, values in rates.items():
        what = "evaluation" if "evaluation" in name else "train"
        ratios = [
            statistics.median(
                our / other for our, other in zip(rates[f"ours, {what}, {kernel}"], values, strict=True)
            )
            for kernel in kernels
        ]
        median = statistics.median(values)
        used = f"{median * 24 * hidden * (embed + hidden) / peak:17.0%}" if what == "train" else ""
        aim = f"   (at least {OTHERS[name][1]})" if name in OTHERS else ""
        extent = f"({min(values):,.0f} - {max(values):,.0f})"
        print(
            f"  {name:30} {median:12,.0f}   {extent:23} " + " ".join(f"{ratio:8.2f}" for ratio in ratios),
            used,
            aim,
        )
