"""The validation part: nothing lost, no group on both sides, classes in balance, the same again."""

import warnings

import numpy as np
import pytest

from seqclf_core.config import DataConfig
from seqclf_core.data.splits import split
from seqclf_core.errors import DataError


def movies(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and movies as in IMDB: 1 to 30 reviews a movie, most of them with the movie's own label."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.geometric(0.15, count), 30)
    groups = np.repeat([f"tt{n:07}" for n in range(count)], sizes)
    liked = np.repeat(rng.random(count) < 0.5, sizes)
    labels = np.where(rng.random(len(groups)) < 0.87, liked, ~liked).astype(np.int64)
    order = rng.permutation(len(labels))
    return labels[order], groups[order]


def quiet_split(labels, groups, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return split(labels, groups, DataConfig(**settings))


@pytest.mark.parametrize("kind", ["group", "random", "contiguous"])
@pytest.mark.parametrize("val_fraction", [0.1, 0.15, 0.25])
def test_every_review_is_on_one_side_and_classes_are_in_balance(kind, val_fraction):
    labels, groups = movies()
    train, val, drawn = quiet_split(labels, groups, split_method=kind, val_fraction=val_fraction)
    assert drawn == kind
    assert sorted([*train, *val]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    assert len(val) / len(labels) == pytest.approx(val_fraction, rel=0.1)
    assert labels[val].mean() == pytest.approx(labels.mean(), abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides(seed):
    labels, groups = movies(seed=seed)
    train, val, kind = quiet_split(labels, groups, split_seed=seed)
    assert kind == "group"
    assert not set(groups[train]) & set(groups[val])


@pytest.mark.parametrize("kind", ["group", "random"])
def test_the_seed_alone_decides(kind):
    labels, groups = movies()
    first, again, other = (
        quiet_split(labels, groups, split_method=kind, split_seed=seed)[1].tolist() for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_contiguous_keeps_back_a_window_of_each_class_that_the_seed_draws():
    labels = np.array([0] * 10 + [1] * 20)
    starts = set()
    for seed in range(200):
        _, val, kind = quiet_split(labels, None, split_method="contiguous", val_fraction=0.2, split_seed=seed)
        assert kind == "contiguous"
        windows = val[:2], val[2:]
        assert all((np.diff(window) == 1).all() for window in windows)
        assert labels[val].tolist() == [0, 0, 1, 1, 1, 1]
        starts.add((int(val[0]), int(val[2])))
    assert {first for first, _ in starts} == set(range(9))
    assert {second for _, second in starts} == set(range(10, 27))


def test_auto_without_groups_draws_at_random():
    labels, _ = movies()
    _, val, kind = split(labels, None, DataConfig())
    assert kind == "random"
    assert val.tolist() == quiet_split(labels, None, split_method="random")[1].tolist()


def test_group_without_groups_is_refused():
    with pytest.raises(DataError, match=r"no group column.*--data.group-column"):
        quiet_split([0, 1] * 10, None, split_method="group")


def test_one_single_group_is_refused():
    with pytest.raises(DataError, match=r"one and the same group.*tt1"):
        quiet_split([0, 1] * 10, ["tt1"] * 20)


def test_fewer_groups_than_folds_still_split():
    groups = ["a"] * 6 + ["b"] * 4 + ["c"] * 2
    train, val, _ = quiet_split([0, 1] * 6, groups, val_fraction=0.1)
    assert [groups[n] for n in val] == ["c", "c"]
    assert len(train) == 10


def test_a_side_without_a_class_is_refused():
    with pytest.raises(DataError, match=r"gets 0 negative|0 positive"):
        quiet_split([0] * 10 + [1] * 10, ["a"] * 10 + ["b"] * 10)
    with pytest.raises(DataError, match=r"Of 21 texts.* training split gets 17 negative and 0 positive"):
        quiet_split([0] * 20 + [1], None, split_method="random")
