"""The one way out to every API: pacing, retries, failure classes, redaction, paging.

Belongs here: HTTP, and everything httpx needs to be told. Does not: facts of a vendor. Only the endpoints a gateway
was made with can be called at all, and all of them read. An answer that is not the promised JSON is an error, never an
empty result. Nothing that leaves here carries a key, a query string or an e-mail address: no log line, no exception,
and no exception hanging on to another one.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Literal, NoReturn, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import httpcore
import httpx
import msgspec

from ai_usage_assets.http.transport import BoundedTransport
from ai_usage_assets.redaction import deobfuscate, redact
from ai_usage_assets.settings import is_loopback

T = TypeVar("T")
P = TypeVar("P")

logger = logging.getLogger(__name__)
# httpx logs whole URLs, whose queries may hold e-mail addresses.
for _noisy in ("httpx", "httpcore"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

_DETAIL_CHARACTERS, _READ_CHARACTERS = 300, 10_000
_BODY_BYTES = 256 * 1024 * 1024
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_JITTER = 0.1

_TRANSIENT_STATUS = {408, 409, 425, 429}


class Clock(Protocol):
    """Time, so that waiting can be tested without waiting."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def now(self) -> datetime:
        """The present instant, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


@dataclass(frozen=True)
class RetryPolicy:
    """How long one request may take, retries and all; every wait is bounded."""

    max_attempts: int = 6
    first_wait_seconds: float = 1.0
    max_wait_seconds: float = 120.0
    total_wait_seconds: float = 600.0
    # For a 429 that does not say how long: budgets of the vendors are per minute.
    rate_limit_wait_seconds: float = 60.0
    # An answer that drips in byte by byte keeps every single read alive; this ends the attempt all the same.
    attempt_seconds: float = 120.0


# Of a simulated vendor: as many attempts, and no wait that it does not ask for.
_UNPACED = RetryPolicy(first_wait_seconds=0.0, rate_limit_wait_seconds=0.0)


@dataclass(frozen=True)
class Endpoint:
    """A path that may be called; `{name}` stands for one segment. Equal `group`s share one budget per minute."""

    method: Literal["GET", "POST"]
    path: str
    per_minute: int
    group: str = ""


@dataclass(frozen=True)
class Response:
    """What came with the promised JSON: its bytes, and headers that are worth keeping."""

    body: bytes
    request_id: str | None
    date: str | None


@dataclass(frozen=True)
class RawResponse:
    """One answer as it came, good or bad, for whoever asks about the API itself. Only `body` is not redacted."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    # What the vendor says of an error, and how it calls it.
    error_message: str
    error_codes: frozenset[str]


class ApiError(Exception):
    """A request that failed. Its text says where, what, after how many attempts, and what to do next."""

    def __init__(
        self,
        vendor: str,
        endpoint: str,
        *,
        detail: str,
        next_step: str,
        status: int | None = None,
        error_codes: frozenset[str] = frozenset(),
        request_id: str | None = None,
        attempts: int = 1,
    ) -> None:
        self.vendor = vendor
        self.endpoint = endpoint
        self.status = status
        # What the vendor calls the error, in its own machine-readable words.
        self.error_codes = error_codes
        self.detail = detail
        self.next_step = next_step
        self.request_id = request_id
        self.attempts = attempts
        answered = f"answered {status}: " if status is not None else ""
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        request = f" (request {request_id})" if request_id else ""
        super().__init__(f"{vendor} {endpoint} {answered}{detail.rstrip('. ')}{tried}{request}. {next_step}")


class PermanentApiError(ApiError):
    """Asking again would fail again."""


class TransientApiError(ApiError):
    """It may work later; patience for now is used up."""


class PageTokenExpired(PermanentApiError):
    """410: the list being paged through is gone; start it again."""


class MalformedResponse(TransientApiError):
    """A success whose body is not the promised JSON."""


class PaginationLoop(PermanentApiError):
    """A list whose pages do not end."""


class ApiClient:
    """Calls one vendor: one request at a time, no faster than its budgets, as patient as `retry_policy`.

    `authorize` gives the credential headers and is called at the first request. `hint(status, path)` is the vendor's
    own advice for a status. With `pacing` off (for servers on this machine), no budget is kept and nothing is waited
    for but a Retry-After. Raises ValueError for a base URL that would send credentials in the clear.
    """

    def __init__(
        self,
        vendor: str,
        base_url: str,
        *,
        authorize: Callable[[], Mapping[str, str]],
        endpoints: Sequence[Endpoint],
        headers: Mapping[str, str] | None = None,
        retry_policy: RetryPolicy | None = None,
        pacing: bool = True,
        clock: Clock | None = None,
        hint: Callable[[int, str], str | None] | None = None,
    ) -> None:
        address = urlsplit(base_url)
        if address.scheme != "https" and not is_loopback(base_url):
            raise ValueError(
                f"{vendor}: {address.scheme}://{address.hostname} is refused: credentials travel over https, or on "
                "loopback only."
            )
        self.vendor = vendor
        self._authorize = authorize
        self._credentials: dict[str, str] | None = None
        self._routes = [(endpoint, _pattern(endpoint.path)) for endpoint in endpoints]
        self._headers = dict(headers or {})
        self._retry_policy = retry_policy or (RetryPolicy() if pacing else _UNPACED)
        self._clock = clock or SystemClock()
        self._hint = hint or (lambda status, path: None)
        self._lock = threading.Lock()
        # What the vendor's clock showed in its last answer, whatever that was.
        self.server_date: str | None = None
        self._budgets = {_budget_of(e): _RateLimiter(e.per_minute, self._clock) for e in endpoints} if pacing else {}
        self._transport = BoundedTransport(base_url, _trusted())
        self._client = httpx.Client(
            base_url=base_url,
            transport=self._transport,
            timeout=httpx.Timeout(
                min(_READ_SECONDS, self._retry_policy.attempt_seconds),
                connect=min(_CONNECT_SECONDS, self._retry_policy.attempt_seconds),
            ),
            # A redirect would carry the credentials elsewhere.
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def get(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        response_type: type[T],
        headers: Mapping[str, str] | None = None,
    ) -> tuple[T, Response]:
        """One answer, decoded into `response_type`. Raises Failure; ValueError for a path that is not on the list."""
        return self._call("GET", path, response_type, params=params, headers=headers or {})

    def post(self, path: str, body: Mapping[str, object], *, response_type: type[T]) -> tuple[T, Response]:
        """The same for an API that reads with POST."""
        return self._call("POST", path, response_type, content=msgspec.json.encode(body), headers=_JSON)

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
        endpoint = self._endpoint(method, path)
        with self._lock:
            return self._patiently(endpoint, self._request(endpoint, path, params, content, headers), response_type)

    def request_once(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        rate_limited: bool = True,
    ) -> RawResponse:
        """One attempt, and whatever was answered: an error is an answer here, and nothing is tried twice.

        Raises Failure when nothing is answered; ValueError for a path that is not on the list.
        """
        endpoint = self._endpoint(method, path)
        content = None if body is None else msgspec.json.encode(body)
        with self._lock:
            request = self._request(endpoint, path, params, content, {**(_JSON if content else {}), **(headers or {})})
            if rate_limited and (budget := self._budgets.get(_budget_of(endpoint))):
                budget.take()
            problem = None
            try:
                response, answer = self._send(request)
            except (*_BROKEN_OFF, *_NO_CONNECTION, httpcore.TimeoutException, _TooLarge) as error:
                problem = _AttemptError(f"no complete answer ({type(error).__name__})", transient=True)
            if problem:
                self._give_up(endpoint, problem, 1)
            return RawResponse(
                response.status_code,
                {name: self._redact(value) for name, value in response.headers.items()},
                answer,
                "" if response.is_success else self._redact(_said(answer) or response.reason_phrase),
                self._codes(answer),
            )

    def _request(
        self,
        endpoint: Endpoint,
        path: str,
        params: Sequence[tuple[str, str]],
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        if self._credentials is None:
            self._credentials = self._sendable(self._authorize(), endpoint)
        return self._client.build_request(
            endpoint.method,
            path,
            # An absent parameter list must not erase what the path may carry, so it is left out.
            params=list(params) if params else None,
            content=content,
            headers={"accept": "application/json", **self._headers, **headers, **self._credentials},
        )

    def _sendable(self, credentials: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
        """The credentials, if a header can carry them; httpx would refuse them in words that hold the key."""
        if all(value.isascii() and value.isprintable() and value == value.strip() for value in credentials.values()):
            return dict(credentials)
        raise PermanentApiError(
            self.vendor,
            f"{endpoint.method} {endpoint.path}",
            detail="the key holds a space, a line break or a letter that cannot be sent",
            next_step="Paste the key again, without anything before or after it. Nothing was sent.",
        )

    def _endpoint(self, method: str, path: str) -> Endpoint:
        for endpoint, pattern in self._routes:
            if endpoint.method == method and pattern.fullmatch(path):
                return endpoint
        raise ValueError(f"{self.vendor}: {method} {path} is not one of the endpoints that may be called")

    def _patiently(self, endpoint: Endpoint, request: httpx.Request, response_type: type[T]) -> tuple[T, Response]:
        waited = 0.0
        for attempt in range(1, self._retry_policy.max_attempts + 1):
            if budget := self._budgets.get(_budget_of(endpoint)):
                budget.take()
            outcome = self._once(endpoint, request, response_type)
            if not isinstance(outcome, _AttemptError):
                return outcome
            problem = outcome
            if not problem.transient:
                self._give_up(endpoint, problem, attempt)
            wait = self._wait_seconds(problem, attempt)
            if wait > self._retry_policy.max_wait_seconds:
                problem.detail = f"asks to wait {wait:,.0f} s. {problem.detail}"
                self._give_up(endpoint, problem, attempt)
            if attempt == self._retry_policy.max_attempts or waited + wait > self._retry_policy.total_wait_seconds:
                self._give_up(endpoint, problem, attempt)
            logger.warning(
                "%s %s %s: %s; attempt %d of %d, again in %.0f s",
                self.vendor,
                endpoint.method,
                endpoint.path,
                problem.detail if problem.malformed else problem.status or problem.detail,
                attempt,
                self._retry_policy.max_attempts,
                wait,
            )
            self._clock.sleep(wait)
            waited += wait
        raise AssertionError("the last attempt gives up")

    def _once(
        self, endpoint: Endpoint, request: httpx.Request, response_type: type[T]
    ) -> tuple[T, Response] | _AttemptError:
        """One attempt: the answer, or what was wrong with it."""
        try:
            response, body = self._send(request)
        except _TooLarge:
            return _AttemptError(
                f"the answer is larger than {_BODY_BYTES // 1024**2} MiB, or packed twice", transient=False
            )
        except httpcore.TimeoutException as error:
            return _AttemptError(f"no complete answer in time ({type(error).__name__})", transient=True)
        except _BROKEN_OFF as error:
            return _AttemptError(f"the answer broke off or is unreadable ({type(error).__name__})", transient=True)
        except _NO_CONNECTION as error:
            # A name that is not found, a certificate nobody knows, a port that is closed: each is mended elsewhere.
            told = isinstance(error, httpcore.ConnectError | httpcore.ProxyError) and str(error)
            if told and isinstance(error, httpcore.ProxyError):
                # Its status; whatever the proxy says beside it may repeat its password.
                told = told[:3]
            why = f": {self._redact(told)}" if told else ""
            return _AttemptError(f"no connection ({type(error).__name__}{why})", transient=True)
        status = response.status_code
        request_id = response.headers.get("request-id") or response.headers.get("x-request-id")
        logger.debug("%s %s %s: %d, %d bytes", self.vendor, endpoint.method, endpoint.path, status, len(body))
        if not response.is_success:
            return _AttemptError(
                self._redact(_said(body) or response.reason_phrase),
                status=status,
                error_codes=self._codes(body),
                request_id=request_id and self._redact(request_id),
                transient=status in _TRANSIENT_STATUS or status >= httpx.codes.INTERNAL_SERVER_ERROR,
                retry_after_seconds=self._retry_after_seconds(response.headers.get("retry-after")),
            )
        try:
            # A record is cut out as it is, and a text column takes UTF-8 only.
            body.decode()
            value = msgspec.json.decode(body, type=response_type)
        except _UNREADABLE as error:
            return _AttemptError(
                self._redact(f"{_instead_of_json(body) or 'not the promised JSON'}: {error}"),
                status=status,
                request_id=request_id and self._redact(request_id),
                transient=True,
                malformed=True,
            )
        return value, Response(body, request_id, response.headers.get("date"))

    def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        self._transport.set_deadline(self._retry_policy.attempt_seconds)
        response = self._client.send(request, stream=True)
        self.server_date = response.headers.get("date", self.server_date)
        try:
            # Counted too, because a body may be small on the way and large when it is unpacked.
            # Packed twice, one piece of it could be larger than that before it is seen.
            twice = "," in response.headers.get("content-encoding", "")
            if twice or int(response.headers.get("content-length", 0)) > _BODY_BYTES:
                raise _TooLarge
            pieces, size = [], 0
            for piece in response.iter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > _BODY_BYTES:
                    raise _TooLarge
            return response, b"".join(pieces)
        finally:
            response.close()

    def _wait_seconds(self, problem: _AttemptError, attempt: int) -> float:
        if problem.retry_after_seconds is not None:
            return problem.retry_after_seconds
        retry_policy = self._retry_policy
        if problem.status == httpx.codes.TOO_MANY_REQUESTS:
            wait = retry_policy.rate_limit_wait_seconds
        else:
            wait = min(retry_policy.first_wait_seconds * 2 ** (attempt - 1), retry_policy.max_wait_seconds)
        # Never above the bound, never all clients at the same instant.
        return min(wait * (1 + random.uniform(0, _JITTER)), retry_policy.max_wait_seconds)  # noqa: S311 - not a secret

    def _retry_after_seconds(self, value: str | None) -> float | None:
        """Seconds the server asks for, given as a number or as an HTTP date to come; None when it gives neither."""
        text = (value or "").strip()
        if re.fullmatch(r"\d{1,15}(\.\d{1,15})?", text):
            return float(text)
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - self._clock.now()).total_seconds()
        return seconds if seconds >= 0 else None

    def _redact(self, text: str) -> str:
        # A page may be megabytes; only its beginning can be seen afterwards.
        text = deobfuscate(text[:_READ_CHARACTERS])
        if "%" in text:
            text = unquote(text)
        for value in (self._credentials or {}).values():
            for secret in _pieces(value):
                text = re.sub(re.escape(secret), "[secret]", text, flags=re.IGNORECASE)
        text = redact(" ".join(text.split()))
        return text if len(text) <= _DETAIL_CHARACTERS else text[:_DETAIL_CHARACTERS] + "…"

    def _codes(self, body: bytes) -> frozenset[str]:
        return frozenset(self._redact(code) for code in _codes(body))

    def _give_up(self, endpoint: Endpoint, problem: _AttemptError, attempts: int) -> NoReturn:
        kind: type[ApiError]
        if problem.status == httpx.codes.GONE:
            kind = PageTokenExpired
        elif problem.malformed:
            kind = MalformedResponse
        else:
            kind = TransientApiError if problem.transient else PermanentApiError
        # Here and not where httpx's exception was caught: it would hang on, and it holds the request with its headers.
        raise kind(
            self.vendor,
            f"{endpoint.method} {endpoint.path}",
            status=problem.status,
            error_codes=problem.error_codes,
            detail=problem.detail,
            next_step=self._hint(problem.status or 0, endpoint.path) or _advice(problem),
            request_id=problem.request_id,
            attempts=attempts,
        )


_JSON = {"content-type": "application/json"}


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BROKEN_OFF = (httpx.DecodingError, httpx.RemoteProtocolError, httpcore.RemoteProtocolError, httpcore.ReadError)
_NO_CONNECTION = (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)


@dataclass
class _AttemptError:
    """What was wrong with one attempt."""

    detail: str
    transient: bool
    status: int | None = None
    error_codes: frozenset[str] = frozenset()
    request_id: str | None = None
    malformed: bool = False
    retry_after_seconds: float | None = None


class _TooLarge(Exception):
    """A body that memory should not be given to."""


class _RateLimiter:
    """A number of requests in any minute: a burst of a tenth of them at most, the others evenly after it."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._clock = clock
        self._burst = max(1, per_minute // 10)
        # The burst is part of the minute's number, not on top of it.
        self._seconds_each = 60.0 / (per_minute - self._burst + 1)
        self._tokens = float(self._burst)
        self._seen = clock.monotonic()

    def take(self) -> None:
        """Waits until the next request is within the budget."""
        self._refill()
        if self._tokens < 1:
            self._clock.sleep((1 - self._tokens) * self._seconds_each)
            self._refill()
        self._tokens -= 1

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) / self._seconds_each)
        self._seen = now


def paginate(
    fetch: Callable[[str | None], tuple[P, str | None]], *, vendor: str, endpoint: str, max_pages: int = 2_000
) -> Iterator[P]:
    """The pages of a list. `fetch(cursor)` gives a page and the next cursor, None at the end.

    Raises PagingLoop when a cursor comes back, or after `max_pages`.
    """
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(max_pages):
        page, cursor = fetch(cursor)
        yield page
        if cursor is None:
            return
        if cursor in seen:
            problem = f"page {len(seen) + 1} leads back to one that was already read"
            break
        seen.add(cursor)
    else:
        problem = f"there are more than {max_pages:,} pages"
    raise PaginationLoop(
        vendor,
        endpoint,
        detail=f"the list does not end: {problem}",
        next_step="Run again; if it stays, report it to the vendor.",
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Whom to believe over https; reading all the certificates takes a while, so every gateway shares them."""
    return httpx.create_ssl_context()


def _pattern(path: str) -> re.Pattern[str]:
    # A placeholder takes an identifier: no dots, which would climb to another path.
    return re.compile("/".join(r"[A-Za-z0-9_-]+" if part[:1] == "{" else re.escape(part) for part in path.split("/")))


def _budget_of(endpoint: Endpoint) -> str:
    return endpoint.group or f"{endpoint.method} {endpoint.path}"


def _pieces(credential: str) -> list[str]:
    """A credential header's value, the token in it, and what a Basic token hides."""
    token = credential.split(" ")[-1]
    pieces = [credential, token]
    if credential.startswith("Basic "):
        pieces += [part for part in base64.b64decode(token).decode("utf-8", "replace").split(":") if part]
    # A short piece would blot out ordinary words.
    return sorted({piece for piece in pieces if len(piece) >= 6}, key=len, reverse=True)


class _Details(msgspec.Struct):
    error_code: str | None = None


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None
    details: _Details | list[msgspec.Raw] | None = None


class _ErrorBody(msgspec.Struct):
    """The usual shapes of an error: a text, or an object with a message and perhaps a code of its own."""

    error: _Error | str | None = None
    message: str | None = None


def _said(body: bytes) -> str:
    """What an error body says, as far as a person wants to know; empty when it says nothing."""
    if instead := _instead_of_json(body):
        return instead if body.strip() else ""
    found = _error_body(body)
    error = _Error(message=found.error) if isinstance(found.error, str) else found.error or _Error()
    code = error.details.error_code if isinstance(error.details, _Details) else None
    texts = [text for text in (error.message, found.message, code) if text]
    return ": ".join(dict.fromkeys(texts)) or _plain(body)


def _plain(body: bytes) -> str:
    # Escaped letters would hide an address or a key from who looks for them.
    if len(body) > _READ_CHARACTERS:
        return body[:_READ_CHARACTERS].decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _codes(body: bytes) -> frozenset[str]:
    """The type and the code of an error, where the vendor gives them; nothing for a page that is not the vendor's."""
    error = _error_body(body).error
    if not isinstance(error, _Error):
        return frozenset()
    code = error.details.error_code if isinstance(error.details, _Details) else None
    return frozenset(text for text in (error.type, code) if text)


def _error_body(body: bytes) -> _ErrorBody:
    try:
        return msgspec.json.decode(body, type=_ErrorBody)
    except _UNREADABLE:
        return _ErrorBody()


def _instead_of_json(body: bytes) -> str | None:
    """What a body is that does not even begin like JSON."""
    start = body[:200].lstrip()
    if not start:
        return "an empty body instead of JSON"
    return "an HTML page instead of JSON" if start.startswith(b"<") else None


def _advice(problem: _AttemptError) -> str:
    match problem.status:
        case 401:
            return "Check the key: it was not accepted."
        case 402 | 403:
            return "Check what the key and the plan may see."
        case 404:
            return "Check the base address, and whether the API still has this path."
        case 410:
            return "The list was renewed while it was read; run again."
        case status if status is not None and 300 <= status < 400:
            return "Redirects are not followed, because credentials would travel; check the base address."
        case None if "CERTIFICATE_VERIFY_FAILED" in problem.detail:
            return "A proxy may answer in its place: set SSL_CERT_FILE to the certificates of your company."
        case _ if problem.transient:
            return "Nothing was changed; run again later."
        case _:
            return "Nothing was changed; this needs a look at the request or the vendor's changelog."
