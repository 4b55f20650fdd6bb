"""The one client of Metabase's API: what is tried again, what never is, and what goes wrong, in words.

Belongs here: bounded requests, logging in, refusals without secrets. Does not: what is sent (`bodies`), where
credentials come from (`credentials`). A GET and a PUT may be made again; a POST makes something each time, so after an
answer that was lost it is first looked for.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpcore
import httpx

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.http.transport import BoundedTransport
from ai_usage_assets.metabase.api_models import RequestBody
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.settings import is_https_or_loopback

_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 1.0
# Making a connection to a database, Metabase tries it before it answers.
_ATTEMPT_SECONDS = 90.0
_HEALTH_SECONDS = 3.0
_LONGEST_ANSWER_SHOWN = 300
_HIDDEN = "[secret]"
_LOST = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError)


class MetabaseError(OperatorError):
    """Metabase did not do what it was asked; the message says what and what to do, on one line without people."""

    def __init__(self, message: str) -> None:
        # Others have chosen names in it.
        super().__init__(redact_line(message, with_people=False))


class RequestRejected(MetabaseError):
    """It answered, and not with success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AmbiguousOutcome(MetabaseError):
    """No answer came, or none that says whether it was done; `brief` says the same of Metabase in a few words."""

    def __init__(self, message: str, brief: str) -> None:
        super().__init__(message)
        self.brief = brief


class ApiObject(dict[str, Any]):
    """An object that Metabase answered; one without a key that is asked for is another version's, or nobody's."""

    def __init__(self, whose: str, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._whose = whose

    def __missing__(self, key: str) -> Any:
        raise _unexpected(self._whose, f"{key} is missing")

    @property
    def id(self) -> int:
        """Its id, which becomes a part of a path. Raises MetabaseError for anything but a number of Metabase's own."""
        found = self["id"]
        if type(found) is not int or found < 1:
            raise _unexpected(self._whose, "an id is no number")
        return found


class Clock(Protocol):
    """Time, as the module `time` has it."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float) -> None:
        """Waits."""


class MetabaseClient:
    """One Metabase. Raises MetabaseError for an address over which nothing secret may travel."""

    def __init__(self, url: str, *, clock: Clock = time, attempt_seconds: float = _ATTEMPT_SECONDS) -> None:
        if not is_https_or_loopback(url):
            raise MetabaseError(
                "The address of Metabase must be one of https, or of this machine (a tunnel ends there)."
            )
        self.url = url.rstrip("/")
        self.host = urlsplit(url).netloc
        self._clock = clock
        self._attempt_seconds = attempt_seconds
        self._transport = BoundedTransport(url, _trusted(url))
        self._credentials: dict[str, str] = {}
        self._secrets: set[str] = set()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def hide(self, *secrets: str) -> None:
        """None of these, nor a line of one, is ever part of a message."""
        for secret in secrets:
            # A key has lines, which JSON within JSON writes with more than one backslash.
            self._secrets |= {secret, *(part for part in re.split(r"\\+n|\s|\"", secret) if len(part) > 15)}

    def use_key(self, key: str) -> None:
        """Asks with a key of the API from now on."""
        self.hide(key)
        self._credentials = {"x-api-key": key}

    def use_session(self, session: str) -> None:
        """Asks as who logged in from now on."""
        self.hide(session)
        self._credentials = {"x-metabase-session": session}

    def wait_until_healthy(self, seconds: float) -> None:
        """Waits so long for a server that is starting. Raises MetabaseError, at once when another program answers."""
        end = self._clock.monotonic() + seconds
        while True:
            try:
                answer = self._once("GET", "/api/health", None, _HEALTH_SECONDS)
                told = f"answered {answer.status_code}"
                if answer.is_redirect:
                    raise MetabaseError(f"Metabase is not at {self.host} ({told}){_advice(answer.status_code)}")
                if answer.status_code == 200:
                    self._check_health(self._read("GET", "/api/health", answer))
                    return
            except AmbiguousOutcome as error:
                told = error.brief
            if self._clock.monotonic() >= end:
                raise MetabaseError(
                    f"Metabase at {self.host} was not ready within {seconds:.0f} s: the last time it {told}. Is the "
                    "tunnel open, and is Metabase started? AI_USAGE_METABASE_URL says where it is looked for."
                )
            self._clock.sleep(2.0)

    def _check_health(self, told: Any) -> None:
        # Whatever else listens on the port of the tunnel, Dagster for one, shall not be sent a key.
        if not isinstance(told, dict) or told.get("status") != "ok":
            raise MetabaseError(
                f"What answers at {self.host} is not Metabase. AI_USAGE_METABASE_URL says where it is looked for."
            )

    def get(self, path: str) -> ApiObject:
        """The object that is there. Raises MetabaseError."""
        found = self._patiently("GET", path, None)
        if not isinstance(found, ApiObject):
            raise _unexpected(self._whose("GET", path), "it is no object")
        return found

    def listed(self, path: str) -> list[ApiObject]:
        """The objects that are there. Raises MetabaseError."""
        found = self._patiently("GET", path, None)
        objects = found["data"] if isinstance(found, ApiObject) else found
        if not isinstance(objects, list) or not all(isinstance(each, ApiObject) for each in objects):
            raise _unexpected(self._whose("GET", path), "it is no list of objects")
        return objects

    def unexpected(self, path: str, what: str) -> MetabaseError:
        """What a GET answered is not what Metabase says; `what` is wrong with it."""
        return _unexpected(self._whose("GET", path), what)

    def pause(self) -> None:
        """Waits for as long as somebody else may take to put away what was made twice."""
        self._clock.sleep(_FIRST_WAIT_SECONDS)

    @contextmanager
    def reading(self, path: str, method: str = "GET") -> Iterator[None]:
        """Within the block an answer is taken apart. Raises MetabaseError where a part of it is something else."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _unexpected(self._whose(method, path), type(error).__name__) from error

    def find(self, path: str) -> ApiObject | None:
        """An object, or None where there is none. Raises MetabaseError."""
        try:
            found = self.get(path)
        except RequestRejected as error:
            # 400: this version takes no id of this kind.
            if error.status in (400, 404):
                return None
            raise
        return found

    def put(self, path: str, body: RequestBody | None = None) -> Any:
        """Replaces something. Raises MetabaseError, of which Refused with status 409 where it changed meanwhile."""
        return self._patiently("PUT", path, body)

    def delete(self, path: str) -> None:
        """Ends something. Raises MetabaseError."""
        self._patiently("DELETE", path, None)

    def post(self, path: str, body: RequestBody) -> Any:
        """Asks once. Raises MetabaseError, of which Lost when it is not known whether it was done."""
        return self._read("POST", path, self._once("POST", path, body, self._attempt_seconds))

    def ask(self, path: str, body: RequestBody) -> Any:
        """What a query answers, which makes nothing and may be asked again. Raises MetabaseError."""
        return self._patiently("POST", path, body)

    def make(self, path: str, body: RequestBody, look: Callable[[], ApiObject | None]) -> ApiObject:
        """Makes something once: when no answer came, it is made again only if `look` does not find it.

        Raises MetabaseError.
        """
        for wait in self._waits():
            try:
                made = self.post(path, body)
            except AmbiguousOutcome:
                if wait is None:
                    raise
                self._clock.sleep(wait)
                found = look()
                if found:
                    return found
            else:
                if not isinstance(made, ApiObject):
                    raise _unexpected(self._whose("POST", path), "it is no object")
                return made
        raise AssertionError

    def _patiently(self, method: str, path: str, body: RequestBody | None) -> Any:
        for wait in self._waits():
            try:
                return self._read(method, path, self._once(method, path, body, self._attempt_seconds))
            except AmbiguousOutcome:
                if wait is None:
                    raise
                self._clock.sleep(wait)
        raise AssertionError

    @staticmethod
    def _waits() -> list[float | None]:
        return [*(_FIRST_WAIT_SECONDS * 2**number for number in range(_ATTEMPTS - 1)), None]

    def _once(self, method: str, path: str, body: RequestBody | None, seconds: float) -> httpx.Response:
        content = None if body is None else json.dumps(body.sent()).encode()
        headers = {"accept": "application/json", "content-type": "application/json", **self._credentials}
        request = httpx.Request(method, self.url + path, headers=headers, content=content)
        self._transport.set_deadline(seconds)
        try:
            answer = self._transport.handle_request(request)
            try:
                answer.read()
            finally:
                answer.close()
        except (*_LOST, httpx.DecodingError) as error:
            name = type(error).__name__
            raise AmbiguousOutcome(
                f"Metabase at {self.host} did not answer {method} {path} ({name}). Look at the tunnel and the network, "
                "then run it again.",
                f"did not answer ({name})",
            ) from None
        return answer

    def _read(self, method: str, path: str, answer: httpx.Response) -> Any:
        status = answer.status_code
        if answer.is_success:
            if not answer.content:
                return None
            try:
                return json.loads(answer.content, object_hook=partial(ApiObject, self._whose(method, path)))
            except (ValueError, RecursionError):
                raise MetabaseError(
                    f"Metabase at {self.host} answered {method} {path} with something that is no JSON: is it Metabase "
                    "that is there? AI_USAGE_METABASE_URL says where it is looked for."
                ) from None
        told = f"Metabase at {self.host} refused {method} {path} ({status}): {self._said(answer)}"
        # 429: not now.
        if status >= 500 or status == 429:
            raise AmbiguousOutcome(told, f"answered {status}")
        # A login that is refused is explained by who tried it.
        raise RequestRejected(told if path == "/api/session" else f"{told}{_advice(status)}", status)

    def _whose(self, method: str, path: str) -> str:
        return f"Metabase at {self.host} answered {method} {path}"

    def _said(self, answer: httpx.Response) -> str:
        """What a refusal says, without what is secret."""
        text = answer.text
        try:
            given = answer.json()
        except (ValueError, RecursionError):
            given = None
        if isinstance(given, dict):
            errors = given.get("errors") or given.get("message") or given.get("error") or given
            text = errors if isinstance(errors, str) else json.dumps(errors, ensure_ascii=False)
        return self.shown(text)

    def shown(self, text: str) -> str:
        """What Metabase says, on one line and without what is secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN).replace(json.dumps(secret)[1:-1], _HIDDEN)
        return redact_line(text, with_people=False)[:_LONGEST_ANSWER_SHOWN]


def _unexpected(whose: str, what: str) -> MetabaseError:
    return MetabaseError(
        f"{whose} with something else than was expected: {what}. Is it a version this was made for (v0.63)?"
    )


def _trusted(url: str) -> ssl.SSLContext:
    """Whom to trust; where there is no TLS, nobody, for reading the list takes longer than asking this machine."""
    return httpx.create_ssl_context() if url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return ". It leads elsewhere: put the address it leads to into AI_USAGE_METABASE_URL."
    if status == 401:
        return ". Metabase does not know who asks: its key was removed, or the session has ended."
    if status == 403:
        return ". Who asks may not do that: the key must be one of the group Administrators."
    return ""
