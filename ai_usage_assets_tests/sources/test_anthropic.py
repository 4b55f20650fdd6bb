"""Anthropic's extracts: requests, reconciliation, and when a day is rejected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.anthropic.analytics import EXTRACT
from ai_usage_assets.sources.anthropic.client import ENDPOINTS, AnthropicClient
from ai_usage_assets.sources.anthropic.source import SOURCE
from ai_usage_assets.sources.base import DayBatch, EndpointNotAvailable, InvalidRecordError, RejectedDay
from ai_usage_assets_tests.fakes.http_server import FakeClock, Reply, serve_replies

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 11, 10), date(2026, 11, 12))
BY_NAME = {pull.name: pull for pull in SOURCE.extracts}


@pytest.fixture
def simulator() -> Simulator:
    """A simulated company."""
    return Simulator(NOW)


@pytest.fixture
def client(simulator: Simulator) -> Iterator[AnthropicClient]:
    """A client of its API."""
    with simulator.serve() as urls:
        client = AnthropicClient(lambda: simulator.ANTHROPIC_KEY, urls.anthropic, pacing=False)
        yield client
        client.close()


def fetch(client: AnthropicClient, name: str, days: DayRange = DAYS) -> list[DayBatch | RejectedDay]:
    """What an extract returns for days."""
    return list(BY_NAME[name].fetch(client, days))


def fetch_batches(client: AnthropicClient, name: str, days: DayRange = DAYS) -> list[DayBatch]:
    """The batches of an extract that rejects no day."""
    results = fetch(client, name, days)
    assert all(isinstance(day, DayBatch) for day in results), results
    return [day for day in results if isinstance(day, DayBatch)]


def test_analytics_runs_six_queries_against_one_export(client: AnthropicClient, simulator: Simulator) -> None:
    """Cost, its three controls, usage and its total are returned for every day, with one watermark."""
    results = fetch_batches(client, "anthropic_analytics")
    assert Counter(day.table.name for day in results) == dict.fromkeys(
        ("raw_anthropic_cost_total", "raw_anthropic_cost", "raw_anthropic_cost_components",
         "raw_anthropic_cost_by_actor_type", "raw_anthropic_usage", "raw_anthropic_usage_total"), 3,
    )  # fmt: skip
    assert {day.watermark for day in results} == {datetime(2026, 11, 20, 12, tzinfo=UTC)}
    expected = simulator.ledger.anthropic_cost_usd(DAYS.first, DAYS.last)
    assert {d.day: d.amount_usd for d in results if d.table.name == "raw_anthropic_cost"} == expected


def test_requests_match_the_documentation(client: AnthropicClient, simulator: Simulator) -> None:
    """Each API family gets its own version header, the beta header where required, and windows of whole days."""
    fetch_batches(client, "anthropic_analytics")
    fetch_batches(client, "anthropic_cost_report")
    fetch_batches(client, "anthropic_claude_code")
    for _, request in simulator.requests:
        analytics = "/analytics/" in request.path
        assert request.headers["anthropic-version"] == ("2026-10-21" if analytics else "2023-06-01")
        assert ("analytics-usage-cost-2026-08-24" in request.headers.get("anthropic-beta", "")) == analytics
        assert request.headers["x-api-key"] == simulator.ANTHROPIC_KEY
        if analytics:
            assert request.one("starting_at") == "2026-11-10T00:00:00Z"
            assert request.one("ending_at") == "2026-11-13T00:00:00Z"
            assert len(request.many("group_by")) <= 5
            assert [request.one(name) for name in ("order_by", "order", "limit")] == ["time", "asc", "1000"]
            assert request.one("exclude_deleted_users") is None


def test_windows_are_at_most_31_days() -> None:
    """No extract requests more than 31 days at once."""
    assert all(1 <= pull.window_days <= 31 for pull in SOURCE.extracts)


def test_rows_with_equal_dimensions_are_all_kept(client: AnthropicClient) -> None:
    """Two identities that the API does not show have two rows with the same dimensions; both are kept."""
    cost = next(day for day in fetch_batches(client, "anthropic_analytics") if day.table.name == "raw_anthropic_cost")
    groups = Counter(
        msgspec.json.encode(msgspec.json.decode(record)["group"])
        for record in cost.records
        if b'"actor":null' in record
    )
    assert max(groups.values()) == 2


def test_a_refresh_while_paging_restarts_the_window(client: AnthropicClient, simulator: Simulator) -> None:
    """A 410 or a new watermark between pages restarts the window, and nothing is counted twice."""
    for expire in (True, False):
        anthropic_switches = simulator.fault_options.anthropic
        anthropic_switches.expire_cursors, anthropic_switches.refreshes_while_paging = expire, 1
        results = fetch_batches(client, "anthropic_analytics", DayRange(date(2026, 10, 20), date(2026, 11, 18)))
        expected = simulator.ledger.anthropic_cost_usd(date(2026, 10, 20), date(2026, 11, 18))
        assert {d.day: d.amount_usd for d in results if d.table.name == "raw_anthropic_cost"} == expected
        assert anthropic_switches.refreshes_while_paging == 0


def test_a_window_that_changes_during_every_read_is_rejected(client: AnthropicClient, simulator: Simulator) -> None:
    """If every read meets a refresh, the days are rejected, and the reason says when to run again."""
    simulator.fault_options.anthropic.refreshes_while_paging = 1000
    results = fetch(client, "anthropic_analytics", DayRange(date(2026, 10, 20), date(2026, 11, 18)))
    assert all(isinstance(day, RejectedDay) and "refreshed its data" in day.reason for day in results)
    assert len({(day.table.name, day.day) for day in results}) == len(results) == 6 * 30


def test_an_export_without_watermark_is_rejected(client: AnthropicClient, simulator: Simulator) -> None:
    """A response without records and watermark means that there is no data yet, not that nothing was spent."""
    simulator.fault_options.anthropic.empty_export = True
    assert all(isinstance(day, RejectedDay) and "no data" in day.reason for day in fetch(client, "anthropic_analytics"))


def test_a_day_beyond_the_watermark_is_incomplete(client: AnthropicClient, simulator: Simulator) -> None:
    """A day that the export does not fully cover is marked as incomplete."""
    simulator.now = datetime(2026, 11, 13, 0, 30, tzinfo=UTC)
    assert {day.incomplete_reason for day in fetch_batches(client, "anthropic_analytics")} == {None}
    simulator.now = datetime(2026, 11, 12, 22, 30, tzinfo=UTC)
    last = [day for day in fetch_batches(client, "anthropic_analytics") if day.day == DAYS.last]
    assert all("2026-11-12T20:00:00Z" in str(day.incomplete_reason) for day in last)


def test_unknown_fields_change_nothing(client: AnthropicClient, simulator: Simulator) -> None:
    """Records with undocumented fields give the same batches."""
    before = fetch_batches(client, "anthropic_analytics")
    simulator.fault_options.anthropic.extra_fields = True
    assert fetch_batches(client, "anthropic_analytics") == before


def _page(rows: list[dict[str, object]], **more: object) -> Reply:
    body = {"data": rows, "has_more": False, "next_page": None, "data_refreshed_at": "2026-11-20T12:00:00Z", **more}
    return Reply(body=msgspec.json.encode(body))


def _cost(amount: str, more: dict[str, object] = {}) -> dict[str, object]:  # noqa: B006 - only read
    money = {"amount": amount, "list_amount": amount, "currency": "USD", "requests": 1} | more
    return {"starting_at": "2026-11-10T00:00:00Z", "group": {}, "cost": money}


def _usage(tokens: int = 5) -> dict[str, object]:
    counts = {"total_tokens": tokens, "output_tokens": 1, "uncached_input_tokens": 1, "cache_read_input_tokens": 1}
    return {"starting_at": "2026-11-10T00:00:00Z", "group": {}, "usage": counts}


def _fetch_scripted(*pages: Reply) -> list[DayBatch | RejectedDay]:
    """Runs the analytics extract for one day against scripted responses; returns one result per table."""
    day = DayRange(date(2026, 11, 10), date(2026, 11, 10))
    with serve_replies(*pages) as server:
        results = fetch(AnthropicClient(lambda: "k" * 20, server.url, pacing=False), "anthropic_analytics", day)
    assert [(result.table, result.day) for result in results] == [(table, day.first) for table in EXTRACT.tables]
    return results


def _numbers(result: DayBatch | RejectedDay) -> list[str]:
    """The whole numbers in the reason of a rejected day."""
    assert isinstance(result, RejectedDay)
    return re.findall(r"-?\d+", result.reason)


@pytest.mark.parametrize(("field", "name"), [("amount", "billed"), ("list_amount", "list price")])
def test_rows_that_differ_from_the_total_are_rejected(field: str, name: str) -> None:
    """Rows that do not add up to the vendor's total reject the day, and the reason has both sums."""
    total = _page([_cost("500")])
    first, *others = _fetch_scripted(total, _page([_cost("500", {field: "499"})]), total, total, _page([_usage()]))
    assert isinstance(first, RejectedDay)
    assert all(text in first.reason for text in ("$4.99", "$5.00", name, "raw_anthropic_cost "))
    assert {other.reason for other in others if isinstance(other, RejectedDay)} == {first.reason}


@pytest.mark.parametrize(("difference", "expected"), [("0.000005", DayBatch), ("0.000006", RejectedDay)])
def test_rounded_rows_may_differ_from_the_total(difference: str, expected: type) -> None:
    """Each row and the total are rounded to 1e-6 cents, so a day of four rows may differ by five roundings."""
    total, amount = _page([_cost("400")]), f"{Decimal(100) + Decimal(difference)}"
    rows = _page([_cost("100"), _cost("100"), _cost("100"), _cost(amount)])
    results = _fetch_scripted(total, rows, total, total, _page([_usage()]))
    assert {type(result) for result in results} == {expected}


def test_each_query_counts_its_own_pages() -> None:
    """The pages of a batch are those of its query."""
    first, last = _page([_cost("1")], has_more=True, next_page="two"), _page([_cost("2")])
    results = _fetch_scripted(first, last, *[_page([_cost("3")])] * 3, *[_page([_usage()])] * 2)
    assert [result.pages for result in results if isinstance(result, DayBatch)] == [2, 1, 1, 1, 1, 1]


def test_a_record_of_another_day_is_invalid() -> None:
    """A record that was not requested raises an error, which names its table and day."""
    with pytest.raises(InvalidRecordError, match=r"raw_anthropic_cost_total .* 2026-11-09"):
        _fetch_scripted(_page([{**_cost("1"), "starting_at": "2026-11-09T00:00:00Z"}]))


@pytest.mark.parametrize("name", ["cost", "amount", "list_amount"])
def test_a_duplicate_amount_rejects_the_day(name: str) -> None:
    """Python and SQL would read different values of a duplicate key, so neither is used."""
    once = _page([_cost("1")])
    key = f'"{name}":'.encode()
    twice = Reply(body=once.body.replace(key, key + b"null," + key))
    results = _fetch_scripted(twice, once, once, once, _page([_usage()]))
    assert all(isinstance(day, RejectedDay) and "a field occurs twice" in day.reason for day in results)


@pytest.mark.parametrize("amount", ["41280.000000", "0", "-12.5", "0.000001", "123456789.123456"])
def test_cents_convert_exactly(amount: str) -> None:
    """Amounts keep every digit."""
    page = _page([_cost(amount)])
    results = _fetch_scripted(page, page, page, page, _page([_usage()]))
    assert {day.amount_usd for day in results if isinstance(day, DayBatch) and day.amount_usd is not None} == {
        (Decimal(amount) / 100).quantize(Decimal("1e-9"))
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        *(({"amount": amount}, "amount") for amount in ("12,5", "NaN", "1e30", None)),
        ({"list_amount": "12,5"}, "amount"),
        ({"currency": "EUR"}, "USD"),
    ],
)
def test_an_invalid_amount_rejects_its_day(bad: dict[str, object], reason: str) -> None:
    """A value that is no amount in USD rejects the day; it does not count as zero."""
    page = _page([_cost("1", bad)])
    results = _fetch_scripted(page, page, page, page, _page([_usage()]))
    assert all(isinstance(day, RejectedDay) and reason in day.reason for day in results)


def test_the_classic_report_has_one_bucket_per_day(client: AnthropicClient, simulator: Simulator) -> None:
    """The dollars of each bucket are close to the ledger's."""
    results = fetch_batches(client, "anthropic_cost_report")
    expected = simulator.ledger.anthropic_cost_usd(DAYS.first, DAYS.last)
    assert [len(day.records) for day in results] == [1, 1, 1]
    assert all(day.amount_usd and abs(day.amount_usd - expected[day.day]) < Decimal("0.01") for day in results)


def test_api_keys_of_every_status_are_listed_once(client: AnthropicClient) -> None:
    """Archived, expired and inactive keys are included."""
    (batch,) = fetch_batches(client, "anthropic_api_keys", DayRange(NOW.date(), NOW.date()))
    status = Counter(msgspec.json.decode(record)["status"] for record in batch.records)
    assert set(status) == {"active", "archived", "expired", "inactive"}
    assert len({msgspec.json.decode(record)["id"] for record in batch.records}) == len(batch.records)


def test_archived_and_default_workspaces_are_listed(client: AnthropicClient) -> None:
    """Workspaces that the plain list hides are included."""
    workspaces, members = fetch_batches(client, "anthropic_workspaces", DayRange(NOW.date(), NOW.date()))
    names = {msgspec.json.decode(record)["name"] for record in workspaces.records}
    assert {"Default", "Hackathon 2025"} <= names
    assert members.records


@pytest.mark.parametrize(
    "name", ["anthropic_cost_report", "anthropic_claude_code", "anthropic_api_keys", "anthropic_workspaces"]
)
def test_console_endpoints_are_not_available_to_an_enterprise_key(
    client: AnthropicClient, simulator: Simulator, name: str
) -> None:
    """For an Enterprise key the endpoints of the Console are not available; that is no failure."""
    simulator.fault_options.anthropic.enterprise_key = True
    with pytest.raises(EndpointNotAvailable):
        fetch(client, name)


def test_a_rejected_key_is_an_error(client: AnthropicClient, simulator: Simulator) -> None:
    """The error names the setting."""
    simulator.fault_options.anthropic.unauthorized = True
    for name in BY_NAME:
        with pytest.raises(PermanentApiError, match="ANTHROPIC_ADMIN_KEY"):
            fetch(client, name, DayRange(NOW.date(), NOW.date()))


def test_only_listed_reads_are_allowed(client: AnthropicClient) -> None:
    """Any other path raises ValueError, and every listed endpoint is a GET."""
    with pytest.raises(ValueError, match="not one of the endpoints"):
        client.get("invites", (), dict, {})
    assert all(endpoint.method == "GET" for endpoint in ENDPOINTS)


def _console_usage(**changed: object) -> dict[str, object]:
    """Usage of the Console, which is billed per token."""
    counts = {
        "total_tokens": 5,
        "output_tokens": 1,
        "uncached_input_tokens": 1,
        "cache_read_input_tokens": 1,
        **changed,
    }
    return {"starting_at": "2026-11-10T00:00:00Z", "group": {"workspace_id": "wrkspc_1"}, "usage": counts}


def test_console_tokens_without_cost_are_rejected() -> None:
    """Console usage without cost is rejected; Enterprise usage without cost is not, because seats may cover it."""
    nothing = _page([])
    results = _fetch_scripted(nothing, nothing, nothing, nothing, _page([_console_usage()]))
    assert all(isinstance(day, RejectedDay) and "but no cost" in day.reason for day in results)
    mixed = _page([_console_usage(), _console_usage(total_tokens=7), _usage(90)])
    results = _fetch_scripted(nothing, nothing, nothing, nothing, mixed)
    assert [_numbers(day) for day in results] == [["12"]] * 6
    results = _fetch_scripted(nothing, nothing, nothing, nothing, _page([_usage()]))
    assert all(isinstance(day, DayBatch) for day in results)


def test_invalid_token_counts_do_not_reject_the_bill() -> None:
    """An invalid count rejects the usage of the day only; 12.0 is a valid count."""
    bill = _page([_cost("500")])
    results = _fetch_scripted(bill, bill, bill, bill, _page([_console_usage(total_tokens="many")]))
    assert [type(day) for day in results] == [DayBatch] * 4 + [RejectedDay] * 2
    results = _fetch_scripted(bill, bill, bill, bill, _page([_console_usage(total_tokens=12.0)]))
    assert [type(day) for day in results] == [DayBatch] * 6


def test_tokens_that_differ_from_the_total_reject_the_usage() -> None:
    """Rows that do not add up to Anthropic's total reject the usage and not the bill; the reason has both sums."""
    bill = _page([_cost("500")])
    results = _fetch_scripted(*[bill] * 4, _page([_usage(5), _usage(6)]), _page([_usage(12)]))
    assert [type(day) for day in results] == [DayBatch] * 4 + [RejectedDay] * 2
    assert [_numbers(day) for day in results[4:]] == [["11", "12"]] * 2


@pytest.mark.parametrize(
    ("actor", "identity"),
    [
        ({"user_id": "user_1", "email_address": "ada@acme.test"}, ("user_1", "ada@acme.test")),
        ({"user_id": "user_1"}, ("user_1", None)),
        ({"email_address": "ada@acme.test"}, (None, None)),
        (None, (None, None)),
    ],
)
def test_a_user_is_recognized_by_id(actor: object, identity: tuple[str | None, str | None]) -> None:
    """An e-mail address belongs to a user id; a record without user id has none to carry forward."""
    record = msgspec.json.encode({**_cost("1"), "group": {"actor": actor}})
    assert {each.read(record) for each in EXTRACT.email_identities.values()} == {identity}


def test_a_key_without_access_to_the_bill_is_an_error() -> None:
    """Analytics is the bill, so a key that lacks its scope is a configuration error and not a fact about the plan."""
    with serve_replies(Reply(403, b'{"error":{"type":"permission_error","message":"no"}}')) as server:
        client = AnthropicClient(lambda: "k" * 20, server.url, pacing=False)
        with pytest.raises(PermanentApiError):
            fetch(client, "anthropic_analytics")
        with pytest.raises(EndpointNotAvailable):
            fetch(client, "anthropic_users")


@pytest.mark.parametrize("group", [{"actor": "user_1"}, {"actor": {"email_address": 5}}, None])
def test_an_invalid_actor_rejects_its_day(group: object) -> None:
    """The actor is read again when the day is loaded, so it is validated first."""
    good = _page([_cost("500")])
    results = _fetch_scripted(good, _page([{**_cost("500"), "group": group}]), good, good, _page([_usage()]))
    assert isinstance(results[0], RejectedDay)


def test_a_watermark_without_time_zone_is_malformed() -> None:
    """A watermark without a time zone is a malformed response."""
    page = _page([_cost("5")], data_refreshed_at="2026-11-20T12:00:00")
    with serve_replies(page) as server:
        client = AnthropicClient(lambda: "k" * 20, server.url, pacing=False, clock=FakeClock())
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
def test_only_the_vendors_error_codes_mean_not_available(reply: Reply, exposed: bool) -> None:
    """Only Anthropic's own error codes mean that an endpoint is not available; any other error is a failure."""
    with serve_replies(reply) as server:
        client = AnthropicClient(lambda: "k" * 20, server.url, pacing=False)
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
def test_a_time_out_of_range_is_invalid(name: str, field: str, moment: str) -> None:
    """An instant without a UTC day raises InvalidRecordError."""
    page = (
        _page([], data_refreshed_at=moment) if field == "data_refreshed_at" else _page([{**_cost("1"), field: moment}])
    )
    with serve_replies(page) as server, pytest.raises(InvalidRecordError, match="a time is out of range"):
        fetch(
            AnthropicClient(lambda: "k" * 20, server.url, pacing=False),
            name,
            DayRange(date(2026, 11, 10), date(2026, 11, 10)),
        )
