"""Facts follow from what was landed alone: not from the range they were built in, nor from when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

FIRST, LAST, TODAY = date(2026, 9, 1), date(2026, 11, 10), date(2026, 11, 11)
JANE, SAM = "jane@example.com", "sam@example.com"


def put(warehouse: DuckDBWarehouse, table: str, day: date, *records: dict[str, Any]) -> None:
    """Records of one day, as landed."""
    found = catalog.table(table)
    warehouse.append(
        found,
        [
            {found.partition_by: day, "record_no": n, "payload": msgspec.json.encode(record).decode(),
             "fetched_at": datetime(2026, 11, 11, tzinfo=UTC)}
            for n, record in enumerate(records, 1)
        ],
    )  # fmt: skip


def build(warehouse: DuckDBWarehouse, table: str, first: date, last: date) -> None:
    """Builds the days of a table."""
    days = {"first_day": FIRST, "today": TODAY, "start_day": first, "end_day": last}
    warehouse.rebuild(catalog.table(table), days)


def event(day: date, conversation: str, email: str | None = None, **more: Any) -> dict[str, Any]:
    """A Cursor event at noon of the day."""
    noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    named = {"userEmail": email} if email else {}
    return {
        "timestamp": str(noon), "conversationId": conversation, "kind": "Usage-based", "chargedCents": 5,
        **named, **more,
    }  # fmt: skip


def users(warehouse: DuckDBWarehouse) -> dict[date, str | None]:
    """Who is named for each day of a fact table with one row a day."""
    found = warehouse.rows("SELECT usage_date, user_email FROM ai_usage.int_cursor_usage_daily")
    return {row["usage_date"]: row["user_email"] for row in found}


def test_a_nameless_event_takes_the_person_last_seen_in_its_conversation(warehouse: DuckDBWarehouse) -> None:
    """The latest named event of the conversation within thirty days lends its person; a service account lends none."""
    day = date(2026, 10, 20)
    put(warehouse, "raw_cursor_usage_events", day, event(day, "c"))
    for near, email, more in (
        (day - timedelta(days=31), SAM, {}),
        (day - timedelta(days=2), SAM, {}),
        (day - timedelta(days=1), JANE, {}),
        (day + timedelta(days=1), "ci@example.com", {"serviceAccountId": "sa_1"}),
        (day + timedelta(days=31), SAM, {}),
    ):
        put(warehouse, "raw_cursor_usage_events", near, event(near, "c", email, **more))
    build(warehouse, "int_cursor_usage_daily", day, day)
    assert users(warehouse)[day] == JANE


def test_a_day_is_the_same_in_whatever_range_it_is_built(warehouse: DuckDBWarehouse) -> None:
    """Built alone, backwards or in one range, a day has the same rows, also where it borrows from days around it."""
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    for day in days:
        named = JANE if day.day % 10 == 1 else SAM if day.day % 10 == 6 else None
        # One conversation dies out in the first month, so that far days must not borrow from it.
        put(warehouse, "raw_cursor_usage_events", day, event(day, "old" if day < date(2026, 9, 20) else "new", named))
        if named and day >= date(2026, 10, 25):
            put(warehouse, "raw_cursor_daily_usage", day, {"userId": "u", "day": str(day), "email": named})
    put(warehouse, "raw_cursor_usage_events", LAST, event(LAST, "old"))
    members = [{"id": "u", "email": JANE, "role": "member"}, {"id": "v", "email": SAM, "role": "owner"}]
    for day in (date(2026, 10, 30), date(2026, 11, 6)):
        put(warehouse, "raw_cursor_members", day, *members)
        put(
            warehouse, "raw_cursor_spend", day,
            {"subscriptionCycleStart": 1793664000000, "teamMemberSpend": [{"email": JANE, "billingTier": str(day)}]},
        )  # fmt: skip
    tables = ("int_cursor_usage_daily", "int_cursor_seat_daily")

    def content() -> list[dict[str, Any]]:
        return [
            row
            for table in tables
            for row in warehouse.rows(f"SELECT * FROM ai_usage.{table} ORDER BY usage_date, fact_no")
        ]

    for table in tables:
        build(warehouse, table, FIRST, LAST)
    whole = content()
    assert {row.get("billing_tier") for row in whole} == {None, "2026-10-30", "2026-11-06"}
    assert {row["user_email"] for row in whole} == {None, JANE, SAM}
    for day in reversed(days):
        for table in tables:
            build(warehouse, table, day, day)
    assert content() == whole


def test_an_edited_price_reprices_history(warehouse: DuckDBWarehouse) -> None:
    """A seat price that finance corrects holds for days long built, without building them again."""
    day = date(2026, 10, 30)
    put(warehouse, "raw_cursor_members", day, {"id": "u", "email": JANE, "role": "member"})
    build(warehouse, "int_cursor_seat_daily", day, day)

    def price(usd: str, hour: int) -> None:
        version = {"snapshot_date": TODAY, "tab": "seat_prices", "snapshot_id": usd, "row_no": 2}
        payload = {"vendor": "cursor", "plan": "Teams", "monthly_price_usd": usd}
        warehouse.append(
            catalog.table("raw_mapping_sheet"),
            [{**version, "read_at": datetime(2026, 11, 11, hour, tzinfo=UTC),
              "payload": msgspec.json.encode(payload).decode()}],
        )  # fmt: skip

    def paid() -> list[str]:
        return [str(row["amount_usd"]) for row in warehouse.rows("SELECT amount_usd FROM ai_usage.fct_seat_daily")]

    assert paid() == ["None"]
    price("31", 1)
    assert paid() == ["1.000000000"]
    price("62", 2)
    assert paid() == ["2.000000000"]


@pytest.mark.parametrize("total", ["1e15", '"abc"', "{}", "1e90", "-1e15", "123456789012345678901234567890"])
def test_what_a_charge_is_made_of_cannot_spoil_it(warehouse: DuckDBWarehouse, total: str) -> None:
    """Where the charge is there, what it was made from may be anything: it is then not known."""
    payload = (
        f'{{"timestamp":"1794300000000","userEmail":"{JANE}","chargedCents":5,"cursorTokenFee":{total},'
        f'"tokenUsage":{{"totalCents":{total},"discountPercentOff":{total}}}}}'
    )
    warehouse.append(
        catalog.table("raw_cursor_usage_events"),
        [{"usage_date": LAST, "record_no": 1, "fetched_at": datetime(2026, 11, 11, tzinfo=UTC), "payload": payload}],
    )
    found = warehouse.rows("SELECT amount_usd, model_usd FROM ai_usage.stg_cursor_usage_events")
    assert found == [{"amount_usd": Decimal("0.05"), "model_usd": None}]


@pytest.mark.parametrize(
    ("kind", "basis", "kind_class"),
    [
        ("Usage-based", "billed", "on_demand"),
        ("USAGE_EVENT_KIND_USAGE_BASED", "billed", "on_demand"),
        ("User API Key", "billed", "byok"),
        ("USAGE_EVENT_KIND_CUSTOM_SUBSCRIPTION", "billed", "unknown"),
        (None, "billed", "unknown"),
        ("Included in Business", "included", "included"),
        ("Included in Pro", "included", "included"),
        ("Included", "included", "included"),
        ("Free", "included", "free"),
        ("USAGE_EVENT_KIND_FREE_CREDIT", "included", "free"),
        ("Errored, Not Charged", "included", "not_charged"),
        ("USAGE_EVENT_KIND_ABORTED_NOT_CHARGED", "included", "not_charged"),
    ],
)
def test_what_a_kind_means_for_money(warehouse: DuckDBWarehouse, kind: str | None, basis: str, kind_class: str) -> None:
    """On demand, own keys and what nobody knows are owed; included, free and failed usage is not."""
    put(warehouse, "raw_cursor_usage_events", LAST, event(LAST, "c", JANE, kind=kind))
    found = warehouse.rows("SELECT cost_basis, kind_class FROM ai_usage.stg_cursor_usage_events")
    assert found == [{"cost_basis": basis, "kind_class": kind_class}]


def test_somebody_who_came_back_holds_one_seat(warehouse: DuckDBWarehouse) -> None:
    """A member removed and added again is twice in the list, and pays one seat on days before the first snapshot."""
    members = [
        {"id": "old", "email": JANE, "role": "member", "isRemoved": True},
        {"id": "new", "email": JANE, "role": "member", "isRemoved": False},
    ]
    put(warehouse, "raw_cursor_members", LAST, *members)
    put(warehouse, "raw_cursor_daily_usage", FIRST, {"userId": "new", "day": str(FIRST), "email": JANE})
    build(warehouse, "int_cursor_seat_daily", FIRST, FIRST)
    (found,) = warehouse.rows("SELECT user_id, is_paid FROM ai_usage.int_cursor_seat_daily")
    assert found == {"user_id": "new", "is_paid": True}


@pytest.mark.parametrize(
    ("day", "anthropic", "cursor"),
    [
        (date(2026, 10, 1), date(2026, 11, 8), date(2026, 11, 5)),
        (date(2026, 10, 9), date(2026, 11, 8), date(2026, 11, 13)),
        (date(2026, 10, 10), date(2026, 11, 9), date(2026, 11, 14)),
        (date(2026, 2, 1), date(2026, 3, 8), date(2026, 3, 8)),
    ],
)
def test_when_a_day_is_settled(warehouse: DuckDBWarehouse, day: date, anthropic: date, cursor: date) -> None:
    """Anthropic's day is final at the later of 30 days after it and the 8th of the next month, Cursor's at 35."""
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": date(2026, 1, 1), "today": TODAY})
    rows = warehouse.rows(
        "SELECT vendor, settles_on FROM ai_usage.int_settlement_daily WHERE usage_date = @day", {"day": day}
    )
    assert {row["vendor"]: row["settles_on"] for row in rows} == {"anthropic": anthropic, "cursor": cursor}
