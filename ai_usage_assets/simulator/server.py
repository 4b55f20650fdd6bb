"""HTTP of the simulated vendors: requests, responses, and faults that every vendor can have."""

from __future__ import annotations

import gzip
import itertools
import time
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote, urlsplit

from ai_usage_assets.http.loopback_server import LoopbackHandler, serve_on_loopback


@dataclass(frozen=True)
class Request:
    """A request to a simulated API."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """The path with its parameters, such as `/v1/things?day=2026-11-10`."""
        return "?".join(filter(None, (self.path, "&".join(f"{name}={value}" for name, value in self.query))))

    def one(self, name: str) -> str | None:
        """The last value of a parameter."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def many(self, name: str) -> list[str]:
        """All values of a repeated parameter `name[]`."""
        return [value for key, value in self.query if key == f"{name}[]"]


@dataclass
class Response:
    """A response of a simulated API."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass
class Faults:
    """Faults of the servers. They can be changed while the APIs serve.

    Names are those of the simulated sources, and sheets. A prefix is the beginning of `Request.target`, the path with
    its parameters.
    """

    # Names of APIs that respond with 503 to every request.
    down: set[str] = field(default_factory=set)
    # Names of APIs that respond with an HTML page and status 200.
    html_200: set[str] = field(default_factory=set)
    # Prefix -> body of a 200 response that replaces the API's.
    replacements: dict[str, bytes] = field(default_factory=dict)
    # Prefix -> number of responses with `fail_status` before the API responds.
    fail_times: dict[str, int] = field(default_factory=dict)
    fail_status: int = 503
    # Prefix -> number of 429 responses, with `retry-after` if it is set.
    limit_times: dict[str, int] = field(default_factory=dict)
    retry_after: str | None = None
    # Prefix -> maximum number of requests per minute of `clock`; others get 429.
    per_minute: dict[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    # Truncates, resets or mislabels as gzip every n-th response.
    truncate_every: int = 0
    reset_every: int = 0
    garble_every: int = 0


class SimulatedApi(ABC):
    """A simulated API."""

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """Responds to one request."""

    def clear_cache(self) -> None:  # noqa: B027 - most APIs keep nothing
        """Drops everything that was computed from an older ledger."""


Handle = Callable[[Request], Response]


@contextmanager
def serve_api(
    name: str, handle: Handle, faults: Faults, port: int, on_request: Callable[[Request], None]
) -> Iterator[str]:
    """Serves one API on 127.0.0.1 until the end of the block; yields its base URL."""
    count = itertools.count(1)
    answered: dict[str, deque[float]] = defaultdict(deque)

    class Handler(LoopbackHandler):
        def respond(self) -> None:
            parts = urlsplit(self.path)
            query = tuple(parse_qsl(parts.query, keep_blank_values=True))
            request = Request(self.command, unquote(parts.path), query, self.read_headers(), self.read_body())
            on_request(request)
            response = _fault(name, request, faults, answered) or handle(request)
            headers = {"date": formatdate(usegmt=True), **response.headers}
            body, number = response.body, next(count)
            if faults.reset_every and number % faults.reset_every == 0:
                self.send_headers(response.status, {**headers, "content-length": str(len(body))})
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.reset_connection()
                return
            if faults.truncate_every and number % faults.truncate_every == 0:
                body = body[: len(body) // 2]
            if faults.garble_every and number % faults.garble_every == 0:
                headers["content-encoding"] = "gzip"
            accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
            if accepts_gzip and "content-encoding" not in headers and len(body) > 1400:
                body = gzip.compress(body, compresslevel=1)
                headers["content-encoding"] = "gzip"
            self.send(response.status, headers, body)

    with serve_on_loopback(Handler, port) as url:
        yield url


def _fault(name: str, request: Request, faults: Faults, answered: dict[str, deque[float]]) -> Response | None:
    if name in faults.down:
        return Response(503, b'{"error":{"message":"Service unavailable"}}')
    if name in faults.html_200:
        page = b"<!DOCTYPE html><html><body>We will be right back.</body></html>"
        return Response(200, page, {"content-type": "text/html"})
    for prefix, body in faults.replacements.items():
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
