"""The MLflow UI on what has been recorded: ``make ui``. Only this machine can reach it.

It works while a study is writing, and before there is anything to show.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import tyro

from experiments.tracking.database import prepare_database
from experiments.tracking.paths import RunPaths, mask, set_mlflow_environment
from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

DEFAULT_PORT = 5000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS_TRIED = 100
START_SECONDS = 60.0


def find_port(port: int | None, first: int = DEFAULT_PORT, target: str = "ui") -> int:
    """Return the port if it is free; where none was named, the first free one.

    Args:
        port: the one that was named.
        first: where to look for a free one.
        target: of make, for the message.

    Raises:
        UserError: if the port that was named is taken, or the hundred from ``first`` on are.
    """
    candidates = [port] if port is not None else range(first, first + PORTS_TRIED)
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a closed one is free
            try:
                probe.bind((LOOPBACK[0], candidate))
            except OSError:
                continue
        return candidate
    taken = f"Port {port} is" if port is not None else f"The ports from {first} on are"
    raise UserError(f"{taken} taken. Name another one: make {target} PORT=8080")


def server_command(paths: RunPaths, port: int) -> list[str]:
    """Return the command that serves the UI; the store's address, which may hold a password, is not in it."""
    own = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
    return [
        *(sys.executable, "-P", str(Path(__file__).with_name("ui_server.py")), "server"),
        *("--host", LOOPBACK[0], "--port", str(port), "--workers", "1"),
        *("--default-artifact-root", paths.artifacts.absolute().as_uri()),
        *("--artifacts-destination", paths.artifacts.absolute().as_uri()),
        # MLflow's default also takes any private address for the Host header.
        *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
        *("--cors-allowed-origins", ",".join(own)),
        *("--uvicorn-opts", "--log-level warning"),
    ]


def serve(paths: RunPaths, uri: str, port: int) -> int:
    """Serve the UI until it ends or Ctrl-C, printing its address once it answers.

    Raises:
        UserError: if the server does not come up.
    """
    prepare_database(paths, uri)
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        # Background jobs (evaluation, prompts) are not used here, and would take a process and memory each.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
    }
    # In a session of its own, since MLflow's server is two processes, which are ended together.
    process = subprocess.Popen(
        server_command(paths, port), env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends the server as Ctrl-C does
    try:
        _wait_until_it_answers(process, address)
        print(f"The runs in {mask(uri)} are at {address} (Ctrl-C ends this).")
        for name, page in _pages(address).items():
            print(f"  {name:24} {page}")
        sys.stdout.flush()
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _pages(address: str) -> dict[str, str]:
    """Return where the runs of each experiment are: MLflow's start page leads to its tools for language models."""
    query = f"{address}/api/2.0/mlflow/experiments/search?max_results=1000"
    with urllib.request.urlopen(query, timeout=30) as answer:
        found = json.load(answer).get("experiments", [])
    return {
        each["name"]: f"{address}/#/experiments/{each['experiment_id']}/runs?workflowType=machine_learning"
        for each in found
        if each["name"] != "Default"
    }


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"The MLflow server ended with status {process.returncode}; its own words are above.")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise UserError(f"The MLflow server did not answer at {address} within {START_SECONDS:.0f} s.")


def main(
    runs: Path = Path("runs"),
    port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None,
    host: str = LOOPBACK[0],
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None,
) -> int:
    """Show the recorded runs in the browser.

    Args:
        runs: The folder with all that is recorded.
        port: Where to serve; if not named, 5000 or the next one that is free.
        host: This machine only; see below for others.
        tracking_uri: MLflow's address; else $MLFLOW_TRACKING_URI, else mlflow.db under RUNS.
    """
    paths = RunPaths(runs)
    uri = paths.tracking_uri(tracking_uri)
    if host not in LOOPBACK:
        raise UserError(
            f"This UI asks nobody for a password, so it is not served at {host}. From another machine, tunnel: "
            f"ssh -L {port or DEFAULT_PORT}:127.0.0.1:{port or DEFAULT_PORT} THIS_MACHINE"
        )
    if uri.startswith("http"):
        print(f"The runs are recorded at a server, which has its own UI: {mask(uri)}")
        return 0
    set_mlflow_environment()
    return serve(paths, uri, find_port(port))


if __name__ == "__main__":
    run_command(lambda: tyro.cli(main))
