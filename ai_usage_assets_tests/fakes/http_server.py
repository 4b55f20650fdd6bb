"""An HTTP server that sends prepared replies, including broken ones, and a clock that advances only by sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from ai_usage_assets.http.loopback_server import LoopbackHandler, serve_on_loopback

STARTED = datetime(2026, 11, 20, 14, tzinfo=UTC)


class FakeClock:
    """A clock that advances only by `sleep`."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Seconds since an arbitrary time."""
        return 1000.0 + sum(self.waits)

    def now(self) -> datetime:
        """The start plus all sleeps."""
        return STARTED + timedelta(seconds=sum(self.waits))

    def sleep(self, seconds: float) -> None:
        """Records the wait and returns at once."""
        assert seconds >= 0
        self.waits.append(seconds)


@dataclass(frozen=True)
class Reply:
    """A reply and the fault with which it is sent.

    `cut`: the connection closes in the middle of the body; `reset`: it is reset there; `silent`: nothing is sent;
    `drip`: the body arrives byte by byte, longer than any test waits; `drip of headers`: the headers do.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Literal["", "cut", "reset", "silent", "drip", "drip of headers"] = ""
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class RecordedRequest:
    """A request as the server received it."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class FakeServer:
    """A running server: its URL, the requests it received, and the most it handled at the same time."""

    url: str = ""
    requests: list[RecordedRequest] = field(default_factory=list)
    max_concurrency: int = 0
    _active: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def choose_reply(self, request: RecordedRequest, handle: Callable[[RecordedRequest], Reply]) -> Reply:
        """Records a request and returns the reply to it; one request after the other."""
        with self._lock:
            self.requests.append(request)
            return handle(request)

    @contextmanager
    def count_active(self) -> Iterator[None]:
        """Counts a request as active during the block."""
        with self._lock:
            self._active += 1
            self.max_concurrency = max(self.max_concurrency, self._active)
        yield
        with self._lock:
            self._active -= 1


@contextmanager
def serve_replies(*replies: Reply) -> Iterator[FakeServer]:
    """Serves the replies in order, the last one repeatedly, until the end of the block."""
    remaining = iter(replies)
    with serve_handler(lambda _: next(remaining, replies[-1])) as server:
        yield server


@contextmanager
def serve_handler(handle: Callable[[RecordedRequest], Reply]) -> Iterator[FakeServer]:
    """Serves the reply that `handle` returns for each request, until the end of the block."""
    server = FakeServer()
    stopped = threading.Event()

    class Handler(LoopbackHandler):
        def respond(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qsl(parts.query, keep_blank_values=True)
            request = RecordedRequest(self.command, parts.path, query, self.read_headers(), self.read_body())
            reply = server.choose_reply(request, handle)
            with server.count_active():
                stopped.wait(reply.delay_seconds)
            self._send_reply(reply)

        def _send_reply(self, reply: Reply) -> None:
            headers = {"date": formatdate(usegmt=True), **reply.headers}
            if not reply.fault and "content-length" not in headers:
                self.send(reply.status, headers, reply.body)
                return
            self.close_connection = bool(reply.fault)
            if reply.fault == "silent":
                stopped.wait(5)
                return
            self.send_headers(reply.status, headers)
            if reply.fault.startswith("drip"):
                self._drip(headers_end=reply.fault == "drip")
                return
            if "content-length" not in headers:
                self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.fault else reply.body)
            if reply.fault == "reset":
                self.reset_connection()

        def _drip(self, *, headers_end: bool) -> None:
            if headers_end:
                self.end_headers()
            else:
                self.flush_headers()
                self.wfile.write(b"x-slow: ")
            for _ in range(250):
                if stopped.wait(0.02):
                    break
                self.wfile.write(b" ")

    with serve_on_loopback(Handler) as server.url:
        try:
            yield server
        finally:
            stopped.set()
