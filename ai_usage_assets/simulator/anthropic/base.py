"""What the endpoints share: the state, errors, request parameters and formats."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.records import Actor, Usage
from ai_usage_assets.simulator.server import Request


class ApiRequestError(Exception):
    """A request that the API rejects."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.code = status, kind, message, code


# Error type and message by status.
STATUS_ERRORS = {
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this endpoint."),
    404: ("not_found_error", "Not found"),
    503: ("overloaded_error", "This data is not ready yet; try again later."),
}


def bad_request(message: str) -> ApiRequestError:
    """Returns a 400 error."""
    return ApiRequestError(400, "invalid_request_error", message)


@dataclass
class AnthropicFaultOptions:
    """Deviations and faults of the simulated API. They can be changed while it serves."""

    # A Claude Enterprise key: only analytics and members; Console endpoints are rejected.
    enterprise_key: bool = False
    unauthorized: bool = False
    # The export is empty and has no watermark.
    empty_export: bool = False
    # How many times a new export arrives while a list is paginated.
    refreshes_while_paging: int = 0
    # The old page token then expires (410); otherwise the new export responds.
    expire_cursors: bool = True
    # Additional delay of the export, which is refreshed every four hours.
    lag: timedelta = timedelta(0)
    # Maximum number of combinations on a page of analytics.
    page_rows: int = 1000
    # The offset of each next page of the `drifting_reports`, in combinations: below zero some are repeated, above zero
    # some are missing.
    drift: int = 0
    drifting_reports: tuple[str, ...] = ("cost", "usage")
    # Whether next pages of analytics are correct, follow an empty page, are the same page again, or have no token.
    paging: Literal["sound", "empty pages", "same cursor", "no cursor"] = "sound"
    # Path without the organization prefix -> status with which it is rejected.
    rejected_paths: dict[str, int] = field(default_factory=dict)
    # The key is revoked after this many more responses.
    responses_until_revoked: int | None = None
    # Prices have digits below a microcent, and each row of analytics is rounded separately.
    rounds_rows: bool = False
    # Changes each row of analytics before it is returned: other types or formats.
    edit_row: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    # Adds undocumented fields.
    extra_fields: bool = False
    # Text that is appended to error messages.
    error_suffix: str = ""


class Endpoints:
    """A group of endpoints over the same ledger and fault options. `now` returns the simulated instant."""

    def __init__(self, ledger: Ledger, options: AnthropicFaultOptions, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._options = options
        self._now = now

    def render_actor(self, actor: Actor | None) -> dict[str, Any] | None:
        """Returns the actor as the API shows it; None for an unknown actor."""
        if actor is None or actor.kind == "unknown":
            return None
        if actor.kind == "api_key":
            return {"type": "api_actor", "api_key_id": actor.id}
        if actor.kind == "service_account":
            return {"type": "service_account_actor", "service_account_id": actor.id}
        if actor.kind == "federated":
            provider = {"type": "oidc", "issuer": "https://oidc.example.com"}
            return {"type": "federated_actor", "provider": provider, "subject": actor.id}
        person = next(person for person in self._ledger.organization.people if person.user_id == actor.id)
        deleted = not person.is_here(self._now().date())
        return {
            "type": "user_actor",
            "user_id": actor.id,
            "email_address": None if deleted and person.account_deleted else person.email,
            "name": "Deleted User" if deleted and person.account_deleted else person.name,
            "deleted": deleted,
        }

    def classic_workspace(self, workspace_id: str) -> str | None:
        """Returns the workspace id of the classic APIs; None for the default workspace."""
        workspace = next(w for w in self._ledger.organization.workspaces if w.id == workspace_id)
        return None if workspace.is_default else workspace_id


def token_counts(pieces: Sequence[Usage]) -> dict[str, Any]:
    """Returns the token fields of a usage row."""
    uncached, five_minutes, one_hour, read, output = (
        sum(column) for column in zip(*(p.tokens for p in pieces), strict=True)
    )
    return {
        "uncached_input_tokens": uncached,
        "cache_creation": {"ephemeral_5m_input_tokens": five_minutes, "ephemeral_1h_input_tokens": one_hour},
        "cache_read_input_tokens": read,
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": sum(piece.web_searches for piece in pieces)},
    }


_ACTOR_TYPES = {
    "user": "user_actor",
    "service_account": "service_account_actor",
    "federated": "federated_actor",
    "api_key": "api_actor",
    # An unknown actor has a type without an identity.
    "unknown": "user_actor",
}


def dimension_value(piece: Usage, name: str) -> Any:
    """Returns the value of a dimension for a usage record."""
    match name:
        case "actor":
            return piece.actor
        case "actor_type":
            return _ACTOR_TYPES[piece.actor.kind] if piece.actor else None
        case "context_window":
            return "0-200k" if piece.model else None
        case "speed":
            return "standard" if piece.model else None
        case "api_key_id" | "workspace_id" | "model" | "product" | "service_tier" | "inference_geo":
            return getattr(piece, name)
        case _:
            return None


def read_limit(request: Request, default: int, maximum: int) -> int:
    """Returns the validated parameter `limit`."""
    text = request.one("limit")
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= maximum:
        raise bad_request(f"limit: must be between 1 and {maximum}")
    return int(text)


def read_instant(text: str | None, name: str) -> datetime:
    """Parses an instant with a time zone."""
    if not text:
        raise bad_request(f"{name}: field required")
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise bad_request(f"{name}: invalid datetime") from None
    if moment.tzinfo is None:
        raise bad_request(f"{name}: must have a time zone")
    return moment.astimezone(UTC)


def encode_cursor(fingerprint: str, offset: int, export: str, turn: int = 0) -> str:
    """Returns the page token of a position."""
    content = json.dumps([fingerprint, offset, export, turn]).encode()
    return "page_" + base64.urlsafe_b64encode(content).decode()


def decode_cursor(cursor: str) -> tuple[str, int, str, int]:
    """Returns the position of a page token."""
    try:
        fingerprint, offset, export, turn = json.loads(base64.urlsafe_b64decode(cursor.removeprefix("page_")))
    except (ValueError, TypeError):
        raise bad_request("page: invalid cursor") from None
    return fingerprint, offset, export, turn


def floor_instant(moment: datetime, bucket: timedelta) -> datetime:
    """Returns the start of the bucket."""
    start = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return start + (moment - start) // bucket * bucket


def day_bounds(day: date) -> dict[str, str]:
    """Returns starting_at and ending_at of a day."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"starting_at": format_instant(start), "ending_at": format_instant(start + timedelta(days=1))}


def format_instant(moment: datetime) -> str:
    """Formats an instant with the suffix Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_cents(microcents: int) -> str:
    """Formats microcents as decimal cents."""
    sign = "-" if microcents < 0 else ""
    whole, rest = divmod(abs(microcents), 10**6)
    return f"{sign}{whole}.{rest:06d}"
