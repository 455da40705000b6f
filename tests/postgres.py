"""A PostgreSQL server of our own for tests: made in a folder, on a free port of the loopback address."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

PASSWORD = "pass-word-1"


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((each for each in folders if (each / "initdb").exists()), None)


@dataclass
class PostgreSQL:
    """A server, and how to reach it."""

    port: int
    folder: Path

    def restart(self) -> None:
        """End it at once, with all its connections, and start it again."""
        programs = binaries()
        assert programs is not None
        _run([str(programs / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-m", "immediate",
              "-l", str(self.folder / "log"), "-o", _options(self.port, self.folder), "restart"])  # fmt: skip

    def uri(
        self, user: str = "postgres", password: str = PASSWORD, host: str = "127.0.0.1", port: int | None = None,
        database: str = "postgres",
    ) -> str:  # fmt: skip
        url = URL.create("postgresql", user, password, host, port or self.port, database)
        return url.render_as_string(hide_password=False)

    def create(self, database: str) -> str:
        """Make a database and return its address."""
        programs = binaries()
        assert programs is not None
        command = [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", database]
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": PASSWORD})
        return self.uri(database=database)

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[PostgreSQL]:
        """Start a server for a while; the test is skipped where PostgreSQL is not installed."""
        programs = binaries()
        if programs is None:
            pytest.skip("PostgreSQL is not installed")
        # Short, and open to the user that the server runs as: it refuses to run as root.
        home = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        secret = home / "password"
        secret.write_text(PASSWORD)
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            for path in (home, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        with socket.socket() as asking:
            asking.bind(("127.0.0.1", 0))
            port = asking.getsockname()[1]
        data = home / "data"
        _run([str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "scram-sha-256",
              f"--pwfile={secret}", "--no-sync"])  # fmt: skip
        control = [str(programs / "pg_ctl"), "-D", str(data), "-w"]
        _run([*control, "-l", str(home / "log"), "-o", _options(port, home), "start"])
        try:
            yield cls(port, home)
        finally:
            _run([*control, "-m", "immediate", "stop"])
            shutil.rmtree(home, ignore_errors=True)


def _options(port: int, home: Path) -> str:
    return f"-p {port} -k {home} -h 127.0.0.1 -F"


def _run(command: Sequence[str]) -> None:
    as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd="/", **as_user
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
