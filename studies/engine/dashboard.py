"""Optuna's own dashboard on the studies that are recorded, for whoever has the token of this start; an extra."""

from __future__ import annotations

import secrets
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import uvicorn
from uvicorn.middleware import wsgi

from experiments.tracking.paths import RunPaths, sqlite_path
from experiments.tracking.ui import LOOPBACK, find_port
from experiments.tracking.ui_server import Guard
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
    """Serve the dashboard until Ctrl-C, behind a guard: it can change studies, and asks nobody who he is.

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
    token = secrets.token_urlsafe(24)
    application: Any = wsgi.WSGIMiddleware(import_module("optuna_dashboard").wsgi(opened))  # type: ignore[attr-defined]
    print(f"Optuna's dashboard: http://{LOOPBACK[0]}:{port}/?token={token}  (Ctrl-C ends this)", flush=True)
    uvicorn.run(Guard(application, token, port), host=LOOPBACK[0], port=port, log_level="error")
