"""An httpx transport with a deadline for the whole attempt, and the proxy that the environment names.

httpx limits each single read, so a server that sends its response byte by byte could block a request forever. Here
every connect, handshake, read and write gets what is left of the attempt's time. Name resolution has the limit of the
operating system.
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

_KEEPALIVE_SECONDS = 5.0
# What a request raises when no complete response arrives.
CONNECTION_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError)


class BoundedTransport(httpx.BaseTransport):
    """A transport to one host; call `set_deadline` before each attempt.

    Raises httpcore's exceptions; SettingsError for a proxy that cannot be used.
    """

    def __init__(self, base_url: str, ssl_context: ssl.SSLContext) -> None:
        self._network = _DeadlineBackend()
        options: dict[str, Any] = {
            "ssl_context": ssl_context,
            "keepalive_expiry": _KEEPALIVE_SECONDS,
            "network_backend": self._network,
        }
        proxy = _proxy_of(base_url)
        if proxy is None:
            self._pool = httpcore.ConnectionPool(**options)
            return
        self._pool = httpcore.HTTPProxy(proxy_url=str(proxy.url), proxy_auth=proxy.raw_auth, **options)

    def set_deadline(self, seconds: float) -> None:
        """Sets the time, in seconds, within which everything from now on must be sent and read."""
        self._network.deadline = time.monotonic() + seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request; the body of the response is still to be read."""
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.read(),
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=dict(response.extensions)
        )

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()


def describe_proxy(base_url: str) -> str | None:
    """Returns the proxy for an address without its credentials, None for a direct connection.

    Raises SettingsError for a proxy that cannot be used.
    """
    proxy = _proxy_of(base_url)
    if proxy is None:
        return None
    return f"{proxy.url.scheme}://{proxy.url.host}" + (f":{proxy.url.port}" if proxy.url.port else "")


def _proxy_of(base_url: str) -> httpx.Proxy | None:
    """The proxy that the environment names for this address; none for loopback addresses."""
    parts = urlsplit(base_url)
    if is_loopback(base_url) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    value = proxies.get(kind)
    if not value:
        return None
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
        usable = proxy.url.scheme in ("http", "https") and proxy.url.host
    except (ValueError, httpx.InvalidURL):
        usable = False
    if usable:
        return proxy
    # Not quoted: it may contain a password.
    raise SettingsError(
        f"{kind.upper()}_PROXY names a proxy that cannot be used for {parts.hostname}; it takes an address such as "
        "http://proxy.example.com:3128 (http or https), without a space before it."
    )


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _DeadlineBackend(httpcore.NetworkBackend):
    """The network, with one deadline for all its operations."""

    def __init__(self) -> None:
        self.deadline = math.inf
        self._backend = httpcore.SyncBackend()

    def limit(self, timeout: float | None) -> float:
        """The seconds that one operation may take. Raises httpcore.ReadTimeout after the deadline."""
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
        stream = self._backend.connect_tcp(host, port, self.limit(timeout), local_address, socket_options)
        return _DeadlineStream(stream, self)


class _DeadlineStream(httpcore.NetworkStream):
    """A connection with the deadline of its backend."""

    def __init__(self, stream: httpcore.NetworkStream, network: _DeadlineBackend) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.limit(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.limit(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._network.limit(timeout))
        return _DeadlineStream(stream, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
