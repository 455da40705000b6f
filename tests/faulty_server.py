"""An MLflow server that fails in a way of one's choice until it is mended: for `make soak` and `make bench`."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.experiments.tracking.faulty_proxy import faulty_proxy
from tests.studies.engine.study_command import ROOT

FAULTS = ("refuse", "hang", "answer 500", "lose replies")


@contextmanager
def server(runs: Path) -> Iterator[int]:
    """Serve the MLflow of a folder, made where there is none, as `make ui` does; yield the port."""
    port = unused_port()
    command = [sys.executable, "-m", "experiments.tracking.ui", "--runs", str(runs), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            if f":{port}" not in process.stdout.readline():
                raise RuntimeError("the MLflow server did not start")
            yield port
        finally:
            process.terminate()


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
