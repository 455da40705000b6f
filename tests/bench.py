"""How fast it is, against what tutorials do: ``python -m tests.bench`` (``make bench``). Nothing here is a test.

Everything is compared within one run on one machine: machines are shared, and only ratios mean something.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import psutil
import tyro

from seqclf_core.environment import prepare_process, worker_environment

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Options:
    """Measure steps, workers, recording, memory, failing trackers and the report, all or one."""

    source: Annotated[str | None, tyro.conf.arg(name="data.source")] = None
    """Reviews to use; none: random tokens of IMDB's lengths, and the synthetic corpus."""
    cache: Path = Path("runs/cache")
    """Where encoded reviews are kept."""
    rounds: int = 5
    """How often each figure is taken; medians are shown."""
    only: Literal[
        "all", "steps", "workers", "study", "memory", "start", "tracker", "report", "peers", "scale", "cluster"
    ] = "all"
    """The part to measure; peers, scale and cluster only where they are named."""
    peers: str | None = None
    """Python of an environment with other programs to compare with; see tests/bench_peers.py."""
    against: Path | None = None
    """Folder of an older version of this project to compare with, which has a cache in its runs."""
    trials: int = 20
    """Trials over which a worker's memory is measured; 100 for the figure that the README gives."""
    sizes: str = "10x300@0,10x200@10000,100x300@10000,1000x1500@8500"
    """Slots, trials to do and trials that are there before, of the studies of scale."""
    seconds: float = 600.0
    """Seconds after which a study of scale is stopped."""


def worker(source: str | None, cache: Path, seconds: float) -> None:
    """Train for some seconds once told to, and print tokens per second; ``workers`` starts one or two of these."""
    import torch

    from seqclf_core.data.batches import training_order
    from tests.bench_steps import BATCH, our_step, rate, reviews_like_imdb

    torch.set_num_threads(1)
    reviews, config = reviews_like_imdb(source, cache)
    batches = training_order(reviews.lengths, BATCH, 0, 0)
    step = our_step(reviews, config)
    rate(step, batches[:5], reviews.lengths)
    print("ready", flush=True)
    sys.stdin.readline()
    began, rates = time.perf_counter(), []
    while time.perf_counter() - began < seconds:
        done = 5 + 20 * len(rates)
        rates.append(rate(step, batches[done : done + 20], reviews.lengths))
    print(statistics.harmonic_mean(rates))


def workers(source: str | None, cache: Path, rounds: int) -> None:
    """Compare two workers with one."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    command = [sys.executable, "-m", "tests.bench", "--worker", source or "", str(cache), "6"]
    for _ in range(rounds):
        for count in rates:
            started = [
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for _ in range(count)
            ]
            for each in started:
                assert each.stdout
                each.stdout.readline()
            for each in started:
                assert each.stdin
                each.stdin.write("go\n")
                each.stdin.flush()
            rates[count].append(sum(float(each.communicate()[0]) for each in started))
    ratio = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    print(f"\ntwo workers / one: {ratio:.2f} (at least 1.8), with {os.cpu_count()} processors")


def study(source: str | None, cache: Path) -> None:
    """Run a small real study and set what recording took against what a trial took."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        (runs / "cache").symlink_to(cache.absolute())
        command = [
            sys.executable,
            "-m",
            "studies.commands",
            "study",
            "imdb",
            "--name",
            "bench",
            "--runs",
            folder,
            "--trials",
            "2",
        ]
        command += ["--workers", "1", "--no-report", "--data.source", source or "synthetic", "--train.epochs", "2"]
        command += ["--data.limit", "4000" if source else "2000"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        path = runs / "journal" / "bench" / "0000.jsonl"
        times = [json.loads(line)["time"] for line in path.read_text(encoding="utf-8").splitlines()]
        trial = (times[-1] - times[0]) / 1000
        cost = statistics.median(recording_seconds(path, runs / f"copy{index}.jsonl") for index in range(5))
        print(f"\nrecording takes {cost:.3f} s of a trial's {trial:.1f} s: {cost / trial:.2%} (at most 1 %)")


def recording_seconds(journal: Path, copy: Path) -> float:
    """Return what it takes to write a whole trial's journal, with every entry synced to disk."""
    from experiments.tracking.journal import Happened, Opened, read
    from experiments.tracking.recorder import Recorder

    opened, *entries = read(journal)
    assert isinstance(opened, Opened)
    began = time.perf_counter()
    with Recorder.open(copy, opened.header) as recorder:
        for entry in entries:
            if isinstance(entry, Happened):
                recorder.record(entry.event)
        recorder.close("complete")
    return time.perf_counter() - began


def memory(source: str | None, cache: Path, trials: int) -> None:
    """Let a real worker do many short trials of the default search and print the memory that it holds.

    Args:
        source: of the reviews; none: synthetic ones.
        cache: for encoded data.
        trials: how many.
    """
    from studies.imdb import Params, build_study

    changes = {"data.source": source or "synthetic", "data.limit": 1500, "train.epochs": 1}
    configs = [config.override(changes) for config in build_study(Params()).random_configs(trials)]
    warm = "import sys; from tests.bench import encode; encode(sys.stdin.read(), sys.argv[1])"
    command = [sys.executable, "-c", warm, str(cache)]
    subprocess.run(command, cwd=ROOT, check=True, text=True, input=configs[0].model_dump_json())
    held = []
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqclf_core.worker"], cwd=ROOT, env=worker_environment(os.environ), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        waiting = [
            {
                "do": "run",
                "config": config.model_dump(mode="json"),
                "folder": f"{folder}/{number}",
                "cache": str(cache),
            }
            for number, config in enumerate(configs)
        ]
        for line in process.stdout:  # ready, then a run's events, each but the last of which wants an answer
            free = '"event":"finished"' in line or not held
            if free:
                held.append(psutil.Process(process.pid).memory_info().rss / 1e9)
                if not waiting:
                    break
            process.stdin.write(json.dumps(waiting.pop(0) if free else {"do": "go"}) + "\n")
            process.stdin.flush()
        process.stdin.close()
        peak = os.wait4(process.pid, 0)[2].ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    after = ", ".join(f"{count}: {held[count]:.2f}" for count in (1, 10, 20, 50, 100) if count < len(held))
    print(f"\na worker over {trials} trials of the default search held at most {peak:.2f} GB (at most 0.7);")
    print(f"  GB after so many trials: {after}")


def encode(config: str, cache: str) -> None:
    """Put the reviews of a run's settings, as JSON, into the cache, unless they are there."""
    from seqclf_core.config import RunConfig
    from seqclf_core.data.cache import load_corpus

    load_corpus(RunConfig.model_validate_json(config).data, Path(cache))


def main() -> None:
    """Measure all, or the part that is named."""
    options = tyro.cli(Options, prog="python -m tests.bench")
    prepare_process()  # what is compared with ours has the same memory
    source = str(Path(options.source).absolute()) if options.source else None

    def steps(source: str | None, cache: Path) -> None:
        from tests.bench_steps import compare

        compare(source, cache, options.rounds)

    def by_workers(source: str | None, cache: Path) -> None:
        workers(source, cache, options.rounds)

    def trackers(source: str | None, cache: Path) -> None:
        from tests.bench_tracker import tracker

        tracker(source, cache, options.rounds)

    def by_starts(source: str | None, cache: Path) -> None:
        from tests.bench_start import start

        start(source, cache, options.rounds, options.against)

    def reports(_: str | None, __: Path) -> None:
        from tests.bench_report import report

        report()

    def by_trials(source: str | None, cache: Path) -> None:
        memory(source, cache.absolute(), options.trials)

    parts = {"memory": by_trials, "steps": steps, "workers": by_workers, "study": study}
    parts |= {"start": by_starts, "tracker": trackers, "report": reports}
    if options.only == "peers":
        from tests.bench_peers import peers

        peers(source, options.cache, options.rounds, options.peers, options.against)
    if options.only == "scale":
        from tests.bench_scale import scale

        scale(options.sizes, options.seconds)
    if options.only == "cluster":
        from tests.bench_cluster import cluster

        cluster(options.rounds)
    for name, part in parts.items():
        if options.only in ("all", name):
            part(source, options.cache)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2] or None, Path(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
