"""The exceptions of a failed request, and what an error body says."""

from __future__ import annotations

import json

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MAX_BODY_CHARACTERS = 10_000


class ApiError(Exception):
    """A request failed. The text gives the service, the endpoint, the reason, the attempts and the next step."""

    def __init__(
        self,
        service: str,
        endpoint: str,
        *,
        detail: str,
        next_step: str,
        status: int | None = None,
        error_codes: frozenset[str] = frozenset(),
        request_id: str | None = None,
        attempts: int = 1,
    ) -> None:
        self.service = service
        self.endpoint = endpoint
        self.status = status
        # The machine-readable codes that the service gave.
        self.error_codes = error_codes
        self.detail = detail
        self.next_step = next_step
        self.request_id = request_id
        self.attempts = attempts
        answered = f"answered {status}: " if status is not None else ""
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        request = f" (request {request_id})" if request_id else ""
        super().__init__(f"{service} {endpoint} {answered}{detail.rstrip('. ')}{tried}{request}. {next_step}")


class PermanentApiError(ApiError):
    """The request would fail again."""


class TransientApiError(ApiError):
    """The request may succeed later; the retries are used up."""


class PageTokenExpired(PermanentApiError):
    """410: the list changed while it was paged through; start again at its first page."""


class MalformedResponse(TransientApiError):
    """A success whose body is not JSON of the expected type."""


class PaginationLoop(PermanentApiError):
    """A list whose pages do not end."""


class _Details(msgspec.Struct):
    error_code: str | None = None


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None
    details: _Details | list[msgspec.Raw] | None = None

    @property
    def code(self) -> str | None:
        return self.details.error_code if isinstance(self.details, _Details) else None


class _ErrorBody(msgspec.Struct):
    """The usual forms of an error body: a text, or an object with a message and perhaps a code."""

    error: _Error | str | None = None
    message: str | None = None


def error_message(body: bytes) -> str:
    """The message in an error body, or the body itself; empty for an empty body. Not redacted."""
    if description := describe_non_json(body):
        return description if body.strip() else ""
    decoded = _decode(body)
    error = _Error(message=decoded.error) if isinstance(decoded.error, str) else decoded.error or _Error()
    texts = [text for text in (error.message, decoded.message, error.code) if text]
    return ": ".join(dict.fromkeys(texts)) or _compact(body)


def error_codes(body: bytes) -> frozenset[str]:
    """The type and the code in an error body, where it has them. Not redacted."""
    error = _decode(body).error
    return frozenset(text for text in (error.type, error.code) if text) if isinstance(error, _Error) else frozenset()


def describe_non_json(body: bytes) -> str | None:
    """What the body is if it does not begin like JSON; else None."""
    start = body[:200].lstrip()
    if not start:
        return "an empty body instead of JSON"
    return "an HTML page instead of JSON" if start.startswith(b"<") else None


def default_next_step(status: int | None, detail: str, *, transient: bool) -> str:
    """What to do about a failed request when the service has no advice of its own."""
    match status:
        case 401:
            return "Check the key: it was not accepted."
        case 402 | 403:
            return "Check what the key and the plan give access to."
        case 404:
            return "Check the base URL, and whether the API still has this path."
        case 410:
            return "The list changed while it was read; run again."
        case status if status is not None and 300 <= status < 400:
            return "Redirects are not followed, because they would carry the credentials elsewhere; check the base URL."
        case None if "CERTIFICATE_VERIFY_FAILED" in detail:
            return "A proxy may have answered: set SSL_CERT_FILE to the certificates of your company."
        case _ if transient:
            return "Nothing was changed; run again later."
        case _:
            return "Nothing was changed; check the request and the changelog of the API."


def _decode(body: bytes) -> _ErrorBody:
    try:
        return msgspec.json.decode(body, type=_ErrorBody)
    except UNREADABLE:
        return _ErrorBody()


def _compact(body: bytes) -> str:
    """The body as text, with JSON escapes resolved so that redaction sees keys and addresses."""
    if len(body) > _MAX_BODY_CHARACTERS:
        return body[:_MAX_BODY_CHARACTERS].decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
