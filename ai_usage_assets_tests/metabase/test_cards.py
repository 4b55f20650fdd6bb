"""The dashboards' files and SQL against a warehouse with a simulated year.

The cards query the KPI views, stored as tables; `kpis` tests the views themselves.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.preview.queries import FilterValues, query_card, query_dashboard
from ai_usage_assets.metabase.spec_models import Card, Dashboard, SpecError
from ai_usage_assets.metabase.spec_reader import DASHBOARDS_DIR, read_spec
from ai_usage_assets.metabase.sql_template import fill
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.metabase.closed_year import CLOSED_THROUGH, DIFFERING_DAY
from ai_usage_assets_tests.metabase.instance import dashboards_spec, write_files
from ai_usage_assets_tests.support.reference_sql import Reference
from ai_usage_assets_tests.support.year import YEAR
from ai_usage_assets_tests.warehouse.test_sql_subset import problems

D = Decimal
SPEC = dashboards_spec()
KEYS = [dashboard.key for dashboard in SPEC.dashboards]
# Dashboard and card, as `overview.spend` -> the card.
CARDS = {f"{dashboard.key}.{key}": card for dashboard in SPEC.dashboards for key, card in dashboard.cards.items()}
NOVEMBER, OCTOBER = date(2026, 11, 1), date(2026, 10, 1)
VENDORS = {entry.name: entry.label for entry in SOURCES}

# Filter values to test: one value each, and several if the filter allows it.
CHOICES: dict[str, list[list[str]]] = {
    "month": [["2025-11"], ["2026-09"], ["2026-10"]],
    "vendor": [["cursor"], ["anthropic"], ["anthropic", "cursor"]],
    "cost_center": [["CC-1010"], ["Unallocated"], ["CC-4010", "Unallocated"]],
    "person": [["rosa.weber@acme.test"], ["rosa.weber@acme.test", "carla.vogel@acme.test"]],
}


def dashboard(key: str) -> Dashboard:
    """One of the dashboards."""
    return next(each for each in SPEC.dashboards if each.key == key)


def filter_variants(card: Card) -> list[dict[str, list[str]]]:
    """Return filter values: none, each filter alone with each choice, and all with several values."""
    alone = [{name: choice} for name in card.variables for choice in CHOICES[name]]
    return [{}, *alone, {name: CHOICES[name][-1] for name in card.variables}]


Query = Callable[[Card, FilterValues], pa.Table]


@pytest.fixture(scope="module")
def query(closed_year: DuckDBWarehouse) -> Query:
    """Return a function that queries a card, once per statement."""

    @cache
    def run(sql: str, parameters: tuple[tuple[str, str], ...]) -> pa.Table:
        return closed_year.query(sql, dict(parameters))

    def query_filled(card: Card, values: FilterValues) -> pa.Table:
        sql, parameters = fill(card.sql, values)
        return run(sql, tuple(parameters.items()))

    return query_filled


def test_every_card_works_with_every_filter(query: Query) -> None:
    """Without filters, with each and with all, a card has its columns and rows that can be drawn."""
    errors = []
    for name, card in CARDS.items():
        usual = query(card, {})
        errors += [] if usual.num_rows else [f"{name} has no rows in the whole year"]
        for values in filter_variants(card):
            rows = query(card, values)
            errors += [f"{name} with {values}: {line}" for line in validate_rows(card, rows)]
            errors += [] if rows.schema == usual.schema else [f"{name} with {values}: {rows.schema}"]
    assert errors == []


def test_every_filter_of_a_card_has_an_effect(query: Query) -> None:
    """A filter value changes the rows of this month or of another."""
    useless = []
    for name, card in CARDS.items():
        for variable in card.variables:
            months: list[FilterValues] = [{}] if variable == "month" else [{}, {"month": ["2026-10"]}]
            if not any(
                query(card, {**month, variable: choice}) != query(card, month)
                for month in months
                for choice in CHOICES[variable]
            ):
                useless.append(f"{name}: {variable}")
    assert useless == []


def test_the_first_tab_uses_every_filter() -> None:
    """Metabase shows a filter only on tabs with a card that uses it; the person filter is an exception."""
    for each in SPEC.dashboards:
        first = {name for key in each.tabs[0].cards() for name in each.cards[key].variables}
        assert set(each.filters) - {"person"} <= first, each.key


# Dashboard -> filter -> the cards that have the same meaning for every value; all other cards use the filter.
UNFILTERED = {
    "chargeback": {
        "person": "journal_total charges_total corrections_total unallocated_total journal_status "
        "charges_by_cost_center journal_by_month journal_lines corrections",
        "vendor": "journal_status",
        "cost_center": "journal_status unallocated_spend",
    },
    "models": {},
    "overview": {
        "vendor": "budget_used cost_per_user budget_by_cost_center forecast_accuracy",
        "cost_center": "forecast_accuracy anomalies",
    },
    "pipeline": {"month": "failed_checks check_results", "vendor": "failed_checks check_results runs"},
    "seats": dict.fromkeys(
        ("cost_center", "person"),
        "paid_seats seat_utilization idle_seat_fees reclaimable_seats seats_by_month productivity",
    ),
}


def test_no_card_lacks_a_filter() -> None:
    """A card without one of the dashboard's filters is listed in UNFILTERED."""
    for each in SPEC.dashboards:
        cards = {key: card for key, card in each.cards.items() if key != "data_status"}
        unused = {name: {key for key, card in cards.items() if name not in card.variables} for name in each.filters}
        expected = {name: set(keys.split()) for name, keys in UNFILTERED[each.key].items()}
        assert {name: keys for name, keys in unused.items() if keys} == expected, (
            f"{each.key}.yaml: add the filter's clause to the card's SQL, [[AND column IN ({{{{filter}}}})]], "
            "or name the card in UNFILTERED if it means the same whatever is chosen"
        )


def test_descriptions_name_the_filters_that_do_not_apply() -> None:
    """The sentence is appended; a card that uses every filter has none."""
    cards = dashboard("overview").cards
    assert cards["anomalies"].description.endswith("the two months before it. The filter Cost center does not apply.")
    assert cards["forecast_accuracy"].description.endswith("The filters Vendor and Cost center do not apply.")
    assert "ilter" not in cards["spend"].description


def test_filter_values_are_unique_texts(closed_year: DuckDBWarehouse) -> None:
    """A filter's SQL returns one column of distinct texts, among them the values of the tests."""
    for key, each in SPEC.filters.items():
        (column,) = closed_year.query(each.sql).columns
        values = column.to_pylist()
        assert pa.types.is_string(column.type), key
        assert {None, ""} & set(values) == set(), key
        assert len(set(values)) == len(values) > 1, key
        # Sorted as Metabase sorts them, except for months.
        assert values == sorted(values, reverse=key == "month"), key
        assert {value for choice in CHOICES[key] for value in choice} <= set(values), key
        assert each.multiple == (key != "month"), key


def test_a_shared_card_is_copied_into_each_dashboard() -> None:
    """Its name has the dashboard's as prefix, and clauses of other filters are removed."""
    shared = {each.key: each.cards["data_status"] for each in SPEC.dashboards}
    assert shared["seats"].name == "Seats and adoption: data status"
    assert shared["seats"].variables == ["month"]
    assert "{{vendor}}" not in shared["seats"].sql
    assert shared["models"].variables == ["month", "vendor"]


def test_a_click_sets_a_valid_filter_value(query: Query, closed_year: DuckDBWarehouse) -> None:
    """The value of the clicked row is one of the filter's values."""
    clicked = [card for each in SPEC.dashboards for card in each.cards.values() if card.click]
    assert len(clicked) > 2
    for card in clicked:
        assert card.click
        for key, column in card.click.filters.items():
            offered = closed_year.query(SPEC.filters[key].sql).column(0).to_pylist()
            assert set(query(card, {}).column(column).to_pylist()) <= set(offered), card.name


# --- the statements -----------------------------------------------------------------------------------------------


def all_statements(*, unfiltered: bool = True) -> dict[str, dict[str, str]]:
    """Return the statements that Metabase may send with their parameters: with all filters, and without any."""
    filled = [fill(each.sql, {}) for each in SPEC.filters.values()]
    for card in CARDS.values():
        filled.append(fill(card.sql, {each: CHOICES[each][-1] for each in card.variables}))
        if unfiltered:
            filled.append(fill(card.sql, {}))
    return dict(filled)


def test_statements_use_the_shared_sql_subset() -> None:
    """No card uses SQL that DuckDB and BigQuery interpret differently."""
    errors = {sql: problems(sql, published=False) for sql in all_statements()}
    assert {sql: lines for sql, lines in errors.items() if lines} == {}


def test_google_analyzes_every_statement(closed_year: DuckDBWarehouse) -> None:
    """Google's analyzer accepts every card with all of its filters, with the same columns as here."""
    # Without filters a statement is the same less some conditions; DuckDB runs it in the test of all cards.
    statements = all_statements(unfiltered=False)
    reference = Reference({name: value for parameters in statements.values() for name, value in parameters.items()})
    for table in sorted({name for sql in statements for name in googlesql.tables_read(googlesql.parse(sql))}):
        reference.declare(table, column_types(closed_year.query(f"SELECT * FROM ai_usage.{table} LIMIT 0")))
    for sql, parameters in statements.items():
        assert reference.analyze(sql) == column_types(closed_year.query(sql, parameters)), sql


def column_types(rows: pa.Table) -> dict[str, str]:
    """Return the columns and their types in GoogleSQL."""
    return {column.name: google_type(column.type) for column in rows.schema}


def google_type(kind: pa.DataType) -> str:
    """Return the GoogleSQL name of a type."""
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    names = {pa.string(): "STRING", pa.int64(): "INT64", pa.bool_(): "BOOL", pa.date32(): "DATE"}
    return names.get(kind, "NUMERIC")


# --- the numbers --------------------------------------------------------------------------------------------------

Line = dict[str, Any]


@pytest.fixture(scope="module")
def lines(closed_year: DuckDBWarehouse) -> list[Line]:
    """Every fact of money of October and November, as it is."""
    return closed_year.rows("SELECT * FROM ai_usage.fct_cost_daily WHERE usage_date >= @first", {"first": OCTOBER})


def sum_spend(lines: list[Line], month: date, last_day: int = 31, **only: Any) -> Decimal:
    """Sum the billed and seat dollars of the first days of a month, of the lines that match `only`."""
    return sum(
        (
            line["amount_usd"]
            for line in lines
            if (line["usage_date"].replace(day=1), line["cost_basis"] != "included") == (month, True)
            and line["usage_date"].day <= last_day
            and line["amount_usd"] is not None
            and all(line[name] == value for name, value in only.items())
        ),
        D(0),
    )


def last_row(query: Query, name: str, **values: list[str]) -> Line:
    """Return the last row of a card, which a number card shows."""
    return dict(query(CARDS[name], values).to_pylist()[-1])


def test_spend_is_the_sum_of_the_facts(query: Query, lines: list[Line]) -> None:
    """The month, the same days before, vendors, days, teams and chargeback equal the facts exactly."""
    through = YEAR.last.day
    assert last_row(query, "overview.spend") == {
        "month": NOVEMBER,
        "spend_usd": sum_spend(lines, NOVEMBER),
        "same_days_before_usd": sum_spend(lines, OCTOBER, through),
    }
    whole = last_row(
        query, "overview.spend", month=["2026-10"], vendor=["cursor"], cost_center=["CC-1010", "Unallocated"]
    )
    parts = [sum_spend(lines, OCTOBER, vendor="cursor", cost_center=name) for name in ("CC-1010", None)]
    assert whole["spend_usd"] == sum(parts)
    by_vendor = {label: sum_spend(lines, NOVEMBER, vendor=vendor) for vendor, label in VENDORS.items()}
    months = query(CARDS["overview.spend_by_month"], {}).to_pylist()
    series = {row["series"]: row["amount_usd"] for row in months if row["month"] == NOVEMBER}
    assert series.pop("Budget (all vendors)") > 0
    assert series == by_vendor
    days = query(CARDS["overview.spend_by_day"], {}).to_pylist()
    assert {(row["usage_date"].day, row["vendor"]): row["spend_usd"] for row in days} == {
        (day, label): sum_spend(lines, NOVEMBER, usage_date=NOVEMBER.replace(day=day), vendor=vendor)
        for day in range(1, through + 1)
        for vendor, label in VENDORS.items()
    }
    bars = query(CARDS["overview.spend_by_team"], {}).to_pylist()
    dollars: dict[str, Decimal] = defaultdict(Decimal)
    for row in bars:
        dollars[row["team"]] += row["spend_usd"]
    assert dollars.pop("Unallocated") == sum_spend(lines, NOVEMBER, cost_center=None)
    assert dollars == {team: sum_spend(lines, NOVEMBER, team=team) for team in dollars}
    assert sum(dollars.values()) == sum_spend(lines, NOVEMBER) - sum_spend(lines, NOVEMBER, cost_center=None)
    assert last_row(query, "chargeback.journal_total") == {"amount_usd": sum_spend(lines, NOVEMBER)}
    assert last_row(query, "chargeback.unallocated_total") == {
        "amount_usd": sum_spend(lines, NOVEMBER, cost_center=None)
    }


def test_a_trend_card_shows_the_chosen_month(query: Query) -> None:
    """It has one row with a number of that month, whatever else is chosen, or no row."""
    trends = {name: card for name, card in CARDS.items() if card.display == "smartscalar"}
    assert len(trends) > 2
    wrong = []
    for name, card in trends.items():
        for month in ("2025-12", "2026-10", "2026-11", "2019-01"):
            for values in filter_variants(card):
                for row in query(card, {**values, "month": [month]}).to_pylist():
                    if row["month"] != date.fromisoformat(f"{month}-01") or row[card.settings["scalar.field"]] is None:
                        wrong.append(f"{name} of {month} with {values}: {row}")
        if query(card, {"month": ["2019-01"]}).num_rows:
            wrong.append(f"{name} has a row of a month without data")
    assert wrong == []


def test_a_cost_center_without_spend_shows_0(query: Query) -> None:
    """It does not show an older month."""
    assert last_row(query, "overview.spend", cost_center=["CC-0000"]) == {
        "month": NOVEMBER, "spend_usd": 0, "same_days_before_usd": None,
    }  # fmt: skip


# What is missing -> the SQL that removes it, filter values, and what the cards show then; None is also no row.
GAPS: dict[str, tuple[str, dict[str, list[str]], dict[str, Any]]] = {
    "a vendor's days of the month": (
        "UPDATE int_month_completeness SET missing_days = 3, is_comparable = FALSE "
        "WHERE vendor = 'cursor' AND month = DATE '2026-11-01'",
        {},
        {
            "overview.spend.same_days_before_usd": None,
            "models.billed_total.same_days_before_usd": None,
            "models.cost_per_million.previous_usd_per_million_tokens": None,
        },
    ),
    "a vendor that is not used": (
        "DELETE FROM int_month_completeness WHERE vendor = 'cursor'; DELETE FROM ops_freshness WHERE vendor = 'cursor'",
        {},
        {"overview.spend.same_days_before_usd": ..., "models.cost_per_million.previous_usd_per_million_tokens": ...},
    ),
    "a whole month": (
        "UPDATE int_month_completeness SET missing_days = 31, has_loaded_days = FALSE, is_comparable = FALSE "
        "WHERE month = DATE '2026-10-01'; "
        "UPDATE kpi_model_mix SET amount_usd = 0, previous_amount_usd = NULL WHERE month = DATE '2026-10-01'; "
        "UPDATE kpi_spend_monthly SET spend_usd = 0, previous_same_days_usd = NULL WHERE month = DATE '2026-10-01'",
        {"month": ["2026-10"]},
        {"overview.spend.spend_usd": None, "models.billed_total.billed_usd": None},
    ),
    "a line's forecast": (
        "UPDATE kpi_forecast SET forecast_usd = NULL WHERE vendor = 'anthropic' AND cost_center = 'CC-1010'",
        {},
        {"overview.forecast.forecast_usd": None},
    ),
    "what is known of a seat": (
        "UPDATE kpi_seat_summary SET unknown_seats = 1; UPDATE kpi_seat_utilization SET unknown_days_30d = 1",
        {},
        {
            "seats.idle_seat_fees.idle_usd": None,
            "seats.seat_utilization.utilization_ratio": None,
            "seats.reclaimable_seats.reclaimable_seats": None,
        },
    ),
}


def test_missing_data_shows_no_number(closed_year_file: Path, tmp_path: Path) -> None:
    """With missing days, forecasts or activity, a card shows no number and compares with none."""
    path = shutil.copyfile(closed_year_file, tmp_path / "w.duckdb")
    warehouse = DuckDBWarehouse(path)
    connection = warehouse._connect()
    wrong = []
    for gap, (change, values, shown) in GAPS.items():
        connection.execute("BEGIN")
        connection.execute(change)
        for place, expected in shown.items():
            name, _, column = place.rpartition(".")
            rows = query_card(warehouse, CARDS[name], values).to_pylist()
            value = rows[-1][column] if rows else None
            if (value is None) if expected is ... else (value != expected):
                wrong.append(f"{gap}: {place} is {value}")
        connection.execute("ROLLBACK")
    warehouse.close()
    assert wrong == []


def test_failed_checks_are_counted_once(closed_year_file: Path, tmp_path: Path) -> None:
    """The number counts checks, the table lists findings."""
    path = shutil.copyfile(closed_year_file, tmp_path / "w.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO ai_usage.ops_check_status FROM ai_usage.ops_check_status WHERE NOT passed")
    warehouse = DuckDBWarehouse(path)
    failed, listed = (
        query_card(warehouse, CARDS[f"pipeline.{name}"], {}) for name in ("failed_checks", "check_results")
    )
    warehouse.close()
    assert failed.to_pylist() == [{"failed_checks": 2}]
    assert sum(row["outcome"] == "warning" for row in listed.to_pylist()) == 4


def test_every_dashboard_shows_its_month_and_status(query: Query) -> None:
    """The first card has the month, its last day and whether it is provisional."""
    for key in KEYS:
        usual, chosen = (last_row(query, f"{key}.data_status", **values) for values in ({}, {"month": ["2026-09"]}))
        assert (usual["month_shown"], usual["status"]) == (f"2026-11, through {YEAR.last}", "provisional")
        assert (chosen["month_shown"], chosen["status"]) == ("2026-09, through 2026-09-30", "final")


def test_corrections_adjust_closed_months(query: Query, lines: list[Line]) -> None:
    """The first open month has the corrections of closed months beside its own charges."""
    assert CLOSED_THROUGH.month == OCTOBER.month - 1
    assert last_row(query, "chargeback.charges_total", month=["2026-10"]) == {"amount_usd": sum_spend(lines, OCTOBER)}
    assert last_row(query, "chargeback.corrections_total", month=["2026-10"]) == {"amount_usd": D(25)}
    assert last_row(query, "chargeback.journal_status")["journal_status"] == "2026-11: open"
    for month, status in (("2026-09", "2026-09: closed on 2026-10-11"), ("2019-01", "2019-01: no lines")):
        assert last_row(query, "chargeback.journal_status", month=[month])["journal_status"] == status
    rows = query(CARDS["chargeback.corrections"], {}).to_pylist()
    amounts = {(row["usage_month"], row["cost_center"], row["reason"]): row["amount_usd"] for row in rows}
    assert amounts == {
        ("2026-08", "CC-1010", "reallocated"): -40,
        ("2026-08", "CC-1020", "reallocated"): 40,
        ("2026-09", "CC-4010", "restated"): 25,
    }


def test_budget_used_equals_the_sheet(query: Query, lines: list[Line], closed_year: DuckDBWarehouse) -> None:
    """The goal is the sum of the budgets, and the value the spend of the cost centers that have one."""
    budgets = closed_year.rows(
        "SELECT cost_center, budget_usd FROM ai_usage.stg_budgets WHERE month = @month", {"month": NOVEMBER}
    )
    assert last_row(query, "overview.budget_used") == {
        "spend_usd": sum(sum_spend(lines, NOVEMBER, cost_center=row["cost_center"]) for row in budgets),
        "budget_usd": sum(row["budget_usd"] for row in budgets),
    }


def test_cost_per_user_counts_active_people(query: Query, lines: list[Line]) -> None:
    """All dollars of the month over the people with usage; a seat alone is no usage."""
    people = {
        line["person_email"]
        for line in lines
        if line["usage_date"] >= NOVEMBER and line["cost_basis"] != "seat" and line["person_email"]
    }
    shown = last_row(query, "overview.cost_per_user")["usd_per_user"]
    assert abs(shown - sum_spend(lines, NOVEMBER) / len(people)) < D("0.000001")
    assert last_row(query, "seats.active_people_by_month")["people"] == len(people)


def test_the_forecast_adds_up(query: Query, closed_year: DuckDBWarehouse) -> None:
    """The cost centers' forecasts add up to the company's, and a past month has none."""
    (total,) = closed_year.rows("SELECT forecast_usd FROM ai_usage.kpi_forecast_total")
    assert last_row(query, "overview.forecast") == total
    parts = query(CARDS["overview.forecast_by_cost_center"], {}).column("forecast_usd").to_pylist()
    assert sum(part for part in parts if part is not None) == total["forecast_usd"]
    assert last_row(query, "overview.forecast", month=["2026-10"]) == {"forecast_usd": None}


def test_model_figures_equal_the_facts(query: Query, lines: list[Line], closed_year: DuckDBWarehouse) -> None:
    """Billed dollars by model, per million tokens, and the discount equal the facts."""
    billed: dict[str, Decimal] = defaultdict(D)
    for line in lines:
        if line["usage_date"] >= NOVEMBER and line["cost_basis"] == "billed":
            billed[line["model"] or "no model"] += line["amount_usd"]
    shown = query(CARDS["models.billed_by_model"], {}).to_pylist()
    assert {row["model"]: row["billed_usd"] for row in shown} == billed
    assert last_row(query, "models.billed_total")["billed_usd"] == sum(billed.values())
    tokens: dict[str, int] = defaultdict(int)
    for row in closed_year.rows(
        "SELECT model, total_tokens FROM ai_usage.fct_tokens_daily "
        "WHERE usage_date >= @first AND cost_basis = 'billed'",
        {"first": NOVEMBER},
    ):
        tokens[row["model"] or "no model"] += row["total_tokens"] or 0
    with_tokens = [model for model in billed if tokens[model]]
    per_million = sum(billed[model] for model in with_tokens) * 1_000_000 / sum(tokens[model] for model in with_tokens)
    assert abs(last_row(query, "models.cost_per_million")["usd_per_million_tokens"] - per_million) < D("0.000001")
    discounts = [
        line["list_amount_usd"] - line["amount_usd"]
        for line in lines
        if line["vendor"] == "anthropic" and line["usage_date"] >= NOVEMBER
    ]
    assert last_row(query, "models.discount_total") == {"discount_usd": sum(discounts)}
    *parts, change = query(CARDS["models.change_drivers"], {}).column("amount_usd").to_pylist()
    assert sum(parts) == change


def test_seat_figures_equal_the_snapshots(query: Query, closed_year: DuckDBWarehouse) -> None:
    """Paid seats are those of each holder's last day; the fees by status add up to the facts."""
    seats = closed_year.rows(
        "SELECT usage_date, user_id, is_paid FROM ai_usage.int_cursor_seat_daily WHERE usage_date >= @first",
        {"first": NOVEMBER},
    )
    paid = {seat["user_id"] for seat in seats if seat["is_paid"]}
    assert last_row(query, "seats.paid_seats") == {"paid_seats": len(paid)}
    month = last_row(query, "seats.seats_by_month")
    assert sum(value for name, value in month.items() if name != "month") == len(paid)
    (fees,) = closed_year.rows(
        "SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily WHERE cost_basis = 'seat' AND usage_date >= @first",
        {"first": NOVEMBER},
    )
    bars = query(CARDS["seats.seat_fees_by_cost_center"], {}).to_pylist()
    assert sum(value for row in bars for value in list(row.values())[1:] if value is not None) == fees["usd"]
    idle = sum(row["idle_usd"] or 0 for row in bars)
    assert last_row(query, "seats.idle_seat_fees") == {"idle_usd": idle}
    assert last_row(query, "seats.reclaimable_seats") == {
        "reclaimable_seats": query(CARDS["seats.seats_to_reclaim"], {}).num_rows
    }


def test_pipeline_figures_equal_the_logs(query: Query, closed_year: DuckDBWarehouse) -> None:
    """Missing days, differences, failed checks and restatements equal the day log and the controls."""
    assert last_row(query, "pipeline.complete_days") == {
        "complete_days": 2 * YEAR.last.day,
        "days": 2 * YEAR.last.day,
    }
    assert last_row(query, "pipeline.failed_checks") == {"failed_checks": 2}
    assert last_row(query, "pipeline.differing_days") == {"differing_days": 1}
    (difference,) = query(CARDS["pipeline.control_differences"], {}).to_pylist()
    assert (difference["usage_date"], difference["difference_usd"]) == (DIFFERING_DAY, D(-5))
    october = closed_year.rows(
        "SELECT old_amount_usd, new_amount_usd FROM ai_usage.ops_restatements WHERE vendor = 'anthropic' "
        "AND usage_date BETWEEN @first AND @last",
        {"first": OCTOBER, "last": date(2026, 10, 31)},
    )
    assert last_row(query, "pipeline.restated_total", month=["2026-10"]) == {
        "delta_usd": sum(row["new_amount_usd"] - row["old_amount_usd"] for row in october)
    }
    for row in query(CARDS["overview.data_status"], {}).to_pylist():
        (day,) = closed_year.rows(
            "SELECT MIN(usage_date) AS first FROM ai_usage.int_settlement_daily "
            "WHERE is_provisional AND vendor = @vendor",
            {"vendor": row["vendor"]},
        )
        assert row["missing_days"] == 0
        assert (row["complete_through_date"], row["provisional_from_date"]) == (YEAR.last, day["first"])


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dashboard_files(tmp_path: Path) -> Path:
    """Copy the dashboards' files, to introduce errors."""
    return Path(shutil.copytree(DASHBOARDS_DIR, tmp_path / "metabase"))


def replace_in_file(root: Path, file: str, old: str, new: str) -> None:
    """Replace a text in a file once."""
    text = (root / "dashboards" / file).read_text()
    assert old in text
    (root / "dashboards" / file).write_text(text.replace(old, new, 1))


def test_the_example_in_the_readme_works(closed_year: DuckDBWarehouse, dashboard_files: Path) -> None:
    """The card of README.md is valid, and its SQL works with every filter."""
    ((place, card, sql),) = re.findall(
        r"```yaml\n#.*\n((?:.*\n)+?)# \.\.\. and.*\ncards:\n((?:.*\n)+?)```\n\n```sql\n((?:.*\n)+?)```",
        (DASHBOARDS_DIR / "README.md").read_text(),
    )
    replace_in_file(dashboard_files, "overview.yaml", "    rows:\n", f"    rows:\n{place}")
    replace_in_file(dashboard_files, "overview.yaml", "\ncards:\n", f"\ncards:\n{card}")
    (dashboard_files / "dashboards" / sql.splitlines()[0].partition("dashboards/")[2]).write_text(sql)
    (example,) = (
        each.cards["charges_by_product"] for each in read_spec(dashboard_files).dashboards if each.key == "overview"
    )
    assert set(example.variables) == set(dashboard("overview").filters), "the example lacks a filter"
    for values in filter_variants(example):
        rows = query_card(closed_year, example, values)
        assert rows.num_rows
        assert validate_rows(example, rows) == []


# Mistakes that one read reports together: file, text, its replacement, and the error.
MISTAKES: dict[str, list[tuple[str, str, str, str]]] = {
    "no dashboard can be read": [
        ("overview.yaml", "display: smartscalar", "displayed: smartscalar", "cards.spend.displayed: Extra inputs"),
        ("overview.yaml", "height: 7", "hight: 7", "hight: Extra inputs"),
        ("overview.yaml", "graph.metrics: [amount_usd]", "graph.metrics: 3", "settings.graph.metrics: In"),
        ("overview.yaml", "scalar.field: forecast_usd", "scalar.feild: forecast_usd", "scalar.feild: Extra inputs"),
        ("models.yaml", "type: anotherColumn", "type: previousPeriod", "type: Input should be 'anotherColumn'"),
        ("models.yaml", "{scalar.field: discount_usd}", "{scalar.field: [a]}",
         r"models\.yaml: cards\.discount_total\.settings\.scalar\.field: Input should be a valid string"),
        ("seats.yaml", "height: 4", "height: 4\n        height: 8", r"duplicate key height in .*, line \d+"),
        ("chargeback.yaml", "reader: Controller", "reader: 2026-13-45", "chargeback.yaml: month must be in 1..12"),
        ("pipeline.yaml", "reader: ", f"reader: {'[' * 9999}", "pipeline.yaml: nested too deeply"),
        ("../shared.yaml", "display: table", "displayed: table", "shared.yaml: data_status: displayed: Extra inputs"),
    ],
    "no dashboard is valid YAML": [
        ("overview.yaml", "height: 7", "height: 7\n        on: 7", r"overview\.yaml: on is not text; .*, line"),
        ("models.yaml", "reader: ", "7: x\nreader: ", "models.yaml: 7"),
        ("chargeback.yaml", "height: 4", '"he\\u0007ght": 4', r"x07ght' is not a key"),
        ("pipeline.yaml", "reader: ", "reader: !!bool x #", "^pipeline.yaml: "),
        ("../filters/vendor.sql", "SELECT vendor", "SELECT vendor, 1", r"vendor.sql must select exactly one named"),
        ("../filters/person.sql", "SELECT", "SELECT '", r"filters/person.sql: invalid SQL: not GoogleSQL: "),
        ("../shared.yaml", "data_status:", "data.status:", "shared.yaml: the card key 'data.status' may only have"),
    ],
    "the dashboards contradict each other": [
        ("overview.yaml", "{card: spend_by_team, width: 10}", "{card: spend_by_team, width: 11}", "25 columns wide"),
        ("overview.yaml", "filters: [month, ", "filters: [month, month, ", "filter month appears 2 times"),
        ("overview.yaml", "dashboard: chargeback", "dashboard: charge", "which is not a dashboard"),
        ("overview.yaml", "name: Spend by team", "name: Spend", "is used 2 times"),
        ("overview/spend.sql", "[[AND vendor", "[AND vendor", "unbalanced"),
        ("pipeline.yaml", "filters: [month, vendor]", "filters: [month]", "is not a filter of"),
        ("seats.yaml", "filters: [month, ", "filters: [vendor, month, ", "filter vendor applies to no card"),
        ("../shared.yaml", "data_status:", "data_status_:", "shared.yaml: no dashboard shows card data_status_"),
        ("../shared.yaml", "data_status_:", "data_status_:", r"shared/data_status\.sql belongs to no card"),
    ],
    "a shared card": [
        ("../shared/data_status.sql", "({{vendor}})", "({{vendors}})", "{{vendors}} is not a filter of this dash"),
    ],
    "the filters cannot be read": [
        ("../filters.yaml", "\nmonth:", "\n1: {name: One}\nmonth:", r"filters\.yaml: 1 is not text; .*, line"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("group", MISTAKES)
def test_every_error_in_the_files_is_reported(dashboard_files: Path, group: str) -> None:
    """Unknown keys, too wide rows, and filters without effect or dashboard: each error names its place."""
    for file, old, new, _ in MISTAKES[group]:
        replace_in_file(dashboard_files, file, old, new)
    lines = read_errors(dashboard_files)
    assert [says for *_, says in MISTAKES[group] if not any(re.search(says, line) for line in lines)] == [], lines


def make_card(display: str, settings: dict[str, Any], **columns: Any) -> Card:
    """Return a card with these settings."""
    return Card.model_validate(
        {
            "name": "x",
            "description": "x",
            "display": display,
            "columns": columns,
            "settings": settings,
            "sql": "SELECT 1",
        }
    )


RULE = {"columns": ["usd"], "type": "single", "operator": ">", "value": 1, "color": "#B3261E"}
COMPARISON = {"id": "x", "type": "anotherColumn", "column": "team", "label": "x"}
COLUMN_KEY = """[key]: Value error, a column key is written '["name","COLUMN"]'"""


@pytest.mark.parametrize(
    ("display", "setting", "value", "says"),
    [
        ("bar", "graph.dimensions", ("team",), ": Input should be a valid list"),
        ("bar", "series_settings", {"usd": {"color": "nocolor"}}, ".usd.color: String should match pattern '^#"),
        ("bar", "series_settings", {"usd": {"display": "lien"}}, ".usd.display: Input should be 'area', "),
        ("table", "column_settings", {"team": {"text_wrapping": True}}, f".team.{COLUMN_KEY}"),
        ("table", "column_settings", {'["name", "team"]': {}}, f'.["name", "team"].{COLUMN_KEY}'),
        ("table", "column_settings", {"[1]": {}}, f".[1].{COLUMN_KEY}"),
        ("table", "column_settings", {"[" * 9999: {}}, f".{'[' * 9999}.{COLUMN_KEY}"),
        ("scalar", "scalar.field", ["a"], ": Input should be a valid string"),
        ("smartscalar", "scalar.comparisons", [{"id": "x", "column": "usd", "label": "x"}], ".0.type: Field required"),
        ("smartscalar", "scalar.comparisons", [COMPARISON | {"column": None}], ".0.column: Input should be a"),
        ("progress", "progress.value", None, ": Input should be a valid string"),
        ("progress", "progress.color", "red", ": String should match pattern '^#"),
        ("table", "table.column_formatting", [{"type": "single"}], ".0.columns: Field required"),
        ("table", "table.column_formatting", [RULE | {"columns": 5}], ".0.columns: Input should be a valid list"),
        ("table", "table.column_formatting", [RULE | {"type": "range"}], ".0.type: Input should be 'single'"),
        ("table", "table.column_formatting", [RULE | {"operator": "=>"}], ".0.operator: Input should be '=', "),
        ("table", "table.column_formatting", [RULE | {"color": None}], ".0.color: Input should be a valid string"),
        ("table", "table.column_formatting", [RULE | {"value": "1"}], ".0: Value error, > needs a number as its value"),
        ("table", "table.column_formatting", [RULE | {"highlight_row": "no"}], ".0.highlight_row: Input should be"),
        ("table", "table.column_formatting", [RULE | {"value": float("nan")}], ".0.value."),
        ("table", "graph.metrics", ["usd"], ": Extra inputs are not permitted"),
    ],
)
def test_an_invalid_setting_is_an_error(display: str, setting: str, value: Any, says: str) -> None:
    """The error names the setting and what is expected."""
    with pytest.raises(ValidationError) as caught:
        make_card(display, {setting: value})
    lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in caught.value.errors()]
    assert any(line.startswith(f"settings.{setting}{says}") for line in lines), lines


@pytest.mark.parametrize(
    ("display", "settings", "says"),
    [
        ("bar", {"graph.dimensions": ["month"], "graph.metrics": ["team"]}, "graph.metrics"),
        ("smartscalar", {"scalar.field": "team"}, "scalar.field"),
        ("smartscalar", {"scalar.field": "usd", "scalar.comparisons": [COMPARISON]}, "scalar.comparisons"),
        ("progress", {"progress.value": "team", "progress.goal": "usd"}, "progress.value"),
        ("progress", {"progress.value": "usd", "progress.goal": "team"}, "progress.goal"),
        ("table", {"table.column_formatting": [RULE | {"columns": ["usd", "team"]}]}, "table.column_formatting"),
    ],
)
def test_a_text_column_where_a_number_is_needed_is_an_error(display: str, settings: dict[str, Any], says: str) -> None:
    """A text column cannot be compared, drawn or measured by a bar."""
    rows = pa.table({"month": [NOVEMBER], "team": ["Web"], "usd": [D(5)]})
    columns: dict[str, Any] = {"month": {}, "team": {}, "usd": {"format": "usd"}}
    assert validate_rows(make_card(display, settings, **columns), rows) == [
        f"{says} needs a number, and column team is not a number"
    ]
    columns["team"] = {"mini_bar": True}
    errors = validate_rows(make_card("table", {}, **columns), rows)
    assert "mini_bar needs a number, and column team is not a number" in errors


def read_errors(root: Path) -> list[str]:
    """Return the errors of a folder, by line."""
    with pytest.raises(SpecError) as error:
        read_spec(root)
    return str(error.value).split("\n")


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELEC FROM (", "not GoogleSQL: "),
        ("-- Later.", "expected one statement, found 0"),
        ("SELECT 1 AS a; SELECT 2 AS a", "expected one statement, found 2"),
        ("SELECT 1 AS a;", "it contains a semicolon"),
        ("DELETE FROM ai_usage.dim_date WHERE TRUE", "it is not a query that selects columns"),
        ("SELECT FROM ai_usage.dim_date", "it is not a query that selects columns"),
        ("SELECT 1 AS a\0", r"it contains the control character '\x00'"),
        ("SELECT 1 AS a WHERE TRUE [[AND (x = {{month}}]]", "not GoogleSQL: "),
        ("SELECT 1 AS a WHERE [[x = {{month}}]]", "not GoogleSQL: "),
        ("SELECT 1 AS a FROM kpi_x", "the table kpi_x is outside the dataset: write ai_usage.kpi_x"),
        ("SELECT 1 AS a FROM usage.kpi_x", "the table usage.kpi_x is outside the dataset"),
        ("WITH kpi_x AS (SELECT a FROM kpi_x) SELECT a FROM kpi_x", "the table kpi_x is outside the dataset"),
        ("SELECT 1 AS a WHERE x IN ({{month}})", "{{month}} is outside [[ ]], so the card is empty"),
        ("SELECT 1 AS a WHERE TRUE [[AND x = {{{month}}}]]", "{{ and }} must enclose one name"),
    ],
)
def test_invalid_sql_is_reported(tmp_path: Path, sql: str, says: str) -> None:
    """SQL other than one query of the dataset is one line with the dashboard and the card."""
    (write_files(tmp_path / "deploy") / "dashboards" / "overview" / "total.sql").write_text(sql)
    (line,) = read_errors(tmp_path / "deploy")
    assert line.startswith(f"overview.yaml: card total: overview/total.sql: invalid SQL: {says}")


def test_sql_files_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    """A ; in a string is allowed, and names of CTEs are case-insensitive."""
    sql = "WITH Part AS (SELECT ';' AS a)\nSELECT a FROM part -- ;"
    file = write_files(tmp_path / "deploy") / "dashboards" / "overview" / "total.sql"
    file.write_text(sql, "utf-8-sig")
    assert read_spec(tmp_path / "deploy").dashboards[0].cards["total"].sql == sql
    file.unlink()
    assert read_errors(tmp_path / "deploy") == ["overview.yaml: card total: overview/total.sql does not exist"]


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "people.yaml",
            "display: table",
            "display: tables",
            "people.yaml: cards.people.display: Input should be 'area'",
        ),
        ("people.yaml", "name: People", "name: [", "people.yaml: while parsing a flow "),
        ("overview.yaml", "width: 6", "width: 25", "overview.yaml: tabs.0.rows.1.cards.0.width: Input should be less"),
        ("overview.yaml", "height: 4", "height: 4\n    text: x", "overview.yaml: tabs.0.rows.1.text: Extra inputs are"),
        ("overview.yaml", "- heading: This month", "- 7", "overview.yaml: tabs.0.rows.0: Input should be a valid dict"),
        ("overview.yaml", "heading: This month", "headings: x", "overview.yaml: tabs.0.rows.0."),
        ("overview.yaml", "heading: This month", "heading: [x]", "overview.yaml: tabs.0.rows.0.heading: Input should"),
        ("../filters.yaml", "name: Month", "name: 1", "filters.yaml: month: name: Input should be a valid string"),
        ("../filters.yaml", "name: Month", "name: [", "filters.yaml: while parsing a flow "),
        ("people/people.sql", "SELECT", "SELEC", "people.yaml: card people: people/people.sql: invalid SQL: not Goo"),
        ("overview.yaml", "total", "a.b", "overview.yaml: the card key 'a.b' may only have letters, digits and _"),
        ("overview.yaml", "total", "../people/people", "overview.yaml: the card key '../people/people' may only"),
        (
            "../filters.yaml",
            "month:",
            "cost-center: {name: Cost center}\nmonth:",
            "filters.yaml: the filter key 'cost-center' may only have letters, digits and _",
        ),
    ],
)
def test_an_error_is_reported_once(tmp_path: Path, file: str, old: str, new: str, says: str) -> None:
    """What cannot be read causes no further errors elsewhere."""
    path = write_files(tmp_path / "deploy") / "dashboards" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    if old == "total":
        (path.parent / "overview" / "total.sql").unlink()
    lines = read_errors(tmp_path / "deploy")
    assert [line for line in lines if not line.startswith(says)] == []


def test_file_names_are_reported_on_one_line(tmp_path: Path) -> None:
    """Control characters and e-mail addresses in a name are removed."""
    dashboards = write_files(tmp_path / "deploy") / "dashboards"
    (dashboards / "a\nb\x1b[1m ada@acme.test.txt").touch()
    (dashboards / "people.yaml").rename(dashboards / "a.b.yaml")
    (dashboards / "people").rename(dashboards / "a.b")
    replace_in_file(tmp_path / "deploy", "../dashboards/overview.yaml", "dashboard: people", "dashboard: a.b")
    assert read_errors(tmp_path / "deploy") == [
        "dashboards/a b [1m [e-mail] belongs to no dashboard; a dashboard is a .yaml file",
        "dashboards/a.b.yaml: the dashboard key 'a.b' may only have letters, digits and _",
    ]


def test_a_required_variable_is_reported(tmp_path: Path) -> None:
    """Querying a card with a variable outside [[ ]] is an error that names the card."""
    waiting = CARDS["overview.spend_by_day"].model_copy(update={"sql": "SELECT {{vendor}} AS a"})
    changed = dashboard("overview").model_copy(update={"cards": {"days": waiting}})
    with pytest.raises(SpecError, match=r"^overview.yaml: card days: {{vendor}} is outside"):
        query_dashboard(DuckDBWarehouse(tmp_path / "none.duckdb"), changed, {})


def test_every_column_that_the_sql_lacks_is_reported(closed_year: DuckDBWarehouse, dashboard_files: Path) -> None:
    """Settings and formats of columns that the rows do not have: each error names its card and column."""
    mistakes = [
        ("overview.yaml", "scalar.field: forecast_usd", "scalar.field: forecast", "card forecast: scalar.field uses "),
        ("overview.yaml", "graph.metrics: [amount_usd", "graph.metrics: [amounts_usd", "metrics uses column amounts_"),
        ("overview.yaml", "column: same_days_before_usd", "column: before", "scalar.comparisons uses column before"),
        ("overview.yaml", "columns: [used_ratio", "columns: [use_ratio", "formatting uses column use_ratio"),
        ("overview.yaml", "month: month}", "month: months}", "click uses column months"),
        ("overview.yaml", "{title: Budget, format: usd}", "{title: Budget}", "budget_usd is a number and has no"),
        ("overview.yaml", "progress.goal: budget_usd", "progress.goal: budget", "progress.goal uses column budget"),
        ("seats.yaml", "people: {color", "peoples: {color", "series_settings uses column peoples"),
    ]
    for file, old, new, _ in mistakes:
        replace_in_file(dashboard_files, file, old, new)
    lines: list[str] = []
    for changed in read_spec(dashboard_files).dashboards:
        # Query the cards with an error only.
        cards = {key: card for key, card in changed.cards.items() if card != CARDS[f"{changed.key}.{key}"]}
        if cards:
            with pytest.raises(SpecError) as error:
                query_dashboard(closed_year, changed.model_copy(update={"cards": cards}), {})
            lines += str(error.value).split("\n")
    assert [says for *_, says in mistakes if not any(says in line for line in lines)] == [], lines


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("spend", "0) AS spend_usd", "0) AS spent_usd", "columns uses column spend_usd, which the SQL"),
        ("spend", "spent.spend_usd", "spent.spendings", "spendings"),
        ("spend_by_month", "SELECT combined.month", "SELECT 1 AS one, combined.month", "one is not d"),
        ("forecast", "CASE WHEN COUNTIF(forecast_usd IS NULL) = 0 THEN SUM(forecast_usd) END", "forecast_usd",
         "a scalar needs exactly one row"),
        ("spend", "  chosen.month, COALESCE", "  CAST(chosen.month AS STRING) AS month, COALESCE", "a date column"),
        ("spend", "LEFT JOIN spent ON spent.month = chosen.month", "CROSS JOIN spent", "at most one row"),
    ],
)  # fmt: skip
def test_an_error_that_the_rows_show_is_reported(
    closed_year: DuckDBWarehouse, name: str, old: str, new: str, says: str
) -> None:
    """SQL that fails, lacks a column or returns rows that cannot be drawn: the error names its card."""
    card = CARDS[f"overview.{name}"]
    assert old in card.sql
    changed = card.model_copy(update={"sql": card.sql.replace(old, new)})
    with pytest.raises(SpecError, match=rf"overview\.yaml: card {name}: .*{says}"):
        query_dashboard(closed_year, dashboard("overview").model_copy(update={"cards": {name: changed}}), {})


def test_a_filter_without_effect_changes_no_row(closed_year: DuckDBWarehouse) -> None:
    """A clause that compares the filter with a constant returns the same rows for every value."""
    card = CARDS["overview.spend_by_day"]
    useless = card.model_copy(update={"sql": card.sql.replace("[[AND spend.vendor IN", "[[AND 'cursor' IN")})
    usual, chosen = (query_card(closed_year, useless, values) for values in ({}, {"vendor": ["anthropic", "cursor"]}))
    assert chosen == usual
