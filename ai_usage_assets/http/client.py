"""The HTTP client for every API: retries, rate limits, error classes and redaction.

A client calls only the endpoints it was created with, and all of them read. A response that is not JSON of the
expected type is an error, never an empty result. No log line, exception or chained exception carries a key, a query
string or an e-mail address.
"""

from __future__ import annotations

import base64
import logging
import re
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import httpcore
import httpx
import msgspec

from ai_usage_assets.http.errors import (
    UNREADABLE,
    PermanentApiError,
    describe_non_json,
    error_codes,
    error_message,
)
from ai_usage_assets.http.rate_limit import Clock, RateLimiter, SystemClock
from ai_usage_assets.http.retry import (
    NO_WAIT_POLICY,
    AttemptError,
    HttpRetryPolicy,
    failed_response,
    raise_failure,
    send_with_retries,
)
from ai_usage_assets.http.transport import BoundedTransport
from ai_usage_assets.redaction import deobfuscate, redact
from ai_usage_assets.settings import is_loopback

T = TypeVar("T")

logger = logging.getLogger(__name__)
# httpx logs full URLs, whose queries may contain e-mail addresses.
for _noisy in ("httpx", "httpcore"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

_MAX_DETAIL_CHARACTERS, _MAX_REDACTED_CHARACTERS = 300, 10_000
_MAX_BODY_BYTES = 256 * 1024 * 1024
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_JSON = {"content-type": "application/json"}
_INTERRUPTED = (httpx.DecodingError, httpx.RemoteProtocolError, httpcore.RemoteProtocolError, httpcore.ReadError)
_NO_CONNECTION = (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)


@dataclass(frozen=True)
class Endpoint:
    """A path that may be called; `{name}` is one segment. The endpoints of a `group` share one rate limit."""

    method: Literal["GET", "POST"]
    path: str
    per_minute: int
    group: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def matches(self, method: str, path: str) -> bool:
        """Returns whether a request is to this endpoint. A placeholder takes no dots, which could climb to a parent."""
        parts = (r"[A-Za-z0-9_-]+" if part[:1] == "{" else re.escape(part) for part in self.path.split("/"))
        return method == self.method and re.fullmatch("/".join(parts), path) is not None

    @property
    def rate_limit_key(self) -> str:
        """The name of the rate limit the endpoint belongs to."""
        return self.group or str(self)


@dataclass(frozen=True)
class Response:
    """A successful response: its bytes and the headers that callers use."""

    body: bytes
    request_id: str | None
    date: str | None


@dataclass(frozen=True)
class RawResponse:
    """A response of any status. Everything but `body` is redacted."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error_message: str
    error_codes: frozenset[str]


class ApiClient:
    """Calls one service: one request at a time, within its rate limits, with retries.

    `authorize` returns the credential headers and is called at the first request. `hint(status, path)` returns the
    service's own advice for a status. With `pacing` off (for servers on this machine) there are no rate limits and no
    waits except a Retry-After. Raises ValueError for a base URL that would send credentials unencrypted.
    """

    def __init__(
        self,
        service: str,
        base_url: str,
        *,
        authorize: Callable[[], Mapping[str, str]],
        endpoints: Sequence[Endpoint],
        headers: Mapping[str, str] | None = None,
        retry_policy: HttpRetryPolicy | None = None,
        pacing: bool = True,
        clock: Clock | None = None,
        hint: Callable[[int, str], str | None] | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "https" and not is_loopback(base_url):
            raise ValueError(
                f"{service}: {parts.scheme}://{parts.hostname} is refused: credentials are sent over https, or to "
                "loopback addresses only."
            )
        self.service = service
        # The Date header of the latest response, of any status.
        self.server_date: str | None = None
        self._authorize = authorize
        self._credentials: dict[str, str] | None = None
        self._endpoints = tuple(endpoints)
        self._headers = dict(headers or {})
        self._retry_policy = retry_policy or (HttpRetryPolicy() if pacing else NO_WAIT_POLICY)
        self._clock = clock or SystemClock()
        self._hint = hint or (lambda status, path: None)
        self._lock = threading.Lock()
        self._rate_limiters = (
            {each.rate_limit_key: RateLimiter(each.per_minute, self._clock) for each in endpoints} if pacing else {}
        )
        self._transport = BoundedTransport(base_url, _ssl_context())
        attempt_seconds = self._retry_policy.attempt_seconds
        self._client = httpx.Client(
            base_url=base_url,
            transport=self._transport,
            timeout=httpx.Timeout(min(_READ_SECONDS, attempt_seconds), connect=min(_CONNECT_SECONDS, attempt_seconds)),
            # A redirect would carry the credentials elsewhere.
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def get(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        response_type: type[T],
        headers: Mapping[str, str] | None = None,
    ) -> tuple[T, Response]:
        """Returns the response, decoded as `response_type`. Raises ApiError; ValueError for a path not listed."""
        return self._call("GET", path, response_type, params=params, headers=headers or {})

    def post(self, path: str, body: Mapping[str, object], *, response_type: type[T]) -> tuple[T, Response]:
        """Like `get`, for an API that reads with POST."""
        return self._call("POST", path, response_type, content=msgspec.json.encode(body), headers=_JSON)

    def request_once(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        """Sends a request without retries and returns the response, whatever its status.

        Raises ApiError without a complete response; ValueError for a path that is not listed.
        """
        endpoint = self._find_endpoint(method, path)
        content = None if body is None else msgspec.json.encode(body)
        headers = {**(_JSON if content else {}), **(headers or {})}
        with self._lock:
            request = self._build(endpoint, path, params, content, headers)
            self._wait_for_rate_limit(endpoint)
            failure = None
            try:
                response, response_body = self._send(request)
            except (*_INTERRUPTED, *_NO_CONNECTION, httpcore.TimeoutException, _BodyTooLarge) as error:
                failure = AttemptError(f"no complete response ({type(error).__name__})", transient=True)
            if failure:
                self._raise(endpoint, failure, 1)
            return RawResponse(
                response.status_code,
                {name: self._redact(value) for name, value in response.headers.items()},
                response_body,
                "" if response.is_success else self._redact(error_message(response_body) or response.reason_phrase),
                self._error_codes(response_body),
            )

    def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        response_type: type[T],
        *,
        params: Sequence[tuple[str, str]] = (),
        content: bytes | None = None,
        headers: Mapping[str, str],
    ) -> tuple[T, Response]:
        endpoint = self._find_endpoint(method, path)
        with self._lock:
            request = self._build(endpoint, path, params, content, headers)
            return self._request_with_retries(endpoint, request, response_type)

    def _find_endpoint(self, method: str, path: str) -> Endpoint:
        for endpoint in self._endpoints:
            if endpoint.matches(method, path):
                return endpoint
        raise ValueError(f"{self.service}: {method} {path} is not one of the endpoints that may be called")

    def _build(
        self,
        endpoint: Endpoint,
        path: str,
        params: Sequence[tuple[str, str]],
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        if self._credentials is None:
            self._credentials = self._validate_credentials(self._authorize(), endpoint)
        return self._client.build_request(
            endpoint.method,
            path,
            # `params=[]` would drop a query string that is already in the URL.
            params=list(params) if params else None,
            content=content,
            headers={"accept": "application/json", **self._headers, **headers, **self._credentials},
        )

    def _validate_credentials(self, credentials: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
        """Rejects values that a header cannot carry; the error that httpx raises for them contains the key."""
        if all(value.isascii() and value.isprintable() and value == value.strip() for value in credentials.values()):
            return dict(credentials)
        raise PermanentApiError(
            self.service,
            str(endpoint),
            detail="the key contains a space, a line break or a character that cannot be sent",
            next_step="Paste the key again, without anything before or after it. Nothing was sent.",
        )

    def _request_with_retries(
        self, endpoint: Endpoint, request: httpx.Request, response_type: type[T]
    ) -> tuple[T, Response]:
        result, attempts = send_with_retries(
            partial(self._attempt, endpoint, request, response_type),
            self._retry_policy,
            self._clock,
            f"{self.service} {endpoint}",
        )
        if isinstance(result, AttemptError):
            self._raise(endpoint, result, attempts)
        return result

    def _wait_for_rate_limit(self, endpoint: Endpoint) -> None:
        if limiter := self._rate_limiters.get(endpoint.rate_limit_key):
            limiter.acquire()

    def _attempt(
        self, endpoint: Endpoint, request: httpx.Request, response_type: type[T]
    ) -> tuple[T, Response] | AttemptError:
        """Sends the request once. A failure is a result: an exception of httpx holds the request with its key."""
        self._wait_for_rate_limit(endpoint)
        try:
            response, body = self._send(request)
        except _BodyTooLarge:
            return AttemptError(
                f"the response is larger than {_MAX_BODY_BYTES // 1024**2} MiB, or compressed twice", transient=False
            )
        except httpcore.TimeoutException as error:
            return AttemptError(f"no complete response in time ({type(error).__name__})", transient=True)
        except _INTERRUPTED as error:
            return AttemptError(
                f"the response was interrupted or is unreadable ({type(error).__name__})", transient=True
            )
        except _NO_CONNECTION as error:
            return AttemptError(f"no connection ({self._describe_connection_error(error)})", transient=True)
        status = response.status_code
        request_id = response.headers.get("request-id") or response.headers.get("x-request-id")
        logger.debug("%s %s: %d, %d bytes", self.service, endpoint, status, len(body))
        if not response.is_success:
            return failed_response(status, response.headers, body, self._redact, self._clock.now())
        try:
            # Records are stored as they are, and a text column takes UTF-8 only.
            body.decode()
            value = msgspec.json.decode(body, type=response_type)
        except UNREADABLE as error:
            return AttemptError(
                self._redact(f"{describe_non_json(body) or 'not the expected JSON'}: {error}"),
                status=status,
                request_id=request_id and self._redact(request_id),
                transient=True,
                malformed=True,
            )
        return value, Response(body, request_id, response.headers.get("date"))

    def _describe_connection_error(self, error: Exception) -> str:
        """The class of the error and, for a failed connection or proxy, the reason."""
        name, reason = type(error).__name__, str(error)
        if isinstance(error, httpcore.ProxyError):
            # The status only; the rest of the proxy's answer may repeat its password.
            reason = reason[:3]
        elif not isinstance(error, httpcore.ConnectError):
            reason = ""
        return f"{name}: {self._redact(reason)}" if reason else name

    def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        self._transport.set_deadline(self._retry_policy.attempt_seconds)
        response = self._client.send(request, stream=True)
        self.server_date = response.headers.get("date", self.server_date)
        try:
            # A body that is compressed twice could exceed the limit within one chunk.
            compressed_twice = "," in response.headers.get("content-encoding", "")
            if compressed_twice or int(response.headers.get("content-length", 0)) > _MAX_BODY_BYTES:
                raise _BodyTooLarge
            chunks, size = [], 0
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > _MAX_BODY_BYTES:
                    raise _BodyTooLarge
            return response, b"".join(chunks)
        finally:
            response.close()

    def _redact(self, text: str) -> str:
        # A body may have megabytes; only its beginning is shown.
        text = deobfuscate(text[:_MAX_REDACTED_CHARACTERS])
        if "%" in text:
            text = unquote(text)
        for value in (self._credentials or {}).values():
            for secret in _secret_parts(value):
                text = re.sub(re.escape(secret), "[secret]", text, flags=re.IGNORECASE)
        text = redact(" ".join(text.split()))
        return text if len(text) <= _MAX_DETAIL_CHARACTERS else text[:_MAX_DETAIL_CHARACTERS] + "…"

    def _error_codes(self, body: bytes) -> frozenset[str]:
        return frozenset(self._redact(code) for code in error_codes(body))

    def _raise(self, endpoint: Endpoint, error: AttemptError, attempts: int) -> NoReturn:
        # Outside of `except`: httpx's exception holds the request with its key.
        raise_failure(self.service, str(endpoint), error, attempts, self._hint(error.status or 0, endpoint.path))


class _BodyTooLarge(Exception):
    """The body exceeds the limit."""


@cache
def _ssl_context() -> ssl.SSLContext:
    """Shared by all clients, because loading the certificates is slow."""
    return httpx.create_ssl_context()


def _secret_parts(credential: str) -> list[str]:
    """The value of a credential header, the token in it, and the parts of a Basic token."""
    token = credential.split(" ")[-1]
    parts = [credential, token]
    if credential.startswith("Basic "):
        parts += [part for part in base64.b64decode(token).decode("utf-8", "replace").split(":") if part]
    # A short part would redact ordinary words.
    return sorted({part for part in parts if len(part) >= 6}, key=len, reverse=True)
