"""The simulated Cursor Admin API: members, usage events, spend, daily usage, billing groups.

Belongs here: how these endpoints check a request and show the ledger. Does not: what happened (`ledger`). Only reads
exist.
"""

from __future__ import annotations

import base64
import math
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.organization import Person
from ai_usage_assets.simulator.records import Event, cost_basis
from ai_usage_assets.simulator.server import Request, Response

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_MOST_DAYS = timedelta(days=30)
# The end of the year 9999.
_LAST_MS = 253_402_300_800_000
_HOSTING = {"CLOUD", "SELF_HOSTED", "SELF_HOSTED_POOL", "SELF_HOSTED_MACHINE"}
# The subscription renews on this day of the month.
_CYCLE_DAY = 3


# Requests an endpoint takes in a minute.
_EVENTS_PER_MINUTE, _OTHERS_PER_MINUTE = 60, 20


class _Refused(Exception):
    """A request the API does not accept."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


Refusal = Literal["key", "personal key", "old key", "scope", "plan", "forbidden", "sentence", "page"]

# Cursor has dialects: what is refused is told in another one from endpoint to endpoint, and from year to year.
_REFUSALS: dict[Refusal, tuple[int, dict[str, Any] | bytes]] = {
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
    """What can be different about this vendor; all can be changed while it serves."""

    # The Teams plan has no billing groups.
    teams_plan: bool = False
    unauthorized: bool = False
    # Path prefix -> how every request there is refused.
    refuse: dict[str, Refusal] = field(default_factory=dict)
    # After so many more requests the key is revoked.
    key_good_for: int | None = None
    # Counts requests by endpoint in fixed windows of so many seconds (the vendor's last 60); None counts nothing.
    window_seconds: float | None = None
    requests_per_window: int | None = None

    # A person who was removed loses the e-mail in all of history, and may leave the list of members too.
    strip_removed_emails: bool = True
    hide_removed_members: bool = False
    # Ids of people are numbers, as they were before they began with `user_`.
    numeric_ids: bool = False

    # While a window is paged through, this many times: a late event appears, the newest event vanishes, the page before
    # comes again.
    late_events_while_paging: int = 0
    lost_events_while_paging: int = 0
    repeated_pages: int = 0
    # The first page comes for ever, and promises more.
    endless_paging: bool = False
    # The count is wrong by so many.
    miscounted_events: int = 0
    # Larger pages are not refused but cut to this size.
    page_size_limit: int | None = None

    # A billing kind nobody has documented.
    unknown_kind: str | None = None
    extra_fields: bool = False
    # Field -> it is missing from every n-th record: from all of them with 1.
    left_out: dict[str, int] = field(default_factory=dict)
    # Numbers of a record: as they are, all with a decimal point, or as text of thirty digits.
    numbers_as: Literal["numbers", "floats", "text"] = "numbers"

    # Cents by which every member's spend differs from their events, and the tier that is not documented.
    spend_drift_cents: Decimal = Decimal(0)
    billing_tier: str | None = None


class CursorAPI:
    """Answers requests. `now` gives the simulated instant."""

    def __init__(
        self, ledger: Ledger, key: str, fault_options: CursorFaultOptions, now: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._authorization = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        self._options = fault_options
        self._now = now
        self._window, self._counted = 0, Counter[str]()

    def handle(self, request: Request) -> Response:
        """One answer."""
        refusal = next((kind for path, kind in self._options.refuse.items() if request.path.startswith(path)), None)
        if refusal:
            return _refusal(refusal)
        if self._is_beyond_limit(request.path):
            answer = Response(429, _ENCODER.encode({"code": "error", "message": "Rate limit exceeded"}))
            answer.headers["retry-after"] = f"{self._options.window_seconds:g}"
            return answer
        try:
            status, body = 200, self._route(request)
        except _Refused as refused:
            kind = {400: {"error": "Bad Request"}, 404: {"error": "Not Found"}}.get(refused.status, {"code": "error"})
            status, body = refused.status, {**kind, "message": refused.message}
        return Response(status, _ENCODER.encode(body))

    def _is_beyond_limit(self, path: str) -> bool:
        seconds = self._options.window_seconds
        if seconds is None:
            return False
        window = int(time.monotonic() / seconds)
        if window != self._window:
            self._window, self._counted = window, Counter()
        self._counted[path] += 1
        usual = _EVENTS_PER_MINUTE if path == "/teams/filtered-usage-events" else _OTHERS_PER_MINUTE
        limit = self._options.requests_per_window
        return self._counted[path] > (usual if limit is None else limit)

    def _is_key_good(self, authorization: str | None) -> bool:
        left = self._options.key_good_for
        if authorization != self._authorization or self._options.unauthorized or left == 0:
            return False
        if left is not None:
            self._options.key_good_for = left - 1
        return True

    def _route(self, request: Request) -> dict[str, Any]:
        if not self._is_key_good(request.headers.get("authorization")):
            raise _Refused(401, "Invalid Team API Key")
        match request.method, request.path.split("/")[1:]:
            case "GET", ["teams", "members"]:
                return self._members()
            case "POST", ["teams", "filtered-usage-events"]:
                return self._events(_body(request))
            case "POST", ["teams", "spend"]:
                return self._spend(_body(request))
            case "POST", ["teams", "daily-usage-data"]:
                return self._daily_usage(_body(request))
            case "GET", ["teams", "groups", *rest]:
                return self._groups(rest)
        raise _Refused(404, "Resource not found")

    # --- records ---------------------------------------------------------------------------------------------------

    def _records(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The records in the words of the version that is switched on."""
        style = _STYLES[self._options.numbers_as]
        # What does not apply is left out, not null; a fault leaves out more.
        return [
            {
                name: style(value)
                for name, value in record.items()
                if not (every := self._options.left_out.get(name)) or number % every
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
            raise _Refused(401, "You must be a member of an enterprise team to access this resource")
        start, end = self._cycle()
        cycle = {"cycleStart": _z(start), "cycleEnd": _z(end)}
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
            found = [group for group in groups if group["id"] == rest[0]]
            if not found or len(rest) > 1:
                raise _Refused(404, "Resource not found")
            return {"group": found[0], "billingCycle": cycle}
        nobody = {
            **{name: groups[0][name] for name in ("type", "directoryGroupId", "createdAt", "updatedAt")},
            "id": "group_unassigned",
            "name": "Unassigned",
            "memberCount": 0,
            "spendCents": 0,
            "currentMembers": [],
            "formerMembers": [],
            "dailySpend": [],
        }
        return {"groups": groups, "unassignedGroup": nobody, "billingCycle": cycle}

    # --- events ----------------------------------------------------------------------------------------------------

    def _visible(self, first_ms: int, last_ms: int) -> list[Event]:
        """Events between two instants, both included, newest first."""
        last_ms = min(last_ms, int(self._now().timestamp() * 1000))
        day, found = _day_of(first_ms), []
        while day <= _day_of(last_ms):
            found += [event for event in self._ledger.events(day) if first_ms <= event.at_ms <= last_ms]
            day += timedelta(days=1)
        return sorted(found, key=lambda event: -event.at_ms)

    def _events(self, body: dict[str, Any]) -> dict[str, Any]:
        now_ms = int(self._now().timestamp() * 1000)
        first, last = body.get("startDate", now_ms - 2_592_000_000), body.get("endDate", now_ms)
        if last < first or timedelta(milliseconds=last - first) > _MOST_DAYS:
            raise _Refused(400, "Invalid date range")
        if body.get("hostingType") is not None and body["hostingType"] not in _HOSTING:
            raise _Refused(400, "Invalid hostingType")
        page, size = self._paging(body, default=100, most=1000)
        events = self._visible(first, last)
        shown = [self._shown(event) for event in events]
        for asked, name in (("email", "userEmail"), ("serviceAccountId", "serviceAccountId")):
            if asked in body:
                shown = [event for event in shown if event.get(name) == body[asked]]
        for asked in ("cloudAgentId", "automationId"):
            if asked in body:
                shown = [
                    event
                    for event in shown
                    if event.get(asked) == body[asked] or (body[asked] == "*" and asked in event)
                ]
        if page > 1 and self._options.late_events_while_paging and shown:
            # Somebody's laptop came back: everything behind the newest event moves by one.
            self._options.late_events_while_paging -= 1
            shown.insert(0, shown[0])
        if page > 1 and self._options.lost_events_while_paging and shown:
            self._options.lost_events_while_paging -= 1
            shown.pop(0)
        pages = math.ceil(len(shown) / size)
        chosen = self._chosen_page(page)
        return {
            "totalUsageEventsCount": len(shown) + self._options.miscounted_events,
            "pagination": {
                "numPages": pages,
                "currentPage": page,
                "pageSize": size,
                "hasNextPage": page < pages or self._options.endless_paging,
                "hasPreviousPage": page > 1,
            },
            "usageEvents": self._records(shown[(chosen - 1) * size : chosen * size]),
            "period": {"startDate": first, "endDate": last},
        }

    def _paging(self, body: dict[str, Any], *, default: int, most: int) -> tuple[int, int]:
        page, size = _paging(body, default=default, most=most)
        return page, min(size, self._options.page_size_limit or size)

    def _chosen_page(self, page: int) -> int:
        """The page that is sent when this one is asked for."""
        if self._options.endless_paging:
            return 1
        if page > 1 and self._options.repeated_pages:
            self._options.repeated_pages -= 1
            return page - 1
        return page

    def _shown(self, event: Event) -> dict[str, Any]:
        kind = self._options.unknown_kind if self._options.unknown_kind and event.at_ms % 50 == 0 else event.kind
        tokens = event.tokens
        shown: dict[str, Any] = {
            "timestamp": str(event.at_ms),
            "userEmail": self._email_shown(event),
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
            shown["tokenUsage"] = {**counts, "totalCents": event.total_cents}
            if event.discount_percent is not None:
                shown["tokenUsage"]["discountPercentOff"] = event.discount_percent
        shown["chargedCents"] = event.charged_cents
        shown["cursorTokenFee"] = event.fee_cents
        if self._options.extra_fields:
            shown["undocumentedField"] = {"since": "tomorrow"}
        return {name: value for name, value in shown.items() if value is not None}

    def _email_shown(self, event: Event) -> str | None:
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
        """Cents by e-mail since the cycle began: on demand, and overall."""
        spent: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for event in self._visible(int(start.timestamp() * 1000), int(self._now().timestamp() * 1000)):
            if event.email and not event.identity_kind:
                spent[event.email][1] += event.charged_cents
                if cost_basis(event.kind) == "billed":
                    spent[event.email][0] += event.charged_cents
        return spent

    def _spend(self, body: dict[str, Any]) -> dict[str, Any]:
        page, size = self._paging(body, default=100, most=1000)
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
        pages, chosen = math.ceil(len(rows) / size), self._chosen_page(page)
        return {
            "teamMemberSpend": self._records(rows[(chosen - 1) * size : chosen * size]),
            "subscriptionCycleStart": int(start.timestamp() * 1000),
            "totalMembers": len(rows),
            "totalPages": page + 1 if self._options.endless_paging else pages,
        }

    def _daily_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        if "startDate" not in body or "endDate" not in body:
            raise _Refused(400, "startDate and endDate are required")
        first, last = body["startDate"], body["endDate"]
        if last < first or timedelta(milliseconds=last - first) > _MOST_DAYS:
            raise _Refused(400, "Date range cannot exceed 30 days")
        if ("page" in body) != ("pageSize" in body):
            raise _Refused(400, "page and pageSize must be given together")
        paged = "page" in body
        page, size = self._paging(body, default=1000, most=1000)
        end = min(_day_of(last), self._now().date())
        days = [_day_of(first) + timedelta(days=n) for n in range((end - _day_of(first)).days + 1)]
        # Pages count people, not rows; who joined after the range is not in it.
        people = [
            person
            for person in self._ledger.organization.people
            if person.cursor_role and any(person.is_here(day) for day in days)
        ]
        number = self._chosen_page(page)
        chosen = people[(number - 1) * size : number * size] if paged else people
        by_day: dict[date, dict[str, list[Event]]] = {day: defaultdict(list) for day in days}
        if days:
            for event in self._visible(_start_ms(days[0]), _start_ms(days[-1] + timedelta(days=1)) - 1):
                if event.email and not event.identity_kind:
                    by_day[_day_of(event.at_ms)][event.email].append(event)
        rows = [
            self._daily_row(person, day, by_day[day][person.email])
            for day in days
            for person in chosen
            if person.is_here(day) and (paged or by_day[day][person.email])
        ]
        answer: dict[str, Any] = {"data": self._records(rows), "period": {"startDate": first, "endDate": last}}
        if paged:
            pages = math.ceil(len(people) / size)
            answer["pagination"] = {
                "page": page,
                "pageSize": size,
                "totalUsers": len(people),
                "totalPages": pages,
                "hasNextPage": page < pages or self._options.endless_paging,
                "hasPreviousPage": page > 1,
            }
        return answer

    def _daily_row(self, person: Person, day: date, events: list[Event]) -> dict[str, Any]:
        output = sum(event.tokens[1] for event in events if event.tokens)
        removed = self._is_removed(person) and self._options.strip_removed_emails
        models = [event.model for event in events]
        return {
            "userId": self._id(person),
            "day": day.isoformat(),
            "date": _start_ms(day),
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


def _refusal(refusal: Refusal) -> Response:
    status, body = _REFUSALS[refusal]
    if isinstance(body, bytes):
        return Response(status, body, {"content-type": "text/html"})
    return Response(status, _ENCODER.encode(body))


def _as_it_is(value: Any) -> Any:
    return value


def _as_float(value: Any) -> Any:
    """Whole numbers too get a decimal point; the rest stays what it is."""
    if isinstance(value, dict):
        return {name: _as_float(inner) for name, inner in value.items()}
    return float(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _as_text(value: Any) -> Any:
    """Every number as text; amounts with zeros up to the thirtieth digit."""
    if isinstance(value, dict):
        return {name: _as_text(inner) for name, inner in value.items()}
    if isinstance(value, Decimal):
        return f"{value:.{30 - len(str(abs(int(value))))}f}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_STYLES: dict[str, Callable[[Any], Any]] = {"numbers": _as_it_is, "floats": _as_float, "text": _as_text}


def _body(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError:
        raise _Refused(400, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise _Refused(400, "Invalid body")
    for name in ("startDate", "endDate", "page", "pageSize"):
        if name in body and not isinstance(body[name], int):
            raise _Refused(400, f"{name} must be a number")
    if not all(0 <= body.get(name, 0) < _LAST_MS for name in ("startDate", "endDate")):
        raise _Refused(400, "Invalid date range")
    return body


def _paging(body: dict[str, Any], *, default: int, most: int) -> tuple[int, int]:
    page, size = body.get("page", 1), body.get("pageSize", default)
    if page < 1 or not 1 <= size <= most:
        raise _Refused(400, f"page must be at least 1 and pageSize between 1 and {most}")
    return page, size


def _day_of(milliseconds: int) -> date:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date()


def _start_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _z(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
