"""A team's stores on this machine: PostgreSQL, an MLflow server on it, and an object store behind that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.postgres import PostgreSQL
from tests.studies.cluster.cluster import free_port

BUCKET = "seqclf"


@dataclass(frozen=True)
class TeamStores:
    """The three servers."""

    postgres: PostgreSQL
    mlflow: str
    """Address of the MLflow server."""
    settings: dict[str, str]
    """Variables with which boto3 finds the object store."""

    def objects(self) -> str:
        """Return what the object store says that it holds, as XML."""
        return requests.get(f"{self.settings['MLFLOW_S3_ENDPOINT_URL']}/{BUCKET}?list-type=2", timeout=10).text


@contextmanager
def served(command: list[str], health: str, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a server until it is no longer needed."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise AssertionError(log.read_text())
            try:
                requests.get(health, timeout=5)
                break
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def team_stores(folder: Path) -> Iterator[TeamStores]:
    """Start the three servers for a while, with their logs in a folder."""
    s3, port = free_port(), free_port()
    settings = {
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{s3}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgreSQL.started(folder))
        objects = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(s3)]
        store = settings["MLFLOW_S3_ENDPOINT_URL"]
        stack.enter_context(served(objects, store, folder / "s3.log", {}))
        requests.put(f"{store}/{BUCKET}", timeout=10).raise_for_status()
        server = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", postgres.create("mlflow"),
            "--artifacts-destination", f"s3://{BUCKET}", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1",
        ]  # fmt: skip
        uri = f"http://127.0.0.1:{port}"
        stack.enter_context(served(server, f"{uri}/health", folder / "mlflow.log", settings))
        yield TeamStores(postgres, uri, settings)
