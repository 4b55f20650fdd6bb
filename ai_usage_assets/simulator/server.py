"""HTTP for the simulated vendors: loopback servers, and the ways in which a server can go wrong.

Belongs here: sockets, headers every answer has, and faults that any vendor can have. Does not: what an API answers.
"""

from __future__ import annotations

import gzip
import itertools
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """Path and parameters, as a person would write them: `/v1/things?day=2026-11-10`."""
        return "?".join(filter(None, (self.path, "&".join(f"{name}={value}" for name, value in self.query))))

    def one(self, name: str) -> str | None:
        """The last value of a parameter."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def many(self, name: str) -> list[str]:
        """All values of a repeated parameter `name[]`."""
        return [value for key, value in self.query if key == f"{name}[]"]


@dataclass
class Response:
    """What is answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass
class Faults:
    """How the servers go wrong; all can be changed while they serve.

    A name is anthropic, cursor or sheets. A prefix is the beginning of a path, or of a path with its parameters
    (`Request.target`).
    """

    # Answer 503 to everything.
    down: set[str] = field(default_factory=set)
    # Answer with a page for people.
    html_200: set[str] = field(default_factory=set)
    # Prefix -> what is answered there with 200 instead.
    instead: dict[str, bytes] = field(default_factory=dict)
    # Prefix -> how many times to answer `fail_status` there before it works.
    fail_times: dict[str, int] = field(default_factory=dict)
    fail_status: int = 503
    # Prefix -> how many times to answer 429, with or without `retry-after`.
    limit_times: dict[str, int] = field(default_factory=dict)
    retry_after: str | None = None
    # Prefix -> how many requests are answered in any minute of `clock`; those beyond get 429.
    per_minute: dict[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    # Cut every n-th answer in the middle of its JSON, or of the connection; or call it gzip when it is not.
    truncate_every: int = 0
    reset_every: int = 0
    garble_every: int = 0


Handle = Callable[[Request], Response]


@contextmanager
def serving(name: str, handle: Handle, faults: Faults, port: int, seen: Callable[[Request], None]) -> Iterator[str]:
    """Serves one API on 127.0.0.1 until the end of the block, and gives its base URL."""
    count = itertools.count(1)
    answered: dict[str, deque[float]] = defaultdict(deque)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else headers and body, written one after the other, cost 40 ms a request.
        disable_nagle_algorithm = True
        # A client that stops in the middle must not keep a thread for ever.
        timeout = 30

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def log_message(self, *args: object) -> None:
            """Requests are told to `seen`, not printed."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            headers: dict[str, str] = {}
            for key, value in self.headers.items():
                # A repeated header is a list.
                headers[key.lower()] = f"{headers[key.lower()]}, {value}" if key.lower() in headers else value
            request = Request(
                self.command,
                unquote(parts.path),
                tuple(parse_qsl(parts.query, keep_blank_values=True)),
                headers,
                self.rfile.read(length) if length else b"",
            )
            seen(request)
            response = _fault(name, request, faults, answered) or handle(request)
            number = next(count)
            if faults.reset_every and number % faults.reset_every == 0:
                self._reset(response)
                return
            if faults.truncate_every and number % faults.truncate_every == 0:
                response = Response(response.status, response.body[: len(response.body) // 2], response.headers)
            if faults.garble_every and number % faults.garble_every == 0:
                response = Response(response.status, response.body, {**response.headers, "content-encoding": "gzip"})
            self._send(request, response)

        def _send(self, request: Request, response: Response) -> None:
            body = response.body
            headers = {"date": formatdate(usegmt=True), **response.headers}
            takes_gzip = "gzip" in request.headers.get("accept-encoding", "") and "content-encoding" not in headers
            if takes_gzip and len(body) > 1400:
                body = gzip.compress(body, compresslevel=1)
                headers["content-encoding"] = "gzip"
            self.send_response_only(response.status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _reset(self, response: Response) -> None:
            self.send_response_only(response.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body[: len(response.body) // 2])
            self.wfile.flush()
            # Not the polite end of a connection: a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        # Clients that go away in the middle are part of the game.
        def handle_error(self, request: object, client_address: object) -> None:
            """Says nothing."""

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def _fault(name: str, request: Request, faults: Faults, answered: dict[str, deque[float]]) -> Response | None:
    if name in faults.down:
        return Response(503, b'{"error":{"message":"Service unavailable"}}')
    if name in faults.html_200:
        page = b"<!DOCTYPE html><html><body>We will be right back.</body></html>"
        return Response(200, page, {"content-type": "text/html"})
    for prefix, body in faults.instead.items():
        if request.target.startswith(prefix):
            return Response(200, body)
    for prefix, left in faults.fail_times.items():
        if left > 0 and request.target.startswith(prefix):
            faults.fail_times[prefix] = left - 1
            return Response(faults.fail_status, b'{"error":{"message":"Overloaded"}}')
    for prefix, left in faults.limit_times.items():
        if left > 0 and request.target.startswith(prefix):
            faults.limit_times[prefix] = left - 1
            return _too_many(faults)
    for prefix, most in faults.per_minute.items():
        if request.target.startswith(prefix):
            now, moments = faults.clock(), answered[prefix]
            while moments and moments[0] <= now - 60:
                moments.popleft()
            if len(moments) >= most:
                return _too_many(faults)
            moments.append(now)
    return None


def _too_many(faults: Faults) -> Response:
    headers = {"content-type": "application/json"}
    if faults.retry_after is not None:
        headers["retry-after"] = faults.retry_after
    return Response(429, b'{"error":{"message":"Rate limit exceeded"}}', headers)
