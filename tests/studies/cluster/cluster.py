"""A real cluster on this machine: a head and nodes of one processor each, on the loopback address."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import psutil

from studies.cluster.machines import LOOPBACK, Machine, RayNode, start_head, start_node

MEMORY = 100_000_000
"""Bytes of each node's object store."""


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind((LOOPBACK, 0))
        port: int = asking.getsockname()[1]
    return port


class LocalCluster:
    """A head without processors and, after ``add``, nodes of one processor; each with a cache of its own."""

    def __init__(self, folder: Path, token: Path | None = None) -> None:
        """Start the head; a process's second cluster needs the ``token`` of the first, which Ray remembers."""
        self.folder = folder
        self.token = token or folder / "token"
        self.port = free_port()
        self.address = f"{LOOPBACK}:{self.port}"
        self.nodes: list[RayNode] = []
        machine = Machine(folder / "cache of head", cpus=0, memory=MEMORY)
        self.head = start_head(LOOPBACK, self.port, self.token, machine, folder / "head.log")

    def add(self, local: bool = False, cache: Path | None = None, cpus: int = 1) -> RayNode:
        """Start another node."""
        name = f"node{len(self.nodes)}"
        machine = Machine(cache or self.folder / f"cache of {name}", cpus, MEMORY, local)
        self.nodes.append(start_node(self.address, self.token, machine, log=self.folder / f"{name}.log"))
        return self.nodes[-1]

    def stop(self) -> None:
        for node in [*self.nodes, self.head]:
            stop_hard(node)


def family(node: RayNode) -> list[psutil.Process]:
    """Return a node's processes: its own and all that it started."""
    with suppress(psutil.NoSuchProcess):
        own = psutil.Process(node.process.pid)
        return [*own.children(recursive=True), own]
    return []


def actors(node: RayNode) -> list[psutil.Process]:
    """Return the slots that are at work or at rest on a node."""
    found = []
    for process in family(node):
        with suppress(psutil.NoSuchProcess):
            if "RaySlot" in process.name() or "ray::RaySlot" in " ".join(process.cmdline()):
                found.append(process)
    return found


def stop_hard(node: RayNode) -> None:
    """End a node and all that it started at once, as when its machine loses power."""
    for process in family(node):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.stop()


def kill_head_alone(node: RayNode) -> None:
    """End the process that knows the cluster; its machine, and a study on it, go on."""
    for process in family(node):
        with suppress(psutil.NoSuchProcess):
            if process.name() == "gcs_server":
                process.kill()
