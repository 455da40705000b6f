"""A validation split that predicts the test score: which training texts are kept back from training.

Reviews of one movie mostly share their label. Where they stand on both sides of a split, validation rewards
knowing the movie; the test split, which shares no movie with the training split, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqclf_core.config import ReviewsConfig
from seqclf_core.errors import DataError

Indices = NDArray[np.int64]
SplitMethod = Literal["group", "random", "contiguous", "given"]

AT_RANDOM = (
    "These texts have no group column, such as the movie a review is about, so the validation split is drawn at "
    "random. Where texts of one group stand on both sides, validation scores come out higher than test scores, "
    "and go on rising after the test score has begun to fall"
)
"""Notice for the user where ``data.split_method=auto`` draws at random for lack of groups."""


def split(
    labels: ArrayLike,
    groups: Sequence[str] | NDArray[np.generic] | None,
    config: ReviewsConfig,
    own_val: int = 0,
) -> tuple[Indices, Indices, SplitMethod]:
    """Divide the training texts into those to train on and those to validate on.

    The answer is a pure function of the arguments. Every text is on exactly one side, both sides have
    both classes, and with ``group`` no group is on both sides.

    Args:
        labels: (N,) 0 or 1.
        groups: (N,) what must stay together, such as the movie; None where the data has no such column.
        config: ``split_method``, ``val_fraction`` and ``split_seed`` are read.
        own_val: how many texts at the end are a validation split of the source's own; none is drawn then.

    Returns:
        Ascending positions of the training side, of the validation side, and how they were drawn.

    Raises:
        DataError: if groups are asked for and there are none, or a side would lack a class.
    """
    labels = np.asarray(labels)
    method: SplitMethod = "given" if own_val else _method(config, has_groups=groups is not None)
    if method == "given":
        validation = np.arange(len(labels) - own_val, len(labels))
    elif method == "group":
        assert groups is not None  # _method has seen to it
        validation = _by_group(labels, groups, config)
    else:
        validation = _by_class(labels, config, shuffle=method == "random")
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[validation] = True
    _require_both_classes(labels, held_out, method)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out), method


def _method(config: ReviewsConfig, *, has_groups: bool) -> SplitMethod:
    if config.split_method == "group" and not has_groups:
        raise DataError(
            "data.split_method is 'group', but these texts have no group column. "
            "Name it with --data.group-column, or use --data.split-method random."
        )
    if config.split_method == "auto":
        return "group" if has_groups else "random"
    return config.split_method


def _by_group(labels: NDArray[np.generic], groups: ArrayLike, config: ReviewsConfig) -> Indices:
    """Return the fold of whole groups whose proportion of each class is closest to ``val_fraction``."""
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415 - a second; texts are divided once

    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"data.split_method is by group, but all {len(labels)} texts have one and the same group "
            f"({names.tolist()}). Use --data.split-method random, or name another --data.group-column."
        )
    wanted = round(1 / config.val_fraction)
    folds = max(2, min(wanted, len(names), np.bincount(labels).min()))
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=config.split_seed)
    sides = [validation for _, validation in splitter.split(labels, labels, codes)]

    def distance(validation: Indices) -> float:
        proportion = np.bincount(labels[validation], minlength=2) / np.bincount(labels, minlength=2)
        return float(np.abs(proportion - config.val_fraction).max())

    return min(sides, key=distance)


def _by_class(labels: NDArray[np.generic], config: ReviewsConfig, *, shuffle: bool) -> Indices:
    """Return ``val_fraction`` of each class: drawn at random, or a window of rows that begins at a random one."""
    generator = np.random.default_rng(config.split_seed)
    chosen = []
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        size = max(1, round(config.val_fraction * len(rows)))
        if shuffle:
            chosen.append(generator.permutation(rows)[len(rows) - size :])
        else:
            start = generator.integers(len(rows) - size, endpoint=True) if size <= len(rows) else 0
            chosen.append(rows[start : start + size])
    return np.concatenate(chosen)


def _require_both_classes(labels: NDArray[np.generic], held_out: NDArray[np.bool_], method: SplitMethod) -> None:
    for name, side in (("training", labels[~held_out]), ("validation", labels[held_out])):
        counts = {label: int((side == label).sum()) for label in (0, 1)}
        if 0 in counts.values():
            raise DataError(
                f"Of {len(labels)} texts, split by data.split_method {method}, the {name} split gets {counts[0]} "
                f"negative and {counts[1]} positive ones; it needs both. Give more texts, or use another "
                "--data.split-method."
            )
