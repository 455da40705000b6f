"""What a model said about each review of a part: its score, and the file that keeps it. Without torch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from seqclf_core.data.cache import Split


def score(labels: npt.NDArray[np.int64], odds: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return (log loss in nats, accuracy) of the log-odds (N,) of a positive label."""
    margins = np.where(labels == 1, odds, -odds)  # towards the true label
    return float(np.logaddexp(0, -margins).mean()), float(((odds >= 0) == (labels == 1)).mean())


def write_predictions(path: Path, part: Split, odds: npt.NDArray[np.float64]) -> None:
    """Write row, label and probability of each review, whole or not at all; the folder is made where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "row": pa.array(part.rows, pa.int64()),
            "label": pa.array(part.labels, pa.int8()),
            "probability": pa.array(1 / (1 + np.exp(-odds)), pa.float32()),
        }
    )
    beside = path.with_name(f".{path.name}")
    pq.write_table(table, beside)
    beside.replace(path)
