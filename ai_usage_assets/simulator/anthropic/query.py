"""Validates a request to the analytics endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.simulator.anthropic.base import bad_request, dimension_value, read_instant, read_limit
from ai_usage_assets.simulator.records import Usage
from ai_usage_assets.simulator.server import Request

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_DAYS = timedelta(days=31)
_BUCKETS = {"1d": timedelta(days=1), "1h": timedelta(hours=1), "1m": timedelta(minutes=1)}

# Dimensions that the company's usage has. The API's other dimensions are null for all of it.
OWN_DIMENSIONS = (
    "actor", "actor_type", "api_key_id", "context_window", "inference_geo", "model", "product", "service_tier", "speed",
    "workspace_id",
)  # fmt: skip
FOREIGN_DIMENSIONS = (
    "agent_id", "claude_tag_category", "claude_tag_user_id", "deployment_id", "environment_id", "organization_id",
    "rbac_group_id", "session_id", "slack_channel_id", "user_profile_id",
)  # fmt: skip
_FAN_OUT = ("cost_type", "token_type")

_ORDERS = {
    "cost": ("amount", "list_amount", "time"),
    "usage": ("total_tokens", "output_tokens", "requests", "uncached_input_tokens", "time"),
}
_FILTERS = {
    "actor_types": {"api_actor", "federated_actor", "service_account_actor", "user_actor"},
    "service_tiers": {"batch", "flex", "flex_discount", "priority", "priority_on_demand", "standard"},
    "context_windows": {"0-200k", "200k-1M"},
    "inference_geos": {"global", "us", "not_available"},
    "speeds": {"fast", "standard"},
    "products": {
        "chat",
        "chat_cowork_unified",
        "claude_code",
        "claude_console",
        "claude_design",
        "claude_in_chrome",
        "claude_tag",
        "cowork",
        "managed_agents_api",
        "message_batches_api",
        "messages_api",
        "office_agent",
    },
    "claude_tag_categories": {"dm", "engaged", "monitoring", "proactive", "scheduled"},
}
_FOREIGN_FILTERS = (
    "agent_ids", "deployment_ids", "environment_ids", "session_ids", "user_profile_ids", "slack_channel_ids",
    "claude_tag_user_ids", "claude_tag_categories", "rbac_group_ids", "organization_ids",
)  # fmt: skip


@dataclass(frozen=True)
class AnalyticsQuery:
    """A validated request to analytics."""

    first: datetime
    end: datetime
    bucket: timedelta | None
    dimensions: tuple[str, ...]
    fan_out: tuple[str, ...]
    limit: int
    metric: str
    by_time: bool
    descending: bool
    filters: dict[str, list[str]]
    exclude_deleted: bool
    fingerprint: str

    @classmethod
    def read(cls, request: Request, family: str, now: datetime) -> AnalyticsQuery:
        """The query of a request. Raises ApiRequestError as the API would."""
        first = read_instant(request.one("starting_at"), "starting_at")
        if first < max(_EARLIEST, now - timedelta(days=365)):
            raise bad_request("starting_at: must be within the last 365 days and no earlier than 2026-01-01T00:00:00Z")
        width = request.one("time_bucket_width")
        if width is not None and width not in _BUCKETS:
            raise bad_request("time_bucket_width: must be 1d, 1h or 1m")
        if width and not request.one("ending_at"):
            raise bad_request("ending_at: required when time_bucket_width is set")
        end = (
            read_instant(request.one("ending_at"), "ending_at")
            if request.one("ending_at")
            else min(now, first + _MOST_DAYS)
        )
        if end <= first or end - first > (_MOST_DAYS if width != "1m" else timedelta(days=1)):
            raise bad_request("ending_at: must be after starting_at, and the range at most 31 days (24 hours for 1m)")
        groups = request.many("group_by")
        fan_out = tuple(name for name in groups if name in _FAN_OUT)
        dimensions = tuple(name for name in groups if name not in _FAN_OUT)
        if set(dimensions) - {*OWN_DIMENSIONS, *FOREIGN_DIMENSIONS} or (fan_out and family == "usage"):
            raise bad_request("group_by[]: unknown dimension")
        if len(dimensions) > 5:
            raise bad_request("group_by[]: at most 5 dimensions")
        exclude_deleted = request.one("exclude_deleted_users") == "true"
        if exclude_deleted and "actor" not in dimensions:
            raise bad_request("exclude_deleted_users: requires group_by[]=actor")
        order_by = request.one("order_by") or _ORDERS[family][0]
        if order_by not in _ORDERS[family]:
            raise bad_request(f"order_by: must be one of {', '.join(_ORDERS[family])}")
        order = request.one("order") or "desc"
        if order not in ("asc", "desc"):
            raise bad_request("order: must be asc or desc")
        filters = {}
        for name in dict.fromkeys(
            (*_FILTERS, "actor_ids", "api_key_ids", "workspace_ids", "models", *_FOREIGN_FILTERS)
        ):
            if values := request.many(name):
                if name in _FILTERS and set(values) - _FILTERS[name]:
                    raise bad_request(f"{name}[]: unknown value")
                filters[name] = values
        slack, rbac = "claude_tag_user_id", "rbac_group_id"
        if {slack, f"{slack}s"} & {*groups, *filters} and {rbac, f"{rbac}s"} & {*groups, *filters}:
            raise bad_request(f"{slack}: cannot be combined with {rbac}")
        parameters = sorted((key, value) for key, value in request.query if key not in ("page", "beta"))
        fingerprint = sha256_hex(json.dumps([family, parameters]), digits=16)
        if not width:
            first, end = (moment.replace(minute=0, second=0, microsecond=0) for moment in (first, end))
        return cls(
            first, end, _BUCKETS[width] if width else None, dimensions, fan_out, read_limit(request, 20, 1000),
            _ORDERS[family][0] if order_by == "time" else order_by, order_by == "time" and width is not None,
            order == "desc", filters, exclude_deleted, fingerprint,
        )  # fmt: skip

    def matches(self, piece: Usage) -> bool:
        """Whether a piece of usage passes the filters."""
        for name, allowed in self.filters.items():
            match name:
                case "actor_ids":
                    value = piece.actor.id if piece.actor else None
                case "inference_geos":
                    value = piece.inference_geo or "not_available"
                case "api_key_ids":
                    value = piece.api_key_id or ""
                case _ if name in _FOREIGN_FILTERS:
                    return False
                case _:
                    value = dimension_value(piece, name.removesuffix("s"))
            if value not in allowed:
                return False
        return True

    def sort_key(self, bucket: datetime, pieces: Sequence[Usage]) -> tuple[int, int]:
        """The sort key of the rows of a combination."""
        sign = -1 if self.descending else 1
        metric, instant = _METRICS[self.metric](pieces), int(bucket.timestamp())
        # Within a bucket the largest come first, in both orders of time.
        return (sign * instant, -metric) if self.by_time else (sign * metric, instant)


_METRICS: dict[str, Callable[[Sequence[Usage]], int]] = {
    "amount": lambda pieces: sum(piece.billed_microcents for piece in pieces),
    "list_amount": lambda pieces: sum(piece.list_microcents for piece in pieces),
    "total_tokens": lambda pieces: sum(sum(piece.tokens) for piece in pieces),
    "output_tokens": lambda pieces: sum(piece.tokens[4] for piece in pieces),
    "uncached_input_tokens": lambda pieces: sum(piece.tokens[0] for piece in pieces),
    "requests": lambda pieces: sum(piece.requests for piece in pieces),
}
