"""What a run leaves on disk: checkpoints to go on from, and model folders to predict with.

Weights never travel as pickle: safetensors for numbers, JSON for the rest. Every file is written beside its place,
brought onto the disk and then renamed, so that whoever reads sees the old one or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from seqclf_core.config import ModelConfig, RunConfig
from seqclf_core.data.vocabulary import read_tokenizer
from seqclf_core.errors import SavedError
from seqclf_core.files import atomic_path, open_plain
from seqclf_core.models import SequenceClassifier, SequenceTagger

WEIGHTS = "model.safetensors"
SETTINGS = "config.json"
TOKENIZER = "tokenizer.json"

# A model folder may be somebody else's: no file of it is read that is larger than any of ours.
SETTINGS_BYTES, HEADER_BYTES, TOKENIZER_BYTES, WEIGHTS_BYTES = 2**20, 2**20, 2**26, 2**31


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write tensors, and JSON about them, into one file, whole or not at all, and onto the disk."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata={"about": json.dumps(about)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Read what ``write_tensors`` wrote.

    Raises:
        SavedError: if the file is missing, cut or no safetensors file (a pickle, say, which is not run).
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {})["about"])
    except FileNotFoundError as error:
        raise SavedError(f"{path} does not exist") from error
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise SavedError(
            f"{path} is no whole safetensors file of ours ({error}); pickles and other formats are not read"
        ) from error
    return tensors, about


def save_model(
    folder: Path,
    model: SequenceClassifier | SequenceTagger,
    config: RunConfig,
    tokenizer: Path | bytes,
    tags: list[str],
) -> None:
    """Write a model folder onto the disk: weights, settings and tokenizer. An older one in its place is replaced.

    Args:
        folder: to write.
        model: its weights are written as they are.
        config: of the run that trained it.
        tokenizer: the ``tokenizer.json`` of its vocabulary, or its content.
        tags: what a tagger's outputs mean; empty for a classifier.
    """
    vocab_size = model.encoder.embedding.num_embeddings
    settings = {"format": 1, "config": config.model_dump(mode="json"), "vocab_size": vocab_size, "tags": tags}
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_tensors(temporary / WEIGHTS, model.state_dict(), {"format": 1})
        content = tokenizer if isinstance(tokenizer, bytes) else tokenizer.read_bytes()
        (temporary / TOKENIZER).write_bytes(content)
        (temporary / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def read_settings(folder: Path) -> tuple[RunConfig, int, list[str]]:
    """Read a model folder's settings: the run's configuration, the vocabulary's size, the tags of a tagger.

    Raises:
        SavedError: if this is no model folder; names what is missing or wrong.
    """
    path = folder / SETTINGS
    try:
        with open_plain(path, SETTINGS_BYTES) as file:
            settings = json.loads(file.read())
        if settings["format"] != 1:
            raise SavedError(f"{path} has format {settings['format']!r:.200}; this version reads format 1")
        config = RunConfig.model_validate(settings["config"])
        vocab_size, tags = settings["vocab_size"], settings["tags"]
        if type(vocab_size) is not int or not 0 < vocab_size < 2**31:
            raise SavedError(f"{path} has vocab_size {vocab_size!r:.200}; a count of tokens was expected")
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise SavedError(f"{path} has tags {tags!r:.200}; a list of names was expected")
    except FileNotFoundError as error:
        raise SavedError(f"{folder} is no model folder: it has no {SETTINGS}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise SavedError(f"{path} cannot be read as a model's settings: {in_a_line(error)}") from error
    return config, vocab_size, tags


def load_classifier(folder: Path) -> tuple[SequenceClassifier, RunConfig]:
    """Load a classifier from its folder, ready to predict (in evaluation mode, float32).

    Raises:
        SavedError: if the folder is missing a part, a part is cut, or the weights do not fit the settings.
    """
    config, vocab_size, tags = read_settings(folder)
    if tags:
        raise SavedError(f"{folder} holds a tagger; a classifier was expected")
    with torch.device("meta"):
        model = SequenceClassifier(_plain(config.model), vocab_size)
    return _filled(model, folder), config


def load_tagger(folder: Path) -> tuple[SequenceTagger, RunConfig, list[str]]:
    """Load a tagger and the names of its tags from its folder.

    Raises:
        SavedError: as ``load_classifier``.
    """
    config, vocab_size, tags = read_settings(folder)
    if not tags:
        raise SavedError(f"{folder} holds a classifier; a tagger was expected")
    with torch.device("meta"):
        model = SequenceTagger(_plain(config.model), vocab_size, len(tags))
    return _filled(model, folder), config, tags


def load_tokenizer(folder: Path, model: SequenceClassifier | SequenceTagger) -> Tokenizer:
    """Load the tokenizer of a model folder.

    Raises:
        SavedError: if it is missing, not one of ours, or gives ids that the model next to it does not know.
    """
    path = folder / TOKENIZER
    try:
        with open_plain(path, TOKENIZER_BYTES) as file:
            tokenizer = read_tokenizer(file.read())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SavedError(f"{path} cannot be read as a tokenizer: {in_a_line(error)}") from error
    size, rows = tokenizer.get_vocab_size(), model.encoder.embedding.num_embeddings
    if size > rows:
        raise SavedError(f"{path} has {size} tokens, but the model next to it knows {rows}")
    return tokenizer


def in_a_line(error: Exception) -> str:
    """Return what an error says, in one line that is not too long."""
    return " ".join(str(error).split())[:500]


def _plain(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update={"init_from": None})


Shapes = dict[str, tuple[int, ...]]
Model = TypeVar("Model", SequenceClassifier, SequenceTagger)


def _filled(model: Model, folder: Path) -> Model:
    """Give a model without memory the weights in a folder: their shapes are compared before any is held.

    Raises:
        SavedError: if they cannot be read, are not of the shapes in the settings, or are no finite numbers.
    """
    path = folder / WEIGHTS
    expected: Shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    try:
        with open_plain(path, WEIGHTS_BYTES) as file:
            if int.from_bytes(file.read(8), "little") > HEADER_BYTES:
                raise SavedError(f"{path} is no whole safetensors file of ours: its header is too large")
        with safe_open(path, framework="pt") as tensors:
            found: Shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            for name in sorted({*expected, *found}):
                if expected.get(name) != found.get(name):
                    raise SavedError(
                        f"the weights in {folder} do not fit its {SETTINGS}: {name!r:.100} is {found.get(name)}, "
                        f"not {expected.get(name)}"
                    )
            weights = {name: tensors.get_tensor(name) for name in expected}
    except FileNotFoundError as error:
        raise SavedError(f"{path} does not exist") from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise SavedError(
            f"{path} is no whole safetensors file of ours ({in_a_line(error)}); pickles and other formats are not "
            "read"
        ) from error
    for name, weight in weights.items():
        if not weight.is_floating_point() or not torch.isfinite(weight.float()).all():
            raise SavedError(f"the weights in {folder} are no finite numbers: {name}")
    model.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    return model.eval()
