"""The MLflow UI on what has been recorded: ``make ui``. Only who has the link that it prints can use it.

It works while a study is writing, and before there is anything to show.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.tracking import names
from experiments.tracking.database import prepare_database, remove_stray_folder
from experiments.tracking.paths import MLFLOW_SETTINGS, RunPaths
from experiments.tracking.views import link
from seqclf_core.errors import UserError
from seqclf_core.masking import mask

ROOT = Path(__file__).parents[2]
DEFAULT_PORT = 5000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS_TRIED = 100
START_SECONDS = 60.0
TRAINING = "workflowType=machine_learning"
"""Query of a link to MLflow's pages for training; without it, MLflow opens its pages for language models."""

# No proxy stands between a machine and itself.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def find_port(port: int | None, first: int = DEFAULT_PORT, target: str = "ui") -> int:
    """Return the port if it is free; where none was named, the first free one.

    Args:
        port: the one that was named.
        first: where to look for a free one.
        target: of make, for the message.

    Raises:
        UserError: if the port that was named is none, is taken or not for this user, or the hundred from ``first``
            on are taken.
    """
    if port is not None and not 0 < port < 2**16:
        raise UserError(f"PORT={port} is no port. Name one from 1024 to 65535: make {target} PORT=8080")
    candidates = [port] if port is not None else range(first, first + PORTS_TRIED)
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a closed one is free
            try:
                probe.bind((LOOPBACK[0], candidate))
            except PermissionError:
                raise UserError(
                    f"Port {candidate} is not for plain users. Name one from 1024 on: make {target} PORT=8080"
                ) from None
            except OSError:
                continue
        return candidate
    taken = f"Port {port} is" if port is not None else f"The ports from {first} on are"
    raise UserError(f"{taken} taken. Name another one: make {target} PORT=8080")


def show(paths: RunPaths, tracking_uri: str | None, host: str, port: int | None) -> int:
    """Serve the UI, or say where it is; return the exit status.

    Raises:
        UserError: if it is asked for at an address that other machines reach, or the server does not come up.
    """
    uri = paths.tracking_uri(tracking_uri)
    if host not in LOOPBACK:
        raise UserError(
            f"This UI is not encrypted, so it is not served at {host}. From another machine, tunnel: "
            f"ssh -L {port or DEFAULT_PORT}:127.0.0.1:{port or DEFAULT_PORT} THIS_MACHINE"
        )
    if uri.startswith("http"):
        print(f"The runs are recorded at a server, which has its own UI: {mask(uri)}")
        return 0
    return serve(paths, uri, find_port(port))


def serve(paths: RunPaths, uri: str, port: int) -> int:
    """Serve the UI until it ends or Ctrl-C, printing its links once it answers.

    Raises:
        UserError: if the server does not come up.
    """
    prepare_database(uri)
    token, address = secrets.token_urlsafe(24), f"http://127.0.0.1:{port}"
    artifacts = str(paths.artifacts_of(uri).absolute())
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.tracking.ui_server", str(port), artifacts],
        env=server_environment(uri, token), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process, which ends the other
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends the server as Ctrl-C does
    try:
        _wait_until_it_answers(process, address, token)
        print(f"The runs in {mask(uri)} are at {address}/?token={token} (Ctrl-C ends this).")
        for line in links(address, token):
            print(line)
        remove_stray_folder(uri)
        sys.stdout.flush()
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        process.wait()


def server_environment(uri: str, token: str) -> dict[str, str]:
    """Return the environment of the server: ours, without what is meant for another server of MLflow."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))}
    return {
        **ours,
        **MLFLOW_SETTINGS,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), ours.get("PYTHONPATH")])),
        "PYTHONWARNINGS": "ignore",
        "SEQCLF_UI_TOKEN": token,
        "SEQCLF_UI_TRACKING_URI": uri,
    }


def links(address: str, token: str) -> list[str]:
    """Return lines with a link to each view of each experiment, and to the runs of those without views."""
    lines = []
    for each in _ask(address, token, "experiments/search?max_results=1000").get("experiments", []):
        if each["name"] == "Default":
            continue
        page = f"{address}/?token={token}#/experiments/{each['experiment_id']}/runs?{TRAINING}"
        views = [
            (json.loads(tag["value"])["name"], tag["key"].removeprefix(names.VIEW))
            for tag in each.get("tags", [])
            if tag["key"].startswith(names.VIEW)
        ]
        lines.append(f"  {each['name']}")
        lines += [f"    {name:12} {page}{link(key)}" for name, key in views] or [f"    {'runs':12} {page}"]
    return lines


def _ask(address: str, token: str, what: str) -> Any:
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/{what}", headers={"Authorization": f"Bearer {token}"}
    )
    with _open(request, timeout=30) as answer:
        return json.load(answer)


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, token: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(
                f"The MLflow server ended with status {process.returncode}; its own messages are above."
            )
        try:
            _ask(address, token, "experiments/search?max_results=1")
        except urllib.error.HTTPError as error:
            raise UserError(f"The MLflow server at {address} answers with an error: {error}") from error
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise UserError(
        f"The MLflow server did not answer at {address} within {START_SECONDS:.0f} s. Try again; if it happens "
        "twice, its messages above may tell why."
    )
