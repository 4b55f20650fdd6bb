"""The simulator, judged by the vendors' own clients and by what must add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import anthropic
import google.auth.credentials
import gspread
import httpx
import pytest
from anthropic.types.beta.organization import BetaAPIKey
from gspread.http_client import HTTPClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_usage_assets.simulator import Simulator, Urls

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
FIRST, END = "2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"
DAYS = (date(2026, 11, 10), date(2026, 11, 12))
DIMENSIONS = (
    "actor", "actor_type", "api_key_id", "workspace_id", "model", "product", "service_tier", "context_window",
    "inference_geo", "speed", "session_id",
)  # fmt: skip


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """One company for tests that only read."""
    return Simulator(NOW)


@pytest.fixture(scope="module")
def urls(simulator: Simulator) -> Iterator[Urls]:
    """Where it can be asked."""
    with simulator.serve() as served:
        yield served


@pytest.fixture(scope="module")
def sdk(simulator: Simulator, urls: Urls) -> anthropic.Anthropic:
    """The official client, refusing whatever is not as documented."""
    return anthropic.Anthropic(
        api_key=simulator.ANTHROPIC_KEY, base_url=urls.anthropic, _strict_response_validation=True, max_retries=0
    )


def cost(sdk: anthropic.Anthropic, **params: Any) -> list[Any]:
    query = {"starting_at": FIRST, "ending_at": END, "limit": 1000, **params}
    return list(sdk.beta.organization.analytics.cost.list(**query))


def total(rows: list[Any]) -> tuple[Decimal, Decimal]:
    return sum((Decimal(r.cost.amount) for r in rows), Decimal(0)), sum(
        (Decimal(r.cost.list_amount) for r in rows), Decimal(0)
    )


# --- Anthropic, by its own SDK ----------------------------------------------------------------------------------------


def test_sdk_pages_through_cost_and_usage(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Small pages give every row once, and the ledger's dollars and tokens."""
    query: dict[str, Any] = {"time_bucket_width": "1d", "group_by": ["actor", "model", "product"], "limit": 9}
    rows = cost(sdk, **query)
    assert len(rows) > 100
    assert total(rows)[0] / 100 == sum(simulator.ledger.anthropic_cost_usd(*DAYS).values())
    usage = list(sdk.beta.organization.analytics.usage.list(starting_at=FIRST, ending_at=END, **query))
    assert sum(row.usage.total_tokens for row in usage) == sum(simulator.ledger.anthropic_tokens(*DAYS).values())
    assert len(usage) == len(rows)


def test_sdk_reads_the_directory(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Users, keys, workspaces, members and invites are read in small pages, each once."""
    organization = sdk.beta.organization
    users = list(organization.users.list(limit=7))
    assert (
        len({user.id for user in users})
        == len(users)
        == sum(p.is_here(NOW.date()) for p in simulator.organization.people)
    )
    keys: list[BetaAPIKey] = []
    for status in ("active", "inactive", "archived", "expired"):
        keys += organization.api_keys.list(limit=3, status=status)
    assert {key.id for key in keys} == {key.id for key in simulator.organization.keys}
    shown = list(organization.workspaces.list(limit=2, include_archived=True, include_default=True))
    assert {w.name for w in shown} == {w.name for w in simulator.organization.workspaces}
    assert {w.name for w in organization.workspaces.list()} < {w.name for w in shown}
    code = next(workspace for workspace in shown if workspace.name == "Claude Code")
    assert len(list(organization.workspaces.members.list(workspace_id=code.id, limit=9))) == len(users)
    assert [invite.status for invite in organization.invites.list()] == ["pending"]
    assert organization.retrieve().name == "Acme Robotics"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"starting_at": "2025-12-31T00:00:00Z"}, "365 days"),
        ({"ending_at": "2026-12-20T00:00:00Z"}, "31 days"),
        ({"starting_at": "2026-11-10T00:00:00"}, "time zone"),
        ({"time_bucket_width": "1w"}, "time_bucket_width"),
        ({"group_by": ["actor", "model", "product", "api_key_id", "workspace_id", "speed"]}, "5 dimensions"),
        ({"group_by": ["team"]}, "unknown dimension"),
        ({"exclude_deleted_users": True}, "group_by"),
        ({"limit": 1001}, "between 1 and 1000"),
        ({"order_by": "total_tokens"}, "order_by"),
        ({"actor_types": ["robot"]}, "unknown value"),
    ],
)
def test_sdk_gets_the_documented_refusals(sdk: anthropic.Anthropic, params: dict[str, Any], says: str) -> None:
    """What the documentation forbids is a typed 400 whose message names the parameter."""
    with pytest.raises(anthropic.BadRequestError, match=says):
        cost(sdk, **params)


def test_sdk_gets_typed_errors(simulator: Simulator, urls: Urls) -> None:
    """A wrong key, a wrong kind of key, a wrong kind of organisation and a gone cursor are each their own error."""
    own = Simulator(NOW)
    with own.serve() as served:
        client = anthropic.Anthropic(api_key="sk-ant-wrong", base_url=served.anthropic, max_retries=0)
        with pytest.raises(anthropic.AuthenticationError):
            client.beta.organization.retrieve()
        client = anthropic.Anthropic(
            api_key=own.ANTHROPIC_KEY, base_url=served.anthropic, _strict_response_validation=True, max_retries=0
        )
        with pytest.raises(anthropic.PermissionDeniedError):
            list(client.beta.organization.service_accounts.list())
        with pytest.raises(anthropic.NotFoundError):
            list(client.beta.organization.rbac_groups.list())
        own.fault_options.anthropic.enterprise_key = True
        with pytest.raises(anthropic.BadRequestError) as refused:
            list(client.beta.organization.api_keys.list())
        assert refused.value.body["error"]["details"]["error_code"] == "organization_type_not_supported"  # type: ignore[index]
        own.fault_options.anthropic.refreshes_while_paging = 1
        with pytest.raises(anthropic.APIStatusError) as gone:
            cost(client, group_by=["actor"], limit=5)
        assert gone.value.status_code == 410


def test_a_cursor_belongs_to_its_query(simulator: Simulator, urls: Urls) -> None:
    """A cursor with other parameters is refused; wire oddities of older clients are not."""
    headers = {
        "x-api-key": simulator.ANTHROPIC_KEY, "anthropic-version": "2026-10-21",
        "anthropic-beta": "foo-1,analytics-usage-cost-2026-08-24",
    }  # fmt: skip
    path = f"{urls.anthropic}/v1/organizations/analytics/cost?beta=true"
    query = {"starting_at": FIRST, "ending_at": END, "group_by[]": "model", "limit": "2"}
    first = httpx.get(path, params=query, headers=headers)
    assert first.status_code == 200, first.text
    assert first.headers["request-id"].startswith("req_")
    assert first.headers["anthropic-organization-id"] == simulator.organization.uuid
    cursor = first.json()["next_page"]
    assert httpx.get(path, params={**query, "page": cursor}, headers=headers).status_code == 200
    changed = httpx.get(path, params={**query, "limit": "3", "page": cursor}, headers=headers)
    assert changed.status_code == 400
    assert changed.json()["request_id"] == changed.headers["request-id"]
    del headers["anthropic-beta"]
    assert httpx.get(path, params=query, headers=headers).status_code == 400


# --- what must add up ------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(DIMENSIONS), max_size=5), st.sampled_from([None, "1d", "1h"]))
def test_every_grouping_adds_up(sdk: anthropic.Anthropic, dimensions: set[str], width: str | None) -> None:
    """Whatever is grouped by, in whatever buckets, the rows add up to the ungrouped total exactly."""
    params: dict[str, Any] = {"group_by": sorted(dimensions)} if dimensions else {}
    if width:
        params["time_bucket_width"] = width
    rows, whole = cost(sdk, **params), cost(sdk)
    assert len(whole) == 1
    assert total(rows) == total(whole)
    assert sum(row.cost.requests for row in rows) == whole[0].cost.requests


def test_components_add_up(sdk: anthropic.Anthropic) -> None:
    """Cost types make the total, token types make the tokens, and both together make the total again."""
    whole = total(cost(sdk))
    types = cost(sdk, group_by=["cost_type"])
    assert total(types) == whole
    assert {row.group.cost_type for row in types} == {"tokens", "web_search", "code_execution"}
    assert all(row.cost.requests is None for row in types)
    assert total(cost(sdk, group_by=["token_type"])) == total([row for row in types if row.group.cost_type == "tokens"])
    assert total(cost(sdk, group_by=["cost_type", "token_type"])) == whole


def test_token_classes_add_up(sdk: anthropic.Anthropic) -> None:
    """The five token classes make the total of tokens."""
    for row in sdk.beta.organization.analytics.usage.list(starting_at=FIRST, ending_at=END, group_by=["model"]):
        usage = row.usage
        written = usage.cache_creation.ephemeral_5m_input_tokens + usage.cache_creation.ephemeral_1h_input_tokens
        assert (
            usage.uncached_input_tokens + written + usage.cache_read_input_tokens + usage.output_tokens
            == usage.total_tokens
        )


def test_identities_that_cannot_be_shown_are_rows_of_their_own(sdk: anthropic.Anthropic) -> None:
    """Grouped by actor, two hidden identities are two rows without an actor."""
    hidden = [row for row in cost(sdk, group_by=["actor", "product"]) if row.group.actor is None]
    assert len(hidden) == 2


# --- the classic reports ---------------------------------------------------------------------------------------------


def classic(simulator: Simulator, urls: Urls, path: str, **params: Any) -> httpx.Response:
    headers = {"x-api-key": simulator.ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
    return httpx.get(f"{urls.anthropic}/v1/organizations/{path}", params=params, headers=headers)


def test_classic_cost_report_adds_up(simulator: Simulator, urls: Urls) -> None:
    """Grouped and ungrouped buckets of a day agree to a hundred-thousandth of a cent a line, in five decimals."""
    bounds = {"starting_at": FIRST, "ending_at": END}
    whole = classic(simulator, urls, "cost_report", **bounds).json()["data"]
    lines = classic(simulator, urls, "cost_report", **bounds, **{"group_by[]": ["workspace_id", "description"]}).json()[
        "data"
    ]
    assert len(whole) == len(lines) == 3
    for day, detail in zip(whole, lines, strict=True):
        amounts = [Decimal(line["amount"]) for line in detail["results"]]
        assert all(len(line["amount"].partition(".")[2]) == 5 for line in detail["results"])
        assert abs(sum(amounts) - Decimal(day["results"][0]["amount"])) <= Decimal("1e-5") * len(amounts)
        assert {line["model"] for line in detail["results"] if line["cost_type"] == "web_search"} == {None}
    assert {line["workspace_id"] is None for day in lines for line in day["results"]} == {True, False}


def test_classic_cost_report_has_whole_days_only(simulator: Simulator, urls: Urls) -> None:
    """A window inside today is refused in the words seen live; today is never in the answer."""
    inside = classic(
        simulator, urls, "cost_report", starting_at="2026-11-20T00:00:00Z", ending_at="2026-11-20T12:00:00Z"
    )
    assert inside.status_code == 400
    assert "ending date must be after starting date" in inside.json()["error"]["message"]
    until = classic(
        simulator, urls, "cost_report", starting_at="2026-11-19T00:00:00Z", ending_at="2026-11-21T00:00:00Z"
    )
    assert [day["starting_at"] for day in until.json()["data"]] == ["2026-11-19T00:00:00Z"]


def test_classic_usage_report_keeps_empty_days_and_hides_the_default_workspace(
    simulator: Simulator, urls: Urls
) -> None:
    """Buckets come seven a page, empty ones too, and the default workspace has no id there."""
    first = classic(
        simulator, urls, "usage_report/messages", starting_at="2025-09-28T00:00:00Z", ending_at="2025-10-08T00:00:00Z",
        **{"group_by[]": "workspace_id"},
    ).json()  # fmt: skip
    assert (len(first["data"]), first["has_more"]) == (7, True)
    assert first["data"][0]["results"] == []
    assert None in {result["workspace_id"] for result in first["data"][-1]["results"]}


def test_claude_code_pages_by_record(simulator: Simulator, urls: Urls) -> None:
    """Each record of a day comes once, by e-mail or key name."""
    seen: list[Any] = []
    page: dict[str, Any] = {}
    while page.get("next_page") or not page:
        cursor = {"page": page["next_page"]} if page else {}
        page = classic(simulator, urls, "usage_report/claude_code", starting_at="2026-11-10", limit=5, **cursor).json()
        seen += page["data"]
    assert len(seen) > 5
    assert len({(str(row["actor"]), row["terminal_type"]) for row in seen}) == len(seen)


# --- Cursor ----------------------------------------------------------------------------------------------------------


def cursor(
    simulator: Simulator, urls: Urls, path: str, body: dict[str, Any] | None = None, **more: Any
) -> httpx.Response:
    auth = more.pop("auth", (simulator.CURSOR_KEY, ""))
    if body is None:
        return httpx.get(urls.cursor + path, auth=auth, **more)
    return httpx.post(urls.cursor + path, json=body, auth=auth, **more)


DAY_MS = {"startDate": 1794268800000, "endDate": 1794355199999}


def test_cursor_pages_hold_every_event_once(simulator: Simulator, urls: Urls) -> None:
    """Pages of 100 by default, newest first, count on each, and nothing beyond the end."""
    events: list[Any] = []
    for number in range(1, 10):
        page = cursor(simulator, urls, "/teams/filtered-usage-events", {**DAY_MS, "page": number}).json()
        assert page["totalUsageEventsCount"] == len(simulator.ledger.events(DAYS[0]))
        events += page["usageEvents"]
    assert len(events) == page["totalUsageEventsCount"]
    assert page["usageEvents"] == []
    assert not page["pagination"]["hasNextPage"]
    times = [int(event["timestamp"]) for event in events]
    assert times == sorted(times, reverse=True)
    cents = sum((Decimal(str(event["chargedCents"])) for event in events), Decimal(0))
    sums = simulator.ledger.cursor_usd(DAYS[0], DAYS[0])[DAYS[0]]
    assert cents / 100 == sums["billed"] + sums["included"]


def test_cursor_bounds_are_inclusive(simulator: Simulator, urls: Urls) -> None:
    """A window of one millisecond has the event of that millisecond."""
    at_ms = simulator.ledger.events(DAYS[0])[5].at_ms
    page = cursor(simulator, urls, "/teams/filtered-usage-events", {"startDate": at_ms, "endDate": at_ms}).json()
    assert {event["timestamp"] for event in page["usageEvents"]} == {str(at_ms)}


def test_cursor_leaves_out_what_does_not_apply(simulator: Simulator, urls: Urls) -> None:
    """Absent fields are absent, not null; removed people have no e-mail in history."""
    page = cursor(simulator, urls, "/teams/filtered-usage-events", {**DAY_MS, "pageSize": 1000}).json()
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
def test_cursor_refuses_what_it_should(
    simulator: Simulator, urls: Urls, path: str, body: dict[str, Any], status: int
) -> None:
    """Windows, pages and paths that are not allowed are refused, writes among them."""
    assert cursor(simulator, urls, path, body).status_code == status


@pytest.mark.parametrize("auth", [("wrong", ""), ("", ""), None], ids=["wrong", "empty", "none"])
def test_cursor_wants_its_key_exactly(simulator: Simulator, urls: Urls, auth: tuple[str, str] | None) -> None:
    """Anything but the key as user name with an empty password is a 401 in Cursor's words."""
    answer = cursor(simulator, urls, "/teams/members", auth=auth)
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid Team API Key")
    bearer = httpx.get(f"{urls.cursor}/teams/members", headers={"authorization": f"Bearer {simulator.CURSOR_KEY}"})
    assert bearer.status_code == 401


def test_cursor_spend_is_that_of_its_events(simulator: Simulator, urls: Urls) -> None:
    """The cycle's spend per person is the sum of that person's events since the cycle began."""
    page = cursor(simulator, urls, "/teams/spend", {"page": 1, "pageSize": 1000}).json()
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


# --- Sheets, by gspread ----------------------------------------------------------------------------------------------


def test_gspread_reads_the_sheet(simulator: Simulator, urls: Urls) -> None:
    """gspread, pointed at the simulator and otherwise untouched, opens the sheet and reads its tabs."""

    class Rebased(HTTPClient):
        def request(self, method: str, endpoint: str, *args: Any, **more: Any) -> Any:
            return super().request(
                method, endpoint.replace("https://sheets.googleapis.com", urls.sheets), *args, **more
            )

    client = gspread.authorize(google.auth.credentials.AnonymousCredentials(), http_client=Rebased)
    sheet = client.open_by_key(simulator.SHEET_ID)
    assert [tab.title for tab in sheet.worksheets()] == ["key_mapping", "people", "budgets", "seat_prices"]
    assert sheet.worksheet("seat_prices").get_values()[1][:3] == ["cursor", "Teams Standard", "40"]
    answer = client.http_client.values_batch_get(simulator.SHEET_ID, ["'people'", "'budgets'!A1:C2"])
    assert len(answer["valueRanges"][0]["values"]) == len(simulator.sheet("people"))
    with pytest.raises(gspread.exceptions.APIError, match="Unable to parse range"):
        client.http_client.values_batch_get(simulator.SHEET_ID, ["'nothing'"])
    with pytest.raises(gspread.exceptions.SpreadsheetNotFound):
        client.open_by_key("another")


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_company() -> None:
    """Days follow from the seed and the day alone, in whatever order they are asked for."""
    one, other = Simulator(NOW), Simulator(NOW + timedelta(days=30))
    later = other.ledger.usage(DAYS[1])
    assert [one.ledger.usage(day) for day in DAYS] == [other.ledger.usage(DAYS[0]), later]
    assert [one.ledger.events(day) for day in DAYS] == [other.ledger.events(day) for day in DAYS]
    assert Simulator(NOW, seed=8).ledger.usage(DAYS[0]) != one.ledger.usage(DAYS[0])


def test_a_revision_changes_its_day_only() -> None:
    """Restating a day scales its dollars and leaves its neighbours and its tokens."""
    company = Simulator(NOW)
    before, tokens = company.ledger.anthropic_cost_usd(*DAYS), company.ledger.anthropic_tokens(*DAYS)
    company.revise(DAYS[0], Decimal("0.5"))
    after = company.ledger.anthropic_cost_usd(*DAYS)
    assert abs(after[DAYS[0]] - before[DAYS[0]] / 2) < Decimal("0.001")
    assert {day: usd for day, usd in after.items() if day != DAYS[0]} == {
        d: u for d, u in before.items() if d != DAYS[0]
    }
    assert company.ledger.anthropic_tokens(*DAYS) == tokens
