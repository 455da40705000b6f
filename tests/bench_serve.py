"""How long 50 clients wait for `seqclf serve`, and whether its memory stays flat: ``python -m tests.bench_serve``.

A model of ordinary size (embed 100, hidden 128), texts of 20 to 400 words, one text a request. First 50 clients at
once, each asking again as soon as it is answered; then bodies of 20 MB, which are refused; then the first again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from experiments.tracking.paths import RunPaths
from seqclf_core.config import RunConfig
from seqclf_core.data.vocabulary import train_tokenizer
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import save_model
from tests.experiments.serving.served import Served, make_record, serving

CLIENTS = 50
WORDS = [f"word{number}" for number in range(20_000)]


def make_model(folder: Path) -> Path:
    """Write a model of ordinary size that has learned nothing."""
    tokenizer = train_tokenizer([" ".join(WORDS)] * 2, 30_000)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = RunConfig().override({"model.embed_dim": 100, "model.hidden_dim": 128})
    model = SequenceClassifier(config.model, tokenizer.get_vocab_size())
    save_model(folder / "model", model, config, folder / "tokenizer.json", tags=[])
    return folder / "model"


def text(draw: random.Random) -> str:
    """Return a text of 20 to 400 words."""
    return " ".join(draw.choices(WORDS, k=draw.randint(20, 400)))


def load(served: Served, requests: int) -> tuple[float, float]:
    """Ask as 50 clients at once and return the median time of an answer and its 99th percentile, in seconds."""

    def client(number: int) -> list[float]:
        draw, times = random.Random(number), []
        for _ in range(requests // CLIENTS):
            content = text(draw)
            began = time.perf_counter()
            served.predictions([content])
            times.append(time.perf_counter() - began)
        return times

    with ThreadPoolExecutor(CLIENTS) as clients:
        times = np.concatenate(list(clients.map(client, range(CLIENTS))))
    return float(np.median(times)), float(np.quantile(times, 0.99))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench_serve", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--requests", type=int, default=4000, help="requests in each of four rounds")
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as name:
        paths = RunPaths(Path(name) / "runs")
        make_record(paths, make_model(Path(name)))
        with serving(paths.runs) as served:
            process = psutil.Process(served.pid)
            for number in range(4):
                if number == 3:
                    for _ in range(5):
                        status, _ = served.ask(b"x" * 20_000_000)
                        assert status == 413
                    print(f"after 5 bodies of 20 MB: {process.memory_info().rss / 1e6:.0f} MB")
                began = time.perf_counter()
                median, late = load(served, requests)
                rate = requests / (time.perf_counter() - began)
                print(
                    f"round {number + 1}: {requests} requests, {rate:.0f}/s, median {1000 * median:.0f} ms, "
                    f"p99 {1000 * late:.0f} ms (x {late / median:.2f}), {process.memory_info().rss / 1e6:.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
