"""What does it cost to read the state at the end of the padded row, instead of the one at the last real token?

make experiment NAME=padding_pitfall

Three runs with the same data, seed and budget:

- last, padded rows: every row as long as max_length, read at the last real token. Padding changes nothing.
- last_position, padded rows: read at the row's end. A short review has by then been followed by hundreds of
  padding steps, which the LSTM must learn to carry it through.
- last_position, bucketed rows: batches of similar length, with little padding. The mistake is still there, and
  hardly shows: until somebody scores reviews in other batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from experiments.experiment import Experiment, NamedRun, Place, Result
from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus
from seqclf_core.run import run
from seqclf_core.training.predictions import decide


def runs(config: RunConfig, _: Place) -> list[NamedRun]:
    """Make the three runs."""
    return [
        NamedRun(f"{pooling}, {rows} rows", config.override({"model.pooling": pooling, "data.pad": pad}))
        for pooling, rows, pad in (
            ("last", "padded", "max_length"),
            ("last_position", "padded", "max_length"),
            ("last_position", "bucketed", "longest"),
        )
    ]


def table(results: Sequence[Result], corpus: Corpus) -> str:
    """Show the accuracies of complete runs, also by length of the test reviews."""
    config = results[0].run.config
    assert isinstance(config, RunConfig)
    half = config.data.max_length / 2
    lines = [f"  {'accuracy':28} validation      test   test, up to {half:g} tokens   longer"]
    for result in results:
        finished = result.finished
        assert finished
        short, long = accuracy_by_length(result.folder / finished.files["test_predictions"], corpus, half)
        lines.append(
            f"  {result.run.label:28} {finished.metrics['best/val_accuracy']:10.4f}  "
            f"{finished.metrics['test/accuracy']:8.4f}   "
            f"{short:22.4f}   {long:6.4f}"
        )
    return "\n".join(lines)


def accuracy_by_length(predictions: Path, corpus: Corpus, half: float) -> tuple[float, float]:
    """Return the accuracy on test reviews of up to ``half`` tokens and on longer ones; NaN for no reviews."""
    read = pq.read_table(predictions)
    lengths = dict(zip(corpus.test.rows.tolist(), np.diff(corpus.test.offsets).tolist(), strict=True))
    short = np.array([lengths[row] <= half for row in read["row"].to_pylist()])
    right = decide(read["probability"].to_numpy()) == (read["label"].to_numpy() == 1)
    on_short, on_long = (float(right[part].mean()) if part.any() else float("nan") for part in (short, ~short))
    return on_short, on_long


EXPERIMENT = Experiment(
    purpose="What does it cost to read the state at the end of the padded row?",
    # Patience: no run stops before the others.
    base=RunConfig().override({"model.embed_dim": 64, "model.hidden_dim": 64, "train.patience": 1000}),
    stream=run,
    runs=runs,
    varies=frozenset({"model.pooling", "data.pad"}),
    conclude=table,
)
