"""One small request per endpoint, for `ai-usage doctor`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import msgspec

from ai_usage_assets.days import DayRange, day_end
from ai_usage_assets.sources.anthropic.client import (
    ANALYTICS,
    CLASSIC,
    CURRENT,
    DEFAULT_WORKSPACE,
    AnthropicClient,
    time_bounds,
    translate_access_errors,
)
from ai_usage_assets.sources.anthropic.responses import AnalyticsReport, Directory, Organization, Report, Workspace
from ai_usage_assets.sources.base import InvalidRecordError, Probe, ProbeResult


def _probe(
    endpoint: str, request: Callable[[AnthropicClient, date], ProbeResult], *, include_key_errors: bool = True
) -> Probe:
    def run(client: AnthropicClient, day: date) -> ProbeResult:
        with translate_access_errors(include_key_errors=include_key_errors):
            return request(client, day)

    return Probe(endpoint, run)


def _probe_organization(client: AnthropicClient, day: date) -> ProbeResult:
    return ProbeResult(f"the key belongs to {client.get('me', (), Organization, CURRENT).name}")


def _probe_analytics(report: str) -> Probe:
    def request(client: AnthropicClient, day: date) -> ProbeResult:
        params = [*time_bounds(DayRange(day, day)), ("time_bucket_width", "1d"), ("limit", "1")]
        refreshed_at = client.get(f"analytics/{report}", params, AnalyticsReport, ANALYTICS).data_refreshed_at
        if refreshed_at is None:
            return ProbeResult(f"no data for {day} yet", "Normal on an organization's first day; else ask Anthropic.")
        is_late = refreshed_at < day_end(day)
        return ProbeResult(
            f"data until {refreshed_at:%Y-%m-%d %H:%M} UTC",
            f"{day} is incomplete: the data lags by 4 to 24 hours. Run later." if is_late else "",
        )

    return _probe(f"analytics/{report}", request, include_key_errors=False)


def _probe_cost_report(client: AnthropicClient, day: date) -> ProbeResult:
    params = [*time_bounds(DayRange(day, day)), ("limit", "1")]
    page = client.get("cost_report", params, Report, CLASSIC)
    if len(page.data) != 1:
        raise InvalidRecordError(f"{len(page.data)} buckets returned for one day")
    return ProbeResult(f"has {day}")


def _probe_claude_code(client: AnthropicClient, day: date) -> ProbeResult:
    params = [("starting_at", day.isoformat()), ("limit", "1")]
    page = client.get("usage_report/claude_code", params, Report, CLASSIC)
    return ProbeResult(f"has {day}" if page.data else f"responds; nobody used Claude Code on {day}")


def _probe_users(client: AnthropicClient, day: date) -> ProbeResult:
    if not client.get("users", [("limit", "1")], Directory, CURRENT).data:
        raise InvalidRecordError("the list of users is empty")
    return ProbeResult("responds")


def _probe_api_keys(client: AnthropicClient, day: date) -> ProbeResult:
    keys = client.get("api_keys", [("limit", "1")], Directory, CURRENT).data
    return ProbeResult("responds" if keys else "responds; there is no API key")


def _probe_workspaces(client: AnthropicClient, day: date) -> ProbeResult:
    page = client.get("workspaces", [("limit", "20"), ("include_default", "true")], Directory, CURRENT)
    workspaces = [msgspec.json.decode(record, type=Workspace) for record in page.data]
    # The default workspace has no member list.
    workspace = next((workspace for workspace in workspaces if workspace.name != DEFAULT_WORKSPACE), None)
    if workspace is None:
        return ProbeResult("responds; there is only the default workspace")
    client.get(f"workspaces/{workspace.id}/members", [("limit", "1")], Directory, CURRENT)
    return ProbeResult("responds, with members")


PROBES = (
    _probe("me", _probe_organization),
    _probe_analytics("cost"),
    _probe_analytics("usage"),
    _probe("cost_report", _probe_cost_report),
    _probe("usage_report/claude_code", _probe_claude_code),
    _probe("users", _probe_users),
    _probe("api_keys", _probe_api_keys),
    _probe("workspaces", _probe_workspaces),
)
