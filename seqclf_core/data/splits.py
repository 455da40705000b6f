"""A validation part that predicts the test score: which training reviews are kept back from training.

Reviews of one movie mostly share their label. Where they stand on both sides of a split, validation rewards
knowing the movie; the test part, which shares no movie with the training part, does not.
"""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqclf_core.config import DataConfig
from seqclf_core.errors import DataError

Indices = NDArray[np.int64]
Kind = Literal["group", "random", "contiguous"]


def split(
    labels: ArrayLike, groups: Sequence[str] | NDArray[np.generic] | None, config: DataConfig
) -> tuple[Indices, Indices, Kind]:
    """Divide the reviews of the training part into those to train on and those to validate on.

    The answer is a pure function of the arguments. Every review is on exactly one side, both sides have
    both classes, and with ``group`` no group is on both sides.

    Args:
        labels: (N,) 0 or 1.
        groups: (N,) what must stay together, such as the movie; None where the data has no such column.
        config: ``split``, ``val_fraction`` and ``split_seed`` are read.

    Returns:
        Ascending positions of the training side, of the validation side, and how they were drawn.

    Raises:
        DataError: if groups are asked for and there are none, or a side would lack a class.
    """
    labels = np.asarray(labels)
    kind = _kind(config, has_groups=groups is not None)
    if kind == "group":
        assert groups is not None  # _kind has seen to it
        validation = _by_group(labels, groups, config)
    else:
        validation = _by_class(labels, config, shuffle=kind == "random")
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[validation] = True
    _require_both_classes(labels, held_out, kind)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out), kind


def _kind(config: DataConfig, *, has_groups: bool) -> Kind:
    if config.split_method == "group" and not has_groups:
        raise DataError(
            "data.split_method is 'group', but these reviews have no group column. "
            "Name it with --data.group-column, or use --data.split-method random."
        )
    if config.split_method != "auto":
        return config.split_method
    if has_groups:
        return "group"
    warnings.warn(
        "These reviews have no group column, such as the movie a review is about, so the validation part is "
        "drawn at random. Where reviews of one movie stand on both sides, validation scores come out higher "
        "than test scores, and go on rising after the test score has begun to fall.",
        stacklevel=3,
    )
    return "random"


def _by_group(labels: NDArray[np.generic], groups: ArrayLike, config: DataConfig) -> Indices:
    """Return the fold of whole groups whose share of each class is closest to ``val_fraction``."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"data.split_method is by group, but all {len(labels)} reviews have one and the same group "
            f"({names.tolist()}). Use --data.split-method random, or name another --data.group-column."
        )
    wanted = round(1 / config.val_fraction)
    folds = max(2, min(wanted, len(names), np.bincount(labels).min()))
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=config.split_seed)
    sides = [validation for _, validation in splitter.split(labels, labels, codes)]

    def distance(validation: Indices) -> float:
        share = np.bincount(labels[validation], minlength=2) / np.bincount(labels, minlength=2)
        return float(np.abs(share - config.val_fraction).max())

    return min(sides, key=distance)


def _by_class(labels: NDArray[np.generic], config: DataConfig, *, shuffle: bool) -> Indices:
    """Return ``val_fraction`` of each class: drawn at random, or its last rows."""
    generator = np.random.default_rng(config.split_seed)
    chosen = []
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        if shuffle:
            rows = generator.permutation(rows)
        chosen.append(rows[len(rows) - max(1, round(config.val_fraction * len(rows))) :])
    return np.concatenate(chosen)


def _require_both_classes(labels: NDArray[np.generic], held_out: NDArray[np.bool_], kind: Kind) -> None:
    for name, side in (("training", labels[~held_out]), ("validation", labels[held_out])):
        counts = {label: int((side == label).sum()) for label in (0, 1)}
        if 0 in counts.values():
            raise DataError(
                f"Of {len(labels)} reviews, split by data.split_method {kind}, the {name} part gets {counts[0]} "
                f"negative and {counts[1]} positive ones; it needs both. Give more reviews, or use another "
                "--data.split-method."
            )
