"""Anthropic's room: what is asked for, what must add up, and when a day is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.anthropic.client import ENDPOINTS, AnthropicClient
from ai_usage_assets.sources.anthropic.source import SOURCE
from ai_usage_assets.sources.base import DayBatch, EndpointNotAvailable, InvalidRecordError, RejectedDay
from ai_usage_assets_tests.fakes.http_server import FakeClock, Reply, serving

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 11, 10), date(2026, 11, 12))
BY_NAME = {pull.name: pull for pull in SOURCE.extracts}


@pytest.fixture
def simulator() -> Simulator:
    """A company of its own for a test."""
    return Simulator(NOW)


@pytest.fixture
def client(simulator: Simulator) -> Iterator[AnthropicClient]:
    """A client of that company."""
    with simulator.serve() as urls:
        made = AnthropicClient(lambda: simulator.ANTHROPIC_KEY, urls.anthropic, pacing=False)
        yield made
        made.close()


def fetch(client: AnthropicClient, name: str, days: DayRange = DAYS) -> list[DayBatch | RejectedDay]:
    return list(BY_NAME[name].fetch(client, days))


def pulled(client: AnthropicClient, name: str, days: DayRange = DAYS) -> list[DayBatch]:
    found = fetch(client, name, days)
    assert all(isinstance(day, DayBatch) for day in found), found
    return [day for day in found if isinstance(day, DayBatch)]


def test_six_queries_of_one_export(client: AnthropicClient, simulator: Simulator) -> None:
    """Cost by five dimensions, its three controls, usage and its total come for every day, with one watermark."""
    found = pulled(client, "anthropic_analytics")
    assert Counter(day.table.name for day in found) == dict.fromkeys(
        ("raw_anthropic_cost_total", "raw_anthropic_cost", "raw_anthropic_cost_components",
         "raw_anthropic_cost_by_actor_type", "raw_anthropic_usage", "raw_anthropic_usage_total"), 3,
    )  # fmt: skip
    assert {day.watermark for day in found} == {datetime(2026, 11, 20, 12, tzinfo=UTC)}
    truth = simulator.ledger.anthropic_cost_usd(DAYS.first, DAYS.last)
    assert {d.day: d.amount_usd for d in found if d.table.name == "raw_anthropic_cost"} == truth


def test_requests_are_as_documented(client: AnthropicClient, simulator: Simulator) -> None:
    """Each family is asked with its own version pin, the beta header where needed, and day-aligned windows."""
    pulled(client, "anthropic_analytics")
    pulled(client, "anthropic_cost_report")
    pulled(client, "anthropic_claude_code")
    for _, request in simulator.requests:
        analytics = "/analytics/" in request.path
        assert request.headers["anthropic-version"] == ("2026-10-21" if analytics else "2023-06-01")
        assert ("analytics-usage-cost-2026-08-24" in request.headers.get("anthropic-beta", "")) == analytics
        assert request.headers["x-api-key"] == simulator.ANTHROPIC_KEY
        if analytics:
            assert request.one("starting_at") == "2026-11-10T00:00:00Z"
            assert request.one("ending_at") == "2026-11-13T00:00:00Z"
            assert len(request.many("group_by")) <= 5
            assert request.one("exclude_deleted_users") is None


def test_windows_stay_within_what_the_vendor_takes() -> None:
    """No pull asks for more than 31 days at once."""
    assert all(1 <= pull.window_days <= 31 for pull in SOURCE.extracts)


def test_equal_looking_rows_are_all_kept(client: AnthropicClient) -> None:
    """Two identities that the vendor cannot show give two rows with the same dimensions: both are landed."""
    cost = next(day for day in pulled(client, "anthropic_analytics") if day.table.name == "raw_anthropic_cost")
    groups = Counter(
        msgspec.json.encode(msgspec.json.decode(record)["group"])
        for record in cost.records
        if b'"actor":null' in record
    )
    assert max(groups.values()) == 2


def test_a_refresh_in_the_middle_starts_the_window_again(client: AnthropicClient, simulator: Simulator) -> None:
    """A 410 while paging, or a new watermark, restarts the window, and nothing is counted twice."""
    for expire in (True, False):
        anthropic_switches = simulator.fault_options.anthropic
        anthropic_switches.expire_cursors, anthropic_switches.refreshes_while_paging = expire, 1
        found = pulled(client, "anthropic_analytics", DayRange(date(2026, 10, 20), date(2026, 11, 18)))
        truth = simulator.ledger.anthropic_cost_usd(date(2026, 10, 20), date(2026, 11, 18))
        assert {d.day: d.amount_usd for d in found if d.table.name == "raw_anthropic_cost"} == truth
        assert anthropic_switches.refreshes_while_paging == 0


def test_a_window_that_never_holds_still_is_refused(client: AnthropicClient, simulator: Simulator) -> None:
    """When every attempt meets a refresh, the days are refused with when to come back."""
    simulator.fault_options.anthropic.refreshes_while_paging = 1000
    found = fetch(client, "anthropic_analytics", DayRange(date(2026, 10, 20), date(2026, 11, 18)))
    assert all(isinstance(day, RejectedDay) and "refreshed its data" in day.reason for day in found)
    assert len(found) == 6 * 30


def test_an_export_without_watermark_is_no_result(client: AnthropicClient, simulator: Simulator) -> None:
    """An empty answer without a watermark means not yet, never nothing spent."""
    simulator.fault_options.anthropic.empty_export = True
    assert all(isinstance(day, RejectedDay) and "no data" in day.reason for day in fetch(client, "anthropic_analytics"))


def test_a_day_beyond_the_watermark_is_incomplete(client: AnthropicClient, simulator: Simulator) -> None:
    """A day that the export does not cover to its end is landed, and told as incomplete."""
    simulator.now = datetime(2026, 11, 13, 0, 30, tzinfo=UTC)
    assert {day.incomplete_reason for day in pulled(client, "anthropic_analytics")} == {None}
    simulator.now = datetime(2026, 11, 12, 22, 30, tzinfo=UTC)
    last = [day for day in pulled(client, "anthropic_analytics") if day.day == DAYS.last]
    assert all("2026-11-12T20:00:00Z" in str(day.incomplete_reason) for day in last)


def test_unknown_fields_are_landed_as_they_are(client: AnthropicClient, simulator: Simulator) -> None:
    """A field nobody documented changes nothing."""
    before = pulled(client, "anthropic_analytics")
    simulator.fault_options.anthropic.extra_fields = True
    assert pulled(client, "anthropic_analytics") == before


def _page(rows: list[dict[str, object]], **more: object) -> Reply:
    body = {"data": rows, "has_more": False, "next_page": None, "data_refreshed_at": "2026-11-20T12:00:00Z", **more}
    return Reply(body=msgspec.json.encode(body))


def _cost(amount: str, more: dict[str, object] = {}) -> dict[str, object]:  # noqa: B006 - only read
    money = {"amount": amount, "list_amount": amount, "currency": "USD", "requests": 1} | more
    return {"starting_at": "2026-11-10T00:00:00Z", "group": {}, "cost": money}


def _usage(tokens: int = 5) -> dict[str, object]:
    counts = {"total_tokens": tokens, "output_tokens": 1, "uncached_input_tokens": 1, "cache_read_input_tokens": 1}
    return {"starting_at": "2026-11-10T00:00:00Z", "group": {}, "usage": counts}


def _scripted(*pages: Reply) -> list[DayBatch | RejectedDay]:
    """What the analytics pull makes of five scripted answers."""
    with serving(*pages) as script:
        return fetch(
            AnthropicClient(lambda: "k" * 20, script.url, pacing=False),
            "anthropic_analytics",
            DayRange(date(2026, 11, 10), date(2026, 11, 10)),
        )


def test_details_that_miss_the_total_are_refused() -> None:
    """Rows that do not add up to the vendor's own total never replace a day, and both sums are told."""
    (first, *_) = _scripted(
        _page([_cost("500")]), _page([_cost("499")]), _page([_cost("500")]), _page([_cost("500")]), _page([_usage()])
    )
    assert isinstance(first, RejectedDay)
    assert "4.99" in first.reason
    assert "5.00" in first.reason


@pytest.mark.parametrize("amount", ["41280.000000", "0", "-12.5", "0.000001", "123456789.123456"])
def test_cents_of_any_length_are_exact(amount: str) -> None:
    """Amounts keep every digit on their way to dollars."""
    page = _page([_cost(amount)])
    found = _scripted(page, page, page, page, _page([_usage()]))
    assert {day.amount_usd for day in found if isinstance(day, DayBatch) and day.amount_usd is not None} == {
        (Decimal(amount) / 100).quantize(Decimal("1e-9"))
    }


@pytest.mark.parametrize(
    "bad", [{"amount": "12,5"}, {"amount": "NaN"}, {"amount": "1e30"}, {"amount": None}, {"currency": "EUR"}]
)
def test_an_amount_that_means_nothing_refuses_its_day(bad: dict[str, object]) -> None:
    """What is no amount of dollars refuses the day with a reason, and is never taken for zero."""
    page = _page([_cost("1", bad)])
    found = _scripted(page, page, page, page, _page([_usage()]))
    assert found
    assert all(isinstance(day, RejectedDay) for day in found)


def test_classic_report_has_a_bucket_a_day(client: AnthropicClient, simulator: Simulator) -> None:
    """The classic report gives each day one bucket, close to the ledger's total."""
    found = pulled(client, "anthropic_cost_report")
    truth = simulator.ledger.anthropic_cost_usd(DAYS.first, DAYS.last)
    assert [len(day.records) for day in found] == [1, 1, 1]
    assert all(day.amount_usd and abs(day.amount_usd - truth[day.day]) < Decimal("0.01") for day in found)


def test_keys_of_every_status_are_found(client: AnthropicClient) -> None:
    """Archived, expired and inactive keys are in the directory too, each once."""
    (found,) = pulled(client, "anthropic_api_keys", DayRange(NOW.date(), NOW.date()))
    status = Counter(msgspec.json.decode(record)["status"] for record in found.records)
    assert set(status) == {"active", "archived", "expired", "inactive"}
    assert len({msgspec.json.decode(record)["id"] for record in found.records}) == len(found.records)


def test_archived_and_default_workspaces_are_found(client: AnthropicClient) -> None:
    """The directory holds workspaces that a plain list hides."""
    workspaces, members = pulled(client, "anthropic_workspaces", DayRange(NOW.date(), NOW.date()))
    names = {msgspec.json.decode(record)["name"] for record in workspaces.records}
    assert {"Default", "Hackathon 2025"} <= names
    assert members.records


@pytest.mark.parametrize(
    "name", ["anthropic_cost_report", "anthropic_claude_code", "anthropic_api_keys", "anthropic_workspaces"]
)
def test_what_an_enterprise_key_may_not_see_is_not_exposed(
    client: AnthropicClient, simulator: Simulator, name: str
) -> None:
    """The Console's endpoints are not exposed to an Enterprise key; that is no failure."""
    simulator.fault_options.anthropic.enterprise_key = True
    with pytest.raises(EndpointNotAvailable):
        fetch(client, name)


def test_a_refused_key_is_a_failure(client: AnthropicClient, simulator: Simulator) -> None:
    """A key that is not accepted fails, with the setting to look at."""
    simulator.fault_options.anthropic.unauthorized = True
    for name in BY_NAME:
        with pytest.raises(PermanentApiError, match="ANTHROPIC_ADMIN_KEY"):
            fetch(client, name, DayRange(NOW.date(), NOW.date()))


def test_only_reads_can_be_called(client: AnthropicClient) -> None:
    """No other path, and no other method, can leave this room."""
    with pytest.raises(ValueError, match="not one of the endpoints"):
        client.get("invites", (), dict, {})
    assert all(endpoint.method == "GET" for endpoint in ENDPOINTS)


def _metered(**changed: object) -> dict[str, object]:
    """Usage of the Console, which is paid by the token."""
    counts = {
        "total_tokens": 5,
        "output_tokens": 1,
        "uncached_input_tokens": 1,
        "cache_read_input_tokens": 1,
        **changed,
    }
    return {"starting_at": "2026-11-10T00:00:00Z", "group": {"workspace_id": "wrkspc_1"}, "usage": counts}


def test_tokens_without_a_bill_are_not_a_free_day() -> None:
    """Metered usage with an empty bill is refused; an Enterprise's, which seats may pay, is a day without a bill."""
    nothing = _page([])
    found = _scripted(nothing, nothing, nothing, nothing, _page([_metered()]))
    assert all(isinstance(day, RejectedDay) and "but no cost" in day.reason for day in found)
    found = _scripted(nothing, nothing, nothing, nothing, _page([_usage()]))
    assert all(isinstance(day, DayBatch) for day in found)


def test_what_is_wrong_with_tokens_is_not_wrong_with_the_bill() -> None:
    """A count that cannot be read refuses the usage of the day, and the bill lands; a count such as 12.0 is a count."""
    bill = _page([_cost("500")])
    found = _scripted(bill, bill, bill, bill, _page([_metered(total_tokens="many")]))
    assert [type(day) for day in found] == [DayBatch] * 4 + [RejectedDay] * 2
    found = _scripted(bill, bill, bill, bill, _page([_metered(total_tokens=12.0)]))
    assert [type(day) for day in found] == [DayBatch] * 6


@pytest.mark.parametrize("group", [{"actor": "user_1"}, {"actor": {"email_address": 5}}, None])
def test_a_row_that_names_nobody_readable_refuses_its_day(group: object) -> None:
    """Whom a row is about is read again when it is landed, so what cannot be read is refused at the door."""
    good = _page([_cost("500")])
    found = _scripted(good, _page([{**_cost("500"), "group": group}]), good, good, _page([_usage()]))
    assert isinstance(found[0], RejectedDay)


def test_an_instant_without_a_zone_is_no_instant() -> None:
    """A watermark that could be of any zone is a malformed answer, not a day of the machine's own zone."""
    page = _page([_cost("5")], data_refreshed_at="2026-11-20T12:00:00")
    with serving(page) as script:
        client = AnthropicClient(lambda: "k" * 20, script.url, pacing=False, clock=FakeClock())
        with pytest.raises(MalformedResponse):
            fetch(client, "anthropic_analytics", DayRange(date(2026, 11, 10), date(2026, 11, 10)))


@pytest.mark.parametrize(
    ("reply", "exposed"),
    [
        (Reply(404, b'{"type":"error","error":{"type":"not_found_error","message":"Not found"}}'), False),
        (Reply(404, b"<html>nginx</html>"), True),
        (Reply(400, b'{"error":{"type":"invalid_request_error","message":"organization_type is odd"}}'), True),
        (Reply(400, b'{"error":{"type":"invalid_request_error","message":"no","details":'
                    b'{"error_code":"organization_type_not_supported"}}}'), False),
    ],
    ids=["the vendor's 404", "a proxy's 404", "words alone", "the vendor's code"],
)  # fmt: skip
def test_not_exposed_is_the_vendors_own_word(reply: Reply, exposed: bool) -> None:
    """Only the vendor's own code says that something is not for this key; any other refusal is a failure."""
    with serving(reply) as script:
        client = AnthropicClient(lambda: "k" * 20, script.url, pacing=False)
        with pytest.raises(PermanentApiError if exposed else EndpointNotAvailable):
            fetch(client, "anthropic_users", DayRange(NOW.date(), NOW.date()))


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("anthropic_analytics", "starting_at"),
        ("anthropic_analytics", "data_refreshed_at"),
        ("anthropic_cost_report", "starting_at"),
        ("anthropic_claude_code", "date"),
    ],
)
def test_a_moment_outside_all_time_is_not_credible(name: str, field: str, moment: str) -> None:
    """An instant that has no UTC day is told like everything else that cannot be meant."""
    page = (
        _page([], data_refreshed_at=moment) if field == "data_refreshed_at" else _page([{**_cost("1"), field: moment}])
    )
    with serving(page) as script, pytest.raises(InvalidRecordError, match="a time is out of range"):
        fetch(
            AnthropicClient(lambda: "k" * 20, script.url, pacing=False),
            name,
            DayRange(date(2026, 11, 10), date(2026, 11, 10)),
        )
