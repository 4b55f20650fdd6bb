"""Each check that stops the line turns red on the fault it is there for, and tells what, how much and what to do."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.defs.sql_assets import parameters
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.checks.conftest import FIRST, LAST, TODAY, find, spoil


def scale(table: str, path: str, factor: float, day: date = FIRST) -> str:
    """Multiplies an amount of cents in every record of a day."""
    return (
        f"UPDATE {table} SET payload = json_merge_patch(payload, json_object('{path}', json_merge_patch("
        f"json_extract(payload, '$.{path}'), json_object('amount', "
        f"CAST(CAST(json_extract_string(payload, '$.{path}.amount') AS DECIMAL(38,9)) * {factor} AS VARCHAR))))) "
        f"WHERE usage_date = DATE '{day}'"
    )


def test_a_lost_record_breaks_the_control_total(warehouse: DuckDBWarehouse) -> None:
    """One record of the bill gone: the day, both sums and the missing dollars are told."""
    usd = warehouse.rows(
        "SELECT amount_usd FROM ai_usage.stg_anthropic_cost WHERE usage_date = DATE '2026-11-10' AND record_no = 7"
    )
    spoil(warehouse, "DELETE FROM raw_anthropic_cost WHERE usage_date = DATE '2026-11-10' AND record_no = 7")
    found = find(warehouse, "raw_anthropic_cost", "control_total")
    assert len(found) == 3
    # Missing from three controls, and still the same dollars.
    assert [finding.amount_usd for finding in found] == [usd[0]["amount_usd"], None, None]
    assert all("2026-11-10" in finding.message for finding in found)


def test_a_day_without_its_total_is_not_taken_on_trust(warehouse: DuckDBWarehouse) -> None:
    """Details without any control total are red, not silently unchecked."""
    for table in ("total", "components", "by_actor_type"):
        spoil(warehouse, f"DELETE FROM raw_anthropic_cost_{table} WHERE usage_date = DATE '2026-11-10'")
    found = find(warehouse, "raw_anthropic_cost", "control_total")
    assert [finding.message.rpartition(", ")[2] for finding in found] == [
        "the actor types to nothing", "the cost components to nothing", "the day total to nothing",
    ]  # fmt: skip


def test_one_missing_control_is_found(warehouse: DuckDBWarehouse) -> None:
    """A day whose own total is gone is red though its components still add up."""
    spoil(warehouse, "DELETE FROM raw_anthropic_cost_total WHERE usage_date = DATE '2026-11-10'")
    (found,) = find(warehouse, "raw_anthropic_cost", "control_total")
    assert found.message.endswith("the day total to nothing")


def test_a_lost_event_breaks_the_count(warehouse: DuckDBWarehouse) -> None:
    """One Cursor event fewer than Cursor counted is red."""
    spoil(warehouse, "DELETE FROM raw_cursor_usage_events WHERE usage_date = DATE '2026-11-11' AND record_no = 1")
    (found,) = find(warehouse, "raw_cursor_usage_events", "control_total")
    assert "2026-11-11" in found.message
    assert "Cursor counted" in found.message


@pytest.mark.parametrize("factor", [100, 0.01])
def test_a_wrong_unit_is_found(warehouse: DuckDBWarehouse, factor: float) -> None:
    """Dollars taken for cents, or cents for dollars, are red on the day it happens."""
    spoil(warehouse, scale("raw_anthropic_cost", "cost", factor))
    (found,) = find(warehouse, "raw_anthropic_cost", "currency_unit")
    assert "2026-11-10" in found.message
    assert found.amount_usd
    assert "classic cost report" in found.message


@pytest.mark.parametrize("factor", [100, 0.01])
def test_a_wrong_unit_of_every_day_is_found(warehouse: DuckDBWarehouse, factor: float) -> None:
    """A unit that was wrong from the first day on, with no good day to compare, is red too."""
    for day in (FIRST, LAST):
        spoil(warehouse, scale("raw_anthropic_cost", "cost", factor, day))
    assert len(find(warehouse, "raw_anthropic_cost", "currency_unit")) == 2


@pytest.mark.parametrize("factor", [100, 0.01])
def test_a_wrong_unit_of_cursor_is_found(warehouse: DuckDBWarehouse, factor: float) -> None:
    """The same holds for Cursor's cents."""
    spoil(
        warehouse,
        "UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, json_object('chargedCents', "
        f"CAST(json_extract_string(payload, '$.chargedCents') AS DECIMAL(38,9)) * {factor})) "
        "WHERE usage_date = DATE '2026-11-10'",
    )
    (found,) = find(warehouse, "raw_cursor_usage_events", "currency_unit")
    assert "2026-11-10" in found.message


def test_a_record_without_dollars_is_found(warehouse: DuckDBWarehouse) -> None:
    """A record that has lost its amount is counted, by day."""
    spoil(
        warehouse,
        'UPDATE raw_anthropic_cost SET payload = \'{"cost":{"list_amount":"1"}}\' '
        "WHERE usage_date = DATE '2026-11-10' AND record_no <= 3",
    )
    (found,) = find(warehouse, "raw_anthropic_cost", "schema")
    assert found.message.startswith("2026-11-10: amount_usd is missing in 3 of ")


def test_an_event_of_another_day_is_found(warehouse: DuckDBWarehouse) -> None:
    """An event filed under a day on which it did not happen is red."""
    spoil(
        warehouse,
        "UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, "
        "json_object('timestamp', '1795210812331')) WHERE usage_date = DATE '2026-11-10' AND record_no = 1",
    )
    (found,) = find(warehouse, "raw_cursor_usage_events", "schema")
    assert "another day" in found.message


@pytest.mark.parametrize("table", ["int_anthropic_cost_daily", "int_cursor_usage_daily"])
def test_a_table_that_is_not_its_raw_records_is_found(warehouse: DuckDBWarehouse, table: str) -> None:
    """A built table that lost a row differs from its raw records by that row's dollars."""
    spoil(warehouse, f"DELETE FROM {table} WHERE usage_date = DATE '2026-11-10' AND fact_no = 1")
    found = find(warehouse, table, "matches_raw_records")
    assert found
    assert all("2026-11-10" in finding.message for finding in found)


def test_an_attribution_that_doubles_money_is_found(warehouse: DuckDBWarehouse) -> None:
    """A dimension with each row twice doubles what is joined to it: red, with the dollars it adds."""
    before = warehouse.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily")[0]["usd"]
    spoil(warehouse, "INSERT INTO dim_date SELECT * FROM dim_date")
    assert warehouse.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily")[0]["usd"] > before
    found = [
        finding
        for table in ("int_anthropic_cost_daily", "int_cursor_usage_daily")
        for finding in find(warehouse, table, "attribution_preserves_totals")
    ]
    assert {finding.message[11:20] for finding in found} == {"anthropic", "cursor bi", "cursor in", "cursor se"}
    assert {finding.message[:10] for finding in found} == {"2026-11-10", "2026-11-11"}
    assert all(finding.amount_usd and finding.amount_usd > Decimal(0) for finding in found)


def test_schema_findings_count_and_never_quote(warehouse: DuckDBWarehouse) -> None:
    """A value that is not known is told by column and number of rows, not by what it is."""
    spoil(warehouse, "UPDATE int_cursor_usage_daily SET cost_basis = 'jane@example.com' WHERE fact_no = 1")
    (found,) = find(warehouse, "int_cursor_usage_daily", "schema")
    assert "cost_basis" in found.message
    assert "2 rows" in found.message
    assert "jane" not in found.message


def test_a_failed_day_is_told_with_its_reason(warehouse: DuckDBWarehouse) -> None:
    """A day whose last pull failed is red with the reason, though its old dollars are held."""
    spoil(
        warehouse,
        "UPDATE ops_asset_days SET status = 'failed', message = 'the key was refused' "
        "WHERE asset = 'raw_cursor_usage_events' AND usage_date = DATE '2026-11-10'",
    )
    (found,) = find(warehouse, "kpi_completeness", "days_complete")
    assert "raw_cursor_usage_events: 2026-11-10 failed" in found.message
    assert "the key was refused" in found.message
    assert found.amount_usd


def test_a_day_nobody_logged_is_told(warehouse: DuckDBWarehouse) -> None:
    """A day of the run without any entry is red: silence is not success."""
    spoil(warehouse, "DELETE FROM ops_asset_days WHERE asset = 'raw_anthropic_cost' AND usage_date = DATE '2026-11-11'")
    (found,) = find(warehouse, "kpi_completeness", "days_complete")
    assert "raw_anthropic_cost: 2026-11-11 not loaded" in found.message


def test_parameters_of_a_run() -> None:
    """A query knows the first day there is, today, and the days of its run."""
    settings = Settings(start_date=FIRST, fixed_now=datetime(2026, 11, 12, 6, tzinfo=UTC))
    assert parameters(settings, LAST, LAST) == {"first_day": FIRST, "today": TODAY, "start_day": LAST, "end_day": LAST}
    assert all(table.query is None or "@" not in table.query or not table.is_view for table in catalog.models())


def _only(warehouse: DuckDBWarehouse, vendor: str, says: str, *others: str) -> None:
    """The sentinel of a vendor is red on the day, for this reason and none of the others."""
    table = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}[vendor]
    (found,) = find(warehouse, table, "currency_unit")
    assert says in found.message
    assert not [other for other in others if other in found.message]


REASONS = ("is published for the day", "is usual", "by the price list", "the classic cost report says")


@pytest.mark.parametrize("factor", [100, 0.01])
@pytest.mark.parametrize("reason", REASONS)
def test_each_comparison_of_units_stands_alone(warehouse: DuckDBWarehouse, factor: float, reason: str) -> None:
    """Whichever of the four others is missing, the one that is left sees a wrong unit of every day of the run."""
    for day in (FIRST, LAST):
        spoil(warehouse, scale("raw_anthropic_cost", "cost", factor, day))
    if reason == "is usual":
        for table in ("int_anthropic_cost_daily", "int_anthropic_tokens_daily"):
            columns = "usage_date - to_days({n}) AS usage_date, * EXCLUDE (usage_date)"
            for n in range(2, 8):
                spoil(
                    warehouse,
                    f"INSERT INTO {table} SELECT {columns.format(n=n)} FROM {table} WHERE usage_date = DATE '{FIRST}'",
                )
    if reason != REASONS[0]:
        spoil(warehouse, f"DELETE FROM int_anthropic_cost_daily WHERE usage_date >= DATE '{FIRST}'")
    if reason != REASONS[2]:
        spoil(warehouse, "DELETE FROM dim_model_price")
    if reason != REASONS[3]:
        spoil(warehouse, "DELETE FROM raw_anthropic_cost_report")
    found = find(warehouse, "raw_anthropic_cost", "currency_unit")
    assert [finding.message[:10] for finding in found] == ["2026-11-10", "2026-11-11"]
    for finding in found:
        assert [other for other in REASONS if other in finding.message] == [reason]


def test_a_second_person_for_one_row_is_found(warehouse: DuckDBWarehouse) -> None:
    """A person twice in a dimension would halve nothing and double nothing: only its key shows it."""
    spoil(warehouse, "INSERT INTO dim_person SELECT * FROM dim_person LIMIT 1")
    found = find(warehouse, "dim_person", "schema")
    assert found
    assert all("@" not in finding.message for finding in found)


def test_an_unknown_method_is_found(warehouse: DuckDBWarehouse) -> None:
    """The attributed facts hold only the methods of the contract."""
    spoil(
        warehouse,
        "CREATE OR REPLACE VIEW bridge_attribution_daily AS SELECT usage_date, identity_key, 1::BIGINT AS part_no, "
        "1::DECIMAL(38,9) AS share, 'guess' AS attribution_method, NULL::VARCHAR AS person_email, "
        "NULL::VARCHAR AS team, NULL::VARCHAR AS cost_center FROM int_anthropic_cost_daily",
    )
    (found,) = find(warehouse, "fct_cost_daily", "schema")
    assert found.message.startswith("attribution_method: isin(")


def test_a_held_day_that_is_not_published_is_found(warehouse: DuckDBWarehouse) -> None:
    """A fact table that lost or never had a held day is told with the days to rebuild, whatever days the run is for."""
    spoil(warehouse, "UPDATE ops_asset_days SET usage_date = DATE '2026-08-01' WHERE usage_date = DATE '2026-11-10'")
    found = find(warehouse, "kpi_completeness", "loaded_days_published")
    assert [finding.message.partition(" ")[0] for finding in found] == [
        "int_anthropic_cost_daily", "int_anthropic_tokens_daily", "int_anthropic_component_daily",
        "int_cursor_usage_daily", "int_cursor_seat_daily",
    ]  # fmt: skip
    assert all("--day 2026-08-01 --days 1" in finding.message for finding in found)
    assert found[0].amount_usd
