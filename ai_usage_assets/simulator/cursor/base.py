"""Fault options, errors and number formats of the simulated Cursor API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from ai_usage_assets.simulator.server import Request, Response

ENCODER = msgspec.json.Encoder(decimal_format="number")


class ApiRequestError(Exception):
    """A request that the API rejects."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


Rejection = Literal["key", "personal key", "old key", "scope", "plan", "forbidden", "sentence", "page"]

# Cursor's error bodies differ by endpoint and have changed over time.
_REJECTIONS: dict[Rejection, tuple[int, dict[str, Any] | bytes]] = {
    "key": (401, {"code": "error", "message": "Invalid Team API Key"}),
    "personal key": (401, {"error": "Unauthorized", "message": "Invalid API key"}),
    "old key": (401, {"statusCode": 401, "error": "Unauthorized", "message": "Invalid API key"}),
    "scope": (401, {"code": "error", "message": "Team API key missing required scope: admin:*"}),
    "plan": (401, {"code": "error", "message": "You must be a member of an enterprise team to access this resource"}),
    "forbidden": (403, {"error": "Forbidden", "message": "Enterprise access required"}),
    "sentence": (403, {"error": "This team may not use the Admin API"}),
    "page": (502, b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"),
}


@dataclass
class CursorFaultOptions:
    """Deviations and faults of the simulated API. They can be changed while it serves."""

    # The Teams plan has no billing groups.
    teams_plan: bool = False
    unauthorized: bool = False
    # Path prefix -> kind of rejection of every request.
    rejections: dict[str, Rejection] = field(default_factory=dict)
    # The key is revoked after this many more requests.
    requests_until_revoked: int | None = None
    # Limits requests per endpoint in fixed windows of this many seconds (the vendor's have 60); None: no limit.
    window_seconds: float | None = None
    requests_per_window: int | None = None

    # Removed people lose their e-mail in all of history, and can disappear from the list of members.
    strip_removed_emails: bool = True
    hide_removed_members: bool = False
    # People have numeric ids, as before ids began with `user_`.
    numeric_ids: bool = False

    # How many times, during pagination, a late event appears, the newest event disappears, or a page is repeated.
    late_events_while_paging: int = 0
    lost_events_while_paging: int = 0
    repeated_pages: int = 0
    # Every page is the first one and has a next page.
    endless_paging: bool = False
    # Error of the total count.
    miscounted_events: int = 0
    # Larger pages are truncated to this size instead of rejected.
    page_size_limit: int | None = None

    # An undocumented billing kind.
    unknown_kind: str | None = None
    extra_fields: bool = False
    # Field -> n: it is missing in every n-th record.
    omitted_fields: dict[str, int] = field(default_factory=dict)
    # Numbers of records: unchanged, all as floats, or as text with thirty digits.
    number_format: Literal["numbers", "floats", "text"] = "numbers"

    # Cents by which each member's spend differs from their events, and an undocumented billing tier.
    spend_drift_cents: Decimal = Decimal(0)
    billing_tier: str | None = None


def rejection_response(rejection: Rejection) -> Response:
    """Returns the error response of a rejection."""
    status, body = _REJECTIONS[rejection]
    if isinstance(body, bytes):
        return Response(status, body, {"content-type": "text/html"})
    return Response(status, ENCODER.encode(body))


def _unchanged(value: Any) -> Any:
    return value


def _as_float(value: Any) -> Any:
    """Converts numbers to floats."""
    if isinstance(value, dict):
        return {name: _as_float(inner) for name, inner in value.items()}
    return float(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _as_text(value: Any) -> Any:
    """Converts numbers to text, decimals with thirty digits."""
    if isinstance(value, dict):
        return {name: _as_text(inner) for name, inner in value.items()}
    if isinstance(value, Decimal):
        return f"{value:.{30 - len(str(abs(int(value))))}f}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


NUMBER_STYLES: dict[str, Callable[[Any], Any]] = {"numbers": _unchanged, "floats": _as_float, "text": _as_text}


# The end of the year 9999.
_LAST_MS = 253_402_300_800_000


def read_body(request: Request) -> dict[str, Any]:
    """Decodes and validates the JSON body of a request."""
    try:
        body = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError:
        raise ApiRequestError(400, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise ApiRequestError(400, "Invalid body")
    for name in ("startDate", "endDate", "page", "pageSize"):
        if name in body and not isinstance(body[name], int):
            raise ApiRequestError(400, f"{name} must be a number")
    if not all(0 <= body.get(name, 0) < _LAST_MS for name in ("startDate", "endDate")):
        raise ApiRequestError(400, "Invalid date range")
    return body


def read_page(body: dict[str, Any], *, default: int, maximum: int) -> tuple[int, int]:
    """Returns the validated page number and page size."""
    page, size = body.get("page", 1), body.get("pageSize", default)
    if page < 1 or not 1 <= size <= maximum:
        raise ApiRequestError(400, f"page must be at least 1 and pageSize between 1 and {maximum}")
    return page, size


def to_day(milliseconds: int) -> date:
    """Returns the UTC day of an instant."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date()


def start_ms(day: date) -> int:
    """Returns the start of a day in milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def format_instant(instant: datetime) -> str:
    """Formats an instant as the API does."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.000Z")
