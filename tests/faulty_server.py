"""An MLflow server that fails in a way of one's choice until it is mended: for `make soak` and `make bench`."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from experiments.tracking.database import prepare_database
from experiments.tracking.paths import ARTIFACT_ROOT, RunPaths
from tests.experiments.tracking.faulty_proxy import faulty_proxy
from tests.studies.engine.study_command import ROOT

FAULTS = ("refuse", "hang", "answer 500", "lose replies")


@contextmanager
def server(runs: Path, database: str | None = None) -> Iterator[int]:
    """Serve the MLflow of a folder, made where there is none, to everybody, as a team's server; yield the port.

    Args:
        runs: the folder.
        database: MLflow's, if it is not the one of the folder.
    """
    port, paths = unused_port(), RunPaths(runs)
    database = database or paths.tracking_uri()
    prepare_database(database)
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database, "--default-artifact-root", ARTIFACT_ROOT),
        *("--artifacts-destination", paths.artifacts.absolute().as_uri(), "--uvicorn-opts", "--log-level warning"),
        *("--allowed-hosts", "*"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            while process.poll() is None and not _answers(port):
                time.sleep(0.1)
            if process.poll() is not None:
                raise RuntimeError("the MLflow server did not start")
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def faulty(port: int, fault: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Stand before a server and fail; yield the address, and what makes it work from then on.

    Args:
        port: of the server, on this machine.
        fault: one of ``FAULTS``, or "none".
    """
    own = unused_port()
    with ExitStack() as stack:
        if fault == "refuse":
            yield f"http://127.0.0.1:{own}", lambda: stack.enter_context(faulty_proxy(port, own)) and None
        else:
            proxy = stack.enter_context(faulty_proxy(port, own))
            proxy.fault = fault
            yield f"http://127.0.0.1:{own}", lambda: setattr(proxy, "fault", "none")


@contextmanager
def faulty_server(runs: Path, fault: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Serve the MLflow of a folder as ``server`` does, and fail as ``faulty`` does."""
    with server(runs) as port, faulty(port, fault) as served:
        yield served


def unused_port() -> int:
    """Return a port that nobody serves at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
