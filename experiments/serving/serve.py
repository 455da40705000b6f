"""Serves the champion over HTTP, on this machine only, to whoever has the token: ``seqclf serve``.

The token is new at every start. Other accounts of this machine can connect; without the token they get no answer,
and a connection that has not sent its whole request within ten seconds is dropped.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import signal
import socket
from contextlib import suppress
from pathlib import Path

import torch
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from experiments.serving.app import application
from experiments.tracking.ui import LOOPBACK, find_port
from seqclf_core.errors import UserError
from seqclf_core.inference import load_model

DEFAULT_PORT = 8000
REQUEST_SECONDS = 10.0
"""A connection whose request is not complete by then is dropped."""
CONNECTION_SECONDS = 120.0
"""No connection lasts longer, whatever it does."""
CONNECTIONS = 200
"""Those beyond are told to come later, and beyond twice as many not even that."""
WAITING = 128
"""Connections that wait to be accepted."""
FILES = 1024
"""File descriptors: more than all connections need, since asyncio does badly without any."""
HEADER_BYTES = 16_384


class ImpatientProtocol(H11Protocol):
    """One request per connection, whose time is limited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        if len(self.connections) > 2 * CONNECTIONS:
            transport.abort()
        self._limits = [
            self.loop.call_later(REQUEST_SECONDS, self._drop_incomplete),
            self.loop.call_later(CONNECTION_SECONDS, transport.abort),
        ]

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        for limit in self._limits:
            limit.cancel()
        super().connection_lost(exc)

    def _drop_incomplete(self) -> None:
        if self.cycle is None or self.cycle.more_body:
            self.transport.abort()


def serve(folder: Path, port: int | None) -> None:
    """Serve a model folder until Ctrl-C or SIGTERM; prints address and token once it listens.

    Args:
        folder: of the champion, verified.
        port: to listen on; None: 8000 or the next one that is free.

    Raises:
        UserError: if the model cannot be loaded, or the port is taken.
    """
    torch.set_num_threads(1)
    allow_files()
    model = load_model(folder)
    token = secrets.token_urlsafe(24)
    chosen = find_port(port, DEFAULT_PORT, "serve")
    config = uvicorn.Config(
        application(model.predict, token),
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=[("connection", "close")],
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        backlog=WAITING,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    with socket.create_server((LOOPBACK[0], chosen), backlog=WAITING) as listening:
        address = f"http://127.0.0.1:{chosen}"
        print(f"The champion answers at {address}/?token={token} (Ctrl-C ends this), and to programs:")
        print(
            f"  curl {address}/invocations -H 'Authorization: Bearer {token}' "
            """-H 'Content-Type: application/json' -d '{"inputs": ["A superb film.", "Dull."]}'""",
            flush=True,
        )
        # On Ctrl-C and SIGTERM, uvicorn answers what it has begun and then raises the signal again.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def allow_files() -> None:
    """Make sure that this process may open as many files as its connections can take.

    Raises:
        UserError: if it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES:
        return
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise UserError(
            f"This process may open {hard} files, and a server needs {FILES}. Raise the limit (ulimit -n {FILES})."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
