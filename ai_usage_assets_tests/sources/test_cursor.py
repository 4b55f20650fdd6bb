"""Cursor's extracts: complete days by Cursor's own count, and requests that only read."""

from __future__ import annotations

import contextlib
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import PaginationLoop, PermanentApiError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.base import DayBatch, EndpointNotAvailable, InvalidRecordError, RejectedDay
from ai_usage_assets.sources.cursor import events
from ai_usage_assets.sources.cursor.client import CursorClient, day_bounds
from ai_usage_assets.sources.cursor.source import SOURCE
from ai_usage_assets.sources.cursor.tables import RAW_EVENTS
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
DAY = DayRange(date(2026, 11, 10), date(2026, 11, 10))
BY_NAME = {pull.name: pull for pull in SOURCE.extracts}
TOKEN_COUNTS = ("inputTokens", "outputTokens", "cacheWriteTokens", "cacheReadTokens")


@pytest.fixture
def simulator() -> Simulator:
    """A simulated company that is large enough for several pages a day."""
    return Simulator(NOW, people=400)


@pytest.fixture
def client(simulator: Simulator) -> Iterator[CursorClient]:
    """A client of its API."""
    with simulator.serve() as urls:
        client = CursorClient(lambda: simulator.CURSOR_KEY, urls.cursor, pacing=False)
        yield client
        client.close()


def fetch(client: CursorClient, name: str, days: DayRange = DAY) -> list[DayBatch | RejectedDay]:
    """What an extract returns for days."""
    return list(BY_NAME[name].fetch(client, days))


def test_a_day_has_as_many_events_as_cursor_counts(client: CursorClient, simulator: Simulator) -> None:
    """Several pages form one day, with equal events, and its dollars equal the ledger's."""
    (result,) = fetch(client, "cursor_usage_events")
    assert isinstance(result, DayBatch)
    assert result.pages == len(simulator.requests) > 1
    assert len(result.records) == result.expected_records == len(simulator.ledger.events(DAY.first))
    sums = simulator.ledger.cursor_usd(DAY.first, DAY.last)[DAY.first]
    assert result.amount_usd == sums["billed"] + sums["included"]
    assert len(set(result.records)) < len(result.records)


def test_bounds_are_the_utc_day_to_the_millisecond(client: CursorClient, simulator: Simulator) -> None:
    """The end is inclusive: one millisecond before midnight. Pages are requested explicitly."""
    fetch(client, "cursor_usage_events")
    body = msgspec.json.decode(simulator.requests[0][1].body)
    assert body == {"startDate": 1794268800000, "endDate": 1794355199999, "page": 1, "pageSize": 1000}


def test_a_late_event_repeats_the_read(client: CursorClient, simulator: Simulator) -> None:
    """The count detects pages that shifted; after another read nothing is lost or counted twice."""
    simulator.fault_options.cursor.late_events_while_paging = 1
    (result,) = fetch(client, "cursor_usage_events")
    assert isinstance(result, DayBatch)
    assert len(result.records) == len(simulator.ledger.events(DAY.first))


def test_a_day_that_changes_during_every_read_is_rejected(client: CursorClient, simulator: Simulator) -> None:
    """After three inconsistent reads the day is rejected, and the reason has both counts."""
    simulator.fault_options.cursor.late_events_while_paging = 1000
    (result,) = fetch(client, "cursor_usage_events")
    assert isinstance(result, RejectedDay)
    assert "changed during each read" in result.reason


def test_idle_members_have_a_row(client: CursorClient, simulator: Simulator) -> None:
    """Daily usage is requested in pages, which include members without activity."""
    (result,) = fetch(client, "cursor_daily_usage")
    assert isinstance(result, DayBatch)
    active = [msgspec.json.decode(record)["isActive"] for record in result.records]
    assert {True, False} == set(active)
    assert len(active) == len(simulator.ledger.members_on(DAY.first))


def test_groups_are_not_available_on_the_teams_plan(client: CursorClient, simulator: Simulator) -> None:
    """A plan without billing groups is no failure."""
    simulator.fault_options.cursor.teams_plan = True
    with pytest.raises(EndpointNotAvailable):
        fetch(client, "cursor_groups")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_rejected_key_is_an_error(client: CursorClient, simulator: Simulator, name: str) -> None:
    """The error names the setting."""
    simulator.fault_options.cursor.unauthorized = True
    with pytest.raises(PermanentApiError, match="CURSOR_ADMIN_KEY"):
        fetch(client, name)


def _events(*events: dict[str, object], count: int | None = None) -> Reply:
    page = {
        "totalUsageEventsCount": len(events) if count is None else count,
        "pagination": {"hasNextPage": False},
        "usageEvents": [{"timestamp": "1794300000000", **event} for event in events],
    }
    return Reply(body=msgspec.json.encode(page))


def _fetch_scripted(*replies: Reply) -> DayBatch | RejectedDay:
    """Runs the extract of events for one day against scripted responses."""
    with serve_replies(*replies) as server:
        (result,) = fetch(CursorClient(lambda: "crsr_" + "x" * 20, server.url, pacing=False), "cursor_usage_events")
    assert (result.table, result.day) == (RAW_EVENTS, DAY.first)
    return result


@pytest.mark.parametrize(
    ("event", "cents"),
    [
        ({"chargedCents": 20.64862}, "20.64862"),
        ({"chargedCents": 40.16699999999999}, "40.16699999999999"),
        ({"chargedCents": 0}, "0"),
        ({"chargedCents": -3.5}, "-3.5"),
        ({"tokenUsage": {"totalCents": 40.167, "discountPercentOff": 10}, "cursorTokenFee": 0.452}, "36.6023"),
        ({"tokenUsage": {"totalCents": 40, "discountPercentOff": 12.3456}}, "35.06176"),
        ({"tokenUsage": {"totalCents": 40, "discountPercentOff": 100}, "cursorTokenFee": 2}, "2"),
        ({"tokenUsage": {"totalCents": 40}, "cursorTokenFee": 2}, "42"),
        ({}, "0"),
    ],
)
def test_charged_cents_are_the_amount(event: dict[str, object], cents: str) -> None:
    """`chargedCents` includes the fee; without it, the price of the tokens and the fee are added."""
    result = _fetch_scripted(_events(event))
    assert isinstance(result, DayBatch)
    assert result.amount_usd == (Decimal(cents) / 100).quantize(Decimal("1e-9"))


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (_events({"chargedCents": "much"}), "amount"),
        (_events({"chargedCents": 1e15}), "amount"),
        (_events({"tokenUsage": {"totalCents": 1, "discountPercentOff": 101}}), "discount"),
        (_events({"tokenUsage": {"totalCents": 1, "discountPercentOff": -1}}), "discount"),
        (_events({"tokenUsage": {"totalCents": 1, "discountPercentOff": 12.34567}}), "discount"),
        (_events({"timestamp": "1795210812331"}), "requested day"),
        # Events in their usual form, except for the day.
        (_events({"timestamp": "1795210812331", "chargedCents": 1}), "requested day"),
        (_events({"timestamp": "1784300000000", "chargedCents": 1}), "requested day"),
        (_events({"timestamp": "17943000000a0", "chargedCents": 1}), "timestamp"),
        (_events({"timestamp": "noon"}), "timestamp"),
        (_events({"timestamp": "0001794300000000"}), "timestamp"),
        (_events({"chargedCents": 1}, count=2), "1 events .* 2 reported"),
        (_events(count=7), "0 events .* 7 reported"),
    ],
    ids=[
        *("no amount", "absurd amount", "a discount above 100", "a negative discount", "a discount of five decimals"),
        *("another day", "a later day", "an earlier day", "a letter in it", "no time", "a time of 16 digits"),
        *("fewer than counted", "none though counted"),
    ],
)
def test_invalid_or_missing_events_reject_the_day(say: Reply, reason: str) -> None:
    """The day is rejected instead of counting less spend, and the reason names what is wrong."""
    result = _fetch_scripted(say)
    assert isinstance(result, RejectedDay)
    assert re.search(reason, result.reason)


# The first and the last millisecond of the day.
_FIRST, _LAST = "1794268800000", "1794355199999"


@pytest.mark.parametrize("event", [{"chargedCents": 2}, {"cursorTokenFee": 2}], ids=["usual form", "without charge"])
@pytest.mark.parametrize(
    ("timestamp", "is_inside"),
    [(_FIRST, True), (_LAST, True), ("1794268799999", False), ("1794355200000", False)],
)
def test_a_day_includes_both_bounds(event: dict[str, object], timestamp: str, is_inside: bool) -> None:
    """Events of the first and the last millisecond belong to the day; those one millisecond further reject it."""
    result = _fetch_scripted(_events({**event, "timestamp": timestamp}))
    assert isinstance(result, DayBatch if is_inside else RejectedDay)


_PLAIN = {"timestamp": "1794300000000", "chargedCents": 2.5, "userEmail": "a@acme.test", "model": "m", "kind": "k"}


@pytest.mark.parametrize(
    "page",
    [
        [_PLAIN],
        [_PLAIN, _PLAIN],
        [{**_PLAIN, "timestamp": _FIRST}, {**_PLAIN, "timestamp": _LAST, "tokenUsage": {"inputTokens": 7}}],
    ],
    ids=["one event", "equal events", "both bounds"],
)
def test_the_usual_form_of_events_is_summed_fast(page: list[dict[str, object]]) -> None:
    """The fast sum applies to usual events; without it every result is the same, only five times as slow."""
    expected = Decimal("0.025") * len(page)
    assert events._sum_plain_page_usd(_events(*page).body, day_bounds(DAY)) == expected


def test_amount_fields_in_another_place_are_not_summed_fast() -> None:
    """A page with a name of an amount more than once an event, or with an escape, needs the exact reading."""
    for more in ({"more": {"chargedCents": 3}}, {"more": {"timestamp": "5"}}, {"note": "a\\b"}):
        assert events._sum_plain_page_usd(_events({**_PLAIN, **more}).body, day_bounds(DAY)) is None


def test_a_day_without_events_is_complete() -> None:
    """If Cursor counts no events and returns none, the batch is empty."""
    result = _fetch_scripted(_events())
    assert isinstance(result, DayBatch)
    assert (result.records, result.amount_usd) == ([], Decimal(0))


def test_an_empty_member_list_is_invalid() -> None:
    """A team has at least its owner; loading an empty list would end every seat."""
    with (
        serve_replies(Reply(body=b'{"teamMembers":[]}')) as server,
        pytest.raises(InvalidRecordError, match="member list is empty"),
    ):
        fetch(CursorClient(lambda: "crsr_" + "x" * 20, server.url, pacing=False), "cursor_members")


def _daily(*rows: dict[str, object], total: int | None = None, more: bool = False) -> Reply:
    return Reply(body=msgspec.json.encode({"data": rows, "pagination": {"hasNextPage": more, "totalUsers": total}}))


def _spend(*ids: int, total: int | None = None, pages: int = 1, cycle: int = 1_793_664_000_000) -> Reply:
    page = {
        "teamMemberSpend": [{"userId": number, "spendCents": 5} for number in ids],
        "subscriptionCycleStart": cycle,
        "totalPages": pages,
        "totalMembers": total,
    }
    return Reply(body=msgspec.json.encode(page))


def _row(user: int, day: str = "2026-11-10") -> dict[str, object]:
    return {"day": day, "userId": user, "email": f"{user}@acme.test"}


@pytest.mark.parametrize(
    ("name", "replies", "reason"),
    [
        (
            "cursor_daily_usage",
            [_daily(_row(2, "2026-09-01"))],
            "is of 2026-09-01 to 2026-09-01, which was not requested",
        ),
        ("cursor_daily_usage", [_daily(total=3)], "no rows, 3 members reported by Cursor"),
        (
            "cursor_daily_usage",
            [_daily(_row(1), total=2, more=True), _daily(_row(2), total=3)] * 3,
            "its pages report different totals",
        ),
        ("cursor_spend", [_spend()], "the member list is empty"),
        ("cursor_spend", [_spend(1, pages=2), _spend(2, pages=2, cycle=1_796_256_000_000)] * 3, "different totals"),
        ("cursor_spend", [_spend(1, pages=2), _spend(2, pages=1)] * 3, "different totals"),
        ("cursor_spend", [_spend(1, pages=2, total=2), _spend(2, pages=2, total=1)] * 3, "different totals"),
    ],
)
def test_an_inconsistent_member_list_is_invalid(name: str, replies: list[Reply], reason: str) -> None:
    """Rows of other days only, no rows for counted members, and pages that contradict each other raise an error."""
    with serve_replies(*replies) as server, pytest.raises(InvalidRecordError, match=reason):
        fetch(CursorClient(lambda: "crsr_" + "x" * 20, server.url, pacing=False), name)


@pytest.mark.parametrize(
    ("name", "replies", "records"),
    [
        ("cursor_daily_usage", [_daily(total=2), _daily(_row(1), _row(2), total=2)], 2),
        # The documentation does not say whom the count includes, nor whether the end of the range is inclusive.
        ("cursor_daily_usage", [_daily(_row(1), total=2)], 1),
        ("cursor_daily_usage", [_daily(_row(1), _row(1, "2026-11-11"))], 1),
        ("cursor_daily_usage", [_daily(*[{"day": "2026-11-10", "n": n} for n in range(3)], total=3)], 3),
        ("cursor_daily_usage", [_daily(_row(1), _row(2), total=1)], 2),
        ("cursor_daily_usage", [_daily(_row(1))], 1),
        ("cursor_spend", [_spend(1, total=2)], 1),
        ("cursor_spend", [_spend(1, pages=2), _spend(2, pages=1), _spend(1, pages=2), _spend(2, pages=2)], 2),
    ],
)
def test_a_member_list_that_changed_is_read_again(name: str, replies: list[Reply], records: int) -> None:
    """A list that contradicts itself once is read again; a list without a sign of loss is accepted."""
    with serve_replies(*replies) as server:
        (result,) = fetch(CursorClient(lambda: "crsr_" + "x" * 20, server.url, pacing=False), name)
    assert isinstance(result, DayBatch)
    assert len(result.records) == records
    assert len(server.requests) == len(replies)


def test_credentials_are_the_key_and_an_empty_password(client: CursorClient, simulator: Simulator) -> None:
    """The header has the key as user name, with the colon."""
    fetch(client, "cursor_members")
    expected = b64encode(f"{simulator.CURSOR_KEY}:".encode()).decode()
    assert simulator.requests[0][1].headers["authorization"] == f"Basic {expected}"


def test_only_listed_reads_are_allowed(client: CursorClient) -> None:
    """Endpoints that change limits or members raise ValueError."""
    for path in ("/teams/user-spend-limit", "/teams/remove-member", "/teams/groups"):
        with pytest.raises(ValueError, match="not one of the endpoints"):
            client.post(path, {}, dict)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("cursor_usage_events", {"totalUsageEventsCount": 1, "pagination": {"hasNextPage": True},
                                 "usageEvents": [{"timestamp": "1794300000000"}]}),
        ("cursor_usage_events", {"totalUsageEventsCount": 9, "pagination": {"hasNextPage": True}, "usageEvents": []}),
        ("cursor_daily_usage", {"data": [], "pagination": {"hasNextPage": True}}),
    ],
    ids=["the same page for ever", "empty events", "empty daily usage"],
)  # fmt: skip
def test_endless_pages_stop_after_a_few_requests(name: str, body: dict[str, object]) -> None:
    """A list that never ends stops after six requests at most, and never becomes a batch."""
    with serve_replies(Reply(body=msgspec.json.encode(body))) as server:
        client = CursorClient(lambda: "crsr_" + "x" * 20, server.url, pacing=False)
        with contextlib.suppress(InvalidRecordError):
            assert all(isinstance(result, RejectedDay) for result in fetch(client, name))
        assert len(server.requests) <= 6


@pytest.mark.parametrize("text", ["sNaN", "NaN", "-Infinity"])
@pytest.mark.parametrize("field", TOKEN_COUNTS)
def test_an_invalid_token_count_rejects_the_day(field: str, text: str) -> None:
    """The reason names the token count."""
    result = _fetch_scripted(_events({"chargedCents": 1}, {"chargedCents": 1, "tokenUsage": {field: text}}))
    assert isinstance(result, RejectedDay)
    assert "a token count is not a number" in result.reason


@pytest.mark.parametrize(
    "fields",
    [
        '"chargedCents":1,"chargedCents":100',
        '"chargedCents":1,"charged\\u0043ents":100',
        '"tokenUsage":{"totalCents":1,"totalCents":100}',
        '"tokenUsage":{"totalCents":1},"tokenUsage":{"totalCents":100}',
        '"cursorTokenFee":1,"cursorTokenFee":100',
        '"chargedCents":null,"cursorTokenFee":1,"cursorTokenFee":100',
        *(
            f'"chargedCents":1,"{name}":"a","{name}":"b"'
            for name in ("userEmail", "serviceAccountId", "conversationId", "model", "kind")
        ),
        '"chargedCents":1}],"usageEvents":[{"timestamp":"1794300000000","chargedCents":100',
    ],
)
def test_a_duplicate_field_rejects_the_day(fields: str) -> None:
    """Python and SQL would read different values of a duplicate key, so neither is used."""
    event = f'{{"timestamp":"1794300000000",{fields}}}'
    result = _fetch_scripted(Reply(body=_events({}).body.replace(b'{"timestamp":"1794300000000"}', event.encode())))
    assert isinstance(result, RejectedDay)
    assert "a field occurs twice" in result.reason


def test_amount_names_elsewhere_are_no_duplicates() -> None:
    """The same name in a nested object or in a string is no duplicate."""
    other = {"chargedCents": 2, "more": {"chargedCents": 3}, "model": "\u0041 chargedCents"}
    result = _fetch_scripted(_events(other, {"chargedCents": 1}))
    assert isinstance(result, DayBatch)
    assert result.amount_usd == Decimal("0.03")


def _event_pages(*pages: list[int], count: int) -> list[Reply]:
    """Pages of events with distinct cents; all but the last report a next page."""
    return [
        Reply(
            body=msgspec.json.encode(
                {
                    "totalUsageEventsCount": count,
                    "pagination": {"hasNextPage": number < len(pages)},
                    "usageEvents": [{"timestamp": "1794300000000", "chargedCents": cents} for cents in page],
                }
            )
        )
        for number, page in enumerate(pages, 1)
    ]


def test_equal_pages_of_equal_events_all_count() -> None:
    """A page that consists of one repeated event can occur twice, and all its events count."""
    result = _fetch_scripted(*_event_pages([7, 7], [7, 7], count=4))
    assert isinstance(result, DayBatch)
    assert (len(result.records), result.pages, result.amount_usd) == (4, 2, Decimal("0.28"))


@pytest.mark.parametrize("pages", [([1, 2], [1, 2]), ([1, 2], [1, 2], [3, 4])], ids=["at the end", "in the middle"])
def test_a_page_that_occurs_twice_repeats_the_read(pages: tuple[list[int], ...]) -> None:
    """A page that occurs twice hides another one of the same length, which the count does not detect."""
    count = sum(map(len, pages))
    broken = _event_pages(*pages, count=count)
    result = _fetch_scripted(*broken * 3)
    assert isinstance(result, RejectedDay)
    assert "a page occurred twice" in result.reason
    result = _fetch_scripted(*broken, *_event_pages([1, 2], [5, 6], count=4))
    assert isinstance(result, DayBatch)
    assert result.amount_usd == Decimal("0.14")


def test_a_changed_count_repeats_the_read() -> None:
    """Pages that report different counts belong to different states of the day; the reason has all counts."""
    changing = [_event_pages([1], [2], count=count)[page] for page, count in enumerate((3, 2))]
    result = _fetch_scripted(*changing * 3)
    assert isinstance(result, RejectedDay)
    assert re.findall(r"\d+", result.reason) == ["2", "2", "3"]


def test_more_pages_than_the_limit_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that has more pages than a day can have raises an error, which names the endpoint."""
    monkeypatch.setattr(events, "MAX_PAGES", 2)
    with pytest.raises(PaginationLoop) as caught:
        _fetch_scripted(*_event_pages([1], [2], [3], count=3))
    assert (caught.value.service, caught.value.endpoint) == ("cursor", "/teams/filtered-usage-events")


def test_reading_stops_above_the_reported_count() -> None:
    """Pages beyond the reported count are not requested, and the day is rejected."""
    pages = [[number, number + 1] for number in range(0, 60, 2)]
    with serve_replies(*_event_pages(*pages, count=3)) as server:
        (result,) = fetch(CursorClient(lambda: "crsr_" + "x" * 20, server.url, pacing=False), "cursor_usage_events")
    assert isinstance(result, RejectedDay)
    assert len(server.requests) == 6


_TOKENS = {"inputTokens": 1, "outputTokens": 2, "cacheWriteTokens": 3, "cacheReadTokens": 4}
_IDENTIFIED: dict[str, object] = {
    "timestamp": "1794300000000",
    "userEmail": " ada@acme.test ",
    "model": "m",
    "conversationId": "c",
    "tokenUsage": _TOKENS,
}


def _identify(event: dict[str, object]) -> tuple[object, str | None]:
    return events.EXTRACT.email_identities[RAW_EVENTS.name].read(msgspec.json.encode(event))


@pytest.mark.parametrize(
    ("changed", "email"),
    [
        ({}, "ada@acme.test"),
        ({"userEmail": None}, None),
        ({"userEmail": " "}, None),
        ({"chargedCents": 5}, "ada@acme.test"),
        ({"timestamp": 1794300000000}, "ada@acme.test"),
    ],
)
def test_an_event_without_its_email_is_recognized(changed: dict[str, object], email: str | None) -> None:
    """The e-mail and the amount are no part of an event's identity, because Cursor can remove or correct them."""
    assert _identify({**_IDENTIFIED, **changed}) == (_identify(_IDENTIFIED)[0], email)


def test_different_events_have_different_identities() -> None:
    """Each part of the identity distinguishes events; an event without token counts has one too."""
    changes: list[dict[str, object]] = [
        {},
        {"timestamp": "1794300000001"},
        {"model": "n"},
        {"conversationId": "d"},
    ]
    tokens: list[dict[str, int] | None] = [None, *({**_TOKENS, name: 9} for name in TOKEN_COUNTS)]
    changes += [{"tokenUsage": counts} for counts in tokens]
    assert len({_identify({**_IDENTIFIED, **change})[0] for change in changes}) == len(changes)


@pytest.mark.parametrize("text", ['"1_000.5"', '" 12.5 "', "true", '"NaN"', '"Infinity"', '"12,5"', "[]", '"0x1F"'])
def test_an_amount_that_sql_cannot_cast_rejects_the_day(text: str) -> None:
    """An amount that one engine cannot cast would break every view that reads it."""
    body = msgspec.json.encode({"totalUsageEventsCount": 1, "pagination": {"hasNextPage": False}, "usageEvents": []})
    event = f'{{"timestamp":"1794300000000","chargedCents":{text}}}'.encode()
    page = body.replace(b'"usageEvents":[]', b'"usageEvents":[' + event + b"]")
    assert isinstance(_fetch_scripted(Reply(body=page)), RejectedDay)
