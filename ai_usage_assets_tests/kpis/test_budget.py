"""kpi_budget_vs_actual on a small company, with the sheet as it is typed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.warehouse_rows import (
    charge,
    create_warehouse,
    day_log_row,
    fill,
    key_mapping,
    load_tab,
    rows,
)

TODAY = date(2026, 11, 11)
CENTERS = ("CC-1", "CC-2", "CC-3", "CC-4", "CC-5", "CC-6", "CC-0")
OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """October and the first ten days of November, seven of them business days, as of 11 November."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", OCTOBER, TODAY)
    charges = [charge("2026-10-05", "111", key="CC-1"), charge("2026-11-03", "100", key="CC-1")]
    charges += [charge("2026-11-10", "20", key=center) for center in CENTERS]
    charges += [charge("2026-11-09", "3", key="nobody")]
    fill(warehouse, "int_anthropic_cost_daily", charges)
    fill(
        warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", c, "T", c, n) for n, c in enumerate(CENTERS)]
    )
    fill(warehouse, "ops_asset_days", [day_log_row(OCTOBER + timedelta(n)) for n in range(41)])
    yield warehouse
    warehouse.close()


def test_budget_against_spend(warehouse: DuckDBWarehouse) -> None:
    """The used ratio and the pace by elapsed business days."""
    load_tab(
        warehouse, TODAY, "budgets", ("2026-10", "CC-1", 100), ("2026-11", "CC-1", "300.00"), ("2026-11", "CC-0", 0)
    )
    actual = rows(
        warehouse,
        "SELECT month, cost_center, budget_status, budget_usd, spend_usd, variance_usd, used_ratio, business_days, "
        "elapsed_business_days, pace_ratio, through_date, missing_days FROM ai_usage.kpi_budget_vs_actual "
        "WHERE cost_center IN ('CC-1', 'CC-0') ORDER BY month, cost_center DESC",
    )
    # 120 of 300 dollars in 7 of 21 business days: 120 / (300 / 3) = 1.2.
    through, over = date(2026, 11, 10), date(2026, 10, 31)
    assert actual == [
        (OCTOBER, "CC-1", "budgeted", 100, 111, 11, Decimal("1.11"), 22, 22, Decimal("1.11"), over, 0),
        (NOVEMBER, "CC-1", "budgeted", 300, 120, -180, Decimal("0.4"), 21, 7, Decimal("1.2"), through, 0),
        (NOVEMBER, "CC-0", "budgeted", 0, 20, 20, None, 21, 7, None, through, 0),
    ]


@pytest.mark.parametrize("variance", ["0.01", "0", "-0.01", "0.000000001"])
def test_the_variance_is_exact(warehouse: DuckDBWarehouse, variance: str) -> None:
    """A cent over, under or none is the variance, to the last digit of a budget."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", str(120 - Decimal(variance))))
    actual = "SELECT variance_usd FROM ai_usage.kpi_budget_vs_actual WHERE budget_usd IS NOT NULL"
    assert rows(warehouse, actual) == [(Decimal(variance),)]


def test_unusable_budgets_have_a_status_of_their_own(warehouse: DuckDBWarehouse) -> None:
    """Missing, duplicate, negative and unreadable budgets have their own status; an exact duplicate has no effect."""
    load_tab(
        warehouse, TODAY, "budgets",
        ("2026-11", "CC-3", 100), ("2026-11", "CC-3", 200), ("2026-11", "CC-4", -5), ("2026-11", "CC-5", "1,000"),
        ("2026-11", "CC-6", 50), ("2026-11", "CC-6", 50), ("2026-11", "CC-7", 70), ("2026-12", "CC-1", 90),
        ("2026-11", "CC-8", -1), ("2026-11", "CC-8", -2), ("soon", "CC-1", 1), ("2026-11", "", 2),
        ("2026-11", "CC-9", 5, "sk-ant-api03-" + "a1B2" * 12), ("2026-11", "CC-9", -5),
    )  # fmt: skip
    actual = rows(
        warehouse,
        "SELECT month, cost_center, budget_status, budget_note, budget_usd, spend_usd, variance_usd "
        "FROM ai_usage.kpi_budget_vs_actual WHERE month > DATE '2026-10-01' ORDER BY month, cost_center NULLS LAST",
    )
    twice = "row 2: has the same key as row 3; keep one"
    number = "row 5: budget_usd is not an amount; write 1234.50, without separators or a currency sign"
    secret = "row 14: a cell looks like a secret: remove it from the sheet, revoke the key, and enter the key's id "
    secret += "instead"
    assert actual == [
        (NOVEMBER, "CC-0", "missing", None, None, 20, None),
        (NOVEMBER, "CC-1", "missing", None, None, 120, None),
        (NOVEMBER, "CC-2", "missing", None, None, 20, None),
        (NOVEMBER, "CC-3", "duplicate", twice, None, 20, None),
        (NOVEMBER, "CC-4", "negative", "row 4: budget_usd must not be negative", None, 20, None),
        (NOVEMBER, "CC-5", "rejected", number, None, 20, None),
        (NOVEMBER, "CC-6", "budgeted", "row 7: exact duplicate of row 6; remove one of them", 50, 20, -30),
        (NOVEMBER, "CC-7", "unspent", None, 70, None, -70),
        (NOVEMBER, "CC-8", "negative", "row 10: budget_usd must not be negative", None, None, None),
        (NOVEMBER, "CC-9", "rejected", secret, None, None, None),
        (NOVEMBER, None, "unallocated", None, None, 3, None),
        # A future month has no variance.
        (DECEMBER, "CC-1", "unspent", None, 90, None, None),
    ]
    # A row without a month belongs to no budget.
    assert rows(warehouse, "SELECT 1 FROM ai_usage.kpi_budget_vs_actual WHERE month IS NULL") == []
    rejected = rows(warehouse, "SELECT row_no, month, problem FROM ai_usage.stg_budget_rejects ORDER BY row_no")
    assert rejected == [
        (2, NOVEMBER, "duplicate"), (3, NOVEMBER, "duplicate"), (4, NOVEMBER, "negative"),
        (5, NOVEMBER, "unreadable"), (7, NOVEMBER, "duplicate"), (10, NOVEMBER, "negative"),
        (11, NOVEMBER, "negative"), (12, None, "unreadable"), (13, NOVEMBER, "unreadable"),
        (14, NOVEMBER, "other"), (15, NOVEMBER, "negative"),
    ]  # fmt: skip


def test_billed_and_seat_are_separate_and_included_usage_is_left_out(warehouse: DuckDBWarehouse) -> None:
    """Spend is billed plus seat; usage that a seat covers is not part of it."""
    identity = {"usage_date": date(2026, 11, 4), "identity_key": "jane", "user_email": "jane@example.com"}
    usage = {**identity, "model": "m", "principal_type": "user", "principal_id": "jane@example.com", "requests": 1}
    fill(
        warehouse,
        "int_cursor_usage_daily",
        [
            {**usage, "cost_basis": basis, "amount_usd": Decimal(usd)}
            for basis, usd in (("billed", 5), ("included", 99))
        ],
    )
    fill(warehouse, "int_cursor_seat_daily", [{**identity, "user_id": "jane", "source": "snapshot", "is_paid": True}])
    price = '{"vendor":"cursor","plan":"Teams","monthly_price_usd":"60"}'
    sheet = {"snapshot_date": TODAY, "tab": "seat_prices", "snapshot_id": "x", "read_at": datetime.now(UTC)}
    fill(warehouse, "raw_mapping_sheet", [{**sheet, "row_no": 2, "payload": price}])
    actual = "SELECT spend_usd, billed_usd, seat_usd FROM ai_usage.kpi_budget_vs_actual WHERE cost_center IS NULL"
    assert rows(warehouse, actual) == [(10, 8, 2)]
    assert rows(warehouse, actual.replace("IS NULL", "= 'CC-2'")) == [(20, 20, None)]


def test_only_the_current_month_has_a_projection(warehouse: DuckDBWarehouse) -> None:
    """The projection of a cost center is the sum of its forecast; a past month has none."""
    load_tab(warehouse, TODAY, "budgets", ("2026-10", "CC-1", 100), ("2026-11", "CC-1", 130))
    projected = "SELECT cost_center, projected_usd FROM ai_usage.kpi_budget_vs_actual WHERE projected_usd IS NOT NULL"
    expected = "SELECT cost_center, SUM(forecast_usd) FROM ai_usage.kpi_forecast GROUP BY cost_center"
    assert sorted(rows(warehouse, projected), key=str) == sorted(rows(warehouse, expected), key=str)
    actual = rows(
        warehouse,
        "SELECT projected_usd > 130, projected_usd - 130 = projected_variance_usd FROM ai_usage.kpi_budget_vs_actual "
        "WHERE cost_center = 'CC-1' ORDER BY month",
    )
    assert actual == [(None, None), (True, True)]


def test_projections_add_up_on_the_first_day_of_a_month(tmp_path: Path) -> None:
    """Every cost center with expected spend has a row, with or without a budget."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", OCTOBER, NOVEMBER)
    october = [OCTOBER + timedelta(n) for n in range(31)]
    charges = [
        charge(str(day), usd, key=key) for day in october for key, usd in (("CC-1", "5"), ("CC-2", "3"), ("x", "2"))
    ]
    fill(warehouse, "int_anthropic_cost_daily", charges)
    fill(
        warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", c, "T", c, n) for n, c in enumerate(CENTERS)]
    )
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in october])
    load_tab(warehouse, NOVEMBER, "budgets", ("2026-11", "CC-1", 100))
    actual = rows(
        warehouse,
        "SELECT cost_center, budget_status, spend_usd, projected_usd FROM ai_usage.kpi_budget_vs_actual "
        "WHERE month = DATE '2026-11-01' ORDER BY cost_center NULLS LAST",
    )
    assert actual == [
        ("CC-1", "unspent", None, 150),
        ("CC-2", "missing", None, 90),
        (None, "unallocated", None, 60),
    ]
    assert rows(warehouse, "SELECT forecast_usd FROM ai_usage.kpi_forecast_total") == [(300,)]
    warehouse.close()


def test_missing_days_are_counted_and_do_not_elapse(warehouse: DuckDBWarehouse) -> None:
    """The pace uses complete days; a vendor that was never requested has no missing days, one that failed has."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-2", 70))
    query = "SELECT elapsed_business_days, through_date, missing_days, pace_ratio FROM ai_usage.kpi_budget_vs_actual "
    query += "WHERE month = DATE '2026-11-01' AND cost_center = 'CC-2'"
    cursor = {"vendor": "cursor", "asset": "raw_cursor_usage_events", "completed_at": None}
    none = [day_log_row(NOVEMBER + timedelta(n), **cursor, status="not_configured") for n in range(10)]
    late = [day_log_row(date(2026, 11, day), status="failed", completed_at=None) for day in (3, 10)]
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), none + late)
    # 20 / (70 * 5 / 21) = 1.2: the 3rd and the 10th have not elapsed.
    assert rows(warehouse, query) == [(5, date(2026, 11, 9), 2, Decimal("1.2"))]
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [{**none[4], "status": "failed"}])
    # Cursor's days of October were never requested; in November ten were.
    assert rows(warehouse, query)[0][2] == 10


def test_missing_days_within_the_month_do_not_elapse(warehouse: DuckDBWarehouse) -> None:
    """Of seven business days, one failed for Anthropic, one for Cursor, and Cursor was not configured on a third."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-2", 84))
    cursor = {"vendor": "cursor", "asset": "raw_cursor_usage_events"}
    theirs = [day_log_row(NOVEMBER + timedelta(n), **cursor) for n in range(10)]
    theirs[1] |= {"status": "not_configured", "completed_at": None}
    theirs[2] |= {"status": "failed", "completed_at": None}
    late = day_log_row(date(2026, 11, 4), status="failed", completed_at=None)
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [*theirs, late])
    query = (
        "SELECT elapsed_business_days, pace_ratio FROM ai_usage.kpi_budget_vs_actual WHERE month = DATE '2026-11-01'"
    )
    # 20 / (84 * 5 / 21) = 1.
    assert rows(warehouse, f"{query} AND cost_center = 'CC-2'") == [(5, Decimal(1))]


def test_a_budget_without_spend_is_provisional_like_its_month(warehouse: DuckDBWarehouse) -> None:
    """A month can still receive spend until its days are final; on 3 December those of October are."""
    load_tab(warehouse, TODAY, "budgets", *((month, "CC-7", 70) for month in ("2026-10", "2026-11", "2026-12")))
    query = "SELECT month, is_provisional FROM ai_usage.kpi_budget_vs_actual WHERE cost_center = 'CC-7' ORDER BY month"
    assert rows(warehouse, query) == [(OCTOBER, True), (NOVEMBER, True), (DECEMBER, True)]
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": OCTOBER, "today": date(2026, 12, 3)})
    assert rows(warehouse, query) == [(OCTOBER, False), (NOVEMBER, True), (DECEMBER, True)]


def test_only_bills_decide_which_days_are_missing(warehouse: DuckDBWarehouse) -> None:
    """A failed control total of a loaded day is no missing day."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-2", 60))
    failed = day_log_row(date(2026, 11, 3), asset="raw_anthropic_cost_total", status="failed", completed_at=None)
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [failed])
    query = "SELECT elapsed_business_days, missing_days FROM ai_usage.kpi_budget_vs_actual WHERE budget_usd = 60"
    assert rows(warehouse, query) == [(7, 0)]


def test_an_empty_company_and_its_first_day(tmp_path: Path) -> None:
    """Without spend and budgets there are no rows; a budget before the first loaded day has no variance."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", TODAY, TODAY)
    assert rows(warehouse, "SELECT * FROM ai_usage.kpi_budget_vs_actual") == []
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", 70))
    actual = rows(
        warehouse,
        "SELECT budget_status, spend_usd, variance_usd, used_ratio, elapsed_business_days, pace_ratio, through_date, "
        "projected_usd, missing_days, is_provisional FROM ai_usage.kpi_budget_vs_actual",
    )
    assert actual == [("unspent", None, None, None, 0, None, None, None, 0, True)]
    warehouse.close()
