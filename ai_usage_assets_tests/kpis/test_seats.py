"""Seats on a small company: cost, use, reclaim list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ai_usage_assets import catalog
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    copy_warehouse,
    create_warehouse,
    cursor_activity,
    cursor_usage,
    day_log_row,
    days,
    execute_sql,
    fill,
    key_mapping,
    rows,
    seat,
    seat_price,
)

FIRST, TODAY = date(2026, 10, 1), date(2026, 12, 6)
NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)
LAST = date(2026, 12, 5)
ANA, BEN, CY, DEE, EVE, FAY = (f"{name}@example.com" for name in ("ana", "ben", "cy", "dee", "eve", "fay"))


def activity_entry(day: date) -> dict[str, Any]:
    """A complete day of Cursor's daily usage."""
    return day_log_row(day, asset="raw_cursor_daily_usage", vendor="cursor")


def events_entry(day: date) -> dict[str, Any]:
    """A complete day of Cursor's usage events."""
    return day_log_row(day, asset="raw_cursor_usage_events", vendor="cursor")


def spend_snapshot(day: date, *members: dict[str, Any]) -> dict[str, Any]:
    """A spend snapshot with each member's limit and spend."""
    page = {"subscriptionCycleStart": 1793664000000, "teamMemberSpend": list(members)}
    return {
        "snapshot_date": day, "record_no": 1, "payload": msgspec.json.encode(page).decode(),
        "fetched_at": datetime(2026, 12, 1, tzinfo=UTC),
    }  # fmt: skip


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """October, November and five days of December; a seat costs 30 dollars per month, one per day in November.

    Ana works, Ben stopped on 10 October, Cy got a seat on 21 November and never used it, Dee is a free owner, Eve's
    seat ended on 10 November, and Fay is only seen in events.
    """
    path = tmp_path_factory.mktemp("seats") / "w.duckdb"
    warehouse = create_warehouse(path, FIRST, TODAY)
    every = days(FIRST, LAST)
    end, start = date(2026, 11, 10), date(2026, 11, 21)
    fill(warehouse, "int_cursor_seat_daily", [
        *(seat(day, email, source="daily_usage" if day < date(2026, 10, 15) else "snapshot")
          for day in every for email in (ANA, BEN, FAY)),
        *(seat(day, DEE, role="free-owner", is_paid=False) for day in every),
        *(seat(day, CY) for day in every if day >= start),
        # The members list keeps removed members.
        *(seat(day, EVE, is_paid=day <= end) for day in every),
    ])  # fmt: skip
    fill(warehouse, "int_cursor_activity_daily", [
        *(cursor_activity(day, ANA) for day in every),
        *(cursor_activity(day, BEN, is_active=day == date(2026, 10, 10)) for day in every),
        # A row without an e-mail belongs to the member with that id.
        cursor_activity(date(2026, 10, 20), None, user_id=f"user_{EVE}"),
    ])  # fmt: skip
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-03", ANA, "45", basis="included"),
        cursor_usage("2026-11-04", ANA, "12.5"),
        cursor_usage("2026-11-05", ANA, "99", service_account_id="sa"),
        # The cost of an automation belongs to Ben, its activity does not.
        cursor_usage("2026-11-06", BEN, "3", automation_id="auto"),
        cursor_usage("2026-10-31", FAY, "0.5", basis="included"),
        cursor_usage("2026-12-03", FAY, "0.5", basis="included"),
    ])  # fmt: skip
    fill(warehouse, "raw_cursor_spend", [
        spend_snapshot(date(2026, 11, 15), {"email": ANA, "spendCents": 4900, "effectivePerUserLimitDollars": 50}),
        spend_snapshot(
            date(2026, 11, 29),
            {"email": ANA, "spendCents": 4500, "effectivePerUserLimitDollars": 50, "monthlyLimitDollars": 70},
            {"email": BEN, "spendCents": 10000, "monthlyLimitDollars": 200, "effectivePerUserLimitDollars": None},
            {"email": CY, "spendCents": 10000, "hardLimitOverrideDollars": 0},
            {"email": EVE, "spendCents": 6400, "hardLimitOverrideDollars": 80, "effectivePerUserLimitDollars": "oops"},
            {"email": FAY, "spendCents": 1, "effectivePerUserLimitDollars": 0},
        ),
    ])  # fmt: skip
    warehouse.rebuild(catalog.table("int_cursor_limit_monthly"), {"first_day": FIRST, "today": TODAY})
    fill(warehouse, "raw_mapping_sheet", [seat_price("30")])
    fill(warehouse, "dim_person", [
        {"person_email": ANA, "name": "Ana", "team": "Old", "cost_center": "CC-0", **OPEN, "effective_to": start},
        {"person_email": ANA, "name": "Ana", "team": "New", "cost_center": "CC-1", **OPEN, "effective_from": start},
    ])  # fmt: skip
    fill(warehouse, "int_key_mapping", [{**key_mapping("cursor", "user", BEN, "Tools", "CC-2"), "person_email": ANA}])
    fill(warehouse, "ops_asset_days", [make(day) for day in every for make in (activity_entry, events_entry)])
    warehouse.close()
    return path


@pytest.fixture
def warehouse(company: Path, tmp_path: Path) -> Iterator[RebuildingWarehouse]:
    """A copy of the company."""
    with copy_warehouse(company, tmp_path) as warehouse:
        yield warehouse


def seats(warehouse: RebuildingWarehouse, columns: str, month: date = NOVEMBER) -> list[tuple[Any, ...]]:
    """Columns of every seat of a month, ordered by the local part of the e-mail."""
    return [
        (email.partition("@")[0], *row)
        for email, *row in rows(
            warehouse,
            f"SELECT user_email, {columns} FROM ai_usage.kpi_seat_utilization WHERE month = DATE '{month}' "
            "ORDER BY user_email",
        )
    ]


def test_seat_status(warehouse: RebuildingWarehouse) -> None:
    """Active, idle and never used seats; active days, the last one, and the windows of 7 and 30 days."""
    columns = "status, active_days, last_active_date, is_active_7d, is_active_30d"
    ben, eve, fay = date(2026, 10, 10), date(2026, 10, 20), date(2026, 10, 31)
    assert seats(warehouse, columns) == [
        ("ana", "active", 30, date(2026, 11, 30), True, True),
        # The automation with Ben's e-mail does not make him active.
        ("ben", "idle", 0, ben, False, False),
        ("cy", "never_used", 0, None, False, False),
        ("dee", "never_used", 0, None, False, False),
        ("eve", "idle", 0, eve, False, False),
        ("fay", "idle", 0, fay, False, False),
    ]
    # On 5 December the 30 days begin on 6 November, and Fay's event of the third makes her active.
    assert seats(warehouse, columns, DECEMBER) == [
        ("ana", "active", 5, LAST, True, True),
        ("ben", "idle", 0, ben, False, False),
        ("cy", "never_used", 0, None, False, False),
        ("dee", "never_used", 0, None, False, False),
        ("fay", "active", 1, date(2026, 12, 3), True, True),
    ]


def test_the_current_month_uses_the_last_thirty_days(warehouse: RebuildingWarehouse) -> None:
    """Activity 30 days ago makes a seat active at the beginning of a month; activity 31 days ago does not."""
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-06", CY, "0", model="m2"), cursor_usage("2026-11-05", BEN, "0", model="m2"),
    ])  # fmt: skip
    actual = {name: row for name, *row in seats(warehouse, "status, active_days, is_active_30d", DECEMBER)}
    assert actual["cy"] == ["active", 0, True]
    assert actual["ben"] == ["idle", 0, False]


def test_seat_fees_and_idle_fees(warehouse: RebuildingWarehouse) -> None:
    """A day of November costs a dollar; the fee of an unused seat is idle; a free owner has no fee."""
    assert seats(warehouse, "seat_days, seat_usd, idle_usd, is_paid, is_reclaimable, last_seat_date") == [
        ("ana", 30, Decimal(30), Decimal(0), True, False, date(2026, 11, 30)),
        ("ben", 30, Decimal(30), Decimal(30), True, True, date(2026, 11, 30)),
        # Ten days only: too early to reclaim.
        ("cy", 10, Decimal(10), Decimal(10), True, False, date(2026, 11, 30)),
        ("dee", 30, None, None, False, False, date(2026, 11, 30)),
        ("eve", 10, Decimal(10), Decimal(10), True, False, date(2026, 11, 10)),
        ("fay", 30, Decimal(30), Decimal(30), True, True, date(2026, 11, 30)),
    ]


def test_a_missing_day_of_activity_prevents_reclaiming(warehouse: RebuildingWarehouse) -> None:
    """When one of the 30 days is not loaded, the reclaim list is empty, and unknown_days_30d is 1."""
    execute_sql(
        warehouse,
        "DELETE FROM ops_asset_days WHERE asset = 'raw_cursor_daily_usage' AND usage_date = DATE '2026-11-17'",
    )
    actual = {name: row for name, *row in seats(warehouse, "status, is_reclaimable, unknown_days_30d")}
    assert actual["ben"] == ["idle", False, 1]


def test_without_daily_usage_the_status_is_unknown(warehouse: RebuildingWarehouse) -> None:
    """Without loaded daily usage no seat is idle; an event still makes a seat active."""
    execute_sql(warehouse, "DELETE FROM ops_asset_days WHERE asset = 'raw_cursor_daily_usage'")
    execute_sql(warehouse, "DELETE FROM int_cursor_activity_daily")
    actual = seats(warehouse, "status, active_days, is_active_30d, idle_usd, is_reclaimable, unknown_days_30d")
    assert {row[0]: row[1:] for row in actual if row[0] in ("ana", "ben")} == {
        "ana": ("active", 2, True, Decimal(0), False, 30),
        "ben": ("unknown", None, None, None, False, 30),
    }
    (summary,) = rows(warehouse, "SELECT active_seats, unknown_seats, utilization_ratio, idle_usd "
                                 "FROM ai_usage.kpi_seat_summary WHERE month = DATE '2026-11-01'")  # fmt: skip
    assert summary == (1, 4, Decimal(1), Decimal(0))


def test_leverage_and_overage(warehouse: RebuildingWarehouse) -> None:
    """Included usage divided by the fee, and billed usage; cost of a service account does not count."""
    actual = seats(warehouse, "included_usage_usd, leverage_ratio, overage_usd")
    assert actual[:2] == [
        ("ana", Decimal(45), Decimal("1.5"), Decimal("12.5")),
        ("ben", Decimal(0), Decimal(0), Decimal(3)),
    ]
    execute_sql(warehouse, "DELETE FROM ops_asset_days WHERE asset = 'raw_cursor_usage_events'")
    assert seats(warehouse, "included_usage_usd, leverage_ratio, overage_usd")[1] == ("ben", None, None, Decimal(3))


def test_spend_limits(warehouse: RebuildingWarehouse) -> None:
    """Limits of the last snapshot: the effective limit, else the member's own, else an override, else NULL."""
    newest = date(2026, 11, 29)
    assert seats(warehouse, "limit_usd, limit_spent_usd, limit_used_ratio, is_near_limit, limit_as_of_date") == [
        ("ana", Decimal(50), Decimal(45), Decimal("0.9"), True, newest),
        ("ben", Decimal(200), Decimal(100), Decimal("0.5"), False, newest),
        ("cy", None, None, None, None, None),
        ("dee", None, None, None, None, None),
        ("eve", Decimal(80), Decimal(64), Decimal("0.8"), True, newest),
        # A limit of zero has no ratio.
        ("fay", Decimal(0), Decimal("0.01"), None, None, newest),
    ]


def test_without_a_known_limit_the_count_is_null(warehouse: RebuildingWarehouse) -> None:
    """A month without a spend snapshot has no count of members near their limit."""
    actual = rows(warehouse, "SELECT month, near_limit_seats FROM ai_usage.kpi_seat_summary ORDER BY month")
    assert actual == [(FIRST, None), (NOVEMBER, 2), (DECEMBER, None)]


def test_the_person_team_and_cost_center_of_a_seat(warehouse: RebuildingWarehouse) -> None:
    """Team and cost center are those of the last day; the sheet can name another person."""
    assert seats(warehouse, "person_email, name, team, cost_center")[:3] == [
        ("ana", ANA, "Ana", "New", "CC-1"),
        ("ben", ANA, "Ana", "Tools", "CC-2"),
        ("cy", CY, None, None, None),
    ]


def test_days_before_the_first_snapshot_are_counted(warehouse: RebuildingWarehouse) -> None:
    """Days inferred from daily usage are counted separately."""
    actual = seats(warehouse, "seat_days, inferred_days, first_seat_date", date(2026, 10, 1))
    assert actual[0] == ("ana", 31, 14, FIRST)
    assert seats(warehouse, "inferred_days, first_seat_date")[2] == ("cy", 0, date(2026, 11, 21))


def test_an_unknown_price_is_not_zero(warehouse: RebuildingWarehouse) -> None:
    """Without a price, the fees and the leverage are NULL, and the days are counted."""
    execute_sql(warehouse, "DELETE FROM raw_mapping_sheet")
    actual = seats(warehouse, "seat_usd, unpriced_days, idle_usd, leverage_ratio, monthly_price_usd")
    assert actual[0] == ("ana", None, 30, None, None, None)
    assert actual[1] == ("ben", None, 30, None, None, None)
    (summary,) = rows(warehouse, "SELECT seat_usd, idle_usd, idle_ratio, reclaimable_seats, reclaimable_usd "
                                 "FROM ai_usage.kpi_seat_summary WHERE month = DATE '2026-11-01'")  # fmt: skip
    assert summary == (None, None, None, 2, None)


def test_seat_summary(warehouse: RebuildingWarehouse) -> None:
    """Five paid seats, one active: 30 + 30 + 10 + 10 + 30 = 110 dollars, all but Ana's idle, two reclaimable."""
    (actual,) = rows(
        warehouse,
        "SELECT paid_seats, open_seats, active_seats, idle_seats, never_used_seats, unknown_seats, utilization_ratio, "
        "seat_usd, idle_usd, idle_ratio, reclaimable_seats, reclaimable_usd, included_usage_usd, leverage_ratio, "
        "overage_usd, near_limit_seats, inferred_days, is_provisional, as_of_date FROM ai_usage.kpi_seat_summary "
        "WHERE month = DATE '2026-11-01'",
    )
    assert actual == (
        5, 4, 1, 3, 1, 0, Decimal("0.2"),
        Decimal(110), Decimal(80), Decimal("0.727273"), 2, Decimal(60), Decimal(45), Decimal("0.409091"),
        Decimal("15.5"), 2, 0, True, TODAY,
    )  # fmt: skip


def test_fees_add_up_to_the_spend(warehouse: RebuildingWarehouse) -> None:
    """The fees of all seats equal the seat fees of the month, to the last digit."""
    by_seat = rows(warehouse, "SELECT month, SUM(seat_usd) FROM ai_usage.kpi_seat_utilization GROUP BY month")
    spent = rows(warehouse, "SELECT month, SUM(seat_usd) FROM ai_usage.kpi_spend_monthly GROUP BY month")
    assert sorted(by_seat) == sorted(spent)
    assert len(spent) == 3


def test_the_first_day(tmp_path: Path) -> None:
    """On the first day a seat without activity is never_used and not reclaimable."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, date(2026, 10, 2))
    fill(warehouse, "int_cursor_seat_daily", [seat(FIRST, ANA), seat(FIRST, BEN)])
    fill(
        warehouse,
        "int_cursor_activity_daily",
        [cursor_activity(FIRST, ANA), cursor_activity(FIRST, BEN, is_active=False)],
    )
    fill(warehouse, "ops_asset_days", [activity_entry(FIRST)])
    actual = seats(warehouse, "status, seat_days, is_reclaimable, unknown_days_30d, through_date", FIRST)
    assert actual == [("ana", "active", 1, False, 29, FIRST), ("ben", "never_used", 1, False, 29, FIRST)]
    warehouse.close()


def test_without_seats_there_are_no_rows(tmp_path: Path) -> None:
    """A company with Anthropic only has no seats."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-11-03", "5", key="k")])
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in days(FIRST, LAST)])
    for view in ("kpi_seat_utilization", "kpi_seat_summary"):
        assert rows(warehouse, f"SELECT month FROM ai_usage.{view}") == []
    warehouse.close()
