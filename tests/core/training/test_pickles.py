"""A pickle is refused wherever arrays are read, and never run: not in the cache, not as a checkpoint."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from seqclf_core.config import DataConfig, RunConfig
from seqclf_core.data.cache import damaged, load_corpus
from seqclf_core.errors import SavedError
from seqclf_core.training.checkpoint import read_tensors


class Trap:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


def as_array(marker: Path, path: Path) -> None:
    np.save(path, np.array([Trap(marker)], dtype=object), allow_pickle=True)


def as_it_is(marker: Path, path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(marker)))


@pytest.mark.parametrize("plant", [as_array, as_it_is])
def test_in_the_cache_even_with_its_checksum_in_the_manifest(
    plant: object, small: RunConfig, tmp_path: Path
) -> None:
    config, cache, marker = DataConfig(source=small.data.source), tmp_path / "cache", tmp_path / "executed"
    first = load_corpus(config, cache)
    tokens, entry = first.train.tokens.copy(), first.tokenizer.parent
    plant(marker, entry / "train.tokens.npy")  # type: ignore[operator]
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["train.tokens.npy"] = hashlib.sha256((entry / "train.tokens.npy").read_bytes()).hexdigest()
    (entry / "manifest.json").write_text(json.dumps(manifest))

    assert entry in damaged(cache)
    assert np.array_equal(load_corpus(config, cache).train.tokens, tokens)
    assert not damaged(cache)
    assert not marker.exists()


@pytest.mark.parametrize("plant", [as_array, as_it_is])
def test_as_a_checkpoint(plant: object, tmp_path: Path) -> None:
    plant(tmp_path / "executed", tmp_path / "checkpoint.npy")  # type: ignore[operator]
    with pytest.raises(SavedError, match="pickles and other formats are not read"):
        read_tensors(tmp_path / "checkpoint.npy")
    assert not (tmp_path / "executed").exists()
