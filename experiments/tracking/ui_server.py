"""MLflow's own server behind a guard, for as long as its owner lives: ``make ui`` starts it as a process.

    python -m experiments.tracking.ui_server PORT ARTIFACTS   # MLflow's address and the token come by environment

MLflow's server asks nobody who he is, and loopback is no authentication: every user of the machine reaches it, and
so does every page in the owner's browser. The guard lets in who knows the token of this start (first in the link
that is printed, then as a cookie; programs send ``Authorization: Bearer``), addressed to this very server, and
from no other page. Files are served from below the folder of artifacts only, and through no links.
"""

from __future__ import annotations

import hmac
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from experiments.tracking.paths import ARTIFACT_ROOT

HOSTS = ("127.0.0.1", "localhost")
TOKEN_VARIABLE = "SEQCLF_UI_TOKEN"
URI_VARIABLE = "SEQCLF_UI_TRACKING_URI"
ASSISTANT = "/mlflow/assistant"
"""Path of the requests to MLflow's chat, which may run commands, and whose panel would cover a third of every
page."""
ENTRANCE = """<!doctype html><title>MLflow</title><script>
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true")
location.replace("/" + location.hash)
</script><noscript>MLflow's pages need JavaScript.</noscript>
"""
"""Leads from the link with the token to MLflow's page, so that the token stays in no address line and no history,
and keeps the chat's panel, which is off, from opening by itself."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI layer before MLflow's application."""

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = {f"{host}:{port}" for host in HOSTS}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._cookie = f"seqclf-ui-{port}"  # browsers send cookies to every port of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is not let in, and hand on the rest."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif reason := self._foreign(_headers(scope)):
            await _answer(send, 403, reason)
        elif scope["path"] == "/" and self._is_token(_query(scope).get("token")):
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Lax; Path=/"
            headers = [("content-type", "text/html"), ("set-cookie", cookie), ("referrer-policy", "no-referrer")]
            await _answer(send, 200, ENTRANCE, headers)
        elif not self._is_known(_headers(scope)):
            await _answer(send, 401, "Open the link that `make ui` printed: it holds the token of this start.\n")
        elif ASSISTANT in scope["path"]:
            await _answer(send, 403, "Off: it would run commands on this machine.\n")
        else:
            await self._app(scope, receive, send)

    def _foreign(self, headers: dict[str, str]) -> str:
        """Say why a request is not from this server's own pages or from a person's address line."""
        if headers.get("host") not in self._hosts:
            return "Another Host than this server's.\n"
        if headers.get("origin", next(iter(self._origins))) not in self._origins:
            return "A request by a page from elsewhere.\n"
        # Without Origin, browsers say this of images, scripts and forms; a link that a person follows is let in.
        if (
            headers.get("sec-fetch-site") in ("cross-site", "same-site")
            and headers.get("sec-fetch-mode") != "navigate"
        ):
            return "A request by a page from elsewhere.\n"
        return ""

    def _is_known(self, headers: dict[str, str]) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(value.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1")))


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def _answer(send: Send, status: int, text: str, more: list[tuple[str, str]] | None = None) -> None:
    kind = [] if more else [("content-type", "text/plain; charset=utf-8")]
    headers = [*kind, ("content-length", str(len(text))), *(more or [])]
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})


def end_with_the_owner() -> None:
    """Wait for the end of standard input, which means that the owner is gone, then end this process at once."""
    while os.read(0, 4096):  # not sys.stdin, whose lock an ending process would miss
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def main(port: int, artifacts: Path) -> None:
    """Serve until the owner is gone."""
    threading.Thread(target=end_with_the_owner, daemon=True).start()
    token, uri = os.environ.pop(TOKEN_VARIABLE), os.environ.pop(URI_VARIABLE)
    # What `mlflow server` would set for its own workers; read when MLflow's application is imported.
    from mlflow.server.constants import (  # noqa: PLC0415
        ARTIFACT_ROOT_ENV_VAR,
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
    )

    from experiments.tracking.artifacts import serve_only_below  # noqa: PLC0415 - imports MLflow, too

    os.environ |= {
        BACKEND_STORE_URI_ENV_VAR: uri,
        ARTIFACT_ROOT_ENV_VAR: ARTIFACT_ROOT,
        ARTIFACTS_DESTINATION_ENV_VAR: artifacts.absolute().as_uri(),
        SERVE_ARTIFACTS_ENV_VAR: "true",
        # The guard decides who is let in; MLflow's own rules take every page of this machine for its own.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(f"{host}:{port}" for host in HOSTS),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in HOSTS),
        # Background jobs (evaluation, prompts) are not used here, and would take a process and memory each.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    serve_only_below(artifacts)
    from mlflow.server.fastapi_app import app  # noqa: PLC0415 - reads the environment set above

    guarded = Guard(app, token, port)
    uvicorn.run(guarded, host=HOSTS[0], port=port, log_level="warning", server_header=False, proxy_headers=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
