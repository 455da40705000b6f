"""Serves the champion over HTTP, on this machine only: ``make serve``.

    make serve PORT=8000
    curl http://127.0.0.1:8000/invocations -H 'Content-Type: application/json' \\
        -d '{"inputs": ["A superb film.", "Dull."]}'
    {"predictions": [0.98, 0.07]}

Each number is the probability that a review is positive. The server is MLflow's own for models.
"""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.serving.registry import MODEL_URI
from experiments.tracking.database import prepare_database
from experiments.tracking.paths import RunPaths, mask, set_mlflow_environment
from experiments.tracking.ui import LOOPBACK, find_port
from seqclf_core.cli import run_command
from seqclf_core.errors import UserError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

DEFAULT_PORT = 8000
LOADER = "mlflow.pyfunc.loaders.code_model"
"""Of MLflow's models from code. It takes pickled ones as well: those have no ``model_code_path``."""
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]


class SameOrigin:
    """Refuses (403) what the page of another site sends through a browser of this machine.

    Browsers name that site in ``Origin``, also with forms and texts, which they send without asking first; where
    they name none, as for an image, they say ``Sec-Fetch-Site: cross-site``. Programs such as curl send neither.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or pass it on."""
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        headers = Headers(raw=scope.get("headers", []))  # none where the server itself starts or ends
        origin = headers.get("origin")
        foreign = origin is not None and origin != f"http://{headers.get('host')}"
        if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            answer = PlainTextResponse("Pages of other sites are not answered here.\n", status_code=403)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def application(uri: str) -> "Starlette":
    """Return the application that answers with the champion.

    Raises:
        UserError: if there is no champion, or it cannot be loaded.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model
    from mlflow.pyfunc import FLAVOR_NAME, scoring_server
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        folder = mlflow.artifacts.download_artifacts(MODEL_URI)
        form = Model.load(folder).flavors.get(FLAVOR_NAME, {})
        if form.get("loader_module") != LOADER or "model_code_path" not in form:
            raise UserError(
                f"The champion in {mask(uri)} was not loaded. It does not have the form that `make champion` "
                "gives, code and a model folder; others may hold pickles. Register one with `make champion`."
            )
        model = mlflow.pyfunc.load_model(folder)
    except MlflowException as error:
        raise UserError(
            f"There is no champion that could be loaded in {mask(uri)} ({mask(str(error))}). "
            "Register one with `make champion`."
        ) from error
    app: Starlette = scoring_server.init(model)
    app.add_exception_handler(RecursionError, _nested_too_deeply)
    app.add_middleware(SameOrigin)
    # Nor can a page ask that gives its own site this machine's address. What is added last is asked first.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS)
    return app


async def _nested_too_deeply(_: "Request", __: Exception) -> "Response":
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("The input is nested too deeply.\n", status_code=400)


def main(
    runs: Path = Path("runs"),
    port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None,
    host: str = LOOPBACK[0],
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None,
) -> int:
    """Answer HTTP requests with the champion's probabilities.

    Args:
        runs: The folder with all that is recorded.
        port: Where to serve; if not named, 8000 or the next one that is free.
        host: This machine only; from another one, tunnel.
        tracking_uri: MLflow's address; else $MLFLOW_TRACKING_URI, else mlflow.db under RUNS.
    """
    if host not in LOOPBACK:
        raise UserError(
            f"This server asks nobody for a password, so it does not serve at {host}. From another machine, "
            f"tunnel: ssh -L {port or DEFAULT_PORT}:127.0.0.1:{port or DEFAULT_PORT} THIS_MACHINE"
        )
    paths = RunPaths(runs)
    uri = paths.tracking_uri(tracking_uri)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    set_mlflow_environment()
    prepare_database(paths, uri)
    app = application(uri)
    import uvicorn

    chosen = find_port(port, DEFAULT_PORT, "serve")
    with socket.create_server((LOOPBACK[0], chosen)) as listening:
        print(f"The champion answers at http://127.0.0.1:{chosen}/invocations (Ctrl-C ends this).", flush=True)
        # On Ctrl-C and SIGTERM, uvicorn answers what it has begun and then raises the signal again.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    run_command(lambda: tyro.cli(main, prog="python -m experiments.serving.serve"))
