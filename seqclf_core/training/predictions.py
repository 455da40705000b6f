"""What a model says about each text of a split: its probability, the decision, and the file. Without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from seqclf_core.data.cache import Split
from seqclf_core.files import atomic_path

Probability = TypeVar("Probability", bound=Any)


def decide(probability: Probability) -> Probability:
    """Return where the positive label is decided for: at a probability of one half and above.

    Args:
        probability: of the positive label; a number, array, tensor or column.
    """
    positive: Probability = probability >= 0.5
    return positive


def probabilities(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the probability of the positive label for its log-odds, as it is kept, shown and decided by."""
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float32)


def write_predictions(path: Path, part: Split, log_odds: npt.NDArray[np.float64]) -> None:
    """Write row, label and probability of each text, whole or not at all; the folder is made where needed."""
    table = pa.table(
        {
            "row": pa.array(part.rows, pa.int64()),
            "label": pa.array(part.labels, pa.int8()),
            "probability": pa.array(probabilities(log_odds), pa.float32()),
        }
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
