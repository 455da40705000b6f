"""Optuna's own dashboard on the studies that are recorded, for this machine alone; an extra."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from experiments.tracking.paths import RunPaths, sqlite_path
from experiments.tracking.ui import LOOPBACK, find_port
from seqclf_core.errors import UserError
from studies.engine.storage import explained, open_storage

FIRST_PORT = 8080


def require_dashboard() -> None:
    """Make sure that the dashboard is installed.

    Raises:
        UserError: if it is not; says how to install it.
    """
    if find_spec("optuna_dashboard") is None:
        raise UserError(
            "optuna-dashboard is not installed: .venv/bin/python -m pip install -r requirements-dashboard.lock"
        )


def show(paths: RunPaths, storage: str, port: int | None) -> None:
    """Serve the dashboard until Ctrl-C. It has no password, and who opens it can change studies.

    Args:
        paths: the folder with all that is recorded.
        storage: address of Optuna's database.
        port: to serve at; None: the first one that is free.

    Raises:
        UserError: if it is not installed, nothing is recorded yet, or the port is taken.
    """
    require_dashboard()
    file = sqlite_path(storage)
    if file and not file.is_file():
        raise UserError(f"No study is recorded in {paths.runs} yet: `make study` runs one.")
    port = find_port(port, FIRST_PORT, "dashboard")
    with explained():
        opened = open_storage(storage)
    print(
        f"Optuna's dashboard: http://{LOOPBACK[0]}:{port}/  (every user of this machine can open it)", flush=True
    )
    import_module("optuna_dashboard").run_server(opened, host=LOOPBACK[0], port=port)
