"""Where text comes from: any source -> validated training and test reviews. The one door for data.

What a source's rows may be is decided in ``rows.py``; which sources there are, in ``sources.py``.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seqclf_core.config import DataConfig
from seqclf_core.data import synthetic
from seqclf_core.data.rows import RawPart, judge
from seqclf_core.data.sources import HUB_NAME, open_source, resolve
from seqclf_core.errors import DataError

if TYPE_CHECKING:  # takes most of a second, which resolve() need not cost
    import datasets

__all__ = ["Reviews", "load_reviews", "resolve"]

GROUP_COLUMNS = ("movie", "group")
"""What ``data.group_column=auto`` looks for."""
HELD_OUT = 5
"""Where a source has no test part, one review in this many becomes it."""


@dataclass(frozen=True)
class Reviews:
    """Training and test reviews, all of them fit for use."""

    train: "datasets.Dataset"
    """Columns ``text`` (str), ``label`` (int64, 0 negative, 1 positive), ``row`` (int64, counted from 0 in the
    source's own part, bad rows included) and, where there are groups, ``group`` (str)."""
    test: "datasets.Dataset"
    source: str
    """Where they come from, for a person."""
    synthetic: bool
    group_column: str | None
    """The source's name for the groups, such as ``movie``."""
    skipped: int
    """Bad rows that were left out."""
    digest: str
    """SHA-256 over the texts, labels and groups of both parts, in their order."""


def load_reviews(config: DataConfig, cache: Path) -> Reviews:
    """Read, judge and, with ``data.limit``, thin out the reviews of a source.

    Args:
        config: which source, and how to read it.
        cache: folder for what is worth keeping between two readings; made where needed.

    Raises:
        DataError: if the reviews cannot be used; names the file and row where there is one.
    """
    source = resolve(config.source)
    if source == "synthetic":
        raw = synthetic.open_corpus(config.split_seed)
        name = f"synthetic (seed {config.split_seed})"
    else:
        raw = open_source(source, cache)
        name = f"the hub's {HUB_NAME}" if source == "hub" else source
    group_column = _group_column(config, raw["train"])
    parts, skipped = {}, 0
    for part, rows in raw.items():
        # Only the training part is split further: a test part may do without groups.
        column = group_column if part == "train" or group_column in rows.columns else None
        parts[part], bad = judge(rows, column, config.on_bad_row)
        skipped += bad
    if "test" not in parts:
        parts["train"], parts["test"] = _hold_out(parts["train"], config.split_seed, name)
        kept_together = f", by {group_column}" if group_column else ""
        name = f"{name} (no test part: a fifth held out as such{kept_together}, seed {config.split_seed})"
    for part, table in parts.items():
        counts = _counts(table)
        if 0 in counts:
            raise DataError(
                f"{name}: the {part} part has {counts[0]} negative and {counts[1]} positive reviews"
                f"{f' ({skipped} bad rows were skipped)' if skipped else ''}; both labels are needed."
            )
    if config.limit is not None:
        parts = {
            part: _thin_out(table, config.limit, [config.split_seed, number], f"{name}: the {part} part")
            for number, (part, table) in enumerate(sorted(parts.items()))
        }
    digest = _digest(parts)
    return Reviews(
        train=_dataset(parts["train"], digest, "train"),
        test=_dataset(parts["test"], digest, "test"),
        source=name,
        synthetic=source == "synthetic",
        group_column=group_column,
        skipped=skipped,
        digest=digest,
    )


def _group_column(config: DataConfig, train: RawPart) -> str | None:
    if config.group_column in ("text", "label"):
        raise DataError(f"--data.group-column {config.group_column}: the {config.group_column} is not a group.")
    if config.group_column != "auto":
        return config.group_column  # that it is there is checked with the other columns
    return next((name for name in GROUP_COLUMNS if name in train.columns), None)


def _hold_out(table: pa.Table, seed: int, name: str) -> tuple[pa.Table, pa.Table]:
    """Split off a test part: stratified by label and, where there are groups, with each group on one side."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = table["label"].to_numpy()
    groups = table["group"].to_numpy() if "group" in table.column_names else None
    kinds = np.unique(labels if groups is None else groups)
    if min(_counts(table)) < HELD_OUT or (groups is not None and len(kinds) < HELD_OUT):
        raise DataError(
            f"{name}: there is no test part, and too little to hold one out; expected at least {HELD_OUT} "
            f"reviews of each label and {HELD_OUT} groups where there are any. Add a test file, or more reviews."
        )
    folds = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = folds(n_splits=HELD_OUT, shuffle=True, random_state=seed)
    train, test = next(splitter.split(labels, labels, groups))
    return table.take(train), table.take(test)


def _counts(table: pa.Table) -> tuple[int, int]:
    """Return how many reviews are negative and how many positive."""
    positive = pc.sum(table["label"]).as_py() or 0
    return table.num_rows - positive, positive


def _thin_out(table: pa.Table, limit: int, seed: list[int], name: str) -> pa.Table:
    """Take this many reviews at random, half of each label, in their old order."""
    wanted = (limit - limit // 2, limit // 2)
    counts = _counts(table)
    if any(count < want for count, want in zip(counts, wanted, strict=True)):
        raise DataError(
            f"{name} has {counts[0]} negative and {counts[1]} positive reviews; --data.limit {limit} asks for "
            f"{wanted[0]} and {wanted[1]}. At most {2 * min(counts)} can be asked for."
        )
    random = np.random.default_rng(seed)
    labels: NDArray[np.int64] = table["label"].to_numpy()
    chosen = [
        random.choice(np.flatnonzero(labels == label), want, replace=False) for label, want in enumerate(wanted)
    ]
    return table.take(np.sort(np.concatenate(chosen)))


def _digest(parts: dict[str, pa.Table]) -> str:
    """Return the SHA-256 over what is used; lengths tell where one text ends and the next begins."""
    digest = hashlib.sha256()
    for part in ("train", "test"):
        table = parts[part]
        digest.update(table["label"].to_numpy().astype("<i8").tobytes())
        for column in ("text", "group"):
            if column in table.column_names:
                digest.update(pc.binary_length(table[column]).to_numpy().astype("<i8").tobytes())
                for chunk in table[column].chunks:
                    digest.update(b"".join(chunk.cast(pa.binary()).to_pylist()))
        digest.update(b"%d" % table.num_rows)
    return digest.hexdigest()


def _dataset(table: pa.Table, digest: str, part: str) -> "datasets.Dataset":
    import datasets

    # The fingerprint, by which ``datasets`` caches what is derived from it, is the content's.
    return datasets.Dataset(datasets.table.InMemoryTable(table), fingerprint=f"{digest[:24]}-{part}")
