"""Stores filled with made-up runs, and an MLflow server in this process for tests that read over HTTP."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from reports.frames import Stores
    from tests.reports.recorded_runs import MadeUp


@pytest.fixture(scope="session")
def fill(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Callable[..., "Stores"]:
    """Record runs in stores of their own."""
    from tests.reports.recorded_runs import record  # takes seconds, and many tests in this folder need no store

    def filled(
        runs: list["MadeUp"], finished: bool = True, notes: dict[str, dict[str, str]] | None = None
    ) -> "Stores":
        folder = tmp_path_factory.mktemp("recorded")
        shutil.copy(empty_database, folder)
        return record(folder, runs, finished, notes)

    return filled


@pytest.fixture
def tracking_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Serve a tracking database; a call with its URI gives the server's address."""
    servers = []

    def serve(uri: str) -> str:
        monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", uri)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # the server sets it for good
        from mlflow.server import app
        from werkzeug.serving import make_server

        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        server.shutdown()
