"""The dashboards' files against the warehouse: every card answers, as Metabase would ask it, with what it says.

The cards are asked of finance's views as tables; that the views are right is proven where they are (`kpis`).
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

from ai_usage_assets.metabase import spec
from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.preview.queries import Values, query_card, query_dashboard
from ai_usage_assets.metabase.spec import Card, Dashboard, SpecError
from ai_usage_assets.metabase.sql_template import fill
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.metabase.closed_year import CLOSED_THROUGH, DIFFERING_DAY
from ai_usage_assets_tests.metabase.instance import folder
from ai_usage_assets_tests.support.reference_sql import Reference
from ai_usage_assets_tests.support.year import YEAR
from ai_usage_assets_tests.warehouse.test_sql_subset import problems

D = Decimal
SPEC = spec.read_spec()
KEYS = [dashboard.key for dashboard in SPEC.dashboards]
CARDS = [(dashboard.key, key) for dashboard in SPEC.dashboards for key in dashboard.cards]
NOVEMBER, OCTOBER = date(2026, 11, 1), date(2026, 10, 1)

# Of each filter, what people choose: one value, and several where it takes several.
CHOICES: dict[str, list[list[str]]] = {
    "month": [["2025-11"], ["2026-09"], ["2026-10"]],
    "vendor": [["cursor"], ["anthropic"], ["anthropic", "cursor"]],
    "cost_center": [["CC-1010"], ["Unallocated"], ["CC-4010", "Unallocated"]],
    "person": [["rosa.weber@acme.test"], ["rosa.weber@acme.test", "carla.vogel@acme.test"]],
}


def dashboard(key: str) -> Dashboard:
    """One of the dashboards."""
    return next(each for each in SPEC.dashboards if each.key == key)


def variants(card: Card) -> list[dict[str, list[str]]]:
    """Filters empty, each alone with each choice, and all of them with several values."""
    alone = [{name: choice} for name in card.variables for choice in CHOICES[name]]
    return [{}, *alone, {name: CHOICES[name][-1] for name in card.variables}]


Ask = Callable[[Card, Values], pa.Table]


@pytest.fixture(scope="module")
def ask(books: DuckDBWarehouse) -> Ask:
    """A card's rows, asked once for each statement."""

    @cache
    def query(sql: str, parameters: tuple[tuple[str, str], ...]) -> pa.Table:
        return books.query(sql, dict(parameters))

    def of(card: Card, values: Values) -> pa.Table:
        sql, parameters = fill(card.sql, values)
        return query(sql, tuple(parameters.items()))

    return of


@pytest.mark.parametrize(("key", "name"), CARDS)
def test_a_card_answers_whatever_is_chosen(ask: Ask, key: str, name: str) -> None:
    """With filters empty, set and multiple a card has the columns that it names, and rows it can be drawn of."""
    card = dashboard(key).cards[name]
    usual = ask(card, {})
    assert usual.num_rows, "there is nothing to see of it in the whole year"
    for values in variants(card):
        found = ask(card, values)
        assert validate_rows(card, found) == [], values
        assert found.schema == usual.schema, values


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, name in CARDS if dashboard(key).cards[name].variables])
def test_every_filter_of_a_card_changes_it(ask: Ask, key: str, name: str) -> None:
    """Where a card takes a filter, choosing something changes what it shows, if not of this month, then of another."""
    card = dashboard(key).cards[name]
    for variable in card.variables:
        months = ({}, {"month": ["2026-10"]}) if variable != "month" else ({},)
        assert any(
            ask(card, {**month, variable: choice}) != ask(card, month)
            for month in months
            for choice in CHOICES[variable]
        ), variable


def test_every_filter_is_on_the_first_tab() -> None:
    """A filter that no card of a tab takes is not shown there, so the first tab takes each but that of people."""
    for each in SPEC.dashboards:
        first = {name for key in each.tabs[0].cards() for name in each.cards[key].variables}
        assert set(each.filters) - {"person"} <= first, each.key


# Of each dashboard, by filter, the cards that mean the same whatever is chosen; all others take it.
UNFILTERED = {
    "chargeback": {
        "person": "posted charges corrections_sum unallocated_sum state cost_centers months lines corrections",
        "vendor": "state top_people people",
        "cost_center": "state unallocated",
    },
    "models": {},
    "overview": {"vendor": "budget_used per_user budgets backtest", "cost_center": "backtest spikes"},
    "pipeline": {"month": "failed_checks checks", "vendor": "failed_checks checks runs"},
    "seats": dict.fromkeys(("cost_center", "person"), "paid utilisation idle reclaimable months productivity"),
}


def test_no_card_has_forgotten_a_filter() -> None:
    """A card without the clause of one of its dashboard's filters is one that is known to need none."""
    for each in SPEC.dashboards:
        cards = {key: card for key, card in each.cards.items() if key != "as_of"}
        found = {name: {key for key, card in cards.items() if name not in card.variables} for name in each.filters}
        expected = {name: set(keys.split()) for name, keys in UNFILTERED[each.key].items()}
        assert {name: keys for name, keys in found.items() if keys} == expected, (
            f"{each.key}.yaml: add the filter's clause to the card's SQL, [[AND column IN ({{{{filter}}}})]], "
            "or name the card in UNFILTERED if it means the same whatever is chosen"
        )


def test_a_card_says_which_filters_change_nothing() -> None:
    """Its description ends with them, and one that every filter changes says nothing of them."""
    cards = dashboard("overview").cards
    assert cards["spikes"].description.endswith("the two before it. The filter Cost center does not change it.")
    assert cards["backtest"].description.endswith("The filters Vendor and Cost center do not change it.")
    assert "ilter" not in cards["spend"].description


@pytest.mark.parametrize("key", SPEC.filters)
def test_a_filter_offers_values(books: DuckDBWarehouse, key: str) -> None:
    """A filter's SQL has one column of texts, each once, and what the tests choose is among them."""
    found = books.query(SPEC.filters[key].sql)
    (column,) = found.columns
    values = column.to_pylist()
    assert pa.types.is_string(column.type)
    assert None not in values
    assert "" not in values
    assert len(set(values)) == len(values) > 1
    # As Metabase will list them, but that it starts with the first month.
    assert values == sorted(values, reverse=key == "month")
    assert {value for choice in CHOICES[key] for value in choice} <= set(values)
    assert SPEC.filters[key].multiple == (key != "month")


def test_a_shared_card_is_each_dashboards_own() -> None:
    """It has the dashboard's name before its own, and no clause of a filter that the dashboard does not have."""
    shared = {each.key: each.cards["as_of"] for each in SPEC.dashboards}
    assert shared["seats"].name == "Seats and adoption: how current are these figures?"
    assert shared["seats"].variables == ["month"]
    assert "{{vendor}}" not in shared["seats"].sql
    assert shared["models"].variables == ["month", "vendor"]


def test_a_click_sets_a_filter_to_a_value_that_it_offers(ask: Ask, books: DuckDBWarehouse) -> None:
    """What is taken from the row that is clicked is one of the filter's values."""
    clicked = [card for each in SPEC.dashboards for card in each.cards.values() if card.click]
    assert len(clicked) > 2
    for card in clicked:
        assert card.click
        for key, column in card.click.filters.items():
            offered = books.query(SPEC.filters[key].sql).column(0).to_pylist()
            assert set(ask(card, {}).column(column).to_pylist()) <= set(offered), card.name


# --- the statements -----------------------------------------------------------------------------------------------


def statements() -> dict[str, dict[str, str]]:
    """Every statement that Metabase may send with its parameters, in each shape once: without clauses, and with all."""
    found = [fill(each.sql, {}) for each in SPEC.filters.values()]
    for key, name in CARDS:
        card = dashboard(key).cards[name]
        found += [fill(card.sql, {}), fill(card.sql, {each: CHOICES[each][-1] for each in card.variables})]
    return dict(found)


def test_statements_keep_to_what_both_engines_share() -> None:
    """No card uses a word, a function or an order that the engines do not share."""
    found = {sql: problems(sql, published=False) for sql in statements()}
    assert {sql: told for sql, told in found.items() if told} == {}


def test_google_accepts_every_statement(books: DuckDBWarehouse) -> None:
    """To Google's analyser every card is GoogleSQL on the declared tables and views, with the columns it has here."""
    reference = Reference({name: value for parameters in statements().values() for name, value in parameters.items()})
    for table in sorted({name for sql in statements() for name in googlesql.tables_read(googlesql.parse(sql))}):
        reference.declare(table, columns(books.query(f"SELECT * FROM ai_usage.{table} LIMIT 0")))
    for sql, parameters in statements().items():
        assert reference.analyse(sql) == columns(books.query(sql, parameters)), sql


def columns(found: pa.Table) -> dict[str, str]:
    """Columns and their types in GoogleSQL."""
    return {column.name: google_type(column.type) for column in found.schema}


def google_type(kind: pa.DataType) -> str:
    """What a column is called in GoogleSQL."""
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    names = {pa.string(): "STRING", pa.int64(): "INT64", pa.bool_(): "BOOL", pa.date32(): "DATE"}
    return names.get(kind, "NUMERIC")


# --- the numbers --------------------------------------------------------------------------------------------------

Line = dict[str, Any]


@pytest.fixture(scope="module")
def lines(books: DuckDBWarehouse) -> list[Line]:
    """Every fact of money of October and November, as it is."""
    return books.rows("SELECT * FROM ai_usage.fct_cost_daily WHERE usage_date >= @first", {"first": OCTOBER})


def spent(lines: list[Line], month: date, last_day: int = 31, **only: Any) -> Decimal:
    """Billed and seat dollars of the first days of a month, of the lines that are as `only` says."""
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


def one(ask: Ask, key: str, name: str, **values: list[str]) -> Line:
    """The last row of a card: the one that a number shows."""
    return dict(ask(dashboard(key).cards[name], values).to_pylist()[-1])


def test_spend_is_the_sum_of_the_facts(ask: Ask, lines: list[Line]) -> None:
    """The month, the same days before it, its vendors, days, teams and chargeback are the facts, to the last digit."""
    through = YEAR.last.day
    assert one(ask, "overview", "spend") == {
        "month": NOVEMBER, "spend_usd": spent(lines, NOVEMBER), "same_days_before_usd": spent(lines, OCTOBER, through),
    }  # fmt: skip
    whole = one(ask, "overview", "spend", month=["2026-10"], vendor=["cursor"], cost_center=["CC-1010", "Unallocated"])
    parts = [spent(lines, OCTOBER, vendor="cursor", cost_center=name) for name in ("CC-1010", None)]
    assert whole["spend_usd"] == sum(parts)
    by_vendor = {f"{name}_usd": spent(lines, NOVEMBER, vendor=name) for name in ("anthropic", "cursor")}
    month = one(ask, "overview", "months")
    assert {name: month[name] for name in by_vendor} == by_vendor
    days = ask(dashboard("overview").cards["days"], {}).to_pylist()
    assert {row["usage_date"].day: (row["anthropic_usd"], row["cursor_usd"]) for row in days} == {
        day: tuple(
            spent(lines, NOVEMBER, usage_date=NOVEMBER.replace(day=day), vendor=vendor)
            for vendor in ("anthropic", "cursor")
        )
        for day in range(1, through + 1)
    }
    bars = ask(dashboard("overview").cards["teams"], {}).to_pylist()
    dollars = {row["team"]: (row["anthropic_usd"] or 0) + (row["cursor_usd"] or 0) for row in bars}
    assert dollars.pop("Unallocated") == spent(lines, NOVEMBER, cost_center=None)
    assert dollars == {team: spent(lines, NOVEMBER, team=team) for team in dollars}
    assert sum(dollars.values()) == spent(lines, NOVEMBER) - spent(lines, NOVEMBER, cost_center=None)
    assert one(ask, "chargeback", "posted") == {"amount_usd": spent(lines, NOVEMBER)}
    assert one(ask, "chargeback", "unallocated_sum") == {"amount_usd": spent(lines, NOVEMBER, cost_center=None)}


TRENDS = [
    (each.key, name) for each in SPEC.dashboards for name, card in each.cards.items() if card.display == "smartscalar"
]


@pytest.mark.parametrize(("key", "name"), TRENDS)
def test_a_number_with_its_trend_is_of_the_month_that_is_chosen(ask: Ask, key: str, name: str) -> None:
    """It has a number, of that month and of no other, whatever else is chosen; without a number it has no row."""
    card = dashboard(key).cards[name]
    for month in ("2025-12", "2026-10", "2026-11", "2019-01"):
        for values in variants(card):
            for row in ask(card, {**values, "month": [month]}).to_pylist():
                assert row["month"] == date.fromisoformat(f"{month}-01"), values
                assert row[card.settings["scalar.field"]] is not None, values
    assert ask(card, {"month": ["2019-01"]}).num_rows == 0


def test_who_spent_nothing_has_spent_0(ask: Ask) -> None:
    """A cost center without a line in the month is told 0 and not what an older month was."""
    assert one(ask, "overview", "spend", cost_center=["CC-0000"]) == {
        "month": NOVEMBER, "spend_usd": 0, "same_days_before_usd": None,
    }  # fmt: skip


# What is missing -> by card what it shows then: none is no row.
GAPS: dict[str, tuple[str, dict[str, list[str]], dict[str, Any]]] = {
    "a vendor's days of the month": (
        "UPDATE int_month_completeness SET missing_days = 3, are_previous_days_held = FALSE "
        "WHERE vendor = 'cursor' AND month = DATE '2026-11-01'",
        {},
        {
            "overview.spend.same_days_before_usd": None,
            "models.billed.same_days_before_usd": None,
            "models.per_million.previous_usd_per_million_tokens": None,
        },
    ),
    "a vendor that is not used": (
        "DELETE FROM int_month_completeness WHERE vendor = 'cursor'; DELETE FROM ops_freshness WHERE vendor = 'cursor'",
        {},
        {"overview.spend.same_days_before_usd": ..., "models.per_million.previous_usd_per_million_tokens": ...},
    ),
    "a whole month": (
        "UPDATE int_month_completeness SET missing_days = 31, is_any_day_held = FALSE, are_previous_days_held = FALSE "
        "WHERE month = DATE '2026-10-01'; "
        "UPDATE kpi_model_mix SET amount_usd = 0, previous_amount_usd = NULL WHERE month = DATE '2026-10-01'; "
        "UPDATE kpi_spend_monthly SET spend_usd = 0, previous_same_days_usd = NULL WHERE month = DATE '2026-10-01'",
        {"month": ["2026-10"]},
        {"overview.spend.spend_usd": None, "models.billed.billed_usd": None},
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
            "seats.idle.idle_usd": None,
            "seats.utilisation.utilisation_ratio": None,
            "seats.reclaimable.reclaimable_seats": None,
        },
    ),
}


@pytest.mark.parametrize("gap", GAPS)
def test_what_is_missing_is_no_number(lived_in_file: Path, tmp_path: Path, gap: str) -> None:
    """Where days, a forecast or activity are missing there is no confident number, and nothing to compare one with."""
    change, values, shown = GAPS[gap]
    path = shutil.copyfile(lived_in_file, tmp_path / "w.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("USE ai_usage")
        connection.execute(change)
    warehouse = DuckDBWarehouse(path)
    for place, expected in shown.items():
        key, name, column = place.split(".")
        found = query_card(warehouse, dashboard(key).cards[name], values).to_pylist()
        value = found[-1][column] if found else None
        assert (value is not None) if expected is ... else (value == expected), place
    warehouse.close()


def test_a_check_that_fails_twice_is_one(lived_in_file: Path, tmp_path: Path) -> None:
    """The number is of checks, the table of findings."""
    path = shutil.copyfile(lived_in_file, tmp_path / "w.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO ai_usage.ops_check_status FROM ai_usage.ops_check_status WHERE NOT passed")
    warehouse = DuckDBWarehouse(path)
    failed, listed = (
        query_card(warehouse, dashboard("pipeline").cards[name], {}) for name in ("failed_checks", "checks")
    )
    warehouse.close()
    assert failed.to_pylist() == [{"failed_checks": 2}]
    assert sum(row["outcome"] == "worth a look" for row in listed.to_pylist()) == 4


def test_which_month_is_shown_is_told_on_every_dashboard(ask: Ask) -> None:
    """The first card says it, with how far the month has come and whether it may still change, chosen or not."""
    for key in KEYS:
        usual, chosen = (one(ask, key, "as_of", **values) for values in ({}, {"month": ["2026-09"]}))
        assert (usual["month_shown"], usual["finality"]) == (f"2026-11, up to {YEAR.last}", "may still change")
        assert (chosen["month_shown"], chosen["finality"]) == ("2026-09, up to 2026-09-30", "final")


def test_corrections_are_what_was_posted_too_little(ask: Ask, lines: list[Line]) -> None:
    """The first open month carries what closed months have since turned out to be, beside its own charges."""
    assert CLOSED_THROUGH.month == OCTOBER.month - 1
    assert one(ask, "chargeback", "charges", month=["2026-10"]) == {"amount_usd": spent(lines, OCTOBER)}
    assert one(ask, "chargeback", "corrections_sum", month=["2026-10"]) == {"amount_usd": D(25)}
    assert one(ask, "chargeback", "state")["state"] == "2026-11, open: may still change"
    assert one(ask, "chargeback", "state", month=["2026-09"])["state"] == "2026-09, closed on 2026-10-11"
    assert one(ask, "chargeback", "state", month=["2019-01"])["state"] == "2019-01: nothing is posted"
    rows = ask(dashboard("chargeback").cards["corrections"], {}).to_pylist()
    told = {(row["spent_in"], row["cost_center"], row["reason"]): row["amount_usd"] for row in rows}
    assert told == {
        ("2026-08", "CC-1010", "reallocated"): -40,
        ("2026-08", "CC-1020", "reallocated"): 40,
        ("2026-09", "CC-4010", "restated"): 25,
    }


def test_the_budget_is_the_sheets(ask: Ask, lines: list[Line], books: DuckDBWarehouse) -> None:
    """Used is what the cost centers with a budget have spent; the goal is the sum of their budgets."""
    budgets = books.rows(
        "SELECT cost_center, budget_usd FROM ai_usage.stg_budgets WHERE month = @month", {"month": NOVEMBER}
    )
    assert one(ask, "overview", "budget_used") == {
        "spend_usd": sum(spent(lines, NOVEMBER, cost_center=row["cost_center"]) for row in budgets),
        "budget_usd": sum(row["budget_usd"] for row in budgets),
    }


def test_cost_per_user_is_of_who_used_a_tool(ask: Ask, lines: list[Line]) -> None:
    """All dollars of the month, over the people with usage in it: a seat alone is no usage."""
    people = {
        line["person_email"]
        for line in lines
        if line["usage_date"] >= NOVEMBER and line["cost_basis"] != "seat" and line["person_email"]
    }
    shown = one(ask, "overview", "per_user")["usd_per_user"]
    assert abs(shown - spent(lines, NOVEMBER) / len(people)) < D("0.000001")
    assert one(ask, "seats", "active_people")["people"] == len(people)


def test_the_forecast_adds_up(ask: Ask, books: DuckDBWarehouse) -> None:
    """The cost centers' forecasts come to the company's, and a month that is over has none."""
    (total,) = books.rows("SELECT forecast_usd FROM ai_usage.kpi_forecast_total")
    assert one(ask, "overview", "forecast") == total
    parts = ask(dashboard("overview").cards["forecast_lines"], {}).column("forecast_usd").to_pylist()
    assert sum(part for part in parts if part is not None) == total["forecast_usd"]
    assert one(ask, "overview", "forecast", month=["2026-10"]) == {"forecast_usd": None}


def test_models_are_what_is_billed(ask: Ask, lines: list[Line], books: DuckDBWarehouse) -> None:
    """Billed dollars by model, per million tokens, and off the list price are those of the facts."""
    billed: dict[str, Decimal] = defaultdict(D)
    for line in lines:
        if line["usage_date"] >= NOVEMBER and line["cost_basis"] == "billed":
            billed[line["model"] or "no model"] += line["amount_usd"]
    shown = ask(dashboard("models").cards["spend"], {}).to_pylist()
    assert {row["model"]: row["billed_usd"] for row in shown} == billed
    assert one(ask, "models", "billed")["billed_usd"] == sum(billed.values())
    tokens: dict[str, int] = defaultdict(int)
    for row in books.rows(
        "SELECT model, total_tokens FROM ai_usage.fct_tokens_daily "
        "WHERE usage_date >= @first AND cost_basis = 'billed'",
        {"first": NOVEMBER},
    ):
        tokens[row["model"] or "no model"] += row["total_tokens"] or 0
    with_tokens = [model for model in billed if tokens[model]]
    per_million = sum(billed[model] for model in with_tokens) * 1_000_000 / sum(tokens[model] for model in with_tokens)
    assert abs(one(ask, "models", "per_million")["usd_per_million_tokens"] - per_million) < D("0.000001")
    discounts = [
        line["list_amount_usd"] - line["amount_usd"]
        for line in lines
        if line["vendor"] == "anthropic" and line["usage_date"] >= NOVEMBER
    ]
    assert one(ask, "models", "discount") == {"discount_usd": sum(discounts)}
    *parts, change = ask(dashboard("models").cards["why"], {}).column("amount_usd").to_pylist()
    assert sum(parts) == change


def test_seats_are_the_snapshots(ask: Ask, books: DuckDBWarehouse) -> None:
    """Paid seats are those of each holder's last day; their fees by use come to the facts'."""
    seats = books.rows(
        "SELECT usage_date, user_id, is_paid FROM ai_usage.int_cursor_seat_daily WHERE usage_date >= @first",
        {"first": NOVEMBER},
    )
    paid = {seat["user_id"] for seat in seats if seat["is_paid"]}
    assert one(ask, "seats", "paid") == {"paid_seats": len(paid)}
    month = one(ask, "seats", "months")
    assert sum(value for name, value in month.items() if name != "month") == len(paid)
    (fees,) = books.rows(
        "SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily WHERE cost_basis = 'seat' AND usage_date >= @first",
        {"first": NOVEMBER},
    )
    bars = ask(dashboard("seats").cards["cost_centers"], {}).to_pylist()
    assert sum(value for row in bars for value in list(row.values())[1:] if value is not None) == fees["usd"]
    idle = sum(row["idle_usd"] or 0 for row in bars)
    assert one(ask, "seats", "idle") == {"idle_usd": idle}
    assert one(ask, "seats", "reclaimable") == {
        "reclaimable_seats": ask(dashboard("seats").cards["reclaim"], {}).num_rows
    }


def test_the_pipelines_numbers_are_the_logs(ask: Ask, books: DuckDBWarehouse) -> None:
    """What is missing, differs, asks for a look and was restated is what the log and the controls hold."""
    assert one(ask, "pipeline", "held") == {"held_days": 2 * YEAR.last.day, "days": 2 * YEAR.last.day}
    assert one(ask, "pipeline", "failed_checks") == {"failed_checks": 2}
    assert one(ask, "pipeline", "differing") == {"differing": 1}
    (difference,) = ask(dashboard("pipeline").cards["differences"], {}).to_pylist()
    assert (difference["usage_date"], difference["difference_usd"]) == (DIFFERING_DAY, D(-5))
    october = books.rows(
        "SELECT old_amount_usd, new_amount_usd FROM ai_usage.ops_restatements WHERE vendor = 'anthropic' "
        "AND usage_date BETWEEN @first AND @last",
        {"first": OCTOBER, "last": date(2026, 10, 31)},
    )
    assert one(ask, "pipeline", "restated_usd", month=["2026-10"]) == {
        "delta_usd": sum(row["new_amount_usd"] - row["old_amount_usd"] for row in october)
    }
    for row in ask(dashboard("overview").cards["as_of"], {}).to_pylist():
        (day,) = books.rows(
            "SELECT MIN(usage_date) AS first FROM ai_usage.int_settlement_daily "
            "WHERE is_provisional AND vendor = @vendor",
            {"vendor": row["vendor"]},
        )
        assert row["missing_days"] == 0
        assert (row["complete_through_date"], row["provisional_from_date"]) == (YEAR.last, day["first"])


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The dashboards' files, to be spoilt."""
    return Path(shutil.copytree(spec.DASHBOARDS_DIR, tmp_path / "metabase"))


def spoil(root: Path, file: str, old: str, new: str) -> None:
    """Plants a mistake in a file, once."""
    text = (root / "dashboards" / file).read_text()
    assert old in text
    (root / "dashboards" / file).write_text(text.replace(old, new, 1))


def test_the_pages_example_is_a_card(books: DuckDBWarehouse, copied: Path) -> None:
    """What README.md says a chart takes is accepted as it stands there, and its SQL answers whatever is chosen."""
    ((place, card, sql),) = re.findall(
        r"```yaml\n#.*\n((?:.*\n)+?)# \.\.\. and.*\ncards:\n((?:.*\n)+?)```\n\n```sql\n((?:.*\n)+?)```",
        (spec.DASHBOARDS_DIR / "README.md").read_text(),
    )
    spoil(copied, "overview.yaml", "    rows:\n", f"    rows:\n{place}")
    spoil(copied, "overview.yaml", "\ncards:\n", f"\ncards:\n{card}")
    (copied / "dashboards" / sql.splitlines()[0].partition("dashboards/")[2]).write_text(sql)
    (made,) = (each.cards["products"] for each in spec.read_spec(copied).dashboards if each.key == "overview")
    assert set(made.variables) == set(dashboard("overview").filters), "it has forgotten a filter"
    for values in variants(made):
        found = query_card(books, made, values)
        assert found.num_rows
        assert validate_rows(made, found) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("overview.yaml", "display: smartscalar", "displayed: smartscalar", "cards.spend.displayed: Extra inputs"),
        ("overview.yaml", "height: 7", "hight: 7", "hight: Extra inputs"),
        ("overview.yaml", "height: 7", "height: 7\n        height: 8", r"height is there twice in .*, line \d+"),
        ("overview.yaml", "reader: Head of finance", "reader: 2026-13-45", "overview.yaml: month must be in 1..12"),
        (
            "overview.yaml",
            "height: 7",
            "height: 7\n        on: 7",
            r"overview\.yaml: on is no text: quote it in .*, line",
        ),
        (
            "../filters.yaml",
            "\nmonth:",
            "\n1: {name: One}\nmonth:",
            r"filters\.yaml: 1 is no text: quote it in .*, line",
        ),
        ("overview.yaml", "reader: Head of finance", f"reader: {'[' * 9999}", "overview.yaml: it is nested too deep"),
        ("overview.yaml", "reader: Head of finance", "reader: x\n7: x", "overview.yaml: 7"),
        ("overview.yaml", "{card: teams, width: 10}", "{card: teams, width: 11}", "25 columns wide"),
        ("../filters/vendor.sql", "SELECT vendor", "SELECT vendor, 1", r"filters/vendor.sql must select one named"),
        ("../filters/vendor.sql", "vendor", "'vendor", r"filters/vendor.sql cannot be read: not GoogleSQL: "),
        (
            "overview.yaml",
            "graph.metrics: [anthropic_usd, cursor_usd]",
            "graph.metrics: 3",
            "settings.graph.metrics: In",
        ),
        ("overview.yaml", "settings: {scalar.field: forecast_usd}", "settings: {x: !!binary aa==}", "it is no JSON"),
        (
            "overview.yaml",
            "settings: {scalar.field: forecast_usd}",
            "settings: {scalar.field: [a]}",
            r"overview\.yaml: cards\.forecast\.settings\.scalar\.field: Input should be a valid string",
        ),
        ("overview.yaml", "height: 7", '"he\\u0007ght": 7', r"x07ght' is no key"),
        ("overview.yaml", "reader: Head of finance", "reader: !!bool x", "^overview.yaml: "),
        (
            "overview.yaml",
            "[month, vendor, cost_center]",
            "[month, month, vendor, cost_center]",
            "month is there 2 times",
        ),
        ("overview.yaml", "filters: [month, vendor, cost_center]", "filters: [month, vendor]", "is no filter of"),
        ("seats.yaml", "filters: [month, ", "filters: [vendor, month, ", "filter vendor changes no card"),
        ("overview.yaml", "dashboard: chargeback", "dashboard: charge", "which is no dashboard"),
        ("overview.yaml", "name: Spend by team", "name: Spend of the month", "is given 2 times"),
        ("overview/spend.sql", "[[AND vendor", "[AND vendor", "do not belong to each other"),
        ("../shared.yaml", "display: table", "displayed: table", "shared.yaml: as_of: displayed: Extra inputs"),
        ("../shared.yaml", "as_of:", "as_of_:", "shared.yaml: card as_of_ is on no dashboard"),
        ("../shared.yaml", "as_of:", "as.of:", "shared.yaml: the key of card 'as.of' must be of letters, digits and _"),
        ("../shared.yaml", "as_of:", "as_of_:", r"shared.yaml: shared/as_of\.sql belongs to no card"),
        ("../shared/as_of.sql", "({{vendor}})", "({{vendors}})", "card as_of: {{vendors}} is no filter of this dash"),
    ],
)
def test_a_mistake_in_the_files_is_told(copied: Path, file: str, old: str, new: str, says: str) -> None:
    """A misspelt key, a row too wide, a filter without effect or without a dashboard: each is refused by name."""
    spoil(copied, file, old, new)
    with pytest.raises(SpecError, match=says):
        spec.read_spec(copied)


def described(display: str, settings: dict[str, Any], **columns: Any) -> Card:
    """A card by itself."""
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
COMPARED = {"id": "x", "type": "anotherColumn", "column": "team", "label": "x"}
KEY = """[key]: Value error, the key of a column is written '["name","COLUMN"]'"""
BOMB: Any = 1
for _ in range(7):
    BOMB = [BOMB] * 10
CONTAINED: Any = {}
CONTAINED["x"] = CONTAINED


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("graph.dimensions", ("team",), ": Input should be a valid list"),
        ("column_settings", {"team": {"text_wrapping": True}}, f".team.{KEY}"),
        ("column_settings", {'["name", "team"]': {}}, f'.["name", "team"].{KEY}'),
        ("column_settings", {"[1]": {}}, f".[1].{KEY}"),
        ("column_settings", {"{}": {}}, f".{{}}.{KEY}"),
        ("column_settings", {"[" * 9999: {}}, f".{'[' * 9999}.{KEY}"),
        ("scalar.field", ["a"], ": Input should be a valid string"),
        ("scalar.comparisons", [{"id": "x", "column": "usd", "label": "x"}], ".0.type: Field required"),
        ("scalar.comparisons", [COMPARED | {"column": None}], ".0: Value error, anotherColumn needs a column and"),
        ("scalar.comparisons", [COMPARED | {"label": None}], ".0: Value error, anotherColumn needs a column and"),
        ("progress.value", None, ": Input should be a valid string"),
        ("progress.goal", {"a": 1}, ": Input should be a valid string"),
        ("progress.color", "red", ": String should match pattern '^#"),
        ("series_settings", {"usd": {"color": "nocolour"}}, ".usd.color: String should match pattern '^#"),
        ("series_settings", {"usd": {"display": "lien"}}, ".usd.display: Input should be 'area', 'bar' or 'line'"),
        ("table.column_formatting", [{"type": "range"}], ".0.columns: Field required"),
        ("table.column_formatting", [RULE | {"columns": 5}], ".0.columns: Input should be a valid list"),
        ("table.column_formatting", [RULE | {"type": "double"}], ".0.type: Input should be 'single' or 'range'"),
        ("table.column_formatting", [RULE | {"operator": "=>"}], ".0.operator: Input should be '=', "),
        ("table.column_formatting", [RULE | {"operator": None}], ".0: Value error, single needs an operator and"),
        ("table.column_formatting", [RULE | {"color": None}], ".0: Value error, single needs an operator and a color"),
        ("table.column_formatting", [RULE | {"value": "1"}], ".0: Value error, > needs a number as its value"),
        ("table.column_formatting", [RULE | {"operator": "=", "value": None}], ".0: Value error, = needs a value"),
        ("table.column_formatting", [RULE | {"highlight_row": "no"}], ".0.highlight_row: Input should be a valid bool"),
        ("else", float("nan"), "it is no JSON: "),
        ("else", {"x": [float("inf")]}, "it is no JSON: "),
        ("else", BOMB, "it has more than 10,000 parts"),
        ("else", CONTAINED, "it has more than 10,000 parts"),
    ],
)
def test_a_setting_that_would_be_looked_into_in_vain_is_refused(setting: str, value: Any, says: str) -> None:
    """Of a setting that is not what it has to be the name is told, and what is expected."""
    with pytest.raises(ValidationError) as told:
        described("table", {setting: value})
    (error,) = told.value.errors()
    place = ".".join(map(str, error["loc"]))
    begin = f"settings: Value error, {setting}: {says}" if setting == "else" else f"settings.{setting}{says}"
    assert f"{place}: {error['msg']}".startswith(begin)


@pytest.mark.parametrize(
    ("display", "settings", "says"),
    [
        ("bar", {"graph.dimensions": ["month"], "graph.metrics": ["team"]}, "graph.metrics"),
        ("smartscalar", {"scalar.field": "team"}, "scalar.field"),
        ("smartscalar", {"scalar.field": "usd", "scalar.comparisons": [COMPARED]}, "scalar.comparisons"),
        ("progress", {"progress.value": "team", "progress.goal": "usd"}, "progress.value"),
        ("progress", {"progress.value": "usd", "progress.goal": "team"}, "progress.goal"),
        ("table", {"table.column_formatting": [RULE | {"columns": ["usd", "team"]}]}, "table.column_formatting"),
    ],
)
def test_a_text_where_a_number_is_needed_is_told(display: str, settings: dict[str, Any], says: str) -> None:
    """A column of words cannot be compared with a number, measured by a bar or drawn, and is named with its place."""
    found = pa.table({"month": [NOVEMBER], "team": ["Web"], "usd": [D(5)]})
    columns = {"month": {}, "team": {}, "usd": {"form": "usd"}}
    assert validate_rows(described(display, settings, **columns), found) == [
        f"{says} needs numbers, and team is no number"
    ]
    columns["team"] = {"mini_bar": True}
    assert "mini_bar needs numbers, and team is no number" in validate_rows(described("table", {}, **columns), found)


def told(root: Path) -> list[str]:
    """What is told of a folder, by line."""
    with pytest.raises(SpecError) as found:
        spec.read_spec(root)
    return str(found.value).split("\n")


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELEC FROM (", "not GoogleSQL: "),
        ("-- Later.", "one statement a file, found 0"),
        ("SELECT 1 AS a; SELECT 2 AS a", "one statement a file, found 2"),
        ("SELECT 1 AS a;", "it has a ;, which must not be there"),
        ("DELETE FROM ai_usage.dim_date WHERE TRUE", "it is no query that selects columns"),
        ("SELECT FROM ai_usage.dim_date", "it is no query that selects columns"),
        ("SELECT 1 AS a\0", r"it has the character '\x00'"),
        ("SELECT 1 AS a WHERE TRUE [[AND (x = {{month}}]]", "not GoogleSQL: "),
        ("SELECT 1 AS a WHERE [[x = {{month}}]]", "not GoogleSQL: "),
        ("SELECT 1 AS a FROM kpi_x", "the table kpi_x is not of the dataset: write ai_usage.kpi_x"),
        ("SELECT 1 AS a FROM usage.kpi_x", "the table usage.kpi_x is not of the dataset"),
        ("WITH kpi_x AS (SELECT a FROM kpi_x) SELECT a FROM kpi_x", "the table kpi_x is not of the dataset"),
        ("SELECT 1 AS a WHERE x IN ({{month}})", "{{month}} stands outside of [[ ]], and nothing is shown"),
        ("SELECT 1 AS a WHERE TRUE [[AND x = {{{month}}}]]", "{{ and }} must stand around one name"),
    ],
)
def test_sql_that_cannot_be_asked_is_told(tmp_path: Path, sql: str, says: str) -> None:
    """What is not one query of the dataset, with clauses or without, is one line with the dashboard and the card."""
    (folder(tmp_path / "deploy") / "dashboards" / "overview" / "total.sql").write_text(sql)
    (line,) = told(tmp_path / "deploy")
    assert line.startswith(f"overview.yaml: card total: overview/total.sql cannot be read: {says}")


def test_sql_is_what_an_editor_shows_of_it(tmp_path: Path) -> None:
    """The mark of a file's encoding is none of it, a ; in words is no end, and names of parts are without case."""
    sql = "WITH Part AS (SELECT ';' AS a)\nSELECT a FROM part -- ;"
    file = folder(tmp_path / "deploy") / "dashboards" / "overview" / "total.sql"
    file.write_text(sql, "utf-8-sig")
    assert spec.read_spec(tmp_path / "deploy").dashboards[0].cards["total"].sql == sql
    file.unlink()
    assert told(tmp_path / "deploy") == [
        "overview.yaml: card total: there is no overview/total.sql, which must have its SQL"
    ]


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
        ("people/people.sql", "SELECT", "SELEC", "people.yaml: card people: people/people.sql cannot be read: not Goo"),
        ("overview.yaml", "total", "a.b", "overview.yaml: the key of card 'a.b' must be of letters, digits and _ only"),
        ("overview.yaml", "total", "../people/people", "overview.yaml: the key of card '../people/people' must be of"),
        (
            "../filters.yaml",
            "month:",
            "cost-center: {name: Cost center}\nmonth:",
            "filters.yaml: the key of filter 'cost-center' must be of letters, digits and _ only",
        ),
    ],
)
def test_a_mistake_brings_no_other_lines_with_it(tmp_path: Path, file: str, old: str, new: str, says: str) -> None:
    """Of what is there and cannot be read nothing else is told: not by who opens it, nor by what it may have meant."""
    path = folder(tmp_path / "deploy") / "dashboards" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    if old == "total":
        (path.parent / "overview" / "total.sql").unlink()
    lines = told(tmp_path / "deploy")
    assert [line for line in lines if not line.startswith(says)] == []


def test_a_file_is_told_in_one_line_whatever_its_name(tmp_path: Path) -> None:
    """A name that would be two dashboards' in one, or that a terminal would obey, is quoted without harm."""
    dashboards = folder(tmp_path / "deploy") / "dashboards"
    (dashboards / "a\nb\x1b[1m ada@acme.test.txt").touch()
    (dashboards / "people.yaml").rename(dashboards / "a.b.yaml")
    (dashboards / "people").rename(dashboards / "a.b")
    spoil(tmp_path / "deploy", "../dashboards/overview.yaml", "dashboard: people", "dashboard: a.b")
    assert told(tmp_path / "deploy") == [
        "dashboards/a b [1m [e-mail] belongs to no dashboard, which is a file .yaml",
        "dashboards/a.b.yaml: the name before .yaml 'a.b' must be of letters, digits and _ only",
    ]


def test_a_card_that_waits_for_a_value_is_told(tmp_path: Path) -> None:
    """Where it is asked for its rows all the same, it is named as any other that cannot be."""
    waiting = dashboard("overview").cards["days"].model_copy(update={"sql": "SELECT {{vendor}} AS a"})
    spoilt = dashboard("overview").model_copy(update={"cards": {"days": waiting}})
    with pytest.raises(SpecError, match=r"^overview.yaml: card days: {{vendor}} stands outside of"):
        query_dashboard(DuckDBWarehouse(tmp_path / "none.duckdb"), spoilt, {})


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "overview/spend.sql",
            "0) AS spend_usd",
            "0) AS spent_usd",
            "card spend: columns names spend_usd, which the SQL",
        ),
        ("overview/spend.sql", "spent.spend_usd", "spent.spendings", "card spend: "),
        ("overview.yaml", "scalar.field: forecast_usd", "scalar.field: forecast", "scalar.field names forecast"),
        ("overview.yaml", "scalar.field: forecast_usd", "scalar.feild: forecast_usd", "scalar.feild is no setting"),
        ("overview.yaml", "graph.metrics: [anthropic_usd", "graph.metrics: [openai_usd", "graph.metrics names openai_"),
        ("overview.yaml", "column: same_days_before_usd", "column: before", "scalar.comparisons names before"),
        ("overview.yaml", "columns: [used_ratio", "columns: [use_ratio", "table.column_formatting names use_ratio"),
        ("overview.yaml", "month: month}", "month: months}", "click names months"),
        ("overview.yaml", "{title: Budget, form: usd}", "{title: Budget}", "budget_usd is a number and has no form"),
        ("overview/months.sql", "SELECT spent.month", "SELECT 1 AS one, spent.month", "one is returned and not desc"),
        (
            "overview/forecast.sql",
            "CASE WHEN COUNTIF(forecast_usd IS NULL) = 0 THEN SUM(forecast_usd) END",
            "forecast_usd",
            "a scalar shows one row",
        ),
        (
            "overview/spend.sql",
            "  chosen.month, COALESCE",
            "  CAST(chosen.month AS STRING) AS month, COALESCE",
            "of dates",
        ),
        ("overview/spend.sql", "LEFT JOIN spent ON spent.month = chosen.month", "CROSS JOIN spent", "one row or none"),
        ("overview.yaml", "type: anotherColumn", "type: previousPeriod", "previousPeriod looks at other rows"),
        ("overview.yaml", "progress.goal: budget_usd", "progress.goal: budget", "progress.goal names budget"),
        ("overview.yaml", "anthropic_usd: {display: bar", "antropic_usd: {display: bar", "series_settings names antr"),
    ],
)
def test_a_mistake_that_rows_show_is_told(
    books: DuckDBWarehouse, copied: Path, file: str, old: str, new: str, says: str
) -> None:
    """A renamed column, a setting that Metabase does not know, rows that cannot be drawn: each is refused by name."""
    spoil(copied, file, old, new)
    spoilt = next(each for each in spec.read_spec(copied).dashboards if each.key == "overview")
    # Only what the mistake is in, and what comes to the same.
    cards = {key: card for key, card in spoilt.cards.items() if card != dashboard("overview").cards[key]}
    with pytest.raises(SpecError, match=says):
        query_dashboard(books, spoilt.model_copy(update={"cards": cards}), {})


def test_a_filter_that_changes_nothing_would_be_seen(books: DuckDBWarehouse) -> None:
    """A card that names a filter where it cannot matter shows the same rows whatever is chosen."""
    card = dashboard("overview").cards["days"]
    useless = card.model_copy(update={"sql": card.sql.replace("[[AND vendor IN", "[[AND 'cursor' IN")})
    usual, chosen = (query_card(books, useless, values) for values in ({}, {"vendor": ["anthropic", "cursor"]}))
    assert chosen == usual
