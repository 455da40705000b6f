"""Word vectors as a folder, and an encoder that starts from them.

vectors/vectors.safetensors   (V, E) float32, one row per token
vectors/tokenizer.json        the tokens
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from seqclf_core.data.vocabulary import PAD, read_tokenizer
from seqclf_core.errors import SavedError, UserError
from seqclf_core.files import atomic_path, open_plain
from seqclf_core.models import Encoder
from seqclf_core.training.checkpoint import TOKENIZER, TOKENIZER_BYTES, in_a_line

VECTORS = "vectors.safetensors"
"""File that makes a folder one of word vectors."""


def save_vectors(folder: Path, vectors: Tensor, tokenizer: Path) -> None:
    """Write a folder of word vectors; an older one in its place is replaced.

    Args:
        folder: to write.
        vectors: (V, E), one row per id.
        tokenizer: the ``tokenizer.json`` that gives the ids.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file({"vectors": vectors.float().contiguous()}, temporary / VECTORS)
        shutil.copyfile(tokenizer, temporary / TOKENIZER)


def load_vectors(folder: Path) -> tuple[Tensor, Tokenizer]:
    """Read a folder of word vectors: (V, E) and the tokenizer that gives the ids.

    Raises:
        SavedError: if it cannot be read, or the two do not fit each other.
    """
    try:
        with safe_open(folder / VECTORS, framework="pt") as file:
            vectors: Tensor = file.get_tensor("vectors").float()
        with open_plain(folder / TOKENIZER, TOKENIZER_BYTES) as plain:
            tokenizer = read_tokenizer(plain.read())
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SavedError(f"{folder} cannot be read as word vectors: {in_a_line(error)}") from error
    if vectors.dim() != 2 or len(vectors) != tokenizer.get_vocab_size() or not torch.isfinite(vectors).all():
        raise SavedError(f"{folder} cannot be read as word vectors: not one row of finite numbers per token")
    return vectors, tokenizer


def shared_tokens(theirs: Tokenizer, ours: Tokenizer) -> Tensor:
    """Return (N, 2) int64 pairs (their id, our id) of the tokens that both vocabularies have."""
    known, wanted = theirs.get_vocab(), ours.get_vocab()
    shared = sorted((known[token], wanted[token]) for token in known.keys() & wanted.keys())
    return torch.tensor(shared, dtype=torch.int64).reshape(-1, 2)


def start_from_vectors(encoder: Encoder, folder: Path, tokenizer: Tokenizer) -> None:
    """Give an encoder the vectors of all tokens that the folder has; others keep their initial ones.

    Args:
        encoder: whose embedding is changed.
        folder: of the vectors.
        tokenizer: that gives the encoder's ids.

    Raises:
        UserError: if the vectors cannot be read, or are of another width.
    """
    vectors, theirs = load_vectors(folder)
    weight = encoder.embedding.weight
    if vectors.shape[1] != weight.shape[1]:
        raise UserError(
            f"model.init_from={folder}: those vectors have {vectors.shape[1]} numbers per token, this model "
            f"{weight.shape[1]}; set model.embed_dim={vectors.shape[1]}"
        )
    pairs = shared_tokens(theirs, tokenizer)
    with torch.no_grad():
        weight[pairs[:, 1]] = vectors[pairs[:, 0]]
        weight[PAD].zero_()
