"""Questions about Cursor's API. An unexpected answer would change an extract, a check or a model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.days import DayRange
from ai_usage_assets.sources.cursor.client import PAGE_SIZE, day_bounds
from ai_usage_assets.sources.questions import ApiQuestion, ApiRequest, Facts, counts

_PRINCIPALS = ("userEmail", "serviceAccountId", "automationId", "cloudAgentId")


def _events(last: int, first: int) -> Callable[[date], ApiRequest]:
    """The first page of events of a range, in days ago."""
    page = {"page": 1, "pageSize": PAGE_SIZE}
    return lambda today: ApiRequest(
        "/teams/filtered-usage-events",
        body=day_bounds(DayRange(today - timedelta(days=first), today - timedelta(days=last))) | page,
    )


_QUARTER = (_events(1, 30), _events(31, 60), _events(61, 90))
_SPEND = ApiRequest("/teams/spend", body={"sortBy": "user", "sortDirection": "asc", "page": 1, "pageSize": 100})


def _cents(value: object) -> Decimal:
    return Decimal(str(value or 0))


def _token_price(event: Any) -> Decimal:
    tokens = event.get("tokenUsage") or {}
    return _cents(tokens.get("totalCents")) * (1 - _cents(tokens.get("discountPercentOff")) / 100)


def _events_of(pages: tuple[Any, ...]) -> list[Any]:
    return [event for page in pages for event in page["usageEvents"]]


def _describe_kinds(*pages: Any) -> Facts:
    events = _events_of(pages)
    return {
        "events": [page["totalUsageEventsCount"] for page in pages],
        "kinds_and_is_chargeable": counts(f"{event.get('kind')}: {event.get('isChargeable')}" for event in events),
        "without_charged_cents": sum("chargedCents" not in event for event in events),
        "without_email": sum(not event.get("userEmail") for event in events),
        "without_principal": sum(not any(event.get(name) for name in _PRINCIPALS) for event in events),
    }


def _describe_charges(*pages: Any) -> Facts:
    charged = [(event, _cents(event.get("chargedCents")), _token_price(event)) for event in _events_of(pages)]
    included = [(cents, price) for event, cents, price in charged if "included" in str(event.get("kind")).lower()]
    return {
        "included": len(included),
        "included_with_charged_cents_0": sum(not cents for cents, _ in included),
        "included_with_charged_cents_0_and_price": sum(not cents and price > 0 for cents, price in included),
        "differs_from_price_and_fee": counts(
            event.get("kind")
            for event, cents, price in charged
            if abs(price + _cents(event.get("cursorTokenFee")) - cents) > 1
        ),
    }


def _describe_members(response: Any, spend: Any) -> Facts:
    members, rows = response["teamMembers"], spend["teamMemberSpend"]
    return {
        "members": counts(member.get("role") for member in members),
        "removed_members": sum(bool(member.get("isRemoved")) for member in members),
        "spend_rows": counts(row.get("role") for row in rows),
        "spend_rows_of_removed_members": sum(bool(row.get("removedAt")) for row in rows),
        "spend_rows_without_email": sum(not row.get("email") for row in rows),
        "billing_tiers": counts(row.get("billingTier") for row in rows),
    }


QUESTIONS = (
    ApiQuestion(
        "members", "Whom do members and spend list, removed ones too, and with which billing tiers?",
        (lambda today: ApiRequest("/teams/members"), lambda today: _SPEND), _describe_members,
    ),
    ApiQuestion(
        "kinds", "Which kinds of events exist, and do all have a charge and a principal?",
        _QUARTER, _describe_kinds,
    ),
    ApiQuestion(
        "charges", "Is chargedCents 0 for included events despite a price, else the discounted price plus the fee?",
        _QUARTER, _describe_charges,
    ),
)  # fmt: skip
