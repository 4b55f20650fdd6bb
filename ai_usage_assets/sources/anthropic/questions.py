"""Questions about Anthropic's API. A different answer than expected would change an extract, a check or a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.days import ONE_DAY, DayRange
from ai_usage_assets.sources.anthropic.analytics import DIMENSIONS
from ai_usage_assets.sources.anthropic.client import ANALYTICS, CLASSIC, CURRENT, PAGE_ROWS, time_bounds
from ai_usage_assets.sources.questions import ApiQuestion, ApiRequest, Facts, counts

_ROWS = ("limit", str(PAGE_ROWS))
_AMOUNTS = ("amount", "list_amount")


def _settled_workday(today: date) -> date:
    """A day that is at least a week old and has usage in most companies."""
    day = today - timedelta(days=7)
    return day - ONE_DAY * max(0, day.weekday() - 4)


def _cost(*group_by: str, days: int = 1) -> Callable[[date], ApiRequest]:
    def build(today: date) -> ApiRequest:
        last = _settled_workday(today) if days == 1 else today - ONE_DAY
        bounds = time_bounds(DayRange(last - timedelta(days=days - 1), last))
        groups = [("group_by[]", name) for name in group_by]
        return ApiRequest("analytics/cost", [*bounds, ("time_bucket_width", "1d"), *groups, _ROWS], headers=ANALYTICS)

    return build


def _classic_cost(day: Callable[[date], date]) -> Callable[[date], ApiRequest]:
    def build(today: date) -> ApiRequest:
        bounds = time_bounds(DayRange(day(today), day(today)))
        return ApiRequest("cost_report", [*bounds, ("limit", "1"), ("group_by[]", "description")], headers=CLASSIC)

    return build


def _api_keys(*params: tuple[str, str]) -> Callable[[date], ApiRequest]:
    return lambda today: ApiRequest("api_keys", [*params, _ROWS], headers=CURRENT)


def _sum_cents(page: Mapping[str, Any], name: str) -> Decimal:
    return sum((Decimal(row["cost"][name]) for row in page["data"]), Decimal(0))


def _daily_totals(page: Mapping[str, Any]) -> Facts:
    amounts = [row["cost"]["amount"] for row in page["data"]]
    return {
        "days_with_cost": len(amounts),
        "negative_days": sum(Decimal(amount) < 0 for amount in amounts),
        "most_decimals_of_cents": max((len(amount.partition(".")[2]) for amount in amounts), default=0),
        "currencies": counts(row["cost"]["currency"] for row in page["data"]),
        "data_refreshed_at": page["data_refreshed_at"],
    }


def _groups(total: Mapping[str, Any], page: Mapping[str, Any]) -> Facts:
    """The rows of a query against the ungrouped total, and the values of its dimensions."""
    rows = page["data"]
    groups = [row["group"] for row in rows]
    facts: Facts = {
        "rows": len(rows),
        "is_complete": not page["has_more"],
        "negative_rows": sum(Decimal(row["cost"]["amount"]) < 0 for row in rows),
        "repeated_groups": len(rows) - len(set(map(repr, groups))),
        **{f"{name}_minus_total_cents": _sum_cents(page, name) - _sum_cents(total, name) for name in _AMOUNTS},
    }
    for name in ("product", "cost_type", "token_type", "service_tier"):
        if any(name in group for group in groups):
            facts[name] = counts(group[name] for group in groups)
    if any("actor" in group for group in groups):
        actors = [group["actor"] or {} for group in groups]
        facts["actor_types"] = counts(actor.get("type") for actor in actors)
        facts["users_without_email"] = sum(
            actor.get("type") == "user_actor" and not actor.get("email_address") for actor in actors
        )
        facts["rows_with_api_key"] = sum(group["api_key_id"] is not None for group in groups)
        facts["rows_without_workspace"] = sum(group["workspace_id"] is None for group in groups)
    return facts


def _classic(total: Mapping[str, Any], report: Mapping[str, Any]) -> Facts:
    items = [item for bucket in report["data"] for item in bucket["results"]]
    classic = sum((Decimal(item["amount"]) for item in items), Decimal(0))
    return {
        "items": len(items),
        "negative_items": sum(Decimal(item["amount"]) < 0 for item in items),
        "service_tiers": counts(item.get("service_tier") for item in items),
        **{f"minus_{name}_cents": classic - _sum_cents(total, name) for name in _AMOUNTS},
    }


def _retention(report: Mapping[str, Any]) -> Facts:
    return {"items": sum(len(bucket["results"]) for bucket in report["data"])}


def _key_statuses(plain: Mapping[str, Any], archived: Mapping[str, Any]) -> Facts:
    return {
        "statuses_in_plain_list": counts(key["status"] for key in plain["data"]),
        "archived_keys": len(archived["data"]),
        "principals": counts((key.get("principal") or {}).get("type") for key in plain["data"]),
    }


QUESTIONS = (
    ApiQuestion(
        "daily_totals",
        "How far does the data reach, how precise are amounts, and are there negative days?",
        (_cost(days=31),),
        _daily_totals,
    ),
    ApiQuestion(
        "dimensions",
        "Do the rows by five dimensions add up to the day's total, and whom do they name?",
        (_cost(), _cost(*DIMENSIONS)),
        _groups,
    ),
    ApiQuestion(
        "components",
        "Do the cost and token types add up to the day's total, and which ones exist?",
        (_cost(), _cost("workspace_id", "model", "cost_type", "token_type")),
        _groups,
    ),
    ApiQuestion(
        "service_tiers", "Does analytics bill the Priority Tier?", (_cost(), _cost("service_tier")), _groups
    ),
    ApiQuestion(
        "classic_cost",
        "Does the classic cost report equal the billed amount or the list amount?",
        (_cost(), _classic_cost(_settled_workday)),
        _classic,
    ),
    ApiQuestion(
        "classic_retention",
        "Does the classic cost report have amounts of 400 days ago?",
        (_classic_cost(lambda today: today - timedelta(days=400)),),
        _retention,
    ),
    ApiQuestion(
        "key_statuses",
        "Does the plain list of API keys include archived keys?",
        (_api_keys(), _api_keys(("status", "archived"))),
        _key_statuses,
    ),
)
