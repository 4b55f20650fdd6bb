"""The simulated Cursor API, compared with the documentation and the ledger."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets_tests.simulator.conftest import NOW

DAY = date(2026, 11, 10)


def request(
    simulator: Simulator, urls: Urls, path: str, body: dict[str, Any] | None = None, **more: Any
) -> httpx.Response:
    """The response to a POST with a body, else to a GET."""
    auth = more.pop("auth", (simulator.CURSOR_KEY, ""))
    if body is None:
        return httpx.get(urls.cursor + path, auth=auth, **more)
    return httpx.post(urls.cursor + path, json=body, auth=auth, **more)


DAY_MS = {"startDate": 1794268800000, "endDate": 1794355199999}


def test_pages_contain_every_event_once(simulator: Simulator, urls: Urls) -> None:
    """Pages have 100 events by default, newest first, with the total count; pages beyond the end are empty."""
    events: list[Any] = []
    for number in range(1, 10):
        page = request(simulator, urls, "/teams/filtered-usage-events", {**DAY_MS, "page": number}).json()
        assert page["totalUsageEventsCount"] == len(simulator.ledger.events(DAY))
        events += page["usageEvents"]
    assert len(events) == page["totalUsageEventsCount"]
    assert page["usageEvents"] == []
    assert not page["pagination"]["hasNextPage"]
    times = [int(event["timestamp"]) for event in events]
    assert times == sorted(times, reverse=True)
    cents = sum((Decimal(str(event["chargedCents"])) for event in events), Decimal(0))
    sums = simulator.ledger.cursor_usd(DAY, DAY)[DAY]
    assert cents / 100 == sums["billed"] + sums["included"]


def test_bounds_are_inclusive(simulator: Simulator, urls: Urls) -> None:
    """A range of one millisecond contains the event of that millisecond."""
    at_ms = simulator.ledger.events(DAY)[5].at_ms
    page = request(simulator, urls, "/teams/filtered-usage-events", {"startDate": at_ms, "endDate": at_ms}).json()
    assert {event["timestamp"] for event in page["usageEvents"]} == {str(at_ms)}


def test_fields_that_do_not_apply_are_absent(simulator: Simulator, urls: Urls) -> None:
    """No field is null, and events of removed people have no e-mail."""
    page = request(simulator, urls, "/teams/filtered-usage-events", {**DAY_MS, "pageSize": 1000}).json()
    assert all(value is not None for event in page["usageEvents"] for value in event.values())
    removed = simulator.removed_emails
    assert not {event.get("userEmail") for event in page["usageEvents"]} & removed
    assert any("userEmail" not in event for event in page["usageEvents"])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/teams/filtered-usage-events", {"startDate": 2, "endDate": 1}, 400),
        ("/teams/filtered-usage-events", {"startDate": 0, "endDate": 31 * 86_400_000}, 400),
        ("/teams/filtered-usage-events", {**DAY_MS, "pageSize": 1001}, 400),
        ("/teams/filtered-usage-events", {**DAY_MS, "hostingType": "MOON"}, 400),
        ("/teams/daily-usage-data", {}, 400),
        ("/teams/daily-usage-data", {**DAY_MS, "page": 1}, 400),
        ("/teams/user-spend-limit", {"userEmail": "x@acme.test"}, 404),
        ("/teams/remove-member", {"email": "x@acme.test"}, 404),
        ("/teams/usage-events", {}, 404),
    ],
)
def test_invalid_requests_are_rejected(
    simulator: Simulator, urls: Urls, path: str, body: dict[str, Any], status: int
) -> None:
    """Invalid ranges, pages and paths are rejected, and so are writes."""
    assert request(simulator, urls, path, body).status_code == status


@pytest.mark.parametrize("auth", [("wrong", ""), ("", ""), None], ids=["wrong", "empty", "none"])
def test_only_basic_authentication_with_the_key_is_accepted(
    simulator: Simulator, urls: Urls, auth: tuple[str, str] | None
) -> None:
    """Anything but the key as user name with an empty password is a 401 with Cursor's message."""
    response = request(simulator, urls, "/teams/members", auth=auth)
    assert (response.status_code, response.json()["message"]) == (401, "Invalid Team API Key")
    bearer = httpx.get(f"{urls.cursor}/teams/members", headers={"authorization": f"Bearer {simulator.CURSOR_KEY}"})
    assert bearer.status_code == 401


def test_spend_equals_the_events_of_the_cycle(simulator: Simulator, urls: Urls) -> None:
    """The spend per person is the sum of the person's events since the start of the billing cycle."""
    page = request(simulator, urls, "/teams/spend", {"page": 1, "pageSize": 1000}).json()
    start = page["subscriptionCycleStart"]
    overall: dict[str, Decimal] = defaultdict(Decimal)
    day = date(2026, 11, 3)
    while day <= NOW.date():
        for event in simulator.ledger.events(day):
            if event.email and not event.identity_kind and start <= event.at_ms <= NOW.timestamp() * 1000:
                overall[event.email] += event.charged_cents
        day += timedelta(days=1)
    assert {row["email"]: Decimal(str(row["overallSpendCents"])) for row in page["teamMemberSpend"]} == {
        row["email"]: overall[row["email"]] for row in page["teamMemberSpend"]
    }
