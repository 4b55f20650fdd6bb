"""A loopback HTTP server that answers from a script, well or badly.

Belongs here: sockets, and the ways an answer can break. Does not: what any vendor says (the simulator knows that).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

STARTED = datetime(2026, 11, 20, 14, tzinfo=UTC)


class FakeClock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return 1000.0 + sum(self.waits)

    def now(self) -> datetime:
        """The start, and what was waited since."""
        return STARTED + timedelta(seconds=sum(self.waits))

    def sleep(self, seconds: float) -> None:
        """Remembers the wait."""
        assert seconds >= 0
        self.waits.append(seconds)


@dataclass(frozen=True)
class Reply:
    """One answer, and how it goes wrong.

    `cut`: the connection ends in the middle of the body; `reset`: the same, rudely; `silent`: nothing is sent at all;
    `drip`: the body comes byte by byte, for longer than a test should wait; `drip of headers`: they do.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    goes_wrong: Literal["", "cut", "reset", "silent", "drip", "drip of headers"] = ""
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Script:
    """A server's address, what it was asked, and how many requests it held at once at most."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """A request is being held."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)

    def next(self, seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
        """What a request is answered with; one is looked at after the other."""
        with self._lock:
            self.seen.append(seen)
            return answer(seen)

    def end(self) -> None:
        """It is about to be answered."""
        with self._lock:
            self._at_once -= 1


@contextmanager
def serving(*replies: Reply) -> Iterator[Script]:
    """Serves the replies in their order, the last one again and again, until the end of the block."""
    left = iter(replies)
    with answering(lambda _: next(left, replies[-1])) as script:
        yield script


@contextmanager
def answering(answer: Callable[[Seen], Reply]) -> Iterator[Script]:
    """Serves what each request is answered with, until the end of the block."""
    script = Script()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        # Else headers and body, written one after the other, cost 40 ms a request.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PUT(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def do_CONNECT(self) -> None:
            self._serve()

        def log_message(self, *_: object) -> None:
            """Says nothing; `Script.seen` has it all."""

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            seen = Seen(
                self.command,
                parts.path,
                parse_qsl(parts.query, keep_blank_values=True),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("content-length") or 0)),
            )
            reply = script.next(seen, answer)
            script.begin()
            ended.wait(reply.delay_seconds)
            script.end()
            self._answer(reply)

        def _answer(self, reply: Reply) -> None:
            self.close_connection = bool(reply.goes_wrong)
            if reply.goes_wrong == "silent":
                ended.wait(5)
                return
            self.send_response_only(reply.status)
            for name, value in {"date": formatdate(usegmt=True), **reply.headers}.items():
                self.send_header(name, value)
            if reply.goes_wrong.startswith("drip"):
                if reply.goes_wrong == "drip":
                    self.end_headers()
                else:
                    self.flush_headers()
                    self.wfile.write(b"x-slow: ")
                for _ in range(250):
                    if ended.wait(0.02):
                        break
                    self.wfile.write(b" ")
                return
            if "content-length" not in reply.headers:
                self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if not reply.goes_wrong:
                self.wfile.write(reply.body)
                return
            self.wfile.write(reply.body[: len(reply.body) // 2])
            if reply.goes_wrong == "reset":
                # Closing with unsent patience of zero is a reset, not the polite end of a connection.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that leave in the middle are part of the game."""

        def shutdown_request(self, request: object) -> None:
            """Closes at once: the usual farewell would turn a reset into an ordinary end."""
            self.close_request(request)  # type: ignore[arg-type]

    server = Server(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.002}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
