"""A cluster of machines: how its head and nodes are started, and how a study connects to it.

Closed by default: who has not the token is refused, there is no dashboard and no usage statistics, and everything
listens on the loopback address unless another one is given.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from seqclf_core.environment import MEMORY, REPEATABLE
from seqclf_core.errors import UserError
from studies.engine.resources import gpus, processors

LOOPBACK = "127.0.0.1"
PORT = 6379
PROBE_SECONDS = 3.0
"""Seconds within which a cluster's head must accept a connection."""
START_SECONDS = 60.0
"""Seconds within which a started head or node must be ready."""
CACHE = "SEQCLF_CACHE"
"""Environment variable of a node: the folder of its cache."""
LOCAL = "SEQCLF_LOCAL"
"""Environment variable of a node: 1 where its runs do not write into RUNS, even if it is there."""
WORKER_ENVIRONMENT = {**MEMORY, **REPEATABLE}


def require_ray() -> None:
    """Make sure that Ray is installed.

    Raises:
        UserError: if it is not; says how to install it.
    """
    if find_spec("ray") is None:
        raise UserError(
            "a cluster needs Ray, which is not installed here: .venv/bin/python -m pip install "
            "-r requirements-cluster.lock"
        )


def default_token() -> Path:
    """Return the file of the token where none is named: Ray's own."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def default_cache() -> Path:
    """Return the folder of a node's cache where none is named."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqclf"


def make_token(path: Path) -> None:
    """Write a new token that only this user may read, unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    check_token(path)


def check_token(path: Path) -> None:
    """Make sure that a token is there and that nobody else may read it.

    Raises:
        UserError: if not; says what to do.
    """
    try:
        mode, token = path.stat().st_mode & 0o777, path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UserError(
            f"the cluster's token cannot be read ({error}): name its file with --token (TOKEN=). It is made by "
            "`seqclf head`; copy it to every machine of the cluster"
        ) from error
    if mode & 0o077:
        raise UserError(f"{path} can be read by others: whoever has the token rules the cluster. chmod 600 {path}")
    if not token:
        raise UserError(f"{path} is empty: copy the token that `seqclf head` made")


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of an address.

    >>> split_address("10.0.0.5:6379")
    ('10.0.0.5', 6379)

    Raises:
        UserError: if it is none.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536 or "://" in address:
        raise UserError(f"--ray {address}: expected HOST:PORT as `seqclf head` prints it, such as 10.0.0.5:6379")
    return host, int(port)


def answers(address: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether something takes connections at an address."""
    try:
        socket.create_connection(split_address(address), seconds).close()
    except OSError:
        return False
    return True


def probe(address: str) -> None:
    """Make sure that something takes connections at an address: Ray itself would wait for minutes without a word.

    Raises:
        UserError: if nothing does.
    """
    try:
        socket.create_connection(split_address(address), PROBE_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"no cluster answers at {address} ({error}). `seqclf head` starts one and prints its address; a "
            "head on another machine is reached only if it was given --host (HOST=)"
        ) from error


def ray_environment(host: str, token: Path) -> dict[str, str]:
    """Return the environment of everything that belongs to a cluster; set it before Ray is imported."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token.absolute()),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Plain Ray rewrites 127.0.0.1 and listens on all interfaces.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0" if host in (LOOPBACK, "localhost") else "1",
        # Without a GPU asked for, Ray would hide them all.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


class RayNode:
    """A head or node of a cluster, as a process of its own with all that it started. It ends with ``stop``."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> None:
        """Start it and wait until it is up.

        Args:
            arguments: of ``ray start``.
            environment: its own variables; this process's come with them.
            log: file for what it says; without one, a temporary one.

        Raises:
            UserError: if it ends instead, or is not up in time; shows its last words.
        """
        # A file and not a pipe: whoever starts a node may be gone before it is.
        self.log = log or Path(tempfile.mkstemp(prefix="seqclf-ray-", suffix=".log")[1])
        command = [
            sys.executable, "-m", "studies.cluster.ray_start", "start", *arguments, "--block",
            "--disable-usage-stats", "--include-log-monitor=false",
            # Ray's defaults are fixed ranges, which a second node on a machine or another person's cluster holds.
            "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0",
        ]  # fmt: skip
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, env={**os.environ, **WORKER_ENVIRONMENT, **environment}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, cwd=Path(__file__).parents[2], start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in (said := self.log.read_text(encoding="utf-8", errors="replace")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                lines = [line for line in said.splitlines() if line.strip()][-12:]
                raise UserError("Ray did not start here. Its last words:\n" + "\n".join(lines))
            time.sleep(0.1)

    def wait(self) -> int:
        """Wait until it ends by itself, and return its status."""
        return self.process.wait()

    def stop(self) -> None:
        """End it and all that it started."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Machine:
    """What a machine gives to a cluster."""

    cache: Path | None = None
    """Folder of its cache; none: in the user's own."""
    cpus: int | None = None
    """Runs at a time; none: as many as there are processors."""
    memory: int | None = None
    """Bytes of the object store; none: what Ray finds right."""
    local: bool = False
    """Whether runs write to its own disk, even where RUNS is there."""

    def arguments(self) -> list[str]:
        """Return the arguments of ``ray start`` that say so."""
        cpus = processors() if self.cpus is None else self.cpus
        resources = [f"--num-cpus={cpus}", f"--num-gpus={gpus()}"]
        return [*resources, f"--object-store-memory={self.memory}"] if self.memory else resources

    def environment(self) -> dict[str, str]:
        """Return the variables that its slots read."""
        return {CACHE: str((self.cache or default_cache()).absolute()), LOCAL: str(int(self.local))}


def start_head(host: str, port: int, token: Path, machine: Machine, log: Path | None = None) -> RayNode:
    """Start the head of a cluster, which is a node too.

    Args:
        host: the address of this machine at which the cluster listens.
        port: the port of the head.
        token: file of the token; made where there is none.
        machine: what this machine gives.
        log: file for what Ray says; without one, a temporary one.

    Raises:
        UserError: if it does not start; says why.
    """
    require_ray()
    make_token(token)
    if answers(f"{host}:{port}", 1.0):
        raise UserError(f"something listens at {host}:{port} already: another head? Choose another --port")
    arguments = ["--head", f"--port={port}", f"--node-ip-address={host}", "--include-dashboard=false"]
    environment = {**ray_environment(host, token), **machine.environment()}
    return RayNode([*arguments, *machine.arguments()], environment, log)


def start_node(
    address: str, token: Path, machine: Machine, host: str | None = None, log: Path | None = None
) -> RayNode:
    """Start a node of a cluster.

    Args:
        address: of the cluster's head.
        token: file of the cluster's token.
        machine: what this machine gives.
        host: this machine's own address; none: that from which it reaches the head.
        log: file for what Ray says; without one, a temporary one.

    Raises:
        UserError: if the head does not answer or the node does not start; says why.
    """
    require_ray()
    check_token(token)
    probe(address)
    host = host or _own_address(address)
    arguments = [f"--address={address}", f"--node-ip-address={host}"]
    environment = {**ray_environment(host, token), **machine.environment()}
    return RayNode([*arguments, *machine.arguments()], environment, log)


def _own_address(address: str) -> str:
    """Return the address of this machine from which it reaches another."""
    host, port = split_address(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:  # sends nothing
        probing.connect((host, port))
        return str(probing.getsockname()[0])


def join(address: str, token: Path | None) -> ModuleType:
    """Connect this process to a cluster, and return the module of its executor.

    Raises:
        UserError: if Ray is not installed, nothing answers at the address, the token cannot be used or is refused,
            or this machine is no node of the cluster.
    """
    prepare(address, token or default_token())
    from studies.cluster import ray_executor  # noqa: PLC0415 - Ray, which reads the environment set above

    ray_executor.connect(address)
    return ray_executor


def run_head(host: str, port: int, token: Path | None, machine: Machine) -> int:
    """Start a head, say how nodes and studies find it, and wait until it ends; arguments as of ``start_head``."""
    file = (token or default_token()).expanduser().absolute()
    head = start_head(host, port, file, machine)
    address = f"{host}:{port}"
    named = f" TOKEN={file}" if token else ""
    where = "on this machine only: HOST= lets others in" if host == LOOPBACK else "each needs a copy of the token"
    print(f"The cluster's head is at {address}, its token in {file}. Ctrl-C ends it.\n")
    print(f"  make node RAY={address}{named}     # on other machines ({where})")
    print(f"  make study RAY={address}{named}    # here or on any of them", flush=True)
    return _watch(head)


def run_node(address: str, token: Path | None, machine: Machine, host: str | None) -> int:
    """Start a node and wait until it ends; arguments as of ``start_node``."""
    file = (token or default_token()).expanduser().absolute()
    node = start_node(address, file, machine, host)
    print(f"This machine works for the cluster at {address}. Ctrl-C ends that.", flush=True)
    return _watch(node)


def _watch(node: RayNode) -> int:
    """Wait until a head or node ends; Ctrl-C and SIGTERM end it."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        status = node.wait()
    except KeyboardInterrupt:
        status = 0
    finally:
        node.stop()
    if status:
        last = node.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise UserError("Ray has ended here. Its last words:\n" + "\n".join(last))
    node.log.unlink(missing_ok=True)
    return 0


def prepare(address: str, token: Path) -> None:
    """Make sure of a cluster, and set what Ray reads from the environment; call it before Ray is imported.

    Raises:
        UserError: if Ray is not installed, nothing answers at the address, or the token cannot be used.
    """
    require_ray()
    host, _ = split_address(address)
    check_token(token)
    probe(address)
    os.environ.update(ray_environment(host, token))
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault(
        "RAY_NUM_REDIS_GET_RETRIES", "3"
    )  # that often a head may not answer, or refuse the token
