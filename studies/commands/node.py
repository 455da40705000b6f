"""``seqclf node``: let this machine work for a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Start a node of a cluster on this machine; Ctrl-C ends it, and its runs go on elsewhere."""

    ray: str
    """Address of the cluster's head, as ``seqclf head`` prints it: HOST:PORT."""
    token: Path | None = None
    """File of the cluster's token, copied from the head; without it, Ray's own (~/.ray/auth_token)."""
    host: str | None = None
    """Address of this machine; without it, the one from which it reaches the head."""
    cache: Path | None = None
    """Folder for encoded reviews on this machine; without it, ~/.cache/seqclf."""
    cpus: int | None = None
    """Runs at a time on this machine; without it, one per processor."""
    memory: int | None = None
    """Size of the object store in bytes; without it, a third of this machine's memory."""
    local: bool = False
    """Write runs to this machine's own disk, even where RUNS is shared; their files travel with their events."""


def main(arguments: Sequence[str]) -> int:
    """Start the node and wait until it ends."""
    options = parse(Options, arguments, "node")
    print(f"Joining the cluster of {options.ray}.", flush=True)
    from studies.cluster.machines import Machine, run_node

    machine = Machine(options.cache, options.cpus, options.memory, options.local)
    return run_node(options.ray, options.token, machine, options.host)
