"""An HTTP server on 127.0.0.1, for the simulated vendors and for tests.

A subclass of `LoopbackHandler` answers the requests. Connections that are idle for 30 seconds are closed, and no thread
outlives the process.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackHandler(BaseHTTPRequestHandler):
    """Handles one connection; a subclass implements `respond`."""

    protocol_version = "HTTP/1.1"
    # Nagle's algorithm delays a response whose headers and body are written separately by 40 ms.
    disable_nagle_algorithm = True
    timeout = 30

    def respond(self) -> None:
        """Answers one request of any method."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Every method is answered by `respond`."""
        self.respond()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = do_GET  # noqa: N815 - names of the standard library

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def read_headers(self) -> dict[str, str]:
        """Returns the request's headers with lowercase names; the values of a repeated header are joined."""
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return headers

    def read_body(self) -> bytes:
        """Returns the request's body."""
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def send_headers(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the status line and the headers, without the empty line after them."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Sends a complete response."""
        self.send_headers(status, {**headers, "content-length": str(len(body))})
        self.end_headers()
        self.wfile.write(body)

    def reset_connection(self) -> None:
        """Ends the connection with a TCP reset instead of an orderly close."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that disconnect early."""

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Closes the connection at once: an orderly shutdown would turn a reset into a normal end."""
        self.close_request(request)


@contextmanager
def serve_on_loopback(handler: type[LoopbackHandler], port: int = 0) -> Iterator[str]:
    """Serves until the end of the block and yields the base URL. Port 0 takes a free one."""
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
