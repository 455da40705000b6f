"""An MLflow server that fails in a way of one's choice until it is mended: for `make soak` and `make bench`."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.experiments.faulty_proxy import faulty_proxy
from tests.studies.study_command import ROOT

FAULTS = ("refuse", "hang", "answer 500", "lose replies")


@contextmanager
def faulty_server(runs: Path, fault: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Serve the MLflow of a folder.

    Args:
        runs: the folder, made where there is none.
        fault: one of ``FAULTS``, or "none".

    Yields:
        The server's address, and what makes it work from then on.
    """
    port, own = unused_port(), unused_port()
    command = [sys.executable, "-m", "experiments.ui", "--runs", str(runs), "--port", str(port)]
    with ExitStack() as stack, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        stack.callback(server.terminate)
        assert server.stdout
        if f":{port}" not in server.stdout.readline():
            raise RuntimeError("the MLflow server did not start")
        if fault == "refuse":

            def mend() -> None:
                stack.enter_context(faulty_proxy(port, own))

        else:
            proxy = stack.enter_context(faulty_proxy(port, own))
            proxy.fault = fault

            def mend() -> None:
                proxy.fault = "none"

        try:
            yield f"http://127.0.0.1:{own}", mend
        finally:
            stack.close()


def unused_port() -> int:
    """Return a port that nobody serves at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
