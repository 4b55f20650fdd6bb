"""Questions about Cursor's API. A different answer than expected would change an extract, a check or a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.days import DayRange
from ai_usage_assets.sources.cursor.client import PAGE_SIZE, day_bounds
from ai_usage_assets.sources.questions import ApiQuestion, ApiRequest, Facts, counts, id_form

_CENT_TOLERANCE = Decimal("0.01")


def _events(*, days_ago: int, days: int = 30) -> Callable[[date], ApiRequest]:
    def build(today: date) -> ApiRequest:
        last = today - timedelta(days=days_ago)
        bounds = day_bounds(DayRange(last - timedelta(days=days - 1), last))
        return ApiRequest("/teams/filtered-usage-events", body={**bounds, "page": 1, "pageSize": PAGE_SIZE})

    return build


def _members_request(today: date) -> ApiRequest:
    return ApiRequest("/teams/members")


def _spend_request(today: date) -> ApiRequest:
    return ApiRequest("/teams/spend", body={"sortBy": "user", "sortDirection": "asc", "page": 1, "pageSize": 100})


_QUARTER = tuple(_events(days_ago=days_ago) for days_ago in (1, 31, 61))


def _read_events(pages: tuple[Mapping[str, Any], ...]) -> list[dict[str, Any]]:
    return [event for page in pages for event in page["usageEvents"]]


def _cents(value: object) -> Decimal:
    return Decimal(str(value or 0))


def _members(response: Mapping[str, Any]) -> Facts:
    members = response["teamMembers"]
    return {
        "members": len(members),
        "removed": sum(bool(member.get("isRemoved")) for member in members),
        "roles": counts(member.get("role") for member in members),
        "id_forms": counts(id_form(member["id"]) for member in members),
    }


def _kinds(*pages: Mapping[str, Any]) -> Facts:
    events = _read_events(pages)
    principals = ("userEmail", "serviceAccountId", "automationId", "cloudAgentId")
    return {
        "events_per_30_days": [page["totalUsageEventsCount"] for page in pages],
        "events_read": len(events),
        "kinds": counts(event.get("kind") for event in events),
        "is_chargeable_by_kind": counts(f"{event.get('kind')}: {event.get('isChargeable')}" for event in events),
        "without_charged_cents": sum("chargedCents" not in event for event in events),
        "without_email": sum(not event.get("userEmail") for event in events),
        "without_principal": sum(not any(event.get(name) for name in principals) for event in events),
    }


def _included_charges(*pages: Mapping[str, Any]) -> Facts:
    included = [event for event in _read_events(pages) if "included" in str(event.get("kind")).lower()]
    free = [event for event in included if _cents(event.get("chargedCents")) == 0]
    return {
        "included_events": len(included),
        "with_charged_cents_0": len(free),
        "with_charged_cents_0_and_token_price": sum(
            _cents((event.get("tokenUsage") or {}).get("totalCents")) > 0 for event in free
        ),
    }


def _charge_parts(*pages: Mapping[str, Any]) -> Facts:
    events = [event for event in _read_events(pages) if "chargedCents" in event and "tokenUsage" in event]
    equal_to_parts, equal_to_fee = [], []
    for event in events:
        tokens, charged, fee = event["tokenUsage"] or {}, _cents(event["chargedCents"]), event.get("cursorTokenFee")
        price = _cents(tokens.get("totalCents")) * (1 - _cents(tokens.get("discountPercentOff")) / 100)
        if abs(price + _cents(fee) - charged) <= _CENT_TOLERANCE:
            equal_to_parts.append(event)
        elif fee and _cents(fee) == charged:
            equal_to_fee.append(event)
    return {
        "events": len(events),
        "equal_to_parts": len(equal_to_parts),
        "equal_to_fee_by_kind": counts(event.get("kind") for event in equal_to_fee),
    }


def _retention(page: Mapping[str, Any]) -> Facts:
    return {"events": page["totalUsageEventsCount"]}


def _spend(page: Mapping[str, Any]) -> Facts:
    rows = page["teamMemberSpend"]
    return {
        "rows": len(rows),
        "total_members": page.get("totalMembers"),
        "pages": page["totalPages"],
        "removed": sum(bool(row.get("removedAt")) for row in rows),
        "without_email": sum(not row.get("email") for row in rows),
        "roles": counts(row.get("role") for row in rows),
        "billing_tiers": counts(row.get("billingTier") for row in rows),
        "overall_below_on_demand": sum(
            _cents(row.get("overallSpendCents")) < _cents(row.get("spendCents")) for row in rows
        ),
    }


QUESTIONS = (
    ApiQuestion(
        "members",
        "Which roles and forms of ids exist, and are removed members listed?",
        (_members_request,),
        _members,
    ),
    ApiQuestion("kinds", "Which kinds of events exist, and do all have a charge and a principal?", _QUARTER, _kinds),
    ApiQuestion(
        "included_charges",
        "Is chargedCents of included events 0 although their tokens have a price?",
        _QUARTER,
        _included_charges,
    ),
    ApiQuestion(
        "charge_parts",
        "Is chargedCents the price of the tokens after discount plus the fee, or only the fee?",
        _QUARTER,
        _charge_parts,
    ),
    ApiQuestion("retention", "Are there events of 400 days ago?", (_events(days_ago=400, days=1),), _retention),
    ApiQuestion(
        "spend",
        "Does spend list removed members and service accounts, and billing tiers?",
        (_spend_request,),
        _spend,
    ),
)
