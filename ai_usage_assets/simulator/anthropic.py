"""The simulated Anthropic organisation APIs: usage and cost analytics, the classic reports, Claude Code, the directory.

Belongs here: how these endpoints check a request and show the ledger. Does not: what happened (`ledger`). Every
answer is a projection of the same pieces of usage, so what must add up does, and a client that loses a row is found
out.
"""

from __future__ import annotations

import base64
import copy
import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal

import msgspec

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.simulator.anthropic_usage import TOKEN_TYPES
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.organization import ApiKey, vendor_id
from ai_usage_assets.simulator.records import Actor, Usage
from ai_usage_assets.simulator.server import Request, Response

_ROOT = "/v1/organizations"
_BETA = "analytics-usage-cost-2026-08-24"
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_DAYS = timedelta(days=31)
_BUCKETS = {"1d": timedelta(days=1), "1h": timedelta(hours=1), "1m": timedelta(minutes=1)}

# Dimensions the company's usage has; the others the API knows are null for all of it.
_OWN = (
    "actor", "actor_type", "api_key_id", "context_window", "inference_geo", "model", "product", "service_tier", "speed",
    "workspace_id",
)  # fmt: skip
_FOREIGN = (
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
# Filters of the classic usage report and what they look at; one of them is in the singular.
_CLASSIC_FILTERS = {
    "account_ids": "account_id",
    "api_key_ids": "api_key_id",
    "context_window": "context_window",
    "inference_geos": "inference_geo",
    "models": "model",
    "service_account_ids": "service_account_id",
    "service_tiers": "service_tier",
    "workspace_ids": "workspace_id",
}


class _Refused(Exception):
    """A request the API does not accept."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.code = status, kind, message, code


# What the API says with a status.
_WORDS = {
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this endpoint."),
    404: ("not_found_error", "Not found"),
    503: ("overloaded_error", "This data is not ready yet; try again later."),
}


def _bad(message: str) -> _Refused:
    return _Refused(400, "invalid_request_error", message)


@dataclass
class AnthropicFaultOptions:
    """What can be different about this vendor; all can be changed while it serves."""

    # A Claude Enterprise key: analytics and members only, everything of the Console is refused.
    enterprise_key: bool = False
    unauthorized: bool = False
    # The export is empty and has no watermark.
    empty_export: bool = False
    # A new export arrives while a list is being paged through, this many times.
    refreshes_while_paging: int = 0
    # The old cursor is then gone (410), instead of being answered from the new export.
    expire_cursors: bool = True
    # How far the export is behind the clock, besides its rhythm of four hours.
    lag: timedelta = timedelta(0)
    # Combinations a page of analytics holds at most, whatever limit is asked for.
    page_rows: int = 1000
    # Each next page of analytics begins so many combinations too early (they are shown twice) or, above zero, too late
    # (they are never shown); and for which of its two reports that is so.
    drift: int = 0
    drift_of: tuple[str, ...] = ("cost", "usage")
    # How analytics leads from page to page: with an empty page before each, back to the same page, or nowhere.
    paging: Literal["sound", "empty pages", "same cursor", "no cursor"] = "sound"
    # Path, without the organisation's -> the status with which it is refused, in the vendor's own words.
    refused: dict[str, int] = field(default_factory=dict)
    # The key is revoked after so many more answers.
    answers_left: int | None = None
    # Prices have digits below a millionth of a cent, and each row of analytics is rounded to it by itself.
    rounds_rows: bool = False
    # What becomes of each row of analytics before it is shown: other types, other forms of the same amount.
    edit_row: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    # Fields nobody has documented.
    extra_fields: bool = False
    # What errors say besides their message: servers repeat what they should not.
    error_says: str = ""


class AnthropicAPI:
    """Answers requests. `now` gives the simulated instant."""

    def __init__(
        self, ledger: Ledger, key: str, fault_options: AnthropicFaultOptions, now: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._options = fault_options
        self._now = now
        self._served = 0
        self._exports = 0
        self._projections: OrderedDict[str, list[list[dict[str, Any]]]] = OrderedDict()
        self._organization_id = vendor_id(ledger.seed, "org_", "acme")

    def clear_cache(self) -> None:
        """Drops what was computed from an older ledger."""
        self._projections.clear()

    def handle(self, request: Request) -> Response:
        """One answer, with the headers every answer has."""
        self._served += 1
        request_id = vendor_id(self._ledger.seed, "req_", self._served)
        try:
            status, body = 200, self._route(request)
            if self._options.extra_fields:
                body = {**body, "undocumented_field": {"since": "tomorrow"}}
        except _Refused as refused:
            error: dict[str, Any] = {"type": refused.kind, "message": refused.message + self._options.error_says}
            if refused.code:
                error["details"] = {"error_code": refused.code}
            status, body = refused.status, {"type": "error", "error": error, "request_id": request_id}
        headers = {
            "content-type": "application/json",
            "request-id": request_id,
            "anthropic-organization-id": self._ledger.organization.uuid,
        }
        return Response(status, msgspec.json.encode(body), headers)

    # --- the gate --------------------------------------------------------------------------------------------------

    def _route(self, request: Request) -> dict[str, Any]:
        answer = self._find(request)
        given = request.headers.get("x-api-key")
        bearer = request.headers.get("authorization")
        if (given != self._key and bearer != f"Bearer {self._key}") or self._options.unauthorized or self._revoked():
            raise _Refused(401, "authentication_error", "invalid x-api-key")
        path = request.path.removeprefix(_ROOT)
        if status := self._options.refused.get(path.removeprefix("/")):
            raise _Refused(status, *_WORDS[status])
        if path.startswith("/service_accounts"):
            raise _Refused(403, "permission_error", "Admin API keys may not list service accounts.")
        if self._options.enterprise_key and not path.startswith(("/analytics/", "/users", "/invites", "/me")):
            message = "This endpoint is not available for your organization type."
            raise _Refused(400, "invalid_request_error", message, "organization_type_not_supported")
        if request.headers.get("anthropic-version") not in ("2023-06-01", "2026-10-21"):
            raise _bad("anthropic-version: header is required")
        return answer(request)

    def _revoked(self) -> bool:
        left = self._options.answers_left
        if left is not None:
            self._options.answers_left = max(0, left - 1)
        return left == 0

    def _find(self, request: Request) -> Callable[[Request], dict[str, Any]]:
        if request.method != "GET" or not request.path.startswith(f"{_ROOT}/"):
            raise _Refused(404, "not_found_error", "Not found")
        parts = request.path.removeprefix(f"{_ROOT}/").split("/")
        match parts:
            case ["analytics", "cost" | "usage" as family]:
                return lambda request: self._analytics(request, family)
            case ["cost_report"]:
                return self._cost_report
            case ["usage_report", "messages"]:
                return self._usage_report
            case ["usage_report", "claude_code"]:
                return self._claude_code
            case ["me"]:
                return lambda request: {
                    "id": self._ledger.organization.uuid,
                    "type": "organization",
                    "name": self._ledger.organization.name,
                }
            case ["users"]:
                return lambda request: _directory(request, self._users(request), ("id",))
            case ["api_keys"]:
                return lambda request: _directory(request, self._api_keys(request), ("id",))
            case ["workspaces"]:
                return lambda request: _directory(request, self._workspaces(request), ("id",))
            case ["workspaces", workspace_id, "members"]:
                return lambda request: _directory(request, self._members(workspace_id), ("user_id",))
            case ["invites"]:
                return lambda request: _directory(request, self._invites(request), ("id",))
            case ["service_accounts"]:
                return lambda request: {}
        raise _Refused(404, "not_found_error", "Not found")

    # --- analytics -------------------------------------------------------------------------------------------------

    def _analytics(self, request: Request, family: str) -> dict[str, Any]:
        betas = {beta.strip() for beta in request.headers.get("anthropic-beta", "").split(",")}
        if _BETA not in betas:
            raise _bad(f"anthropic-beta: this endpoint requires {_BETA}")
        query = _Query.read(request, family, self._now())
        cursor = request.one("page")
        if cursor and self._options.refreshes_while_paging:
            self._options.refreshes_while_paging -= 1
            self._exports += 1
        export = f"{self._export_at().isoformat()}#{self._exports}"
        offset, turn = 0, 0
        if cursor:
            asked, offset, of_export, turn = _read_cursor(cursor)
            if asked != query.fingerprint:
                raise _bad("page: this cursor belongs to a request with other parameters")
            if of_export != export and self._options.expire_cursors:
                raise _Refused(
                    410, "invalid_request_error", "page: this cursor has expired because the data was refreshed"
                )
            if of_export != export:
                # Something new stands before the place where the old export was left: a row comes twice.
                offset -= 1
        if self._options.empty_export or query.first >= self._export_at():
            return {
                "data": [],
                "has_more": False,
                "next_page": None,
                "data_refreshed_at": None,
                "organization_id": self._organization_id,
            }
        combinations = self._project(query, family)
        size = min(query.limit, self._options.page_rows)
        if self._options.paging == "empty pages" and turn % 2 == 0:
            size = 0
        page, following = combinations[offset : offset + size], offset + size
        more = following < len(combinations)
        if size and more and family in self._options.drift_of:
            # Never back to where this page began: it would not end.
            following = max(following + self._options.drift, offset + 1)
        # Dropped from the page, not before it: a page may be short, or empty with more to come.
        rows = [row for rows in page for row in rows if not (query.exclude_deleted and _is_deleted(row))]
        return {
            "data": [self._options.edit_row(copy.deepcopy(row)) for row in rows] if self._options.edit_row else rows,
            "has_more": more,
            "next_page": self._next_page(_cursor(query.fingerprint, following, export, turn + 1), cursor)
            if more
            else None,
            # Each export reaches a little further than the one before.
            "data_refreshed_at": _z(self._export_at() + timedelta(minutes=self._exports)),
            "organization_id": self._organization_id,
        }

    def _next_page(self, following: str, current: str | None) -> str | None:
        match self._options.paging:
            case "same cursor":
                return current or following
            case "no cursor":
                return None
            case _:
                return following

    def _export_at(self) -> datetime:
        """What the data reaches to: every four hours, when the vendor is not behind."""
        now = self._now() - self._options.lag
        return now.replace(hour=now.hour // 4 * 4, minute=0, second=0, microsecond=0)

    def _project(self, query: _Query, family: str) -> list[list[dict[str, Any]]]:
        """The rows of each combination, in the order asked for."""
        name = f"{query.fingerprint}/{self._export_at().isoformat()}/{self._options.rounds_rows}"
        if name in self._projections:
            return self._projections[name]
        groups: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
        for piece in self._visible(query.first, query.end):
            if query.keeps(piece):
                bucket = _floor(piece.at, query.bucket) if query.bucket else query.first
                groups[(bucket, *(_dimension(piece, name) for name in query.dimensions))].append(piece)
        combinations = []
        for (bucket, *values), pieces in groups.items():
            group: dict[str, Any] = dict.fromkeys((*_OWN, *_FOREIGN))
            group |= dict(zip(query.dimensions, values, strict=True))
            if "actor" in query.dimensions:
                # Grouped by identity first and rendered afterwards: two that cannot be shown are two rows.
                group["actor"] = self._rendered(group["actor"])
            bounds = {
                "starting_at": _z(bucket),
                "ending_at": _z(bucket + query.bucket if query.bucket else query.end),
            }
            rows = (
                _cost_rows(bounds, group, pieces, query.fan_out, self._amount)
                if family == "cost"
                else [_usage_row(bounds, group, pieces)]
            )
            if rows:
                combinations.append((query.sort_key(bucket, pieces), rows))
        combinations.sort(key=lambda item: item[0])
        result = [rows for _, rows in combinations]
        self._projections[name] = result
        while len(self._projections) > 32:
            self._projections.popitem(last=False)
        return result

    def _amount(self, microcents: int) -> str:
        # A third of a ten thousandth more: no row is a whole number of millionths any longer.
        return _cents(round(Fraction(microcents * 30_001, 30_000)) if self._options.rounds_rows else microcents)

    def _visible(self, first: datetime, end: datetime) -> Iterable[Usage]:
        end = min(end, self._export_at())
        day = first.date()
        while datetime(day.year, day.month, day.day, tzinfo=UTC) < end:
            yield from (piece for piece in self._ledger.usage(day) if first <= piece.at < end)
            day += timedelta(days=1)

    def _rendered(self, actor: Actor | None) -> dict[str, Any] | None:
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

    # --- the classic reports ---------------------------------------------------------------------------------------

    def _buckets(self, request: Request, end: datetime) -> tuple[list[date], str | None]:
        """The days of one page of a classic report, and the cursor of the next."""
        first = _instant(request.one("starting_at"), "starting_at")
        if end <= first:
            raise _bad("Invalid date range: ending date must be after starting date")
        limit = _limit(request, 7, 31)
        cursor = request.one("page")
        start = first.date()
        if cursor:
            try:
                start = datetime.fromisoformat(base64.b64decode(cursor.removeprefix("page_")).decode()).date()
            except ValueError:
                raise _bad("page: invalid cursor") from None
        days: list[date] = []
        while len(days) < limit and datetime(start.year, start.month, start.day, tzinfo=UTC) < end:
            days.append(start)
            start += timedelta(days=1)
        following = datetime(start.year, start.month, start.day, tzinfo=UTC)
        more = "page_" + base64.b64encode(_z(following).encode()).decode() if following < end else None
        return days, more

    def _ending(self, request: Request) -> datetime:
        return _instant(request.one("ending_at"), "ending_at") if request.one("ending_at") else self._now()

    def _cost_report(self, request: Request) -> dict[str, Any]:
        if (request.one("bucket_width") or "1d") != "1d":
            raise _bad("bucket_width: only 1d is supported")
        groups = request.many("group_by")
        if set(groups) - {"workspace_id", "description"}:
            raise _bad("group_by[]: only workspace_id and description are supported")
        # Only whole days that are over: a window inside today, or inside any one day, ends before it begins.
        days, more = self._buckets(request, _floor(min(self._ending(request), self._now()), timedelta(days=1)))
        data = [{**_day_bounds(day), "results": self._cost_results(day, groups)} for day in days]
        return {"data": data, "has_more": more is not None, "next_page": more}

    def _cost_results(self, day: date, groups: Sequence[str]) -> list[dict[str, Any]]:
        sums: dict[tuple[Any, ...], int] = defaultdict(int)
        for piece in self._ledger.usage(day):
            if (piece.service_tier or "").startswith("priority"):
                continue
            workspace = self._classic_workspace(piece.workspace_id) if "workspace_id" in groups else None
            for cost_type, token_type, _, billed in piece.components:
                # Without descriptions all of a workspace is one line.
                line: tuple[Any, ...] = ()
                if "description" in groups:
                    model = piece.model if cost_type == "tokens" else None
                    line = (cost_type, token_type, model, piece.service_tier if model else None)
                sums[(workspace, *line)] += billed
        results = []
        for (workspace, *described), billed in sums.items():
            kind, counted, model_name, tier = described or (None, None, None, None)
            results.append(
                {
                    # Five decimals of a cent.
                    "amount": _cents(round(billed, -1))[:-1],
                    "currency": "USD",
                    "workspace_id": workspace,
                    "description": _description(kind, counted, model_name) if described else None,
                    "cost_type": kind,
                    "token_type": counted,
                    "model": model_name,
                    "service_tier": tier,
                    "context_window": "0-200k" if model_name else None,
                    "inference_geo": "global" if model_name else None,
                }
            )
        return results

    def _usage_report(self, request: Request) -> dict[str, Any]:
        if (request.one("bucket_width") or "1d") != "1d":
            raise _bad("bucket_width: this simulator has 1d")
        known = ("account_id", "api_key_id", "context_window", "inference_geo", "model", "service_account_id",
                 "service_tier", "workspace_id")  # fmt: skip
        groups = request.many("group_by")
        if set(groups) - set(known):
            raise _bad("group_by[]: unknown dimension")
        wanted = {name: allowed for name in _CLASSIC_FILTERS if (allowed := request.many(name))}
        days, more = self._buckets(request, self._ending(request))
        data = []
        for day in days:
            sums: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
            for piece in self._ledger.usage(day):
                # Code execution has no tokens and is absent here.
                if (
                    piece.model
                    and piece.at <= self._now() - timedelta(minutes=5)
                    and all(self._classic_value(piece, _CLASSIC_FILTERS[name]) in wanted[name] for name in wanted)
                ):
                    sums[tuple(self._classic_value(piece, name) for name in groups)].append(piece)
            results = []
            for values, pieces in sums.items():
                given = dict(zip(groups, values, strict=True))
                results.append({**_token_counts(pieces), **{name: given.get(name) for name in known}})
            data.append({**_day_bounds(day), "results": results})
        return {"data": data, "has_more": more is not None, "next_page": more}

    def _classic_value(self, piece: Usage, name: str) -> str | None:
        match name:
            case "workspace_id":
                return self._classic_workspace(piece.workspace_id)
            case "account_id":
                # Only people who are signed in, not traffic of keys.
                return piece.actor.id if piece.actor and piece.actor.kind == "user" and not piece.api_key_id else None
            case "service_account_id":
                return (
                    piece.actor.id
                    if piece.actor and piece.actor.kind == "service_account" and not piece.api_key_id
                    else None
                )
            case "inference_geo":
                return piece.inference_geo or "not_available"
            case _:
                value: str | None = _dimension(piece, name)
                return value

    def _classic_workspace(self, workspace_id: str) -> str | None:
        workspace = next(w for w in self._ledger.organization.workspaces if w.id == workspace_id)
        return None if workspace.is_default else workspace_id

    def _claude_code(self, request: Request) -> dict[str, Any]:
        try:
            day = date.fromisoformat(request.one("starting_at") or "")
        except ValueError:
            raise _bad("starting_at: must be a date such as 2026-01-31") from None
        limit = _limit(request, 20, 1000)
        keys = {key.id: key for key in self._ledger.organization.keys}
        records: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
        for piece in self._ledger.usage(day):
            if piece.product == "claude_code" and piece.at <= self._now() - timedelta(hours=1):
                records[(self._code_actor(piece, keys), piece.terminal)].append(piece)
        rows = [self._code_row(day, actor, terminal, pieces) for (actor, terminal), pieces in sorted(records.items())]
        offset = 0
        if cursor := request.one("page"):
            asked, offset, *_ = _read_cursor(cursor)
            if asked != f"claude_code/{day}":
                raise _bad("page: this cursor belongs to a request with other parameters")
        more = offset + limit < len(rows)
        return {
            "data": rows[offset : offset + limit],
            "has_more": more,
            "next_page": _cursor(f"claude_code/{day}", offset + limit, "") if more else None,
        }

    def _code_actor(self, piece: Usage, keys: dict[str, ApiKey]) -> tuple[str, str]:
        if piece.actor and piece.actor.kind == "user":
            rendered = self._rendered(piece.actor) or {}
            return "user_actor", rendered.get("email_address") or "deleted@acme.test"
        return "api_actor", keys[piece.api_key_id].name if piece.api_key_id else "unknown"

    def _code_row(self, day: date, actor: tuple[str, str], terminal: str, pieces: list[Usage]) -> dict[str, Any]:
        kind, name = actor
        output = sum(piece.tokens[4] for piece in pieces)
        by_model: dict[str, list[Usage]] = defaultdict(list)
        for piece in pieces:
            by_model[piece.model or ""].append(piece)
        return {
            "date": _day_bounds(day)["starting_at"],
            "actor": {"type": kind, "email_address" if kind == "user_actor" else "api_key_name": name},
            "organization_id": self._ledger.organization.uuid,
            "customer_type": "api",
            "subscription_type": None,
            "terminal_type": terminal,
            "is_remote": False,
            "core_metrics": {
                "num_sessions": max(1, len(pieces) + output // 40_000),
                "lines_of_code": {"added": output // 60, "removed": output // 210},
                "commits_by_claude_code": output // 25_000,
                "pull_requests_by_claude_code": output // 90_000,
            },
            "tool_actions": {"edit_tool": {"accepted": output // 900, "rejected": output // 9_000}},
            "model_breakdown": [
                {
                    "model": model,
                    "tokens": {
                        "input": sum(piece.tokens[0] for piece in some),
                        "output": sum(piece.tokens[4] for piece in some),
                        "cache_read": sum(piece.tokens[3] for piece in some),
                        "cache_creation": sum(piece.tokens[1] + piece.tokens[2] for piece in some),
                    },
                    # Whole cents of list price: an estimate.
                    "estimated_cost": {
                        "currency": "USD",
                        "amount": round(sum(p.list_microcents for p in some) / 10**6),
                    },
                }
                for model, some in by_model.items()
            ],
        }

    # --- the directory ---------------------------------------------------------------------------------------------

    def _users(self, request: Request) -> list[dict[str, Any]]:
        """Members of today, newest first."""
        today = self._now().date()
        email, roles = request.one("email"), request.many("roles")
        users = [
            {
                "id": person.user_id,
                "type": "user",
                "email": person.email,
                "name": person.name,
                "role": "admin" if number == 0 else "developer",
                "added_at": _z(datetime(person.joined.year, person.joined.month, person.joined.day, 9, tzinfo=UTC)),
            }
            for number, person in enumerate(self._ledger.organization.people)
            if person.is_here(today)
        ]
        return sorted(
            (
                user
                for user in users
                if (email is None or user["email"] == email.lower()) and (not roles or user["role"] in roles)
            ),
            key=lambda user: str(user["added_at"]),
            reverse=True,
        )

    def _api_keys(self, request: Request) -> list[dict[str, Any]]:
        status = request.one("status")
        if status not in (None, "active", "archived", "expired", "inactive"):
            raise _bad("status: must be active, archived, expired or inactive")
        classic = request.headers.get("anthropic-version") == "2023-06-01"
        creator, workspace = request.one("created_by_user_id"), request.one("workspace_id")
        return [
            self._api_key(key, classic=classic)
            for key in self._ledger.organization.keys
            # An unfiltered list leaves the archived ones out; a deleted one is in none.
            if not key.deleted
            and (key.status == status if status else key.status != "archived")
            and creator in (None, key.created_by)
            and workspace in (None, key.workspace_id)
        ]

    def _api_key(self, key: ApiKey, *, classic: bool) -> dict[str, Any]:
        principal: dict[str, Any] | None = None
        if key.principal:
            account = key.principal.startswith("svac_")
            kind, name = ("service_account_actor", "service_account_id") if account else ("user_actor", "user_id")
            principal = {"type": kind, name: key.principal}
        shown = {
            "id": key.id,
            "type": "api_key",
            "name": key.name,
            "created_at": "2026-02-03T09:14:03.427722Z",
            "created_by": {"id": key.created_by, "type": "user"} if key.created_by else None,
            "expires_at": f"{key.until}T00:00:00Z" if key.status == "expired" else None,
            "partial_key_hint": "sk-ant-api03-...",
            "principal": principal,
            "scope": {"type": "workspace", "workspace_id": key.workspace_id},
            "status": key.status,
        }
        return {**shown, "workspace_id": self._classic_workspace(key.workspace_id)} if classic else shown

    def _workspaces(self, request: Request) -> list[dict[str, Any]]:
        archived, default = (request.one(name) == "true" for name in ("include_archived", "include_default"))
        ids = request.many("ids")
        if len(ids) > 100:
            raise _bad("ids[]: at most 100")
        return [
            {
                "id": workspace.id,
                "type": "workspace",
                "name": workspace.name,
                "created_at": "2025-10-01T08:00:00Z",
                "archived_at": f"{workspace.archived_on}T12:00:00Z" if workspace.archived_on else None,
                "display_color": "#6C5BB9",
                "compartment_id": vendor_id(self._ledger.seed, "cmpt_", workspace.name),
                "data_residency": {
                    "workspace_geo": "us",
                    "allowed_inference_geos": "unrestricted",
                    "default_inference_geo": "global",
                },
                "external_key_id": None,
                "tags": {},
                "user_profile_id": None,
            }
            for workspace in self._ledger.organization.workspaces
            if (default or not workspace.is_default)
            and (archived or workspace.archived_on is None)
            and (not ids or workspace.id in ids)
        ]

    def _members(self, workspace_id: str) -> list[dict[str, Any]]:
        workspace = next((w for w in self._ledger.organization.workspaces if w.id == workspace_id), None)
        if workspace is None:
            raise _Refused(404, "not_found_error", "Workspace not found")
        if workspace.is_default:
            return []
        today = self._now().date()
        return [
            {
                "type": "workspace_member",
                "user_id": person.user_id,
                "workspace_id": workspace_id,
                "workspace_role": "workspace_developer",
            }
            for person in self._ledger.organization.people
            if person.is_here(today) and (workspace.name == "Claude Code" or person.team_on(today) == "Research")
        ]

    def _invites(self, request: Request) -> list[dict[str, Any]]:
        invites: list[dict[str, Any]] = [
            {
                "id": vendor_id(self._ledger.seed, "invite_", "new"),
                "type": "invite",
                "email": "new.colleague@acme.test",
                "role": "developer",
                "status": "pending",
                "invited_at": "2026-11-15T10:00:00Z",
                "expires_at": "2026-12-06T10:00:00Z",
                "accepted_at": None,
                "rbac_group_ids": [],
            }
        ]
        email, roles, statuses = request.one("email"), request.many("roles"), request.many("statuses")
        return [
            invite
            for invite in invites
            if (email is None or invite["email"] == email.lower())
            and (not roles or invite["role"] in roles)
            and (not statuses or invite["status"] in statuses)
        ]


# --- what is asked of analytics -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Query:
    """A request to analytics, checked."""

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
    def read(cls, request: Request, family: str, now: datetime) -> _Query:
        """The query of a request. Raises _Refused as the API would."""
        first = _instant(request.one("starting_at"), "starting_at")
        if first < max(_EARLIEST, now - timedelta(days=365)):
            raise _bad("starting_at: must be within the last 365 days and no earlier than 2026-01-01T00:00:00Z")
        width = request.one("time_bucket_width")
        if width is not None and width not in _BUCKETS:
            raise _bad("time_bucket_width: must be 1d, 1h or 1m")
        if width and not request.one("ending_at"):
            raise _bad("ending_at: required when time_bucket_width is set")
        end = (
            _instant(request.one("ending_at"), "ending_at")
            if request.one("ending_at")
            else min(now, first + _MOST_DAYS)
        )
        if end <= first or end - first > (_MOST_DAYS if width != "1m" else timedelta(days=1)):
            raise _bad("ending_at: must be after starting_at, and the range at most 31 days (24 hours for 1m)")
        groups = request.many("group_by")
        fan_out = tuple(name for name in groups if name in _FAN_OUT)
        dimensions = tuple(name for name in groups if name not in _FAN_OUT)
        if set(dimensions) - {*_OWN, *_FOREIGN} or (fan_out and family == "usage"):
            raise _bad("group_by[]: unknown dimension")
        if len(dimensions) > 5:
            raise _bad("group_by[]: at most 5 dimensions")
        exclude_deleted = request.one("exclude_deleted_users") == "true"
        if exclude_deleted and "actor" not in dimensions:
            raise _bad("exclude_deleted_users: requires group_by[]=actor")
        order_by = request.one("order_by") or _ORDERS[family][0]
        if order_by not in _ORDERS[family]:
            raise _bad(f"order_by: must be one of {', '.join(_ORDERS[family])}")
        order = request.one("order") or "desc"
        if order not in ("asc", "desc"):
            raise _bad("order: must be asc or desc")
        filters = {}
        for name in dict.fromkeys(
            (*_FILTERS, "actor_ids", "api_key_ids", "workspace_ids", "models", *_FOREIGN_FILTERS)
        ):
            if values := request.many(name):
                if name in _FILTERS and set(values) - _FILTERS[name]:
                    raise _bad(f"{name}[]: unknown value")
                filters[name] = values
        slack, rbac = "claude_tag_user_id", "rbac_group_id"
        if {slack, f"{slack}s"} & {*groups, *filters} and {rbac, f"{rbac}s"} & {*groups, *filters}:
            raise _bad(f"{slack}: cannot be combined with {rbac}")
        kept = sorted((key, value) for key, value in request.query if key not in ("page", "beta"))
        fingerprint = sha256_hex(json.dumps([family, kept]), digits=16)
        if not width:
            first, end = (moment.replace(minute=0, second=0, microsecond=0) for moment in (first, end))
        return cls(
            first, end, _BUCKETS[width] if width else None, dimensions, fan_out, _limit(request, 20, 1000),
            _ORDERS[family][0] if order_by == "time" else order_by, order_by == "time" and width is not None,
            order == "desc", filters, exclude_deleted, fingerprint,
        )  # fmt: skip

    def keeps(self, piece: Usage) -> bool:
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
                    value = _dimension(piece, name.removesuffix("s"))
            if value not in allowed:
                return False
        return True

    def sort_key(self, bucket: datetime, pieces: Sequence[Usage]) -> tuple[int, int]:
        """What the rows of a combination are ordered by, smallest first."""
        sign = -1 if self.descending else 1
        metric, instant = _METRICS[self.metric](pieces), int(bucket.timestamp())
        # Within a bucket always highest first, whichever way time goes.
        return (sign * instant, -metric) if self.by_time else (sign * metric, instant)


_METRICS: dict[str, Callable[[Sequence[Usage]], int]] = {
    "amount": lambda pieces: sum(piece.billed_microcents for piece in pieces),
    "list_amount": lambda pieces: sum(piece.list_microcents for piece in pieces),
    "total_tokens": lambda pieces: sum(sum(piece.tokens) for piece in pieces),
    "output_tokens": lambda pieces: sum(piece.tokens[4] for piece in pieces),
    "uncached_input_tokens": lambda pieces: sum(piece.tokens[0] for piece in pieces),
    "requests": lambda pieces: sum(piece.requests for piece in pieces),
}

_ACTOR_TYPES = {
    "user": "user_actor",
    "service_account": "service_account_actor",
    "federated": "federated_actor",
    "api_key": "api_actor",
    # The kind of an identity is known even where the identity cannot be shown.
    "unknown": "user_actor",
}


def _dimension(piece: Usage, name: str) -> Any:
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


def _cost_rows(
    bounds: dict[str, str],
    group: dict[str, Any],
    pieces: Sequence[Usage],
    fan_out: Sequence[str],
    amount: Callable[[int], str],
) -> list[dict[str, Any]]:
    sums: dict[tuple[str | None, str | None], list[int]] = {}
    for piece in pieces:
        for cost_type, token_type, listed, billed in piece.components:
            if "token_type" in fan_out and "cost_type" not in fan_out and cost_type != "tokens":
                continue
            line = (cost_type if fan_out else None, token_type if "token_type" in fan_out else None)
            total = sums.setdefault(line, [0, 0])
            total[0] += listed
            total[1] += billed
    if not fan_out:
        sums.setdefault((None, None), [0, 0])
    return [
        {
            **bounds,
            "group": {**group, "cost_type": cost_type, "token_type": token_type},
            "cost": {
                "amount": amount(billed),
                "list_amount": amount(listed),
                "currency": "USD",
                "requests": None if fan_out else sum(piece.requests for piece in pieces),
            },
        }
        for (cost_type, token_type), (listed, billed) in sums.items()
    ]


def _is_deleted(row: dict[str, Any]) -> bool:
    actor = row["group"]["actor"]
    return actor is not None and bool(actor.get("deleted"))


def _usage_row(bounds: dict[str, str], group: dict[str, Any], pieces: Sequence[Usage]) -> dict[str, Any]:
    counts = {**_token_counts(pieces), "requests": sum(piece.requests for piece in pieces)}
    return {**bounds, "group": group, "usage": {**counts, "total_tokens": sum(sum(piece.tokens) for piece in pieces)}}


def _token_counts(pieces: Sequence[Usage]) -> dict[str, Any]:
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


_TOKEN_NAMES = dict(
    zip(TOKEN_TYPES, ("Input Tokens", "5m Cache Write", "1h Cache Write", "Cache Read", "Output Tokens"), strict=True)
)


def _description(cost_type: str | None, token_type: str | None, model: str | None) -> str:
    if model and token_type:
        family, *version = model.removeprefix("claude-").split("-")
        return f"Claude {family.capitalize()} {'.'.join(version)} Usage - {_TOKEN_NAMES[token_type]}"
    return {"web_search": "Web Search Usage", "code_execution": "Code Execution Usage"}.get(cost_type or "", "Usage")


# --- small things -------------------------------------------------------------------------------------------------


def _directory(request: Request, items: list[dict[str, Any]], identity: tuple[str]) -> dict[str, Any]:
    """One page of a list that is read with after_id; offsets are ignored, as the API does."""
    limit = _limit(request, 20, 1000)
    (name,) = identity
    positions = {item[name]: number for number, item in enumerate(items)}
    start = 0
    if after := request.one("after_id"):
        if after not in positions:
            raise _bad("after_id: unknown id")
        start = positions[after] + 1
    elif before := request.one("before_id"):
        if before not in positions:
            raise _bad("before_id: unknown id")
        # The page that ends before that one; what is more lies before it too.
        start = max(0, positions[before] - limit)
        limit = positions[before] - start
    page = items[start : start + limit]
    return {
        "data": page,
        "has_more": start > 0 if request.one("before_id") else start + limit < len(items),
        "first_id": page[0][name] if page else None,
        "last_id": page[-1][name] if page else None,
    }


def _limit(request: Request, default: int, most: int) -> int:
    text = request.one("limit")
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise _bad(f"limit: must be between 1 and {most}")
    return int(text)


def _instant(text: str | None, name: str) -> datetime:
    if not text:
        raise _bad(f"{name}: field required")
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise _bad(f"{name}: invalid datetime") from None
    if moment.tzinfo is None:
        raise _bad(f"{name}: must have a time zone")
    return moment.astimezone(UTC)


def _cursor(fingerprint: str, offset: int, export: str, turn: int = 0) -> str:
    content = json.dumps([fingerprint, offset, export, turn]).encode()
    return "page_" + base64.urlsafe_b64encode(content).decode()


def _read_cursor(cursor: str) -> tuple[str, int, str, int]:
    try:
        fingerprint, offset, export, turn = json.loads(base64.urlsafe_b64decode(cursor.removeprefix("page_")))
    except (ValueError, TypeError):
        raise _bad("page: invalid cursor") from None
    return fingerprint, offset, export, turn


def _floor(moment: datetime, bucket: timedelta) -> datetime:
    start = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return start + (moment - start) // bucket * bucket


def _day_bounds(day: date) -> dict[str, str]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"starting_at": _z(start), "ending_at": _z(start + timedelta(days=1))}


def _z(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _cents(microcents: int) -> str:
    sign = "-" if microcents < 0 else ""
    whole, rest = divmod(abs(microcents), 10**6)
    return f"{sign}{whole}.{rest:06d}"
