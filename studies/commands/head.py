"""``seqclf head``: start a cluster on this machine, which other machines can join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Start the head of a cluster and print how nodes and studies find it; Ctrl-C ends it."""

    host: str = "127.0.0.1"
    """Address of this machine that the others reach; the default is for this machine alone."""
    port: int = 6379
    """Port at which the head listens."""
    token: Path | None = None
    """File of the cluster's token, made where there is none; without it, Ray's own (~/.ray/auth_token)."""
    cache: Path | None = None
    """Folder for encoded reviews on this machine; without it, ~/.cache/seqclf."""
    cpus: int | None = None
    """Runs at a time on this machine, 0 for none; without it, one per processor."""
    memory: int | None = None
    """Size of the object store in bytes; without it, a third of this machine's memory."""


def main(arguments: Sequence[str]) -> int:
    """Start the head and wait until it ends."""
    options = parse(Options, arguments, "head")
    print("Starting a cluster on this machine.", flush=True)
    from studies.cluster.machines import Machine, run_head

    machine = Machine(options.cache, options.cpus, options.memory)
    return run_head(options.host, options.port, options.token, machine)
