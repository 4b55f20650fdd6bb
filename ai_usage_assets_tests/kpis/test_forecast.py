"""The forecast and its backtest on small companies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.warehouse_rows import charge, create_warehouse, day_log_row, fill, key_mapping, rows

# A Wednesday; the month begins on a Sunday.
TODAY = date(2026, 11, 11)
PLATFORM, MOBILE, UNMAPPED = "apikey_platform", "apikey_mobile", "apikey_unmapped"
CENTERS = {PLATFORM: "CC-1", MOBILE: "CC-2"}
VIEWS = ("kpi_forecast", "kpi_forecast_total", "kpi_forecast_backtest", "int_forecast_origin")


def days(first: date, end: date) -> Iterator[date]:
    """Days from first to end, without end."""
    return (first + timedelta(n) for n in range((end - first).days))


@contextmanager
def company_warehouse(
    path: Path, charges: Iterable[dict[str, Any]], *, first: date = date(2026, 10, 1), today: date = TODAY
) -> Iterator[DuckDBWarehouse]:
    """A warehouse with Anthropic's bill loaded for every day from the first to today."""
    warehouse = create_warehouse(path / f"{today}.duckdb", first, today)
    fill(warehouse, "int_anthropic_cost_daily", [row for row in charges if row["usage_date"] < today])
    mappings = [
        key_mapping("anthropic", "api_key", key, "T", center, n) for n, (key, center) in enumerate(CENTERS.items())
    ]
    fill(warehouse, "int_key_mapping", mappings)
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in days(first, today)])
    yield warehouse
    warehouse.close()


def daily(first: date, end: date, usd: Callable[[date], object], key: str = PLATFORM) -> list[dict[str, Any]]:
    """A charge on each day with an amount."""
    return [charge(str(day), str(usd(day)), key=key) for day in days(first, end) if usd(day)]


def workdays(day: date) -> int:
    """4 dollars on Mondays to Fridays of the last week before TODAY, and one dollar less in each week before."""
    return 0 if day.weekday() >= 5 else 4 - (TODAY - day).days // 7 + ((TODAY - day).days % 7 == 0)


STEPS = daily(TODAY - timedelta(28), TODAY, workdays)
FORECAST = """
SELECT
  vendor, cost_center, cost_basis, spent_to_date_usd, expected_rest_usd, forecast_usd, method, days_used, missing_days
FROM ai_usage.kpi_forecast ORDER BY vendor, cost_center, cost_basis
"""


def test_each_future_day_is_the_mean_of_its_weekday(tmp_path: Path) -> None:
    """Later weeks count more, weekends without spend stay at zero, and there are no bounds yet."""
    with company_warehouse(tmp_path, STEPS) as warehouse:
        # A working day is (4*4 + 3*3 + 2*2 + 1*1) / 10 = 3. 14 remain: 11-13, 16-20, 23-27 and 30 November.
        # Spend to date: 3 each on 2 and 3 November, 4 each on 4, 5, 6, 9 and 10 November.
        assert rows(warehouse, FORECAST) == [
            ("anthropic", "CC-1", "billed", Decimal(26), Decimal(42), Decimal(68), "same_weekday", 28, 0)
        ]
        (row,) = warehouse.rows("SELECT * FROM ai_usage.kpi_forecast")
        assert (row["month"], row["as_of_date"], row["is_provisional"]) == (date(2026, 11, 1), TODAY, True)
        assert (row["low_usd"], row["high_usd"]) == (None, None)


def test_a_spike_counts_with_its_weight(tmp_path: Path) -> None:
    """40% of a day of last week is expected on each such weekday, and 30% a week later."""
    spike = charge("2026-11-04", "100", key=PLATFORM)
    for today, wednesdays, share in ((TODAY, 3, 40), (TODAY + timedelta(7), 2, 30)):
        before = charge(str(today - timedelta(28)), "0", key=PLATFORM)
        with company_warehouse(tmp_path, [before, spike], today=today) as warehouse:
            assert rows(warehouse, "SELECT expected_rest_usd FROM ai_usage.kpi_forecast") == [(wednesdays * share,)]


def test_an_incomplete_day_is_estimated_and_counted(tmp_path: Path) -> None:
    """It counts neither as zero nor with its loaded part, and is no sample of its weekday."""
    with company_warehouse(tmp_path, STEPS) as warehouse:
        failed_entry = day_log_row(date(2026, 11, 5), status="incomplete", completed_at=None)
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [failed_entry])
        # A Thursday is (3*3 + 2*2 + 1*1) / 6 = 2.333333, and four are open: 5, 12, 19 and 26 November.
        # The other 11 working days are 3 each.
        rest = 4 * Decimal("2.333333") + 33
        assert rows(warehouse, FORECAST) == [
            ("anthropic", "CC-1", "billed", Decimal(22), rest, 22 + rest, "same_weekday", 27, 1)
        ]
        # A day that failed after it was loaded still counts.
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [day_log_row(date(2026, 11, 5), status="failed")])
        assert rows(warehouse, FORECAST)[0][3:6] == (Decimal(26), Decimal(42), Decimal(68))


def test_a_new_line_is_estimated_from_its_first_day_on(tmp_path: Path) -> None:
    """Days before the first spend are not zero; with one sample per weekday, the mean of all days is used."""
    charges = [charge(f"2026-11-{day}", usd, key=MOBILE) for day, usd in (("06", "10"), ("09", "5"), ("10", "15"))]
    with company_warehouse(tmp_path, charges) as warehouse:
        # 30 dollars in the five days from the 6th to the 10th: 6 per day for the remaining 20 days.
        assert rows(warehouse, FORECAST) == [
            ("anthropic", "CC-2", "billed", Decimal(30), Decimal(120), Decimal(150), "mean_of_days", 5, 0)
        ]


def test_the_first_day_of_a_month_has_a_forecast(tmp_path: Path) -> None:
    """Without a finished day the spend to date is NULL and the whole month is estimated."""
    today = date(2026, 11, 1)
    with company_warehouse(tmp_path, daily(date(2026, 10, 4), today, lambda _: 2), today=today) as warehouse:
        actual = rows(warehouse, FORECAST)
        assert [row[3:] for row in actual] == [(None, Decimal(60), Decimal(60), "same_weekday", 28, 0)]


def test_the_last_day_of_a_long_month_includes_its_first_days(tmp_path: Path) -> None:
    """The first of the month is more than four weeks ago and still counts."""
    today = date(2026, 10, 31)
    with company_warehouse(tmp_path, daily(date(2026, 10, 1), today, lambda _: 2), today=today) as warehouse:
        assert [row[3:6] for row in rows(warehouse, FORECAST)] == [(Decimal(60), Decimal(2), Decimal(62))]


def test_seats_continue_at_the_prices_of_the_sheet(tmp_path: Path) -> None:
    """The seats of the latest day continue, at future prices of the sheet; days that are not loaded are estimated."""
    with company_warehouse(tmp_path, []) as warehouse:
        fill(
            warehouse,
            "int_cursor_seat_daily",
            [
                {"usage_date": day, "identity_key": person, "user_id": person, "user_email": f"{person}@example.com",
                 "source": "snapshot", "is_paid": person != "free"}
                for day in days(date(2026, 11, 5), TODAY) for person in ("jane", "free", "sam")
                if person != "sam" or day < date(2026, 11, 7)
            ],
        )  # fmt: skip
        sheet = {"snapshot_date": TODAY, "tab": "seat_prices", "snapshot_id": "x", "read_at": datetime.now(UTC)}
        fill(
            warehouse,
            "raw_mapping_sheet",
            [
                {**sheet, "row_no": 2, "payload":
                 '{"vendor":"cursor","plan":"Teams","monthly_price_usd":"60","effective_to":"2026-11-21"}'},
                {**sheet, "row_no": 3, "payload":
                 '{"vendor":"cursor","plan":"teams","monthly_price_usd":"90","effective_from":"2026-11-21"}'},
            ],
        )  # fmt: skip
        # Spend to date: two seats for two days, one for four, 2 dollars each. Jane's seat continues: the 4 missing days
        # and 11 to 20 November at 2, 21 to 30 November at 3. Sam's seat was given back.
        assert rows(warehouse, FORECAST) == [
            ("cursor", None, "seat", Decimal(16), Decimal(28 + 30), Decimal(74), "current_seats", 1, 4)
        ]
        warehouse.rebuild(catalog.table("dim_date"), {"first_day": date(2026, 10, 1), "today": date(2026, 12, 1)})
        # On the first of December no day is loaded, and a seat of 90 dollars costs 90 in 31 days.
        # (Twenty days were not loaded.)
        assert [round(row[5], 2) for row in rows(warehouse, FORECAST)] == [Decimal(90)]


def test_seats_without_a_price_are_not_free(tmp_path: Path) -> None:
    """A seat without a known price has no forecast."""
    with company_warehouse(tmp_path, []) as warehouse:
        seat = {"identity_key": "jane", "user_id": "jane", "source": "snapshot", "is_paid": True}
        fill(
            warehouse, "int_cursor_seat_daily", [{"usage_date": day, **seat} for day in days(date(2026, 11, 5), TODAY)]
        )
        assert rows(warehouse, FORECAST) == []


# One dollar per day in July and August, two from September on.
DOUBLED = daily(date(2026, 7, 1), TODAY, lambda day: 1 if day < date(2026, 9, 1) else 2)
BACKTEST = """
SELECT forecast_usd, actual_usd, error_usd, error_ratio, naive_usd, naive_error_ratio, is_better
FROM ai_usage.kpi_forecast_backtest WHERE scope = 'total' AND origin_date = @day
"""


def test_the_backtest_uses_earlier_days_only(tmp_path: Path) -> None:
    """A past month is forecast from earlier days only; is_better is FALSE where the linear extrapolation was closer."""
    with company_warehouse(tmp_path, DOUBLED, first=date(2026, 7, 1)) as warehouse:
        # On Saturday 5 September four days were loaded, Tuesday to Friday: such a day is (4*2 + 3 + 2 + 1) / 10 = 1.4,
        # any other 1. 14 of the former and 12 of the latter remain: 8 + 19.6 + 12 = 39.6 of 60.
        (actual,) = warehouse.rows(BACKTEST, {"day": date(2026, 9, 5)})
        assert actual == {
            "forecast_usd": Decimal("39.6"), "actual_usd": Decimal(60), "error_usd": Decimal("-20.4"),
            "error_ratio": Decimal("-0.34"), "naive_usd": Decimal(60), "naive_error_ratio": Decimal(0),
            "is_better": False,
        }  # fmt: skip
        (actual,) = warehouse.rows(BACKTEST, {"day": date(2026, 8, 20)})
        assert (actual["forecast_usd"], actual["error_usd"], actual["is_better"]) == (Decimal(31), Decimal(0), True)


def test_bounds_are_the_largest_errors_of_at_least_three_months(tmp_path: Path) -> None:
    """With fewer than three past months there are no bounds; then they are the largest errors of the rest."""
    with company_warehouse(tmp_path, DOUBLED, first=date(2026, 7, 1)) as warehouse:
        actual = rows(
            warehouse,
            "SELECT month, low_usd, high_usd FROM ai_usage.kpi_forecast_backtest "
            "WHERE scope = 'line' AND origin_day = 10 ORDER BY month",
        )
        # On 10 September the expected rest was 6 * 1.7 + 15 * 1.4 = 31.2 and the actual 42, 1.346154 times as much; in
        # July and August it was exact. October: 18 dollars to date and 44 expected.
        assert actual == [
            (date(2026, 7, 1), None, None),
            (date(2026, 8, 1), None, None),
            (date(2026, 9, 1), None, None),
            (date(2026, 10, 1), Decimal(62), 18 + 44 * Decimal("1.346154")),
        ]
        assert rows(warehouse, "SELECT forecast_usd, low_usd, high_usd FROM ai_usage.kpi_forecast_total") == [
            (Decimal(60), Decimal(60), 20 + 40 * Decimal("1.346154"))
        ]


def test_a_forecast_lies_between_its_low_and_its_high(tmp_path: Path) -> None:
    """To the last digit; without bounds where credits exceed the expected rest."""
    with company_warehouse(
        tmp_path, daily(date(2026, 7, 1), TODAY, lambda _: "3.333333333"), first=date(2026, 7, 1)
    ) as warehouse:
        outside = "FROM ai_usage.int_forecast_origin WHERE NOT forecast_usd BETWEEN low_usd AND high_usd"
        assert rows(warehouse, f"SELECT origin_date, low_usd, forecast_usd, high_usd {outside}") == []
        (total,) = warehouse.rows("SELECT forecast_usd, low_usd, high_usd FROM ai_usage.kpi_forecast_total")
        assert total["low_usd"] == total["forecast_usd"] == total["high_usd"]
    given_back = daily(date(2026, 7, 1), TODAY, lambda day: 100 if day < date(2026, 10, 5) else -100)
    (tmp_path / "back").mkdir()
    with company_warehouse(tmp_path / "back", given_back, first=date(2026, 7, 1)) as warehouse:
        bounds = "SELECT forecast_usd, low_usd, high_usd FROM ai_usage.kpi_forecast_total"
        assert rows(warehouse, bounds) == [(Decimal(-3000), None, None)]


def test_a_month_with_missing_days_has_no_actual(tmp_path: Path) -> None:
    """A month with missing days neither scores a forecast nor bounds the next one."""
    with company_warehouse(tmp_path, DOUBLED, first=date(2026, 7, 1)) as warehouse:
        failed_entry = day_log_row(date(2026, 8, 28), status="failed", completed_at=None)
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [failed_entry])
        (actual,) = warehouse.rows(BACKTEST, {"day": date(2026, 8, 5)})
        assert (actual["forecast_usd"], actual["actual_usd"], actual["error_ratio"], actual["is_better"]) == (
            31,
            *3 * (None,),
        )
        # October has only July and September before it, which are too few.
        bounds = "SELECT low_usd FROM ai_usage.kpi_forecast_backtest WHERE scope = 'total' AND origin_date = @day"
        assert warehouse.rows(bounds, {"day": date(2026, 10, 10)}) == [{"low_usd": None}]


def erratic(seed: int) -> list[dict[str, Any]]:
    """Spend of three keys that differs on every day; one is unallocated and one starts late."""
    rng = random.Random(seed)
    return [
        charge(str(day), f"{rng.uniform(0.1, 90):.9f}", key=key)
        for key, first in ((PLATFORM, date(2026, 7, 1)), (UNMAPPED, date(2026, 7, 1)), (MOBILE, date(2026, 9, 17)))
        for day in days(first, TODAY)
        if rng.random() < 0.7
    ]


@pytest.mark.parametrize("day", [date(2026, 10, 10), date(2026, 9, 20)])
def test_the_backtest_equals_the_forecast_of_the_time(tmp_path: Path, day: date) -> None:
    """The backtest of a day equals the live forecast of that day to the last digit."""
    columns = "cost_center, forecast_usd, low_usd, high_usd"
    charges = erratic(1)
    with company_warehouse(tmp_path, charges, first=date(2026, 7, 1)) as warehouse:
        tested = warehouse.rows(
            f"SELECT {columns} FROM ai_usage.kpi_forecast_backtest "
            "WHERE scope = 'line' AND origin_date = @day ORDER BY cost_center",
            {"day": day},
        )
    with company_warehouse(tmp_path, charges, first=date(2026, 7, 1), today=day) as warehouse:
        live = warehouse.rows(f"SELECT {columns} FROM ai_usage.kpi_forecast ORDER BY cost_center")
    assert tested == live
    assert {row["cost_center"] for row in live} == {None, "CC-1", "CC-2"}


def test_the_parts_of_every_forecast_add_up(tmp_path: Path) -> None:
    """Lines add up to cost centers and to the total on every origin day, and spend to date to the bill."""
    with company_warehouse(tmp_path, erratic(2), first=date(2026, 7, 1)) as warehouse:
        sums = {
            scope: rows(
                warehouse,
                "SELECT origin_date, SUM(spent_to_date_usd), SUM(forecast_usd), SUM(actual_usd), SUM(naive_usd) "
                f"FROM ai_usage.int_forecast_origin WHERE scope = '{scope}' GROUP BY origin_date ORDER BY origin_date",
            )
            for scope in ("line", "cost_center", "total")
        }
        assert sums["line"] == sums["cost_center"] == sums["total"]
        assert len(sums["total"]) == 4 * 3 + 1
        bill = rows(
            warehouse, "SELECT SUM(spend_usd) FROM ai_usage.kpi_spend_daily WHERE usage_date >= DATE '2026-11-01'"
        )
        assert bill == rows(warehouse, "SELECT spent_to_date_usd FROM ai_usage.kpi_forecast_total")


@pytest.mark.parametrize("today", [TODAY, date(2026, 10, 1)], ids=["later", "the first day"])
def test_an_empty_company_has_no_forecast(tmp_path: Path, today: date) -> None:
    """Without spend there are no rows."""
    with company_warehouse(tmp_path, [], today=today) as warehouse:
        for view in VIEWS:
            assert rows(warehouse, f"SELECT * FROM ai_usage.{view}") == [], view


def test_a_vendor_without_recent_days_has_no_forecast(tmp_path: Path) -> None:
    """Without a loaded day in the last four weeks, a line has no forecast, and neither have its totals."""
    with company_warehouse(
        tmp_path, daily(date(2026, 7, 1), date(2026, 8, 1), lambda _: 2), first=date(2026, 7, 1)
    ) as warehouse:
        failed_entry = [day_log_row(day, status="failed", completed_at=None) for day in days(date(2026, 10, 1), TODAY)]
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), failed_entry)
        # The other vendor is loaded: 2 dollars per day.
        usage = {"identity_key": "c", "cost_basis": "billed", "principal_type": "none", "requests": 1}
        loaded = [*days(date(2026, 10, 1), TODAY)]
        fill(
            warehouse, "int_cursor_usage_daily", [{**usage, "usage_date": d, "amount_usd": Decimal(2)} for d in loaded]
        )
        cursor = {"vendor": "cursor", "asset": "raw_cursor_usage_events"}
        fill(warehouse, "ops_asset_days", [day_log_row(day, **cursor) for day in loaded])
        assert [(row[0], *row[5:]) for row in rows(warehouse, FORECAST)] == [
            ("anthropic", None, None, 0, 10),
            ("cursor", Decimal(60), "same_weekday", 28, 0),
        ]
        assert rows(warehouse, "SELECT forecast_usd FROM ai_usage.kpi_forecast_total") == [(None,)]
    with company_warehouse(
        tmp_path,
        daily(date(2026, 8, 1), date(2026, 9, 1), lambda _: 2),
        first=date(2026, 8, 1),
        today=date(2026, 11, 12),
    ) as warehouse:
        # Loaded, without spend for a month: no line.
        assert rows(warehouse, FORECAST) == []


def test_the_forecast_beats_a_linear_extrapolation_on_the_simulated_year(year: DuckDBWarehouse) -> None:
    """On every origin day its error is below that of the linear extrapolation, in total and by cost center."""
    actual = rows(
        year,
        "SELECT scope, origin_day, COUNT(DISTINCT month), "
        "SUM(ABS(error_ratio)) < SUM(ABS(naive_error_ratio)) AS is_better FROM ai_usage.kpi_forecast_backtest "
        "WHERE scope IN ('total', 'cost_center') AND error_ratio IS NOT NULL AND naive_error_ratio IS NOT NULL "
        "GROUP BY scope, origin_day ORDER BY scope, origin_day",
    )
    assert actual == [(scope, day, 13, True) for scope in ("cost_center", "total") for day in (5, 10, 20)]
