"""The simulated year equals the ledger and the result of runs of the job."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.days import DayRange
from ai_usage_assets.simulator import company_calendar
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import LOADED_DAY, Company
from ai_usage_assets_tests.support.warehouse_rows import rows
from ai_usage_assets_tests.support.year import YEAR, filled, simulator


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """The ledger of the year."""
    return simulator().ledger


@pytest.mark.parametrize("day", [date(2026, 1, 14), date(2026, 10, 8)], ids=["restated", "with a spike"])
def test_the_year_equals_the_ledger(year: DuckDBWarehouse, ledger: Ledger, day: date) -> None:
    """The total of each cost basis and cost center of a day equals the ledger."""
    actual: dict[str, dict[str | None, Decimal]] = defaultdict(dict)
    for basis, center, usd in rows(
        year,
        "SELECT cost_basis, cost_center, SUM(amount_usd) FROM ai_usage.fct_cost_daily "
        f"WHERE usage_date = DATE '{day}' GROUP BY cost_basis, cost_center",
    ):
        actual[basis][center] = usd
    assert actual["billed"] == ledger.spend_by_cost_center(day, day)
    assert sum(actual["included"].values()) == ledger.cursor_usd(day, day)[day]["included"]
    assert sum(actual["seat"].values()) == ledger.seat_usd(day, day)[day]


def test_the_year_is_complete(year: DuckDBWarehouse, ledger: Ledger) -> None:
    """Every day is complete or provisional, and all cost adds up to the ledger."""
    first, last = YEAR.first, YEAR.last
    cursor = ledger.cursor_usd(first, last).values()
    totals = rows(
        year, "SELECT vendor, cost_basis, SUM(amount_usd) FROM ai_usage.fct_cost_daily GROUP BY vendor, cost_basis"
    )
    assert {(vendor, basis): usd for vendor, basis, usd in totals} == {
        ("anthropic", "billed"): sum(ledger.anthropic_cost_usd(first, last).values()),
        ("cursor", "billed"): sum(day["billed"] for day in cursor),
        ("cursor", "included"): sum(day["included"] for day in cursor),
        ("cursor", "seat"): sum(ledger.seat_usd(first, last).values()),
    }
    loaded = rows(
        year,
        "SELECT status, MIN(usage_date), MAX(usage_date), COUNT(DISTINCT usage_date) FROM ai_usage.kpi_completeness "
        f"WHERE vendor <> 'sheet' AND usage_date <= DATE '{last}' GROUP BY status",
    )
    assert {row[0] for row in loaded} == {"complete", "provisional"}
    assert (min(row[1] for row in loaded), max(row[2] for row in loaded)) == (first, last)


def test_the_year_equals_the_result_of_a_run(tmp_path: Path, loaded_company: Company) -> None:
    """A day that the job loaded over HTTP has the same rows of cost, tokens, token classes and activity."""
    day = date.fromisoformat(LOADED_DAY)
    ours, theirs = (
        filled(tmp_path / "ours.duckdb", loaded_company.simulator, DayRange(day, day)),
        loaded_company.warehouse,
    )
    for table in _FACTS:
        # Rows are numbered in a different order.
        columns = ", ".join(name for name in catalog.table(table).column_names if name != "fact_no")
        kept = f"usage_date = DATE '{day}'"
        if "vendor" in catalog.table(table).column_names:
            kept += " AND vendor IN ('anthropic', 'cursor')"
        actual, left = (
            sorted(rows(warehouse, f"SELECT {columns} FROM ai_usage.{table} WHERE {kept}"), key=repr)
            for warehouse in (ours, theirs)
        )
        assert actual == left, table
        assert actual
    ours.close()
    theirs.close()


_FACTS = ("fct_cost_daily", "fct_tokens_daily", "int_anthropic_component_daily", "fct_activity_daily")


def test_the_ledger_contains_exactly_the_injected_anomalies(ledger: Ledger) -> None:
    """An injected anomaly is exactly the difference to a year without anomalies, in its dimension."""
    plain = simulator(injected_anomalies=()).ledger
    injected: dict[date, Decimal] = defaultdict(Decimal)
    for spike in ledger.expected_anomalies:
        injected[spike.day] += spike.usd
    assert len({anomaly.dimension for anomaly in ledger.injected_anomalies}) == 4
    for day in (*injected, date(2026, 9, 8), YEAR.last):
        with_it, without = (
            book.anthropic_cost_usd(day, day)[day] + book.cursor_usd(day, day)[day]["billed"]
            for book in (ledger, plain)
        )
        assert with_it - without == injected.get(day, 0), day


def test_the_last_weeks_are_ordinary(ledger: Ledger) -> None:
    """The last weeks have no anomalies; the first days of the demo have two."""
    days = [spike.day for spike in ledger.expected_anomalies]
    assert max(days) <= date(2026, 10, 10)
    assert len({spike.what for spike in ledger.expected_anomalies if spike.day >= date(2026, 10, 1)}) == 2


def test_the_year_has_seasons_and_grows(year: DuckDBWarehouse) -> None:
    """Weekends, the end of the year and the summer cost less, and the last autumn costs more than the first."""
    spend = dict(
        rows(
            year,
            "SELECT usage_date, SUM(amount_usd) FROM ai_usage.fct_cost_daily "
            "WHERE vendor = 'anthropic' GROUP BY usage_date",
        )
    )
    spikes = {spike.day for spike in simulator().ledger.expected_anomalies}

    def usual(first: date, last: date, *, weekend: bool = False) -> Decimal:
        days = [day for day in DayRange(first, last) if (day.weekday() >= 5) is weekend and day not in spikes]
        return sum((spend[day] for day in days), Decimal(0)) / len(days)

    november = usual(date(2025, 11, 1), date(2025, 11, 30))
    assert usual(date(2025, 11, 1), date(2025, 11, 30), weekend=True) < november * Decimal("0.7")
    assert usual(date(2025, 12, 24), date(2025, 12, 31)) < november * Decimal("0.7")
    assert usual(date(2026, 7, 20), date(2026, 8, 20)) < usual(date(2026, 6, 1), date(2026, 6, 30)) * Decimal("0.85")
    assert usual(date(2026, 11, 1), date(2026, 11, 22)) > november * Decimal("1.2")


def test_the_year_contains_every_finance_case(year: DuckDBWarehouse) -> None:
    """Two seat prices, restated days, a month without a budget, an overrun budget, and unused seats."""
    assert rows(year, "SELECT COUNT(DISTINCT monthly_price_usd) FROM ai_usage.fct_seat_daily WHERE is_paid") == [(2,)]
    restated = rows(year, "SELECT DISTINCT usage_date FROM ai_usage.ops_restatements "
                          "WHERE old_amount_usd <> new_amount_usd")  # fmt: skip
    assert {day for (day,) in restated} == set(company_calendar.RESTATEMENTS)
    months = rows(
        year,
        "WITH spend AS (SELECT DATE_TRUNC(usage_date, MONTH) AS month, cost_center, SUM(amount_usd) AS usd "
        "FROM ai_usage.fct_cost_daily WHERE cost_basis <> 'included' AND cost_center IS NOT NULL "
        "GROUP BY month, cost_center) SELECT spend.cost_center, spend.month, spend.usd > budget.budget_usd "
        "FROM spend LEFT JOIN ai_usage.stg_budgets AS budget "
        "ON budget.month = spend.month AND budget.cost_center = spend.cost_center",
    )
    assert [row[:2] for row in months if row[2] is None] == [("CC-1030", date(2026, 10, 1))]
    over = [month for center, month, beyond in months if center == "CC-4010" and beyond]
    assert {date(2026, 9, 1), date(2026, 10, 1)} <= set(over)
    unused = rows(
        year,
        "SELECT COUNT(*) FROM (SELECT user_email FROM ai_usage.fct_seat_daily WHERE is_paid AND usage_date = "
        f"DATE '{YEAR.last}' EXCEPT DISTINCT SELECT user_email FROM ai_usage.int_cursor_activity_daily WHERE is_active "
        f"AND usage_date > DATE '{YEAR.last - timedelta(days=30)}')",
    )
    assert unused == [(3,)]


def test_list_prices_are_those_of_their_day(year: DuckDBWarehouse) -> None:
    """The list cost of a model's tokens follows dim_model_price, before and after a price change."""
    actual = rows(
        year,
        "SELECT COUNT(*) FROM ai_usage.int_anthropic_tokens_daily AS token "
        "LEFT JOIN ai_usage.dim_model_price AS price ON price.model = token.model "
        "AND token.usage_date >= price.effective_from AND token.usage_date < price.effective_to "
        "WHERE token.model IS NOT NULL AND price.model IS NULL",
    )
    assert actual == [(0,)]
    dearer = rows(
        year,
        "SELECT MAX(ABS(money.list_amount_usd - CAST(ROUND((token.uncached_input_tokens * price.input_usd "
        "+ token.cache_write_5m_tokens * price.cache_write_5m_usd + token.cache_write_1h_tokens * "
        "price.cache_write_1h_usd + token.cache_read_tokens * price.cache_read_usd + token.output_tokens * "
        "price.output_usd) * NUMERIC '0.000001' + token.web_search_requests * NUMERIC '0.01', 9) AS NUMERIC))) "
        "FROM ai_usage.int_anthropic_tokens_daily AS token JOIN ai_usage.int_anthropic_cost_daily AS money "
        "ON money.usage_date = token.usage_date AND money.fact_no = token.fact_no "
        "JOIN ai_usage.dim_model_price AS price ON price.model = token.model AND price.prompt_tier <> 'over 100000' "
        "AND token.usage_date >= price.effective_from AND token.usage_date < price.effective_to "
        "WHERE token.product <> 'message_batches_api' AND token.usage_date BETWEEN DATE '2026-10-06' AND "
        "DATE '2026-10-07'",
    )
    # A component is truncated to a millionth of a cent.
    assert dearer[0][0] < Decimal("0.000001")
