"""What ``seqclf serve`` answers: texts in, probabilities out, for whoever has the token.

    POST /invocations   {"inputs": ["A superb film.", "Dull."]}  ->  {"predictions": [0.98, 0.07]}
    GET  /              a form for one text, which needs no network and no script

Every request is bounded: its size, its texts, the time it waits. No answer repeats what was sent.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from seqclf_core.training.predictions import decide

Predict = Callable[[Sequence[str]], Iterable[float]]

BODY_BYTES = 1_000_000
"""Larger bodies are refused."""
DISCARDED_BYTES = 64 * BODY_BYTES
"""So much of a body that is too large is still read, and thrown away, so that its sender hears why."""
TEXTS = 256
"""More texts in one request are refused."""
WAIT_SECONDS = 30.0
"""A request that waits longer for those before it is refused."""
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
KEYS = (
    'The body is JSON with one key, "inputs": a list of 1 to 256 texts, such as {"inputs": ["A superb film."]}. '
    'The answer has one key, "predictions": the probability that each text is positive.'
)
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # with none at all, a browser sends the form as from nowhere: Origin: null
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
PAGE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>seqclf: score a text</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
textarea, input { font: inherit; width: 100%; box-sizing: border-box; margin-bottom: .75rem; }
button { font: inherit; padding: .25rem 1rem; }
code { overflow-wrap: anywhere; }
.answer { font-size: 1.25rem; border-left: .25rem solid; padding-left: .75rem; }
</style>
<h1>How positive is a text?</h1>
{% if answer %}<p class="answer" role="status">{{ answer }}</p>{% endif %}
<form method="post" action="/">
<label for="text">Text</label>
<textarea id="text" name="text" rows="6" required></textarea>
{% if token %}<input type="hidden" name="token" value="{{ token }}">
{% else %}<label for="token">Token, as printed by <code>seqclf serve</code></label>
<input id="token" name="token" type="password" autocomplete="off" required>{% endif %}
<button>Score</button>
</form>
<h2>From a program</h2>
<p>POST <code>/invocations</code> with the headers <code>Content-Type: application/json</code> and
<code>Authorization: Bearer TOKEN</code>. {{ keys }}</p>
</html>
""")


class SameOrigin:
    """Refuses (403) what the page of another site sends through a browser of this machine.

    Browsers name that site in ``Origin``, also with forms and texts, which they send without asking first; where
    they name none, as for an image, they say ``Sec-Fetch-Site: cross-site``. Programs such as curl send neither.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        headers = Headers(raw=scope.get("headers", []))  # none where the server itself starts or ends
        origin = headers.get("origin")
        foreign = origin is not None and origin != f"http://{headers.get('host')}"
        if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            answer = PlainTextResponse("Pages of other sites are not answered here.\n", status_code=403)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def application(predict: Predict, token: str) -> Starlette:
    """Return the application.

    Args:
        predict: scores texts; it is called by one request after the other, in a thread.
        token: what a request must show.
    """
    turn = asyncio.Lock()  # whoever comes first is served first

    async def score(texts: Sequence[str]) -> list[float]:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn.acquire()
        except TimeoutError:
            raise HTTPException(503, "Too many requests are waiting; try again later.") from None
        try:
            return [float(each) for each in await asyncio.to_thread(predict, texts)]
        finally:
            turn.release()

    async def invocations(request: Request) -> Response:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        require_token(token, shown if scheme.lower() == "bearer" else "")
        require_type(request, "application/json")
        return JSONResponse({"predictions": await score(read_inputs(await read_body(request)))})

    async def form(request: Request) -> Response:
        shown = request.query_params.get("token", "")
        return page(token if same(token, shown) else "")

    async def answer_form(request: Request) -> Response:
        require_type(request, "application/x-www-form-urlencoded")
        text, shown = read_form(await read_body(request))
        if not same(token, shown):
            return page("", "This is not the token that `seqclf serve` printed.", 401)
        if not text.strip():
            return page(token, "The text is empty.", 400)
        (probability,) = await score([text])
        label = "positive" if decide(probability) else "negative"
        return page(token, f"{label}: the probability that it is positive is {probability:.4f}")

    return Starlette(
        routes=[
            Route("/", form, methods=["GET"]),
            Route("/", answer_form, methods=["POST"]),
            Route("/invocations", invocations, methods=["POST"]),
        ],
        # The first one is asked first. A page cannot ask by giving its own site this machine's address, either.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS), Middleware(SameOrigin)],
        exception_handlers={HTTPException: refuse},
    )


def page(token: str, answer: str = "", status: int = 200) -> HTMLResponse:
    """Return the form; a token that was shown goes on with it."""
    return HTMLResponse(PAGE.render(token=token, answer=answer, keys=KEYS), status, PAGE_HEADERS)


async def refuse(_: Request, error: Exception) -> Response:
    """Say in one line why a request is refused."""
    assert isinstance(error, HTTPException)
    reason = error.detail or HTTPStatus(error.status_code).phrase
    return JSONResponse({"error": reason}, error.status_code, error.headers)


def same(token: str, shown: str) -> bool:
    """Whether a token is the right one, in a time that tells nothing about it."""
    return hmac.compare_digest(token.encode(), shown.encode("utf-8", "replace"))


def require_token(token: str, shown: str) -> None:
    """Refuse a request without the token."""
    if not same(token, shown):
        raise HTTPException(
            401,
            "The token that `seqclf serve` printed is needed: Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )


def require_type(request: Request, expected: str) -> None:
    """Refuse a body of another kind."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != expected:
        raise HTTPException(415, f"The body must be sent with Content-Type: {expected}")


async def read_body(request: Request) -> bytes:
    """Return a request's body, of which no more than the limit is ever held."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= BODY_BYTES:
            parts.append(part)
        elif size > DISCARDED_BYTES:
            break
        else:
            parts.clear()
    if size > BODY_BYTES:
        raise HTTPException(413, f"The body is larger than {BODY_BYTES:,} bytes; send several requests.")
    return b"".join(parts)


def read_inputs(body: bytes) -> list[str]:
    """Return the texts of a JSON body."""
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, f"The body is no JSON in UTF-8. {KEYS}") from None
    texts = content.get("inputs") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise HTTPException(400, KEYS)
    if len(texts) > TEXTS:
        raise HTTPException(413, f"{len(texts)} texts are too many; at most {TEXTS} are scored in one request.")
    return texts


def read_form(body: bytes) -> tuple[str, str]:
    """Return the text and the token of a form."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=8)
    except ValueError:
        raise HTTPException(400, "The body is no form in UTF-8.") from None
    return fields.get("text", [""])[0], fields.get("token", [""])[0]
