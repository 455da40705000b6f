"""A server between a client and MLflow that fails in the ways servers do."""

import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to a port of this machine; ``fault`` says how it fails, and can be changed while it serves."""

    daemon_threads = True

    def __init__(self, port: int, own: int = 0) -> None:
        super().__init__(("127.0.0.1", own), _Handler)
        self.target = port
        self.fault = "none"
        self.draw = random.Random(0)
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def faulty_proxy(port: int, own: int = 0) -> Iterator[FaultyProxy]:
    """Stand before a port of this machine, at a port of its own."""
    with FaultyProxy(port, own) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.ended.set()
        proxy.shutdown()


class _Handler(BaseHTTPRequestHandler):
    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.fault
        if fault == "hang":
            self.server.ended.wait()
        elif fault == "answer 500":
            self.answer(500, b"out of order")
        elif fault == "answer a page":
            self.answer(200, b"<html>Please log in</html>")
        else:
            status, content = self.forward(body)
            if not (fault == "lose replies" and self.server.draw.random() < 0.3):
                self.answer(status, content)
        self.close_connection = True

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def forward(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target)
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        connection.request(self.command, self.path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
