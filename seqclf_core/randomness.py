"""One random generator per purpose, so that runs with the same seed share whatever they can share.

Were there only one generator, a second logit in the head would shift every dropout mask after it. With one per
purpose, two runs that differ only in pooling or loss start from the same encoder, see the reviews in the same
order and drop the same words.
"""

from __future__ import annotations

import hashlib

import torch

PURPOSES = ("encoder", "head", "encoder_dropout", "head_dropout")


def derived_seed(seed: int, purpose: str) -> int:
    """Return a 63-bit seed for one purpose of a run, by SHA-256."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generators(seed: int, device: torch.device) -> dict[str, torch.Generator]:
    """Return a generator per purpose; initial weights are always drawn on the CPU, dropout on the device."""
    return {
        purpose: torch.Generator(device if purpose.endswith("dropout") else "cpu").manual_seed(
            derived_seed(seed, purpose)
        )
        for purpose in PURPOSES
    }
