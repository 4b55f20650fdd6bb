"""One small request per endpoint, for `ai-usage doctor`."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec

from ai_usage_assets.days import DayRange
from ai_usage_assets.sources.base import InvalidRecordError, Probe, ProbeResult
from ai_usage_assets.sources.cursor.client import CursorClient, day_bounds
from ai_usage_assets.sources.cursor.members import get_groups
from ai_usage_assets.sources.cursor.responses import DailyUsagePage, EventsPage, Member, Members, SpendPage


def _probe_members(client: CursorClient, day: date) -> ProbeResult:
    response, _ = client.get("/teams/members", Members)
    members = [msgspec.json.decode(member, type=Member) for member in response.team_members]
    if not members:
        raise InvalidRecordError("the member list is empty")
    removed = sum(bool(member.is_removed) for member in members)
    return ProbeResult(f"{len(members) - removed} members" + (f", {removed} removed" if removed else ""))


def _probe_events(client: CursorClient, day: date) -> ProbeResult:
    page, _ = client.post("/teams/filtered-usage-events", _one_row_of(day), EventsPage)
    return ProbeResult(f"{page.total_usage_events_count:,} events on {day}")


def _probe_spend(client: CursorClient, day: date) -> ProbeResult:
    query: dict[str, object] = {"sortBy": "user", "sortDirection": "asc", "page": 1, "pageSize": 1}
    page, _ = client.post("/teams/spend", query, SpendPage)
    cycle_start = datetime.fromtimestamp(page.subscription_cycle_start / 1000, UTC)
    return ProbeResult(f"the billing cycle began on {cycle_start:%Y-%m-%d}")


def _probe_daily_usage(client: CursorClient, day: date) -> ProbeResult:
    page, _ = client.post("/teams/daily-usage-data", _one_row_of(day), DailyUsagePage)
    return ProbeResult(f"has {day}" if page.data else f"responds; no member on {day}")


def _probe_groups(client: CursorClient, day: date) -> ProbeResult:
    groups, _ = get_groups(client)
    return ProbeResult(f"{len(groups.groups)} billing groups")


def _one_row_of(day: date) -> dict[str, int]:
    return {**day_bounds(DayRange(day, day)), "page": 1, "pageSize": 1}


PROBES = (
    Probe("/teams/members", _probe_members),
    Probe("/teams/filtered-usage-events", _probe_events),
    Probe("/teams/spend", _probe_spend),
    Probe("/teams/daily-usage-data", _probe_daily_usage),
    Probe("/teams/groups", _probe_groups),
)
