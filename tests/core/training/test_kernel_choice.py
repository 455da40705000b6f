"""Which kernel computes the LSTM of a run: chosen by settings and machine, recorded, and the same to the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seqclf_core.config import RunConfig
from seqclf_core.errors import DeviceError
from seqclf_core.events import Finished, Started
from seqclf_core.kernels.build import Unavailable
from seqclf_core.kernels.lstm import load_kernel
from seqclf_core.models import SequenceClassifier, SequenceTagger
from seqclf_core.run import run
from seqclf_core.training.device import set_computation
from tests.core.run_events import curve

CPU = torch.device("cpu")
REASON = isinstance(found := load_kernel(), Unavailable) and found.reason
needs_kernel = pytest.mark.skipif(bool(REASON), reason=str(REASON))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine without a compiler, on which nothing was compiled before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "/no/such/compiler")
    load_kernel.cache_clear()
    yield
    load_kernel.cache_clear()


@needs_kernel
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifier_and_a_tagger_give_what_torch_gives_them(bidirectional: bool) -> None:
    config = RunConfig().override(
        {
            "model.bidirectional": bidirectional,
            "model.num_layers": 2,
            "model.embed_dim": 12,
            "model.hidden_dim": 20,
        }
    )
    tokens = torch.randint(2, 50, (4, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 1, 4, 7])
    tokens[torch.arange(9) >= lengths[:, None]] = 0
    for model in (SequenceClassifier(config.model, 50), SequenceTagger(config.model, 50, tags=3)):
        model.eval()
        expected = model(tokens, lengths)
        set_computation(model.encoder, config.override({"train.kernel": "own"}), CPU)
        assert model.encoder.kernel
        torch.testing.assert_close(model(tokens, lengths), expected, atol=0.03, rtol=0.03)


@needs_kernel
def test_it_is_recorded_and_gives_the_same_curve_twice(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    small = small.override({"train.epochs": 1})
    curves = {}
    for name, kernel in (("first", "own"), ("again", "own"), ("torch", "onednn")):
        curves[name] = curve(run(small.override({"train.kernel": kernel}), tmp_path / name, cache))
        assert curves[name][0]["kernel"] == kernel
    assert curves["first"] == curves["again"]
    assert curves["first"] != curves["torch"]


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_a_run_is_that_of_torch(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    small = small.override({"train.epochs": 1})
    automatic = curve(run(small, tmp_path / "auto", cache))
    assert automatic == curve(run(small.override({"train.kernel": "onednn"}), tmp_path / "torch", cache))


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.precision": "bf16"}, "processor has no|no program that is there"),
        ({"train.precision": "fp32"}, "bf16 alone"),
        ({"train.precision": "bf16", "model.pooling": "last_position"}, "reads padding"),
    ],
)
def test_what_was_asked_for_and_cannot_be_had_is_refused(
    small: RunConfig, tmp_path: Path, cache: Path, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(DeviceError, match=said):
        next(run(small.override({"train.kernel": "own", **changes}), tmp_path, cache))


def test_the_mistake_that_reads_padding_is_left_to_torch(small: RunConfig, tmp_path: Path, cache: Path) -> None:
    config = small.override({"model.pooling": "last_position", "train.epochs": 1})
    first, *_, last = run(config, tmp_path, cache)
    assert isinstance(first, Started)
    assert first.kernel == "onednn"
    assert isinstance(last, Finished)
