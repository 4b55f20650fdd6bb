"""ops_freshness and completeness from the day log."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.warehouse_rows import create_warehouse, day_log_row, days, fill, rows

FIRST, TODAY = date(2026, 10, 1), date(2026, 11, 11)
CURSOR = {"asset": "raw_cursor_usage_events", "vendor": "cursor"}


def test_a_gap_bounds_the_complete_and_the_final_days(tmp_path: Path) -> None:
    """A vendor is complete up to the day before its first gap, and final up to the first day that can still change."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    through = TODAY - timedelta(days=1)
    final = {"completed_at": day_log_row(TODAY)["completed_at"]}
    # Anthropic is complete and its first days are final; the 5th failed for Cursor and was never loaded.
    fill(warehouse, "ops_asset_days", [day_log_row(day, **final) for day in days(FIRST, through)])
    failed_entry = {"status": "failed", "completed_at": None}
    for day in days(FIRST, through):
        fill(warehouse, "ops_asset_days", [day_log_row(day, **CURSOR, **(failed_entry if day.day == 5 else final))])
    actual = rows(
        warehouse,
        "SELECT vendor, as_of_date, through_date, complete_through_date, missing_days, provisional_from_date "
        "FROM ai_usage.ops_freshness ORDER BY vendor",
    )
    warehouse.close()
    assert actual == [
        # The 8th of the next month, or 30 days later.
        ("anthropic", TODAY, through, through, 0, date(2026, 10, 14)),
        ("cursor", TODAY, through, date(2026, 10, 4), 2, date(2026, 10, 5)),
    ]


def test_without_the_first_day_there_is_no_complete_through_date(tmp_path: Path) -> None:
    """Without a day before the gap, complete_through_date is NULL; without a day log there is no row."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    assert rows(warehouse, "SELECT * FROM ai_usage.ops_freshness") == []
    warehouse.append(
        OPS_ASSET_DAYS, [day_log_row(FIRST, status="failed", completed_at=None), day_log_row(date(2026, 10, 2))]
    )
    (actual,) = rows(warehouse, "SELECT complete_through_date, missing_days, last_read_at FROM ai_usage.ops_freshness")
    warehouse.close()
    assert actual == (None, len(days(FIRST, TODAY)) - 2, day_log_row(date(2026, 10, 2))["completed_at"])


def test_a_vendor_that_is_not_in_use_has_no_missing_days(tmp_path: Path) -> None:
    """Without a key there is no row; a vendor whose every extract failed has missing days."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    through = TODAY - timedelta(days=1)
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in days(FIRST, through)])
    absent_entry = {**CURSOR, "completed_at": None}
    warehouse.append(
        OPS_ASSET_DAYS, [day_log_row(day, **absent_entry, status="not_configured") for day in days(FIRST, through)]
    )
    query = (
        "SELECT month.vendor, month.missing_days, freshness.missing_days AS all_missing_days, month.has_loaded_days, "
        "month.is_comparable FROM ai_usage.int_month_completeness AS month "
        "LEFT JOIN ai_usage.ops_freshness AS freshness ON freshness.vendor = month.vendor "
        "WHERE month.month = DATE '2026-11-01' ORDER BY month.vendor"
    )
    assert rows(warehouse, query) == [("anthropic", 0, 0, True, True)]
    failed = [day_log_row(day, **absent_entry, status="failed") for day in days(FIRST, through)]
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), failed)
    assert rows(warehouse, query)[1] == ("cursor", 10, 41, False, False)
    warehouse.close()


def test_a_removed_key_leaves_missing_days_until_the_end_of_the_next_month(tmp_path: Path) -> None:
    """After that the vendor is no longer in use, and its earlier months do not change."""
    today = date(2027, 1, 11)
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, today)
    through, last = today - timedelta(days=1), date(2026, 10, 20)
    fill(warehouse, "ops_asset_days", [day_log_row(day, **CURSOR) for day in days(FIRST, last)])
    since = {**CURSOR, "completed_at": None, "status": "not_configured"}
    fill(warehouse, "ops_asset_days", [day_log_row(day, **since) for day in days(last + timedelta(days=1), through)])
    month = "SELECT month, missing_days, has_loaded_days FROM ai_usage.int_month_completeness ORDER BY month"
    october, november, december = (date(2026, number, 1) for number in (10, 11, 12))
    assert rows(warehouse, month) == [(october, 11, True), (november, 30, False)]
    fresh = "SELECT through_date, complete_through_date, missing_days FROM ai_usage.ops_freshness"
    assert rows(warehouse, fresh) == [(date(2026, 11, 30), last, 41)]
    # With a key again, the days in between are missing.
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [day_log_row(through, **CURSOR)])
    assert rows(warehouse, month)[2:] == [(december, 31, False), (date(2027, 1, 1), 9, True)]
    warehouse.close()


def test_data_that_is_not_exposed_is_missing_only_for_the_bill(tmp_path: Path) -> None:
    """A bill that is not exposed is missing; another table is not, nor is a day that is not over."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    absent_entry = {"completed_at": None, "status": "not_exposed"}
    for asset in ("raw_anthropic_cost", "raw_anthropic_claude_code"):
        fill(warehouse, "ops_asset_days", [day_log_row(day, asset=asset, **absent_entry) for day in (FIRST, TODAY)])
    query = (
        "SELECT asset, usage_date FROM ai_usage.kpi_completeness "
        "WHERE is_missing AND status = 'not_exposed' ORDER BY asset, usage_date"
    )
    assert rows(warehouse, query) == [("raw_anthropic_cost", FIRST)]
    warehouse.close()
