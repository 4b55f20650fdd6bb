"""Facts depend on the loaded records only, not on the range or the time of the rebuild."""

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


def add_records(warehouse: DuckDBWarehouse, name: str, day: date, *records: dict[str, Any]) -> None:
    """Adds records of one day to a raw table."""
    table = catalog.table(name)
    warehouse.append(
        table,
        [
            {str(table.partition_by): day, "record_no": n, "payload": msgspec.json.encode(record).decode(),
             "fetched_at": datetime(2026, 11, 11, tzinfo=UTC)}
            for n, record in enumerate(records, 1)
        ],
    )  # fmt: skip


def rebuild(warehouse: DuckDBWarehouse, table: str, first: date, last: date) -> None:
    """Rebuilds days of a model."""
    days = {"first_day": FIRST, "today": TODAY, "start_day": first, "end_day": last}
    warehouse.rebuild(catalog.table(table), days)


def event(day: date, conversation: str, email: str | None = None, **more: Any) -> dict[str, Any]:
    """A Cursor event at noon of the day."""
    noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    user = {"userEmail": email} if email else {}
    return {
        "timestamp": str(noon), "conversationId": conversation, "kind": "Usage-based", "chargedCents": 5,
        **user, **more,
    }  # fmt: skip


def users_by_day(warehouse: DuckDBWarehouse) -> dict[date, str | None]:
    """The user of each day, where each day has one row."""
    rows = warehouse.rows("SELECT usage_date, user_email FROM ai_usage.int_cursor_usage_daily")
    return {row["usage_date"]: row["user_email"] for row in rows}


def test_an_event_without_user_gets_the_last_user_of_its_conversation(warehouse: DuckDBWarehouse) -> None:
    """The newest event with a user within 30 days counts, except those of a service account."""
    day = date(2026, 10, 20)
    add_records(warehouse, "raw_cursor_usage_events", day, event(day, "c"))
    for other_day, email, more in (
        (day - timedelta(days=31), SAM, {}),
        (day - timedelta(days=2), SAM, {}),
        (day - timedelta(days=1), JANE, {}),
        (day + timedelta(days=1), "ci@example.com", {"serviceAccountId": "sa_1"}),
        (day + timedelta(days=31), SAM, {}),
    ):
        add_records(warehouse, "raw_cursor_usage_events", other_day, event(other_day, "c", email, **more))
    rebuild(warehouse, "int_cursor_usage_daily", day, day)
    assert users_by_day(warehouse)[day] == JANE


def test_a_day_is_equal_in_every_range_it_is_rebuilt_in(warehouse: DuckDBWarehouse) -> None:
    """A day has the same rows when it is rebuilt alone, backwards or in one range, also where it reads other days."""
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    for day in days:
        user = JANE if day.day % 10 == 1 else SAM if day.day % 10 == 6 else None
        # One conversation ends in the first month: later days must not get a user from it.
        conversation = "old" if day < date(2026, 9, 20) else "new"
        add_records(warehouse, "raw_cursor_usage_events", day, event(day, conversation, user))
        if user and day >= date(2026, 10, 25):
            add_records(warehouse, "raw_cursor_daily_usage", day, {"userId": "u", "day": str(day), "email": user})
    add_records(warehouse, "raw_cursor_usage_events", LAST, event(LAST, "old"))
    members = [{"id": "u", "email": JANE, "role": "member"}, {"id": "v", "email": SAM, "role": "owner"}]
    for day in (date(2026, 10, 30), date(2026, 11, 6)):
        add_records(warehouse, "raw_cursor_members", day, *members)
        add_records(
            warehouse, "raw_cursor_spend", day,
            {"subscriptionCycleStart": 1793664000000, "teamMemberSpend": [{"email": JANE, "billingTier": str(day)}]},
        )  # fmt: skip
    tables = ("int_cursor_usage_daily", "int_cursor_seat_daily")

    def all_rows() -> list[dict[str, Any]]:
        return [
            row
            for table in tables
            for row in warehouse.rows(f"SELECT * FROM ai_usage.{table} ORDER BY usage_date, fact_no")
        ]

    for table in tables:
        rebuild(warehouse, table, FIRST, LAST)
    expected = all_rows()
    assert {row.get("billing_tier") for row in expected} == {None, "2026-10-30", "2026-11-06"}
    assert {row["user_email"] for row in expected} == {None, JANE, SAM}
    for day in reversed(days):
        for table in tables:
            rebuild(warehouse, table, day, day)
    assert all_rows() == expected


def test_a_corrected_seat_price_applies_to_history(warehouse: DuckDBWarehouse) -> None:
    """Earlier days need no rebuild."""
    day = date(2026, 10, 30)
    add_records(warehouse, "raw_cursor_members", day, {"id": "u", "email": JANE, "role": "member"})
    rebuild(warehouse, "int_cursor_seat_daily", day, day)

    def set_price(usd: str, hour: int) -> None:
        version = {"snapshot_date": TODAY, "tab": "seat_prices", "snapshot_id": usd, "row_no": 2}
        payload = {"vendor": "cursor", "plan": "Teams", "monthly_price_usd": usd}
        warehouse.append(
            catalog.table("raw_mapping_sheet"),
            [{**version, "read_at": datetime(2026, 11, 11, hour, tzinfo=UTC),
              "payload": msgspec.json.encode(payload).decode()}],
        )  # fmt: skip

    def seat_amounts() -> list[str]:
        return [str(row["amount_usd"]) for row in warehouse.rows("SELECT amount_usd FROM ai_usage.fct_seat_daily")]

    assert seat_amounts() == ["None"]
    set_price("31", 1)
    assert seat_amounts() == ["1.000000000"]
    set_price("62", 2)
    assert seat_amounts() == ["2.000000000"]


@pytest.mark.parametrize("total", ["1e15", '"abc"', "{}", "1e90", "-1e15", "123456789012345678901234567890"])
def test_invalid_charge_details_leave_the_charge(warehouse: DuckDBWarehouse, total: str) -> None:
    """When an event has a charge, an invalid total, discount or fee makes only the model price NULL."""
    payload = (
        f'{{"timestamp":"1794300000000","userEmail":"{JANE}","chargedCents":5,"cursorTokenFee":{total},'
        f'"tokenUsage":{{"totalCents":{total},"discountPercentOff":{total}}}}}'
    )
    warehouse.append(
        catalog.table("raw_cursor_usage_events"),
        [{"usage_date": LAST, "record_no": 1, "fetched_at": datetime(2026, 11, 11, tzinfo=UTC), "payload": payload}],
    )
    rows = warehouse.rows("SELECT amount_usd, model_usd FROM ai_usage.stg_cursor_usage_events")
    assert rows == [{"amount_usd": Decimal("0.05"), "model_usd": None}]


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
def test_billing_kinds_have_a_cost_basis(
    warehouse: DuckDBWarehouse, kind: str | None, basis: str, kind_class: str
) -> None:
    """On-demand, own-key and unknown kinds are billed; included, free and failed usage is included."""
    add_records(warehouse, "raw_cursor_usage_events", LAST, event(LAST, "c", JANE, kind=kind))
    rows = warehouse.rows("SELECT cost_basis, kind_class FROM ai_usage.stg_cursor_usage_events")
    assert rows == [{"cost_basis": basis, "kind_class": kind_class}]


def test_a_member_who_was_removed_and_added_again_has_one_seat(warehouse: DuckDBWarehouse) -> None:
    """The member is in the list twice, and has one paid seat on days before the first snapshot."""
    members = [
        {"id": "old", "email": JANE, "role": "member", "isRemoved": True},
        {"id": "new", "email": JANE, "role": "member", "isRemoved": False},
    ]
    add_records(warehouse, "raw_cursor_members", LAST, *members)
    add_records(warehouse, "raw_cursor_daily_usage", FIRST, {"userId": "new", "day": str(FIRST), "email": JANE})
    rebuild(warehouse, "int_cursor_seat_daily", FIRST, FIRST)
    (row,) = warehouse.rows("SELECT user_id, is_paid FROM ai_usage.int_cursor_seat_daily")
    assert row == {"user_id": "new", "is_paid": True}


@pytest.mark.parametrize(
    ("day", "anthropic", "cursor"),
    [
        (date(2026, 10, 1), date(2026, 11, 8), date(2026, 11, 5)),
        (date(2026, 10, 9), date(2026, 11, 8), date(2026, 11, 13)),
        (date(2026, 10, 10), date(2026, 11, 9), date(2026, 11, 14)),
        (date(2026, 2, 1), date(2026, 3, 8), date(2026, 3, 8)),
    ],
)
def test_settlement_days(warehouse: DuckDBWarehouse, day: date, anthropic: date, cursor: date) -> None:
    """Anthropic's day is final at the later of 30 days after it and the 8th of the next month, Cursor's at 35."""
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": date(2026, 1, 1), "today": TODAY})
    rows = warehouse.rows(
        "SELECT vendor, settles_on FROM ai_usage.int_settlement_daily "
        "WHERE usage_date = @day AND vendor IN ('anthropic', 'cursor')",
        {"day": day},
    )
    assert {row["vendor"]: row["settles_on"] for row in rows} == {"anthropic": anthropic, "cursor": cursor}
