"""How fast it is, against what tutorials do: ``python -m tests.bench`` (``make bench``). Nothing here is a test.

Training step, evaluation, workers, recording, memory and report, all in one run on this machine, each figure the
median of several rounds in turn: machines are shared, and only ratios within one run mean something.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
EMBED, HIDDEN, BATCH, LENGTH, VOCAB = 100, 128, 64, 400, 20_000


def synthetic_lengths(count: int) -> list[int]:
    """Draw lengths like IMDB's: log-normal with median 200 tokens."""
    import numpy as np

    drawn = np.random.default_rng(0).lognormal(math.log(203), 0.6, count)
    return [max(10, min(2500, int(each))) for each in drawn]


class Loops:
    """The same model and reviews, trained in three ways. Each method does a few steps and returns tokens/s."""

    def __init__(self, source: str | None, cache: Path) -> None:
        import numpy as np
        import torch

        from seqclf_core.batches import CutReviews, training_order
        from seqclf_core.config import RunConfig
        from seqclf_core.corpus import Part, load_corpus

        torch.manual_seed(0)
        self.config = RunConfig().override(
            {
                "model.embed_dim": EMBED, "model.hidden_dim": HIDDEN, "model.pooling": "last", "train.batch_size": BATCH,
                "data.max_length": LENGTH,
            }
        )  # fmt: skip
        if source:
            part = load_corpus(self.config.data.model_copy(update={"source": source}), cache).train
        else:
            lengths = synthetic_lengths(20_000)
            tokens = np.random.default_rng(1).zipf(1.3, sum(lengths)) % (VOCAB - 2) + 2
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            labels = np.arange(len(lengths)) % 2
            part = Part(tokens.astype(np.uint16), offsets, labels, np.arange(len(lengths)), None)
        self.reviews = CutReviews(part, self.config.data)
        self.bucketed = training_order(self.reviews.lengths, BATCH, 0, 0)
        order = np.random.default_rng(2).permutation(len(self.reviews))
        self.shuffled = [order[at : at + BATCH] for at in range(0, len(order) - BATCH, BATCH)]
        self.position = 0

    def trainer(self, bf16: bool):  # type: ignore[no-untyped-def]
        import torch

        from seqclf_core.models import SequenceClassifier
        from seqclf_core.trainer import Trainer

        model = SequenceClassifier(self.config.model, VOCAB, seed=0)
        model.encoder.bf16 = bf16
        model.train()
        return Trainer(model, self.config, self.reviews, self.reviews, torch.device("cpu"), Path("unused"))

    def timed(self, step: Callable, order: list, steps: int) -> float:  # type: ignore[type-arg]
        """Do some steps on the next batches of an order and return real tokens per second."""
        chosen = [order[(self.position + index) % len(order)] for index in range(steps)]
        self.position += steps
        began = time.perf_counter()
        for reviews in chosen:
            step(reviews)
        return float(sum(self.reviews.lengths[r].sum() for r in chosen)) / (time.perf_counter() - began)

    def ours(self, bf16: bool) -> Callable:  # type: ignore[type-arg]
        trainer = self.trainer(bf16)
        return lambda reviews: float(trainer.train_step(self.reviews.batch(reviews, trainer.device)).loss)

    def evaluation(self, bf16: bool) -> Callable:  # type: ignore[type-arg]
        import torch

        trainer = self.trainer(bf16)
        trainer.model.eval()

        def score(reviews) -> None:  # type: ignore[no-untyped-def]
            with torch.inference_mode():
                batch = self.reviews.batch(reviews, trainer.device)
                float(trainer.model(batch.tokens, batch.lengths).sum())

        return score

    def packed(self) -> Callable:  # type: ignore[type-arg]
        """What tutorials do: shuffled batches, packed sequences, float32."""
        import torch
        from torch import nn
        from torch.nn.utils.rnn import pack_padded_sequence

        embedding, drop = nn.Embedding(VOCAB, EMBED, padding_idx=0), nn.Dropout(0.5)
        lstm, head = nn.LSTM(EMBED, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 1)
        weights = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(weights, lr=1e-3)

        def step(reviews) -> None:  # type: ignore[no-untyped-def]
            batch = self.reviews.batch(reviews, torch.device("cpu"))
            packed = pack_padded_sequence(drop(embedding(batch.tokens)), batch.lengths, batch_first=True,
                                          enforce_sorted=False)  # fmt: skip
            _, (final, _) = lstm(packed)
            logits = head(drop(final[-1]))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.labels.float())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            loss.item()

        return step


def matrix_rate(bf16: bool) -> float:
    """Return multiply-add FLOP per second of a large matrix product, one thread."""
    import torch

    kind = torch.bfloat16 if bf16 else torch.float32
    size = 1024
    left, right = torch.randn(size, size, dtype=kind), torch.randn(size, size, dtype=kind)
    rates = []
    for _ in range(8):
        began = time.perf_counter()
        left @ right
        rates.append(2 * size**3 / (time.perf_counter() - began))
    return statistics.median(rates)


def steps(source: str | None, cache: Path, rounds: int) -> None:
    """Compare training steps and evaluation."""
    import torch

    from seqclf_core.run import _use_bf16

    torch.set_num_threads(1)
    bf16 = _use_bf16("auto", torch.device("cpu"))
    loops = Loops(source, cache)
    kinds = {
        "packed, shuffled, fp32": (loops.packed(), loops.shuffled, 3),
        "dense, shuffled, fp32": (loops.ours(False), loops.shuffled, 6),
        "dense, bucketed, fp32": (loops.ours(False), loops.bucketed, 12),
        f"ours: dense, bucketed, {'bf16' if bf16 else 'fp32'}": (loops.ours(bf16), loops.bucketed, 24),
        "ours: evaluation": (loops.evaluation(bf16), loops.bucketed, 48),
    }
    for step, order, _ in kinds.values():  # kernels are built in the first steps
        loops.timed(step, order, 3)
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (step, order, count) in kinds.items():
            rates[name].append(loops.timed(step, order, count))
    lengths = "IMDB" if source else "synthetic"
    print(
        f"\nreal tokens per second, 1 thread, embed {EMBED}, hidden {HIDDEN}, batch {BATCH}, {lengths} lengths cut"
    )
    print(f"at {LENGTH}; median of {rounds} rounds (least - most)")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"  {name:32} {medians[name]:12,.0f}   ({min(values):,.0f} - {max(values):,.0f})")
    packed, shuffled, _, ours, evaluation = medians.values()
    print(f"  ours / packed                    {ours / packed:12.1f}   (at least 10)")
    print(f"  ours / dense, shuffled, fp32     {ours / shuffled:12.2f}   (at least 2, where the CPU has bf16)")
    print(f"  evaluation / training            {evaluation / ours:12.2f}   (at least 2.5)")
    rate = matrix_rate(bf16)
    share = ours * 24 * HIDDEN * (EMBED + HIDDEN) / rate
    print(f"  matrix product: {rate / 1e9:,.0f} GFLOP/s; the step reaches {share:.0%} of it")


def one_worker() -> None:
    """Train for some seconds and print tokens/s and peak memory: what ``workers`` starts one or two of."""
    import torch

    from seqclf_core.run import _use_bf16

    torch.set_num_threads(1)
    source, cache, seconds = sys.argv[2] or None, Path(sys.argv[3]), float(sys.argv[4])
    loops = Loops(source, cache)
    step = loops.ours(_use_bf16("auto", torch.device("cpu")))
    loops.timed(step, loops.bucketed, 5)
    print("ready", flush=True)
    sys.stdin.readline()
    began, tokens = time.perf_counter(), 0.0
    while (elapsed := time.perf_counter() - began) < seconds:
        tokens += loops.timed(step, loops.bucketed, 1) * 0 + float(
            loops.reviews.lengths[loops.bucketed[(loops.position - 1) % len(loops.bucketed)]].sum()
        )
    print(
        json.dumps({"rate": tokens / elapsed, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    )


def workers(source: str | None, cache: Path, rounds: int) -> None:
    """Compare two workers with one."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count in rates:
            command = [sys.executable, "-m", "tests.bench", "--one-worker", source or "", str(cache), "6"]
            started = [
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for _ in range(count)
            ]
            for each in started:
                each.stdout.readline()
            for each in started:
                each.stdin.write("go\n")
                each.stdin.flush()
            answers = [json.loads(each.communicate()[0]) for each in started]
            rates[count].append(sum(answer["rate"] for answer in answers))
    ratio = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    print(f"\ntwo workers / one: {ratio:.2f} (at least 1.8; this process may use {os.cpu_count()} processors)")


def study(source: str | None, cache: Path) -> None:
    """Run a real small study and read off what recording and memory cost."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        (runs / "cache").symlink_to(cache.absolute())
        command = [
            sys.executable, "-m", "studies", "imdb", "--name", "bench", "--runs", folder, "--trials", "2", "--no-report",
            "--data.source", source or "synthetic", "--data.limit", "4000", "--train.epochs", "2", "--model.embed-dim",
            str(EMBED), "--model.hidden-dim", str(HIDDEN), "--train.batch-size", str(BATCH), "--workers", "1",
        ]  # fmt: skip
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        journals = sorted((runs / "journal" / "bench").glob("0*.jsonl"))
        seconds = []
        for path in journals:
            entries = [json.loads(line) for line in path.read_text().splitlines()]
            times = [each["time"] for each in entries]
            seconds.append((times[-1] - times[0]) / 1000)
        print(f"\na trial on 4,000 reviews, 2 epochs: {statistics.median(seconds):.1f} s")
        print(
            f"recording: {recording_cost(journals[0], runs / 'copy.jsonl') / seconds[0]:.2%} of it (at most 1 %)"
        )


def recording_cost(journal: Path, copy: Path) -> float:
    """Return the seconds that it takes to write a whole trial's journal, fsyncs included."""
    from experiments.journal import Happened, Opened, read
    from experiments.recorder import Recorder

    entries = read(journal)
    opened = entries[0]
    assert isinstance(opened, Opened)
    began = time.perf_counter()
    with Recorder.open(copy, opened.header) as recorder:
        for entry in entries:
            if isinstance(entry, Happened):
                recorder.record(entry.event)
        recorder.close("complete")
    return time.perf_counter() - began


def memory(source: str | None, cache: Path) -> None:
    """Run one real run in a worker process and print its peak."""
    from seqclf_core.config import RunConfig

    changes = {
        "data.source": source or "synthetic", "model.embed_dim": EMBED, "model.hidden_dim": HIDDEN,
        "train.batch_size": BATCH, "train.epochs": 1, "train.evaluations": 1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        config = RunConfig().override(changes).model_dump(mode="json")
        process = subprocess.Popen([sys.executable, "-m", "seqclf_core.worker"], cwd=ROOT, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        stack.callback(process.kill)
        send(process, {"do": "run", "config": config, "folder": folder, "cache": str(cache.absolute())})
        began = 0.0
        for event in events(process):
            if event["event"] == "started":
                began = time.perf_counter()
            if event["event"] == "finished":
                break
            if event["event"] != "ready":
                send(process, {"do": "go"})
        peak = next(
            line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line
        )
        print(
            f"\none epoch and both scorings: {time.perf_counter() - began:.0f} s; peak memory of the worker:",
            end=" ",
        )
        print(f"{int(peak.split()[1]) * 1024 / 1e9:.2f} GB (at most 1.0)")


def send(process: "subprocess.Popen[str]", request: dict[str, object]) -> None:
    """Write a line to a worker."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()


def events(process: "subprocess.Popen[str]") -> Iterator[dict[str, object]]:
    """Read a worker's lines."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def main() -> None:
    """Measure all, or the part that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data.source", dest="source", default=None, help="reviews whose lengths to use")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["steps", "workers", "study", "memory"], default=None)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    options = parser.parse_args()
    source = str(Path(options.source).absolute()) if options.source else None
    parts = {
        "steps": lambda: steps(source, options.cache, options.rounds),
        "workers": lambda: workers(source, options.cache, options.rounds),
        "study": lambda: study(source, options.cache),
        "memory": lambda: memory(source, options.cache),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            part()


if __name__ == "__main__":
    one_worker() if sys.argv[1:2] == ["--one-worker"] else main()
