"""What is not known of Cursor's Admin API for sure, and the fewest reads that would settle it.

Belongs here: the questions, and how an answer is read without keeping whom it names. Does not: what is known
(`cursor`), how many requests may be sent (`questions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.days import ONE_DAY, DayRange, day_start
from ai_usage_assets.sources.cursor.client import PAGE_SIZE, CursorClient, day_bounds
from ai_usage_assets.sources.cursor.tables import EVENT_FIELDS, NAME
from ai_usage_assets.sources.questions import (
    Answer,
    Asking,
    Facts,
    NotAnswered,
    Parameters,
    Question,
    Seen,
    counts,
    fields_of,
    form,
)

_EVENTS, _SPEND, _DAILY = "/teams/filtered-usage-events", "/teams/spend", "/teams/daily-usage-data"
_MEMBERS, _GROUPS, _ANALYTICS = "/teams/members", "/teams/groups", "/analytics/team/dau"
# One more than a minute's limit of most endpoints.
_BURST = 21
_MONTH_DAYS = 30
_LONG_AGO = timedelta(days=400)
_CLOSE_CENTS = Decimal("0.01")


class CursorQuestions:
    """Some twenty reads; and a burst that uses up a minute's limit, if a person has agreed to it."""

    vendor = NAME
    most_requests = 24

    def __init__(self, client: CursorClient, now: datetime, *, burst: bool = False) -> None:
        self.most_requests += _BURST * burst
        self.ask = Asking(self.most_requests)
        self._client = client
        self._now = now
        self._today = now.astimezone(UTC).date()
        self._burst = burst
        # A day with events, and those that came by; yesterday until the census chooses.
        self._day = self._today - ONE_DAY
        self._events: list[dict[str, Any]] = []
        self._spend_rows: list[dict[str, Any]] = []
        self._cycle_start: datetime | None = None

    def questions(self) -> tuple[Question, ...]:
        """All of them; what cannot be answered in one go says so."""
        return (
            Question(
                "members", "What do ids look like, which roles are there, are removed members shown?", self._members
            ),
            Question(
                "kinds",
                "Which kinds of events are there in 90 days, is isChargeable of any use, is chargedCents always there "
                "and the sum of its parts, which fields are new?",
                self._kinds,
            ),
            Question("page_size", "What does an events page larger than 1000 get?", self._page_size),
            Question("order", "Are events sorted, and is the order of equal ones the same each time?", self._order),
            Question("no_dates", "Which events come without dates?", self._no_dates),
            Question("wide_span", "What does a span of 31 days, and of 365, get?", self._wide_span),
            Question("retention", "Are there events of 400 days ago?", self._retention),
            Question("backwards", "What does an end before its start get?", self._backwards),
            Question("beyond_the_end", "What does a page beyond the last get?", self._beyond_the_end),
            Question(
                "spend",
                "How large is a page of spend by default and at most; has it rows of removed members and service "
                "accounts, and fields that are not documented?",
                self._spend,
            ),
            Question(
                "spend_is_events",
                "Do a member's events of this cycle add up to spendCents, and to overallSpendCents?",
                self._spend_is_events,
            ),
            Question(
                "daily_usage", "Is endDate of daily usage inclusive; what changes without paging?", self._daily_usage
            ),
            Question(
                "groups",
                "Are there billing groups, can a past cycle be asked for, is their spend on demand or overall?",
                self._groups,
            ),
            Question("analytics", "Does the plan have the Analytics API?", self._analytics),
            Question(
                "rate_limit",
                f"What does a 429 look like ({_BURST} rapid calls), and is the limit one for all endpoints?",
                self._rate_limit,
            ),
            Question("scope", "Is a read-only key enough?", self._scope),
            Question("revisions", "Does a day change after 1 hour, 1, 7 and 30 days?", self._revisions),
        )

    # --- asking --------------------------------------------------------------------------------------------------

    def _get(self, path: str, params: Parameters = (), *, rapid: bool = False) -> Seen:
        return self.ask(
            lambda: self._client.request_once(path, params=params, rate_limited=not rapid),
            f"GET {path}",
            params,
            about_limits=rapid,
        )

    def _post(self, path: str, body: Mapping[str, object], *, about_limits: bool = False) -> Seen:
        return self.ask(lambda: self._client.request_once(path, body), f"POST {path}", body, about_limits=about_limits)

    def _events_of(self, first: date, last: date, **more: object) -> Seen:
        body = {**day_bounds(DayRange(first, last)), "page": 1, "pageSize": PAGE_SIZE, **more}
        return self._post(_EVENTS, body)

    # --- answers -------------------------------------------------------------------------------------------------

    def _members(self) -> Answer:
        members = self._get(_MEMBERS).expect()["teamMembers"]
        facts: Facts = {
            "members": len(members),
            "removed": sum(bool(member.get("isRemoved")) for member in members),
            "roles": counts(member.get("role") for member in members),
            "ids": counts(form(member["id"]) for member in members),
            "fields": fields_of(members),
        }
        ids = ", ".join(facts["ids"])
        return Answer(f"{len(members)} members, {facts['removed']} of them removed; ids are {ids}", facts)

    def _kinds(self) -> Answer:
        shown, totals = [], []
        for back in (0, 1, 2):
            last = self._today - ONE_DAY - back * timedelta(days=_MONTH_DAYS)
            page = self._events_of(last - timedelta(days=_MONTH_DAYS - 1), last).expect()
            shown.append(page["usageEvents"])
            totals.append(page["totalUsageEventsCount"])
        self._events = events = [event for page in shown for event in page]
        if not events:
            raise NotAnswered("there are no events in 90 days")
        self._day = max(_at(event).date() for event in events)
        kinds = counts(event.get("kind") for event in events)
        told = f"{len(kinds)} kinds in {len(events):,} of {sum(totals):,} events"
        with_parts = [event for event in events if "chargedCents" in event and "tokenUsage" in event]
        equal = sum(abs(_parts(event) - _number(event["chargedCents"])) <= _CLOSE_CENTS for event in with_parts)
        facts: Facts = {
            "events_by_30_days": totals,
            "events_looked_at": len(events),
            "kinds": kinds,
            "is_chargeable_by_kind": counts(f"{event.get('kind')}: {event.get('isChargeable')}" for event in events),
            "charged_by_kind": counts(f"{event.get('kind')}: {_sign(event.get('chargedCents'))}" for event in events),
            "only_the_fee_is_charged_by_kind": counts(
                event.get("kind")
                for event in events
                if "cursorTokenFee" in event and _number(event.get("chargedCents")) == _number(event["cursorTokenFee"])
            ),
            "without_user_email": sum(not event.get("userEmail") for event in events),
            "without_email_but_person": sum(
                not any(event.get(name) for name in ("userEmail", "serviceAccountId", "automationId", "cloudAgentId"))
                for event in events
            ),
            "without_charged_cents": sum("chargedCents" not in event for event in events),
            "without_conversation_id": sum("conversationId" not in event for event in events),
            "with_service_account": sum("serviceAccountId" in event for event in events),
            "charged_is_sum_of_parts": f"{equal} of {len(with_parts)}",
            "models": counts(event.get("model") for event in events),
            "timestamps": counts(type(event["timestamp"]).__name__ for event in events),
            "fields_not_known": sorted(_paths(events) - EVENT_FIELDS),
        }
        return Answer(f"{told}; chargedCents is the sum of its parts in {facts['charged_is_sum_of_parts']}", facts)

    def _page_size(self) -> Answer:
        one = self._events_of(self._day, self._day, pageSize=1).expect()
        many = self._events_of(self._day, self._day, pageSize=PAGE_SIZE + 1)
        rows = len(many.value["usageEvents"]) if many.ok else None
        facts = {
            "events_of_the_day": one["totalUsageEventsCount"],
            "rows_at_page_size_1": len(one["usageEvents"]),
            "status_at_page_size_1001": many.status,
            "rows_at_page_size_1001": rows,
        }
        said = f": {many.said}" if many.said else f", {rows} rows"
        return Answer(f"1001 answers {many.short}{said}", facts)

    def _order(self) -> Answer:
        first, second = (self._events_of(self._day, self._day).expect()["usageEvents"] for _ in range(2))
        times = [int(event["timestamp"]) for event in first]
        order = "newest first" if times == sorted(times, reverse=True) else "oldest first"
        if times not in (sorted(times), sorted(times, reverse=True)):
            order = "no order"
        ties = sum(number - 1 for number in Counter(times).values())
        facts = {"events": len(times), "order": order, "ties": ties, "same_order_twice": first == second}
        return Answer(f"{order}; {ties} ties, {'the same' if first == second else 'another'} order twice", facts)

    def _no_dates(self) -> Answer:
        seen = self._post(_EVENTS, {"page": 1, "pageSize": 1})
        if not seen.ok:
            return _status(seen)
        period = seen.value.get("period") or {}
        days = None
        if "startDate" in period and "endDate" in period:
            days = round((int(period["endDate"]) - int(period["startDate"])) / 86_400_000, 1)
        total = seen.value["totalUsageEventsCount"]
        return Answer(f"{total:,} events of {days} days", {"events": total, "period_days": days})

    def _wide_span(self) -> Answer:
        facts: Facts = {}
        told = []
        for days in (31, 365):
            last = self._today - ONE_DAY
            seen = self._events_of(last - timedelta(days=days - 1), last, pageSize=1)
            facts[f"{days}_days"] = {"status": seen.status}
            if seen.ok:
                facts[f"{days}_days"]["events"] = seen.value["totalUsageEventsCount"]
            told.append(f"{days} days: {seen.short}")
        return Answer("; ".join(told), facts)

    def _retention(self) -> Answer:
        day = self._today - _LONG_AGO
        seen = self._events_of(day, day, pageSize=1)
        if not seen.ok:
            return _status(seen)
        total = seen.value["totalUsageEventsCount"]
        return Answer(f"200, with {total:,} events (a team may be younger)", {"events": total})

    def _backwards(self) -> Answer:
        bounds = day_bounds(DayRange(self._day, self._day))
        turned = {"startDate": bounds["endDate"], "endDate": bounds["startDate"], "page": 1, "pageSize": 1}
        return _status(self._post(_EVENTS, turned))

    def _beyond_the_end(self) -> Answer:
        seen = self._events_of(self._day, self._day, page=9999)
        if not seen.ok:
            return _status(seen)
        more = seen.value["pagination"].get("hasNextPage")
        rows = len(seen.value["usageEvents"])
        return Answer(f"200, with {rows} events, hasNextPage {more}", {"rows": rows, "has_next_page": more})

    def _spend(self) -> Answer:
        default = self._post(_SPEND, {"sortBy": "user", "sortDirection": "asc"}).expect()
        large = self._post(_SPEND, {"sortBy": "user", "sortDirection": "asc", "page": 1, "pageSize": PAGE_SIZE})
        best = large.value if large.ok else default
        self._cycle_start = datetime.fromtimestamp(int(best["subscriptionCycleStart"]) / 1000, UTC)
        rows = best["teamMemberSpend"]
        # Groups can be held against them only when they are all there.
        self._spend_rows = rows if best["totalPages"] == 1 else []
        facts: Facts = {
            "rows_by_default": len(default["teamMemberSpend"]),
            "pages_by_default": default["totalPages"],
            "status_at_page_size_1000": large.status,
            "rows_at_page_size_1000": len(rows) if large.ok else None,
            "total_members": best.get("totalMembers"),
            "fields": fields_of(rows),
            "envelope": fields_of([best]),
            "roles": counts(row.get("role") for row in rows),
            "removed": sum(bool(row.get("removedAt")) for row in rows),
            "without_email": sum(not row.get("email") for row in rows),
            "overall_below_on_demand": sum(
                _number(row.get("overallSpendCents")) < _number(row.get("spendCents")) for row in rows
            ),
            "amounts_are": counts(type(row.get("spendCents")).__name__ for row in rows),
            "cycle_starts_at": f"day {self._cycle_start.day} of the month, {self._cycle_start:%H:%M} UTC",
        }
        sizes = f"{facts['rows_by_default']} rows by default, {facts['rows_at_page_size_1000']} at 1000"
        return Answer(f"{sizes}, of {facts['total_members']} members", facts)

    def _spend_is_events(self) -> Answer:
        if self._cycle_start is None:
            raise NotAnswered("spend was not answered")
        # Only events of a small spender are few enough for the budget.
        small = [row for row in self._spend_rows if row.get("email") and _number(row.get("overallSpendCents")) > 0]
        if not small:
            raise NotAnswered("no member on one page of spend has spent anything")
        row = min(small, key=lambda row: _number(row["overallSpendCents"]))
        start = max(self._cycle_start, self._now - timedelta(days=_MONTH_DAYS))
        body = {
            "email": row["email"],
            "startDate": int(start.timestamp() * 1000),
            "endDate": int(self._now.timestamp() * 1000),
            "page": 1,
            "pageSize": PAGE_SIZE,
        }
        page = self._post(_EVENTS, body).expect()
        events = page["usageEvents"]
        if page["totalUsageEventsCount"] != len(events):
            raise NotAnswered("the member with the smallest spend has more events than one page holds")
        whole = sum((_number(event.get("chargedCents")) for event in events), Decimal(0))
        on_demand = sum(
            (_number(event.get("chargedCents")) for event in events if _is_on_demand(event.get("kind"))), Decimal(0)
        )
        facts: Facts = {
            "members": 1,
            "events": len(events),
            "whole_cycle": start == self._cycle_start,
            "on_demand_minus_spend_cents": on_demand - _number(row.get("spendCents")),
            "all_minus_overall_spend_cents": whole - _number(row.get("overallSpendCents")),
        }
        told = f"on demand differs by {facts['on_demand_minus_spend_cents']} ¢"
        return Answer(f"{told}, all by {facts['all_minus_overall_spend_cents']} ¢ (one member)", facts)

    def _daily_usage(self) -> Answer:
        day = self._today - 3 * ONE_DAY
        first, last = (int(day_start(d).timestamp() * 1000) for d in (day, day + ONE_DAY))
        body = {"startDate": first, "endDate": last}
        paged = self._post(_DAILY, {**body, "page": 1, "pageSize": PAGE_SIZE}).expect()
        bare = self._post(_DAILY, body)
        rows = paged["data"]
        ahead = counts((date.fromisoformat(row["day"]) - day).days for row in rows)
        facts: Facts = {
            "asked_for": "midnight of a day to midnight of the next",
            "rows_by_day": ahead,
            "end_is_inclusive": "1" in ahead,
            "user_ids": counts(form(row.get("userId")) for row in rows),
            "without_email": sum(not row.get("email") for row in rows),
            "fields": fields_of(rows),
            "unpaged_status": bare.status,
        }
        if bare.ok:
            facts |= {
                "unpaged_rows": len(bare.value["data"]),
                "unpaged_is_active": counts(row.get("isActive", "absent") for row in bare.value["data"]),
                "unpaged_envelope": fields_of([bare.value]),
            }
        return Answer(f"endDate is {'inclusive' if facts['end_is_inclusive'] else 'exclusive'}", facts)

    def _groups(self) -> Answer:
        seen = self._get(_GROUPS)
        if not seen.ok:
            return _status(seen)
        facts, spent = _of_groups(seen.value)
        if self._cycle_start is not None:
            before = (self._cycle_start - ONE_DAY).date().isoformat()
            past = self._get(_GROUPS, [("billingCycle", before)])
            facts["past_cycle_status"] = past.status
            if past.ok:
                cycle, asked = past.value.get("billingCycle"), seen.value.get("billingCycle")
                facts["past_cycle_is_another"] = cycle != asked
        totals = {
            name: sum((_number(row.get(name)) for row in self._spend_rows), Decimal(0))
            for name in ("spendCents", "overallSpendCents")
        }
        facts["spend_equals"] = [name for name, total in totals.items() if abs(total - spent) <= _CLOSE_CENTS]
        told = f"{facts['groups']} groups; their spend equals {' and '.join(facts['spend_equals']) or 'neither column'}"
        if "past_cycle_is_another" in facts:
            told += f"; a past cycle {'can' if facts['past_cycle_is_another'] else 'cannot'} be asked for"
        return Answer(told, facts)

    def _analytics(self) -> Answer:
        return _status(self._get(_ANALYTICS, [("startDate", "yesterday"), ("endDate", "yesterday")]))

    def _rate_limit(self) -> Answer:
        if not self._burst:
            raise NotAnswered("only asked with --probe-rate-limit: it uses up the team's limit of a minute")
        statuses: list[int] = []
        seen = None
        while len(statuses) < _BURST:
            seen = self._get(_MEMBERS, rapid=True)
            statuses.append(seen.status)
            if seen.status == 429:
                break
        facts: Facts = {"rapid_calls": len(statuses), "statuses": counts(statuses)}
        if seen is None or seen.status != 429:
            return Answer(f"none of {len(statuses)} rapid calls was refused", facts)
        other = self._post(_SPEND, {"page": 1, "pageSize": 1}, about_limits=True)
        facts |= {"said": seen.said, "another_endpoint_then": other.status}
        alone = "the limit is per endpoint" if other.status != 429 else "the limit is for all endpoints"
        return Answer(f"429 at call {len(statuses)}: {seen.said}; {alone}", facts)

    def _scope(self) -> Answer:
        raise NotAnswered("a key does not tell its scope; run the probe once more with a read-only key")

    def _revisions(self) -> Answer:
        raise NotAnswered("not in one go; runs note each day that changes in ops_restatements")


def _status(seen: Seen) -> Answer:
    return Answer(seen.short + (f": {seen.said}" if seen.said else ""), {"status": seen.status})


def _at(event: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(event["timestamp"]) / 1000, UTC)


def _number(value: Any) -> Decimal:
    return Decimal(str(value)) if value is not None else Decimal(0)


def _sign(cents: Any) -> str:
    if cents is None:
        return "absent"
    return "zero" if not _number(cents) else "more" if _number(cents) > 0 else "less"


def _parts(event: Mapping[str, Any]) -> Decimal:
    tokens = event["tokenUsage"]
    kept = (100 - _number(tokens.get("discountPercentOff"))) / 100
    return _number(tokens.get("totalCents")) * kept + _number(event.get("cursorTokenFee"))


def _is_on_demand(kind: object) -> bool:
    normal = str(kind).casefold().removeprefix("usage_event_kind_").replace("-", "_").replace(" ", "_")
    return normal in ("usage_based", "on_demand")


def _paths(events: list[dict[str, Any]]) -> set[str]:
    found = set()
    for event in events:
        for name, value in event.items():
            found.add(name)
            if isinstance(value, dict):
                found |= {f"{name}.{inner}" for inner in value}
    return found


def _of_groups(value: Mapping[str, Any]) -> tuple[Facts, Decimal]:
    groups = [*value["groups"], *([value["unassignedGroup"]] if value.get("unassignedGroup") else [])]
    spent = sum((_number(group.get("spendCents")) for group in groups), Decimal(0))
    facts: Facts = {
        "groups": len(value["groups"]),
        "envelope": fields_of([value]),
        "fields": fields_of(groups),
        "with_daily_spend": sum(bool(group.get("dailySpend")) for group in groups),
        "with_former_members": sum(bool(group.get("formerMembers")) for group in groups),
    }
    return facts, spent
