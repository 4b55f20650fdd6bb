"""The HTTP client of Metabase's API: authentication, retries, and error messages without secrets.

GET, PUT and DELETE are retried. A POST creates a new object each time, so after a lost response the client first checks
whether the object exists.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.http.rate_limit import Clock, SystemClock
from ai_usage_assets.http.transport import CONNECTION_ERRORS, BoundedTransport
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.retries import RetryPolicy
from ai_usage_assets.settings import is_https_or_loopback

Body = Mapping[str, Any]

_RETRY_POLICY = RetryPolicy(max_attempts=4, jitter=0)
# Metabase tests a database connection before it answers.
_ATTEMPT_SECONDS = 90.0
_HEALTH_SECONDS, _HEALTH_INTERVAL_SECONDS = 3.0, 2.0
_MAX_QUOTED_CHARACTERS = 300
_REDACTED = "[secret]"
_CHECK_URL = "Check AI_USAGE_METABASE_URL."


class MetabaseError(OperatorError):
    """A request to Metabase failed. The message is one line without secrets and e-mail addresses."""

    def __init__(self, message: str) -> None:
        super().__init__(redact_line(message, with_people=False))


class RequestRejected(MetabaseError):
    """Metabase answered with an error status; nothing was changed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AmbiguousOutcome(MetabaseError):
    """No response, or a 5xx or 429: the request may have been carried out. `brief` is a short form of the message."""

    def __init__(self, message: str, brief: str) -> None:
        super().__init__(message)
        self.brief = brief


class ApiObject(dict[str, Any]):
    """A JSON object of a response. A missing key raises MetabaseError that names the request."""

    def __init__(self, request: str, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self._request = request

    def __missing__(self, key: str) -> Any:
        raise _unexpected(self._request, f"{key} is missing")

    @property
    def id(self) -> int:
        """The id, which becomes part of a path. Raises MetabaseError unless it is a positive integer."""
        value = self["id"]
        if type(value) is not int or value < 1:
            raise _unexpected(self._request, "an id is not a positive integer")
        return value


class MetabaseClient:
    """A client of one Metabase. Raises MetabaseError unless the URL is https or loopback."""

    def __init__(self, url: str, *, clock: Clock | None = None, attempt_seconds: float = _ATTEMPT_SECONDS) -> None:
        if not is_https_or_loopback(url):
            raise MetabaseError("AI_USAGE_METABASE_URL must use https, or be an address of this machine (a tunnel).")
        self.url = url.rstrip("/")
        self.host = urlsplit(url).netloc
        self._clock = clock or SystemClock()
        self._attempt_seconds = attempt_seconds
        # Loading the certificate store takes longer than a request to this machine.
        https = url.startswith("https")
        context = httpx.create_ssl_context() if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._transport = BoundedTransport(url, context)
        self._auth_headers: dict[str, str] = {}
        self._secrets: set[str] = set()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def hide_secrets(self, *secrets: str) -> None:
        """Redact these values, and each long line of them, from every message."""
        for secret in secrets:
            # A private key has several lines, and JSON within JSON escapes line ends more than once.
            self._secrets |= {secret, *(part for part in re.split(r"\\+n|\s|\"", secret) if len(part) > 15)}

    def use_api_key(self, key: str) -> None:
        """Authenticate with an API key from now on."""
        self.hide_secrets(key)
        self._auth_headers = {"x-api-key": key}

    def use_session(self, session: str) -> None:
        """Authenticate with a login session from now on."""
        self.hide_secrets(session)
        self._auth_headers = {"x-metabase-session": session}

    def wait_until_healthy(self, seconds: float) -> None:
        """Wait for a starting Metabase. Raises MetabaseError after the timeout, or at once for another program."""
        end = self._clock.monotonic() + seconds
        while True:
            try:
                response = self._request("GET", "/api/health", None, _HEALTH_SECONDS)
                last = f"answered {response.status_code}"
                if response.is_redirect:
                    raise MetabaseError(f"Metabase is not at {self.host} ({last}){_advice(response.status_code)}")
                if response.status_code == 200:
                    health = self._parse("GET", "/api/health", response)
                    # Another program on the tunnel's port, such as Dagster, must not receive a key.
                    if not isinstance(health, dict) or health.get("status") != "ok":
                        raise MetabaseError(f"The program at {self.host} is not Metabase. {_CHECK_URL}")
                    return
            except AmbiguousOutcome as error:
                last = error.brief
            if self._clock.monotonic() >= end:
                raise MetabaseError(
                    f"Metabase at {self.host} was not ready within {seconds:.0f} s; the last request {last}. Check "
                    f"that the tunnel is open and that Metabase is running. {_CHECK_URL}"
                )
            self._clock.sleep(_HEALTH_INTERVAL_SECONDS)

    def pause(self) -> None:
        """Wait until a concurrent run had time to remove a duplicate."""
        self._clock.sleep(_RETRY_POLICY.first_wait_seconds)

    def get(self, path: str) -> ApiObject:
        """Return an object. Raises MetabaseError."""
        content = self._request_with_retries("GET", path)
        if not isinstance(content, ApiObject):
            raise self.unexpected(path, "not an object")
        return content

    def get_list(self, path: str) -> list[ApiObject]:
        """Return a list of objects. Raises MetabaseError."""
        content = self._request_with_retries("GET", path)
        objects = content["data"] if isinstance(content, ApiObject) else content
        if not isinstance(objects, list) or not all(isinstance(each, ApiObject) for each in objects):
            raise self.unexpected(path, "not a list of objects")
        return objects

    def find(self, path: str) -> ApiObject | None:
        """Return an object, or None if it does not exist. Raises MetabaseError."""
        try:
            return self.get(path)
        except RequestRejected as error:
            # 400: this version does not accept ids of this kind.
            if error.status in (400, 404):
                return None
            raise

    def put(self, path: str, body: Body | None = None) -> Any:
        """Replace an object. Raises MetabaseError; RequestRejected with status 409 after a concurrent change."""
        return self._request_with_retries("PUT", path, body)

    def delete(self, path: str) -> None:
        """Delete an object. Raises MetabaseError."""
        self._request_with_retries("DELETE", path)

    def query(self, path: str, body: Body) -> Any:
        """Run a query, which is a POST that changes nothing. Raises MetabaseError."""
        return self._request_with_retries("POST", path, body)

    def post(self, path: str, body: Body) -> Any:
        """Send a POST once. Raises MetabaseError; AmbiguousOutcome if it may have been carried out."""
        return self._parse("POST", path, self._request("POST", path, body, self._attempt_seconds))

    def create(self, path: str, body: Body, find_existing: Callable[[], ApiObject | None]) -> ApiObject:
        """Create an object exactly once: after a lost response, retry only if `find_existing` returns None.

        Raises MetabaseError.
        """

        def create_once() -> Any:
            is_retry = retrying.statistics["attempt_number"] > 1
            return (find_existing() if is_retry else None) or self.post(path, body)

        retrying = self._retrying()
        created = retrying(create_once)
        if not isinstance(created, ApiObject):
            raise self.unexpected(path, "not an object", "POST")
        return created

    def unexpected(self, path: str, what: str, method: str = "GET") -> MetabaseError:
        """Return the error for a response that does not have the documented form."""
        return _unexpected(self._describe(method, path), what)

    @contextmanager
    def parsing(self, path: str, method: str = "GET") -> Iterator[None]:
        """Turn errors from reading a response into MetabaseError."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self.unexpected(path, type(error).__name__, method) from error

    def redact(self, text: str) -> str:
        """Return text of Metabase on one line, without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _REDACTED).replace(json.dumps(secret)[1:-1], _REDACTED)
        return redact_line(text, with_people=False)[:_MAX_QUOTED_CHARACTERS]

    def _request_with_retries(self, method: str, path: str, body: Body | None = None) -> Any:
        return self._retrying()(
            lambda: self._parse(method, path, self._request(method, path, body, self._attempt_seconds))
        )

    def _retrying(self) -> Retrying:
        return _RETRY_POLICY.retrying(retry_if_exception_type(AmbiguousOutcome), sleep=self._clock.sleep)

    def _request(self, method: str, path: str, body: Body | None, seconds: float) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        headers = {"accept": "application/json", "content-type": "application/json", **self._auth_headers}
        request = httpx.Request(method, self.url + path, headers=headers, content=content)
        self._transport.set_deadline(seconds)
        try:
            response = self._transport.handle_request(request)
            try:
                response.read()
            finally:
                response.close()
        except (*CONNECTION_ERRORS, httpx.DecodingError) as error:
            name = type(error).__name__
            raise AmbiguousOutcome(
                f"Metabase at {self.host} did not answer {method} {path} ({name}). Check the tunnel and the network, "
                "then run the command again.",
                f"failed ({name})",
            ) from None
        return response

    def _parse(self, method: str, path: str, response: httpx.Response) -> Any:
        status = response.status_code
        if response.is_success:
            if not response.content:
                return None
            try:
                return json.loads(response.content, object_hook=partial(ApiObject, self._describe(method, path)))
            except (ValueError, RecursionError):
                raise MetabaseError(f"{self._describe(method, path)} with invalid JSON. {_CHECK_URL}") from None
        message = f"Metabase at {self.host} rejected {method} {path} ({status}): {self._quote_error(response)}"
        if status >= 500 or status == 429:
            raise AmbiguousOutcome(message, f"answered {status}")
        # The caller explains a rejected login.
        raise RequestRejected(message if path == "/api/session" else f"{message}{_advice(status)}", status)

    def _describe(self, method: str, path: str) -> str:
        return f"Metabase at {self.host} answered {method} {path}"

    def _quote_error(self, response: httpx.Response) -> str:
        text = response.text
        try:
            content = response.json()
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            errors = content.get("errors") or content.get("message") or content.get("error") or content
            text = errors if isinstance(errors, str) else json.dumps(errors, ensure_ascii=False)
        return self.redact(text)


def _unexpected(request: str, what: str) -> MetabaseError:
    return MetabaseError(f"{request} with an unexpected response: {what}. The supported version is v0.63.")


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return ". It redirects: set AI_USAGE_METABASE_URL to the address it redirects to."
    if status == 401:
        return ". The API key was removed, or the session has ended."
    if status == 403:
        return ". The API key must belong to the group Administrators."
    return ""
