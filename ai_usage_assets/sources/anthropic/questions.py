"""Questions about Anthropic's API. An unexpected answer would change an extract, a check or a model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.days import DayRange
from ai_usage_assets.sources.anthropic.analytics import DIMENSIONS
from ai_usage_assets.sources.anthropic.client import ANALYTICS, CLASSIC, CURRENT, PAGE_ROWS, time_bounds
from ai_usage_assets.sources.questions import ApiQuestion, ApiRequest, Facts, counts

_LIMIT = ("limit", str(PAGE_ROWS))
_AMOUNTS = ("amount", "list_amount")


def _days_ago(today: date, last: int, first: int | None = None) -> list[tuple[str, str]]:
    return time_bounds(DayRange(today - timedelta(days=first or last), today - timedelta(days=last)))


def _cost(*group_by: str, last: int = 7, first: int | None = None) -> Callable[[date], ApiRequest]:
    """Cost of a range of days ago; by default of one day, a week ago."""
    params = [("time_bucket_width", "1d"), *(("group_by[]", name) for name in group_by), _LIMIT]
    return lambda today: ApiRequest("analytics/cost", [*_days_ago(today, last, first), *params], headers=ANALYTICS)


def _classic_cost(today: date) -> ApiRequest:
    params = [*_days_ago(today, 7), ("limit", "1"), ("group_by[]", "description")]
    return ApiRequest("cost_report", params, headers=CLASSIC)


def _cents(page: Any, name: str) -> Decimal:
    return sum((Decimal(row["cost"][name]) for row in page["data"]), Decimal(0))


def _describe_month(page: Any) -> Facts:
    amounts = [row["cost"]["amount"] for row in page["data"]]
    return {
        "days_with_cost": len(amounts),
        "negative_days": sum(Decimal(amount) < 0 for amount in amounts),
        "most_decimals_of_cents": max((len(amount.partition(".")[2]) for amount in amounts), default=0),
        "data_refreshed_at": page["data_refreshed_at"],
    }


def _compare_groups(total: Any, page: Any) -> Facts:
    groups = [row["group"] for row in page["data"]]
    facts = {"rows": len(groups), "has_more": page["has_more"]}
    facts |= {f"{name}_minus_total_cents": _cents(page, name) - _cents(total, name) for name in _AMOUNTS}
    for name in ("product", "cost_type", "token_type", "service_tier"):
        if any(name in group for group in groups):
            facts[name] = counts(group[name] for group in groups)
    for name in ("actor", "api_key_id", "workspace_id"):
        facts[f"rows_with_{name}"] = sum(bool(group.get(name)) for group in groups)
    facts["actor_types"] = counts((group.get("actor") or {}).get("type") for group in groups)
    return facts


def _compare_classic(total: Any, report: Any) -> Facts:
    items = [item for bucket in report["data"] for item in bucket["results"]]
    classic = sum((Decimal(item["amount"]) for item in items), Decimal(0))
    return {"items": len(items)} | {f"minus_{name}_cents": classic - _cents(total, name) for name in _AMOUNTS}


def _describe_keys(plain: Any, archived: Any) -> Facts:
    return {"statuses": counts(key["status"] for key in plain["data"]), "archived": len(archived["data"])}


_TOTAL = _cost()
_KEYS = ApiRequest("api_keys", [_LIMIT], headers=CURRENT)
_ARCHIVED_KEYS = ApiRequest("api_keys", [("status", "archived"), _LIMIT], headers=CURRENT)
_COMPONENTS = ("workspace_id", "model", "cost_type", "token_type")

QUESTIONS = (
    ApiQuestion(
        "month", "How recent and precise are amounts, and are some negative?",
        (_cost(last=1, first=31),), _describe_month,
    ),
    ApiQuestion(
        "dimensions", "Do rows by five dimensions add up to the total, and whom do they name?",
        (_TOTAL, _cost(*DIMENSIONS)), _compare_groups,
    ),
    ApiQuestion(
        "components", "Do the components add up to the total, and which exist?",
        (_TOTAL, _cost(*_COMPONENTS)), _compare_groups,
    ),
    ApiQuestion(
        "service_tiers", "Is the Priority Tier in the bill?",
        (_TOTAL, _cost("service_tier")), _compare_groups,
    ),
    ApiQuestion(
        "classic_cost", "Does the classic cost report have billed or list amounts?",
        (_TOTAL, _classic_cost), _compare_classic,
    ),
    ApiQuestion(
        "archived_keys", "Does the plain list of API keys include archived keys?",
        (lambda today: _KEYS, lambda today: _ARCHIVED_KEYS), _describe_keys,
    ),
)  # fmt: skip
