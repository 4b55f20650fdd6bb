"""kpi_reconciliation: reported dollars compared with every control total, and how much they may differ."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import (
    charge,
    create_warehouse,
    cursor_usage,
    day_log_row,
    fill,
    rows,
    seat,
    seat_price,
)

FIRST, TODAY = date(2026, 10, 1), date(2026, 11, 20)
DAY, NEXT = date(2026, 11, 10), date(2026, 11, 11)
OCTOBER = date(2026, 10, 5)
JANE = "jane@example.com"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse without data."""
    path = tmp_path_factory.mktemp("reconciliation") / "w.duckdb"
    create_warehouse(path, FIRST, TODAY).close()
    return path


@pytest.fixture
def warehouse(file: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of it."""
    warehouse = RebuildingWarehouse(shutil.copyfile(file, tmp_path / "w.duckdb"))
    yield warehouse
    warehouse.close()


def control(name: str, usd: str | None, records: int = 0, day: date = DAY) -> dict[str, Any]:
    """A control total of Anthropic."""
    return {"usage_date": day, "control": name, "control_usd": usd and Decimal(usd), "records": records}


def reconciled(warehouse: DuckDBWarehouse, columns: str, where: str = "TRUE") -> list[tuple[Any, ...]]:
    """The rows of kpi_reconciliation."""
    return rows(
        warehouse,
        f"SELECT {columns} FROM ai_usage.kpi_reconciliation WHERE {where} ORDER BY vendor, usage_date, control",
    )


@pytest.mark.parametrize(
    ("control_usd", "status"),
    [
        ("10", "equal"),
        ("10.00000005", "within_tolerance"),
        ("9.99999995", "within_tolerance"),
        ("10.000000051", "differs"),
        ("9.999999949", "differs"),
    ],
)
@pytest.mark.parametrize("name", ["day_total", "cost_components", "actor_types"])
def test_a_total_may_differ_by_the_rounding_of_its_records(
    warehouse: DuckDBWarehouse, name: str, control_usd: str, status: str
) -> None:
    """A millionth of a cent for each of the three records and of the two records of the control total."""
    fill(warehouse, "int_anthropic_cost_daily", [charge(str(DAY), "4", key="a"), charge(str(DAY), "6", key="b")])
    fill(warehouse, "int_anthropic_control_daily", [control("detail", "10", 3), control(name, control_usd, 2)])
    assert reconciled(
        warehouse, "vendor, control, reported_usd, control_usd, difference_usd, tolerance_usd, status"
    ) == [("anthropic", name, 10, Decimal(control_usd), 10 - Decimal(control_usd), Decimal("0.00000005"), status)]


@pytest.mark.parametrize(
    ("reported", "control_usd", "tolerance", "status"),
    [
        ("10.50", "10", "0.5", "within_tolerance"),
        ("9.50", "10", "0.5", "within_tolerance"),
        ("10.51", "10", "0.5", "differs"),
        ("100.50", "100", "0.5", "within_tolerance"),
        ("1005", "1000", "5", "within_tolerance"),
        ("1005.01", "1000", "5", "differs"),
        ("994.99", "1000", "5", "differs"),
        ("-1005", "-1000", "5", "within_tolerance"),
        ("-1005.01", "-1000", "5", "differs"),
        ("0.50", None, "0.5", "within_tolerance"),
        ("0.51", None, "0.5", "differs"),
    ],
)
def test_the_classic_report_may_differ_by_half_a_percent(
    warehouse: DuckDBWarehouse, reported: str, control_usd: str | None, tolerance: str, status: str
) -> None:
    """Half a percent of the classic report, at least half a dollar; a cent more differs."""
    fill(warehouse, "int_anthropic_cost_daily", [charge(str(DAY), reported, key="a")])
    fill(warehouse, "int_anthropic_control_daily", [control("classic_cost_report", control_usd, 1)])
    assert reconciled(warehouse, "control_usd, tolerance_usd, status") == [
        (Decimal(control_usd or 0), Decimal(tolerance), status)
    ]


def test_the_loaded_records_must_be_equal(warehouse: DuckDBWarehouse) -> None:
    """The dollars of the bill in the day log, of each vendor and loaded day, are compared to the last digit."""
    fill(warehouse, "int_anthropic_cost_daily", [charge(str(DAY), "7", key="a"), charge(str(NEXT), "8", key="a")])
    fill(
        warehouse, "int_cursor_usage_daily",
        [cursor_usage(str(DAY), JANE, "2"), cursor_usage(str(DAY), JANE, "1", basis="included")],
    )  # fmt: skip
    # A seat fee is not part of the usage.
    fill(warehouse, "int_cursor_seat_daily", [seat(DAY, "jane@example.com")])
    fill(warehouse, "raw_mapping_sheet", [seat_price("30")])
    warehouse.append(
        OPS_ASSET_DAYS,
        [
            day_log_row(DAY, amount_usd=Decimal(7)),
            day_log_row(NEXT, amount_usd=Decimal("8.000000001")),
            # Neither a bill that is not loaded, nor another table.
            day_log_row(date(2026, 11, 12), amount_usd=Decimal(9), completed_at=None, status="failed"),
            day_log_row(DAY, asset="raw_anthropic_cost_total", amount_usd=Decimal(7)),
            day_log_row(DAY, asset="raw_cursor_usage_events", vendor="cursor", amount_usd=Decimal(3)),
            day_log_row(OCTOBER, asset="raw_cursor_usage_events", vendor="cursor", amount_usd=Decimal(0)),
        ],
    )
    columns = (
        "vendor, usage_date, control, reported_usd, control_usd, tolerance_usd, status, is_provisional, as_of_date"
    )
    assert reconciled(warehouse, columns) == [
        ("anthropic", DAY, "loaded_records", 7, 7, 0, "equal", True, TODAY),
        ("anthropic", NEXT, "loaded_records", 8, Decimal("8.000000001"), 0, "differs", True, TODAY),
        ("cursor", OCTOBER, "loaded_records", 0, 0, 0, "equal", False, TODAY),
        ("cursor", DAY, "loaded_records", 3, 3, 0, "equal", True, TODAY),
    ]


def test_every_day_has_its_own_records_and_dollars(warehouse: DuckDBWarehouse) -> None:
    """A control total without facts or detail is compared with zero; other days and vendors do not matter."""
    fill(warehouse, "int_anthropic_cost_daily", [charge(str(DAY), "4", key="a")])
    fill(warehouse, "int_cursor_usage_daily", [cursor_usage(str(NEXT), "jane@example.com", "9")])
    fill(
        warehouse, "int_anthropic_control_daily",
        [
            control("detail", "4", 5), control("day_total", "4", 1), control("day_total", "0", 1, NEXT),
            control("actor_types", "0.1", 1, NEXT),
        ],
    )  # fmt: skip
    assert reconciled(warehouse, "usage_date, control, reported_usd, tolerance_usd, status") == [
        (DAY, "day_total", 4, Decimal("0.00000006"), "equal"),
        (NEXT, "actor_types", 0, Decimal("0.00000001"), "differs"),
        (NEXT, "day_total", 0, Decimal("0.00000001"), "equal"),
    ]


def test_a_day_outside_the_calendar_is_provisional(warehouse: DuckDBWarehouse) -> None:
    """A control total from before the first day of the calendar has no settlement date, so it is not final."""
    before = date(2026, 9, 15)
    fill(warehouse, "int_anthropic_control_daily", [control("day_total", "4", 1, before)])
    assert reconciled(warehouse, "usage_date, status, is_provisional, as_of_date") == [(before, "differs", True, TODAY)]
