"""How bytes travel: connections on which no attempt outlives its deadline, and the proxy this machine asks for.

Belongs here: what httpx can only be told below its own surface. Does not: what is asked, how often, with which
credentials (`gateway`).

httpx bounds each single read, and a server that sends its headers or its body byte by byte keeps every read short.
httpcore, on which httpx stands, lets its network be replaced: here every connection, handshake, read and write gets
what is left of its attempt and no more. No thread watches, none is left behind. (Looking up a name is the operating
system's, with its own bound.)
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from ai_usage_assets.settings import SettingsError, is_loopback

_IDLE_SECONDS = 5.0


class BoundedTransport(httpx.BaseTransport):
    """httpx's way to one host; whoever sends says first how long the attempt may take.

    Its failures are httpcore's. Raises SettingsError for a proxy that cannot be used.
    """

    def __init__(self, base_url: str, trusted: ssl.SSLContext) -> None:
        self._network = _Network()
        options: dict[str, Any] = {
            "ssl_context": trusted,
            "keepalive_expiry": _IDLE_SECONDS,
            "network_backend": self._network,
        }
        proxy = _proxy_of(base_url)
        if proxy is None:
            self._pool = httpcore.ConnectionPool(**options)
            return
        self._pool = httpcore.HTTPProxy(proxy_url=str(proxy.url), proxy_auth=proxy.raw_auth, **options)

    def set_deadline(self, seconds: float) -> None:
        """What is sent and read from now on must be over after so many seconds."""
        self._network.deadline = time.monotonic() + seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange, its body still to be read."""
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.read(),
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=dict(answer.extensions)
        )

    def close(self) -> None:
        """Ends the connections."""
        self._pool.close()


def describe_proxy(base_url: str) -> str | None:
    """The proxy that requests to an address go through, without its credentials; None when they go directly.

    Raises SettingsError for one that cannot be used.
    """
    proxy = _proxy_of(base_url)
    if proxy is None:
        return None
    return f"{proxy.url.scheme}://{proxy.url.host}" + (f":{proxy.url.port}" if proxy.url.port else "")


def _proxy_of(base_url: str) -> httpx.Proxy | None:
    """The proxy that the environment names for this address; the proxies of this machine are for other machines."""
    address = urlsplit(base_url)
    if is_loopback(base_url) or proxy_bypass(address.hostname or ""):
        return None
    proxies = getproxies()
    kind = address.scheme if proxies.get(address.scheme) else "all"
    named = proxies.get(kind)
    if not named:
        return None
    try:
        proxy = httpx.Proxy(named if "://" in named else f"http://{named}")
        usable = proxy.url.scheme in ("http", "https") and proxy.url.host
    except (ValueError, httpx.InvalidURL):
        usable = False
    if usable:
        return proxy
    # Not quoted: it may hold a password.
    raise SettingsError(
        f"{kind.upper()}_PROXY names a proxy that cannot be used for {address.hostname}; it takes an address such as "
        "http://proxy.example.com:3128 (http or https), without a space before it."
    )


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Network(httpcore.NetworkBackend):
    """The network, until the deadline of the attempt."""

    def __init__(self) -> None:
        self.deadline = math.inf
        self._sockets = httpcore.SyncBackend()

    def left(self, timeout: float | None) -> float:
        """Seconds that one step may take."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if timeout is None else min(left, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._sockets.connect_tcp(host, port, self.left(timeout), local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore.NetworkStream):
    """A connection on that network."""

    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._network.left(timeout))
        return _Stream(stream, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
