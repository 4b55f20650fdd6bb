"""Facts follow from what was landed alone: not from the range they were built in, nor from when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ai_usage_assets import catalogue
from ai_usage_assets.warehouses.duckdb import DuckDBWarehouse

FIRST, LAST, TODAY = date(2026, 9, 1), date(2026, 11, 10), date(2026, 11, 11)
JANE, SAM = "jane@example.com", "sam@example.com"


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """An empty warehouse."""
    made = DuckDBWarehouse(tmp_path / "w.duckdb")
    made.prepare(catalogue.tables())
    yield made
    made.release()


def put(warehouse: DuckDBWarehouse, table: str, day: date, *records: dict[str, Any]) -> None:
    """Records of one day, as landed."""
    found = catalogue.table(table)
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
    warehouse.rebuild(catalogue.table(table), days)


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
    found = warehouse.rows("SELECT usage_date, user_email FROM ai_usage.fct_cursor_usage_daily")
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
    build(warehouse, "fct_cursor_usage_daily", day, day)
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
    tables = ("fct_cursor_usage_daily", "fct_cursor_seat_daily")

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
    build(warehouse, "fct_cursor_seat_daily", day, day)

    def price(usd: str, hour: int) -> None:
        version = {"snapshot_date": TODAY, "tab": "seat_prices", "snapshot_id": usd, "row_no": 2}
        payload = {"vendor": "cursor", "plan": "Teams", "monthly_price_usd": usd}
        warehouse.append(
            catalogue.table("raw_mapping_sheet"),
            [{**version, "read_at": datetime(2026, 11, 11, hour, tzinfo=UTC),
              "payload": msgspec.json.encode(payload).decode()}],
        )  # fmt: skip

    def paid() -> list[str]:
        return [str(row["amount_usd"]) for row in warehouse.rows("SELECT amount_usd FROM ai_usage.dim_seat_day")]

    assert paid() == ["None"]
    price("31", 1)
    assert paid() == ["1.000000000"]
    price("62", 2)
    assert paid() == ["2.000000000"]
