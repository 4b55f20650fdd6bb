"""The endpoints of the simulated Cursor Admin API: members, usage events, spend, daily usage and billing groups."""

from __future__ import annotations

import base64
import math
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.simulator.cursor.base import (
    ENCODER,
    NUMBER_STYLES,
    ApiRequestError,
    CursorFaultOptions,
    format_instant,
    read_body,
    read_page,
    rejection_response,
    start_ms,
    to_day,
)
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.organization import Person
from ai_usage_assets.simulator.records import Event, cost_basis
from ai_usage_assets.simulator.server import Request, Response, SimulatedApi

_MAX_RANGE = timedelta(days=30)
_HOSTING = {"CLOUD", "SELF_HOSTED", "SELF_HOSTED_POOL", "SELF_HOSTED_MACHINE"}
# The subscription renews on this day of the month.
_CYCLE_DAY = 3


# Rate limits per endpoint.
_EVENTS_PER_MINUTE, _OTHERS_PER_MINUTE = 60, 20


class CursorAPI(SimulatedApi):
    """Responds to requests. `now` returns the simulated instant."""

    def __init__(
        self, ledger: Ledger, key: str, fault_options: CursorFaultOptions, now: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._authorization = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        self._options = fault_options
        self._now = now
        self._window, self._request_counts = 0, Counter[str]()

    def handle(self, request: Request) -> Response:
        """Responds to one request."""
        rejection = next(
            (kind for path, kind in self._options.rejections.items() if request.path.startswith(path)), None
        )
        if rejection:
            return rejection_response(rejection)
        if self._is_beyond_limit(request.path):
            response = Response(429, ENCODER.encode({"code": "error", "message": "Rate limit exceeded"}))
            response.headers["retry-after"] = f"{self._options.window_seconds:g}"
            return response
        try:
            status, body = 200, self._route(request)
        except ApiRequestError as error:
            kind = {400: {"error": "Bad Request"}, 404: {"error": "Not Found"}}.get(error.status, {"code": "error"})
            status, body = error.status, {**kind, "message": error.message}
        return Response(status, ENCODER.encode(body))

    def _is_beyond_limit(self, path: str) -> bool:
        seconds = self._options.window_seconds
        if seconds is None:
            return False
        window = int(time.monotonic() / seconds)
        if window != self._window:
            self._window, self._request_counts = window, Counter()
        self._request_counts[path] += 1
        default_limit = _EVENTS_PER_MINUTE if path == "/teams/filtered-usage-events" else _OTHERS_PER_MINUTE
        limit = self._options.requests_per_window
        return self._request_counts[path] > (default_limit if limit is None else limit)

    def _is_authorized(self, authorization: str | None) -> bool:
        left = self._options.requests_until_revoked
        if authorization != self._authorization or self._options.unauthorized or left == 0:
            return False
        if left is not None:
            self._options.requests_until_revoked = left - 1
        return True

    def _route(self, request: Request) -> dict[str, Any]:
        if not self._is_authorized(request.headers.get("authorization")):
            raise ApiRequestError(401, "Invalid Team API Key")
        match request.method, request.path.split("/")[1:]:
            case "GET", ["teams", "members"]:
                return self._members()
            case "POST", ["teams", "filtered-usage-events"]:
                return self._events(read_body(request))
            case "POST", ["teams", "spend"]:
                return self._spend(read_body(request))
            case "POST", ["teams", "daily-usage-data"]:
                return self._daily_usage(read_body(request))
            case "GET", ["teams", "groups", *rest]:
                return self._groups(rest)
        raise ApiRequestError(404, "Resource not found")

    # --- records ---------------------------------------------------------------------------------------------------

    def _records(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Applies the number format and omitted fields to records."""
        style = NUMBER_STYLES[self._options.number_format]
        return [
            {
                name: style(value)
                for name, value in record.items()
                if not (every := self._options.omitted_fields.get(name)) or number % every
            }
            for number, record in enumerate(records)
        ]

    # --- people ----------------------------------------------------------------------------------------------------

    def _id(self, person: Person) -> str | int:
        vendor_id = person.cursor_user_id
        return zlib.crc32(vendor_id.encode()) if self._options.numeric_ids else vendor_id

    def _team(self) -> list[Person]:
        return [
            person for person in self._ledger.organization.people if person.cursor_role and self._has_joined(person)
        ]

    def _has_joined(self, person: Person) -> bool:
        return person.joined <= self._now().date()

    def _is_removed(self, person: Person) -> bool:
        return not person.is_here(self._now().date())

    def _members(self) -> dict[str, Any]:
        members: list[dict[str, Any]] = [
            {
                "id": self._id(person),
                "name": person.name,
                "email": person.email,
                "role": person.cursor_role,
                "isRemoved": self._is_removed(person),
            }
            for person in self._team()
            if not (self._options.hide_removed_members and self._is_removed(person))
        ]
        return {"teamMembers": self._records(members)}

    def _groups(self, rest: list[str]) -> dict[str, Any]:
        if self._options.teams_plan:
            raise ApiRequestError(401, "You must be a member of an enterprise team to access this resource")
        start, end = self._cycle()
        cycle = {"cycleStart": format_instant(start), "cycleEnd": format_instant(end)}
        spent = self._spent_cents(start)
        teams: dict[str, list[Person]] = defaultdict(list)
        for person in self._team():
            if not self._is_removed(person):
                teams[person.team_on(self._now().date())].append(person)
        groups = [
            {
                "id": f"group_{name.replace(' ', '')}",
                "name": name,
                "type": "BILLING",
                "directoryGroupId": None,
                "memberCount": len(people),
                "createdAt": "2026-01-15T10:30:00.000Z",
                "updatedAt": "2026-06-20T14:22:00.000Z",
                "spendCents": sum((spent[person.email][0] for person in people), Decimal(0)),
                "currentMembers": [
                    {
                        "userId": self._id(person),
                        "name": person.name,
                        "email": person.email,
                        "joinedAt": "2026-01-15T10:30:00.000Z",
                        "leftAt": None,
                        "spendCents": spent[person.email][0],
                    }
                    for person in people
                ],
                "formerMembers": [],
                "dailySpend": [],
            }
            for name, people in sorted(teams.items())
        ]
        if rest:
            matching = [group for group in groups if group["id"] == rest[0]]
            if not matching or len(rest) > 1:
                raise ApiRequestError(404, "Resource not found")
            return {"group": matching[0], "billingCycle": cycle}
        unassigned = {
            **{name: groups[0][name] for name in ("type", "directoryGroupId", "createdAt", "updatedAt")},
            "id": "group_unassigned",
            "name": "Unassigned",
            "memberCount": 0,
            "spendCents": 0,
            "currentMembers": [],
            "formerMembers": [],
            "dailySpend": [],
        }
        return {"groups": groups, "unassignedGroup": unassigned, "billingCycle": cycle}

    # --- events ----------------------------------------------------------------------------------------------------

    def _visible(self, first_ms: int, last_ms: int) -> list[Event]:
        """Events between two instants, inclusive, newest first."""
        last_ms = min(last_ms, int(self._now().timestamp() * 1000))
        day, matching = to_day(first_ms), []
        while day <= to_day(last_ms):
            matching += [event for event in self._ledger.events(day) if first_ms <= event.at_ms <= last_ms]
            day += timedelta(days=1)
        return sorted(matching, key=lambda event: -event.at_ms)

    def _events(self, body: dict[str, Any]) -> dict[str, Any]:
        now_ms = int(self._now().timestamp() * 1000)
        first, last = body.get("startDate", now_ms - 2_592_000_000), body.get("endDate", now_ms)
        if last < first or timedelta(milliseconds=last - first) > _MAX_RANGE:
            raise ApiRequestError(400, "Invalid date range")
        if body.get("hostingType") is not None and body["hostingType"] not in _HOSTING:
            raise ApiRequestError(400, "Invalid hostingType")
        page, size = self._read_page(body, default=100, maximum=1000)
        events = self._visible(first, last)
        rendered = [self._render_event(event) for event in events]
        for parameter, name in (("email", "userEmail"), ("serviceAccountId", "serviceAccountId")):
            if parameter in body:
                rendered = [event for event in rendered if event.get(name) == body[parameter]]
        for parameter in ("cloudAgentId", "automationId"):
            if parameter in body:
                rendered = [
                    event
                    for event in rendered
                    if event.get(parameter) == body[parameter] or (body[parameter] == "*" and parameter in event)
                ]
        if page > 1 and self._options.late_events_while_paging and rendered:
            # A laptop reconnected: all later positions shift by one.
            self._options.late_events_while_paging -= 1
            rendered.insert(0, rendered[0])
        if page > 1 and self._options.lost_events_while_paging and rendered:
            self._options.lost_events_while_paging -= 1
            rendered.pop(0)
        pages = math.ceil(len(rendered) / size)
        served = self._served_page(page)
        return {
            "totalUsageEventsCount": len(rendered) + self._options.miscounted_events,
            "pagination": {
                "numPages": pages,
                "currentPage": page,
                "pageSize": size,
                "hasNextPage": page < pages or self._options.endless_paging,
                "hasPreviousPage": page > 1,
            },
            "usageEvents": self._records(rendered[(served - 1) * size : served * size]),
            "period": {"startDate": first, "endDate": last},
        }

    def _read_page(self, body: dict[str, Any], *, default: int, maximum: int) -> tuple[int, int]:
        page, size = read_page(body, default=default, maximum=maximum)
        return page, min(size, self._options.page_size_limit or size)

    def _served_page(self, page: int) -> int:
        """The page that is served for a requested page."""
        if self._options.endless_paging:
            return 1
        if page > 1 and self._options.repeated_pages:
            self._options.repeated_pages -= 1
            return page - 1
        return page

    def _render_event(self, event: Event) -> dict[str, Any]:
        kind = self._options.unknown_kind if self._options.unknown_kind and event.at_ms % 50 == 0 else event.kind
        tokens = event.tokens
        rendered: dict[str, Any] = {
            "timestamp": str(event.at_ms),
            "userEmail": self._render_email(event),
            "serviceAccountId": event.identity_id if event.identity_kind == "service_account" else None,
            "serviceAccountName": event.identity_name if event.identity_kind == "service_account" else None,
            "automationId": event.identity_id if event.identity_kind == "automation" else None,
            "cloudAgentId": event.identity_id if event.identity_kind == "cloud_agent" else None,
            "conversationId": event.conversation_id,
            "model": event.model,
            "kind": kind,
            "maxMode": False,
            "requestsCosts": 1 if tokens else 0,
            "isTokenBasedCall": tokens is not None,
            "isChargeable": cost_basis(event.kind) == "billed",
            "isHeadless": event.identity_kind is not None,
        }
        if tokens is not None:
            counts = dict(
                zip(("inputTokens", "outputTokens", "cacheWriteTokens", "cacheReadTokens"), tokens, strict=True)
            )
            rendered["tokenUsage"] = {**counts, "totalCents": event.total_cents}
            if event.discount_percent is not None:
                rendered["tokenUsage"]["discountPercentOff"] = event.discount_percent
        rendered["chargedCents"] = event.charged_cents
        rendered["cursorTokenFee"] = event.fee_cents
        if self._options.extra_fields:
            rendered["undocumentedField"] = {"since": "tomorrow"}
        return {name: value for name, value in rendered.items() if value is not None}

    def _render_email(self, event: Event) -> str | None:
        if event.identity_kind or not event.email or not self._options.strip_removed_emails:
            return event.email
        person = self._ledger.organization.person(event.email)
        return None if self._is_removed(person) else event.email

    # --- sums ------------------------------------------------------------------------------------------------------

    def _cycle(self) -> tuple[datetime, datetime]:
        today = self._now().date()
        start = today.replace(day=_CYCLE_DAY)
        if today.day < _CYCLE_DAY:
            start = (start.replace(day=1) - timedelta(days=1)).replace(day=_CYCLE_DAY)
        end = (start.replace(day=28) + timedelta(days=7)).replace(day=_CYCLE_DAY)
        return datetime(start.year, start.month, start.day, tzinfo=UTC), datetime(
            end.year, end.month, end.day, tzinfo=UTC
        )

    def _spent_cents(self, start: datetime) -> dict[str, list[Decimal]]:
        """Cents by e-mail since the start of the billing cycle: on demand, and overall."""
        spent: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for event in self._visible(int(start.timestamp() * 1000), int(self._now().timestamp() * 1000)):
            if event.email and not event.identity_kind:
                spent[event.email][1] += event.charged_cents
                if cost_basis(event.kind) == "billed":
                    spent[event.email][0] += event.charged_cents
        return spent

    def _spend(self, body: dict[str, Any]) -> dict[str, Any]:
        page, size = self._read_page(body, default=100, maximum=1000)
        start, _ = self._cycle()
        spent = self._spent_cents(start)
        drift = self._options.spend_drift_cents
        undocumented = {"billingTier": self._options.billing_tier, "removedAt": None, "totalPercentUsed": 12.5}
        rows: list[dict[str, Any]] = [
            {
                "userId": self._id(person),
                "name": person.name,
                "email": person.email,
                "role": person.cursor_role,
                "spendCents": spent[person.email][0] + drift,
                "overallSpendCents": spent[person.email][1] + drift,
                "fastPremiumRequests": 0,
                "hardLimitOverrideDollars": 0,
                "monthlyLimitDollars": person.cursor_limit_usd,
                "effectivePerUserLimitDollars": person.cursor_limit_usd or 200,
                **(undocumented if self._options.billing_tier else {}),
            }
            for person in self._team()
        ]
        order = {"amount": "spendCents", "user": "name"}.get(body.get("sortBy", "date"), "userId")
        rows.sort(key=lambda row: row[order], reverse=body.get("sortDirection", "desc") == "desc")
        pages, served = math.ceil(len(rows) / size), self._served_page(page)
        return {
            "teamMemberSpend": self._records(rows[(served - 1) * size : served * size]),
            "subscriptionCycleStart": int(start.timestamp() * 1000),
            "totalMembers": len(rows),
            "totalPages": page + 1 if self._options.endless_paging else pages,
        }

    def _daily_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        if "startDate" not in body or "endDate" not in body:
            raise ApiRequestError(400, "startDate and endDate are required")
        first, last = body["startDate"], body["endDate"]
        if last < first or timedelta(milliseconds=last - first) > _MAX_RANGE:
            raise ApiRequestError(400, "Date range cannot exceed 30 days")
        if ("page" in body) != ("pageSize" in body):
            raise ApiRequestError(400, "page and pageSize must be given together")
        paged = "page" in body
        page, size = self._read_page(body, default=1000, maximum=1000)
        end = min(to_day(last), self._now().date())
        days = [to_day(first) + timedelta(days=n) for n in range((end - to_day(first)).days + 1)]
        # Pages count people, not rows; people who joined after the range are omitted.
        people = [
            person
            for person in self._ledger.organization.people
            if person.cursor_role and any(person.is_here(day) for day in days)
        ]
        number = self._served_page(page)
        served = people[(number - 1) * size : number * size] if paged else people
        by_day: dict[date, dict[str, list[Event]]] = {day: defaultdict(list) for day in days}
        if days:
            for event in self._visible(start_ms(days[0]), start_ms(days[-1] + timedelta(days=1)) - 1):
                if event.email and not event.identity_kind:
                    by_day[to_day(event.at_ms)][event.email].append(event)
        rows = [
            self._daily_row(person, day, by_day[day][person.email])
            for day in days
            for person in served
            if person.is_here(day) and (paged or by_day[day][person.email])
        ]
        response: dict[str, Any] = {"data": self._records(rows), "period": {"startDate": first, "endDate": last}}
        if paged:
            pages = math.ceil(len(people) / size)
            response["pagination"] = {
                "page": page,
                "pageSize": size,
                "totalUsers": len(people),
                "totalPages": pages,
                "hasNextPage": page < pages or self._options.endless_paging,
                "hasPreviousPage": page > 1,
            }
        return response

    def _daily_row(self, person: Person, day: date, events: list[Event]) -> dict[str, Any]:
        output = sum(event.tokens[1] for event in events if event.tokens)
        removed = self._is_removed(person) and self._options.strip_removed_emails
        models = [event.model for event in events]
        return {
            "userId": self._id(person),
            "day": day.isoformat(),
            "date": start_ms(day),
            **({} if removed else {"email": person.email}),
            "isActive": bool(events),
            "totalLinesAdded": output // 12,
            "totalLinesDeleted": output // 50,
            "acceptedLinesAdded": output // 20,
            "acceptedLinesDeleted": output // 90,
            "totalApplies": len(events),
            "totalAccepts": len(events) * 3 // 4,
            "totalRejects": len(events) // 4,
            "totalTabsShown": len(events) * 9,
            "totalTabsAccepted": len(events) * 4,
            "composerRequests": 0,
            "chatRequests": len(events) // 3,
            "agentRequests": len(events) - len(events) // 3,
            "cmdkUsages": 0,
            "subscriptionIncludedReqs": sum(cost_basis(event.kind) == "included" for event in events),
            "apiKeyReqs": 0,
            "usageBasedReqs": sum(cost_basis(event.kind) == "billed" for event in events),
            "bugbotUsages": 0,
            "mostUsedModel": max(sorted(set(models)), key=models.count) if models else None,
            "applyMostUsedExtension": ".py" if events else None,
            "tabMostUsedExtension": ".py" if events else None,
            "clientVersion": "3.2.1" if events else None,
        }
