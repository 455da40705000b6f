"""A model folder from elsewhere, made to harm: refused in one line, in little time and memory."""

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqclf_core.config import RunConfig
from seqclf_core.data.vocabulary import train_tokenizer
from seqclf_core.inference import Classifier
from seqclf_core.models import SequenceClassifier
from seqclf_core.training.checkpoint import save_model
from tests import forked

ROOT = Path(__file__).parents[3]
MEMORY = 2**20 * 600
"""Beyond what importing takes, in bytes."""
LOADING = """
import resource, sys
from pathlib import Path
from seqclf_core.errors import SavedError
from seqclf_core.inference import Classifier

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {memory}, used + {memory}))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
try:
    Classifier.load(Path(sys.argv[1])).predict(["a good film"])
except SavedError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that has learned nothing."""
    place = tmp_path_factory.mktemp("saved")
    tokenizer = train_tokenizer(["a good film", "a bad film", "a good film"], 50)
    tokenizer.save(str(place / "tokenizer.json"))
    config = RunConfig().override({"model.embed_dim": 4, "model.hidden_dim": 4})
    model = SequenceClassifier(config.model, tokenizer.get_vocab_size())
    save_model(place / "model", model, config, place / "tokenizer.json", tags=[])
    return place / "model"


def change(path: Path, name: str, value: object) -> None:
    """Change one value in a JSON file."""
    tree = branch = json.loads(path.read_text())
    *steps, leaf = name.split(".")
    for step in steps:
        branch = branch[step]
    branch[leaf] = value
    path.write_text(json.dumps(tree))


def setting(name: str, value: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config.json", name, value)


def tokenizer(name: str, value: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "tokenizer.json", name, value)


def content(name: str, made: Callable[[], bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(made())

    return write


def weights(edit: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"about": "{}"})

    return write


def header(told: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(told) if length is None else length) + told


def sparse(name: str, size: int, start: bytes = b"") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(size)

    return write


def instead(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return write


def huge_and_sparse(folder: Path) -> None:
    """Settings and weights that agree, on a vocabulary of which the file holds no byte."""
    rows = 2**30
    change(folder / "config.json", "vocab_size", rows)
    tensors = load_file(folder / "model.safetensors")
    told, at = {}, 0
    for name, tensor in tensors.items():
        shape = [rows, 4] if name == "encoder.embedding.weight" else list(tensor.shape)
        size = 4 * int(torch.tensor(shape).prod())
        told[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    start = header(json.dumps(told).encode())
    sparse("model.safetensors", len(start) + at, start)(folder)


NESTED = b"[" * 500_000
SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": "  "}
DEVICE = Path("/dev/zero")

HARMS: dict[str, Callable[[Path], None]] = {
    "settings nested": content("config.json", lambda: NESTED),
    "settings large": sparse("config.json", 2**34),
    "settings with a number without end": content("config.json", lambda: b'{"format": ' + b"9" * 500_000 + b"}"),
    "max_length": setting("config.data.max_length", 10**18),
    "max_length beyond int64": setting("config.data.max_length", 10**30),
    "layers": setting("config.model.num_layers", 10**9),
    "width": setting("config.model.hidden_dim", 10**9),
    "widest that is allowed": lambda folder: [
        setting(f"config.model.{name}", value)(folder)
        for name, value in (("hidden_dim", 4096), ("num_layers", 8), ("bidirectional", True))
    ] and None,
    "vocabulary": setting("vocab_size", 2**31 - 1),
    "weights nested": content("model.safetensors", lambda: header(NESTED)),
    "weights with a header that is not there": content("model.safetensors", lambda: header(b"{}", 2**62)),
    "weights with a large header": content("model.safetensors", lambda: header(b"{" + b" " * 2**21)),
    "weights sparse": huge_and_sparse,
    "weights not finite": weights(lambda tensors: tensors["head.weight"].fill_(torch.nan)),
    "weights complex": weights(lambda t: t.update({"head.weight": t["head.weight"].to(torch.complex64)})),
    "weights whole numbers": weights(lambda t: t.update({"head.weight": t["head.weight"].long()})),
    "weights too many": weights(lambda tensors: tensors.update({"x" * 5000: torch.zeros(1)})),
    "tokenizer nested": content("tokenizer.json", lambda: NESTED),
    "tokenizer large": sparse("tokenizer.json", 2**34),
    "tokenizer that doubles the text": tokenizer("normalizer.normalizers", [SPACE] * 60),
    "tokenizer that searches for ever": tokenizer("pre_tokenizer.pattern", {"Regex": "(a|a)*$|(.*)*x"}),
    "tokenizer that pads": tokenizer("padding", {"strategy": {"Fixed": 10**12}, "direction": "Right",
        "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}),
    "tokenizer with other tokens": tokenizer("added_tokens", [{"id": 10**6, "content": "film", "special": True,
        "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}]),
    "tokenizer of another kind": tokenizer("model.type", "BPE"),
    "tokenizer with ids beyond": tokenizer("model.vocab.film", 4_000_000),
    "tokenizer with an id twice": tokenizer("model.vocab.film", 0),
    "tokenizer with odd ids": tokenizer("model.vocab.film", [1]),
    "tokenizer with more words": tokenizer(
        "model.vocab", {"[PAD]": 0, "[UNK]": 1, **{f"w{n}": n + 2 for n in range(99)}}
    ),
    "tokenizer without words": tokenizer("model.vocab", None),
    **{
        f"{name} {kind}": instead(name, make)
        for name in ("config.json", "model.safetensors", "tokenizer.json")
        for kind, make in (
            ("is a pipe", os.mkfifo),
            ("is a folder", Path.mkdir),
            ("is a link to a device", lambda path: path.symlink_to(DEVICE)),
            ("is a link to a file", lambda path: path.symlink_to(ROOT / "pyproject.toml")),
            ("is a link to itself", lambda path: path.symlink_to(path)),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmful_folder_is_refused_in_a_line(harm: str, sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sound, folder)
    HARMS[harm](folder)
    done = forked.run(
        [sys.executable, "-c", LOADING.format(memory=MEMORY), str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1, done.stdout
    assert str(folder) in done.stdout
    assert len(done.stdout) < 2000


def test_the_same_folder_without_harm_is_loaded(sound: Path) -> None:
    assert Classifier.load(sound).predict(["a good film"])[0] > 0
