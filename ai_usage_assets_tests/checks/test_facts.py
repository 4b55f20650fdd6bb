"""Checks of records and models."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets_tests.checks.conftest import execute, run_check
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse

# The simulated company has keys without a cost center, and the days of the run are nine days old.
EXPECTED_WARNINGS = {"cost_center_coverage", "no_unallocated_spend", "freshness"}


def test_valid_days_pass_every_check(warehouse: RebuildingWarehouse) -> None:
    """On unchanged days only unallocated spend and their age are reported."""
    assert {check.name for check in CHECKS if run_check(warehouse, check.asset, check.name)} == EXPECTED_WARNINGS


def test_a_record_without_dollars_fails_the_schema(warehouse: RebuildingWarehouse) -> None:
    """Records that lost their amount are counted by day."""
    execute(
        warehouse,
        'UPDATE raw_anthropic_cost SET payload = \'{"cost":{"list_amount":"1"}}\' '
        "WHERE usage_date = DATE '2026-11-10' AND record_no <= 3",
    )
    (finding,) = run_check(warehouse, "raw_anthropic_cost", "schema")
    assert finding.message.startswith("2026-11-10: amount_usd is missing in 3 of ")


def test_an_event_of_another_day_fails_the_schema(warehouse: RebuildingWarehouse) -> None:
    """An event stored under a day on which it did not happen is reported."""
    execute(
        warehouse,
        "UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, "
        "json_object('timestamp', '1795210812331')) WHERE usage_date = DATE '2026-11-10' AND record_no = 1",
    )
    (finding,) = run_check(warehouse, "raw_cursor_usage_events", "schema")
    assert "another day" in finding.message


@pytest.mark.parametrize("table", ["int_anthropic_cost_daily", "int_cursor_usage_daily"])
def test_a_model_that_differs_from_its_raw_records_fails(warehouse: RebuildingWarehouse, table: str) -> None:
    """A model that lost a row is reported by day."""
    execute(warehouse, f"DELETE FROM {table} WHERE usage_date = DATE '2026-11-10' AND fact_no = 1")
    findings = run_check(warehouse, table, "matches_raw_records")
    assert findings
    assert all("2026-11-10" in finding.message for finding in findings)


def test_attribution_that_doubles_money_fails(warehouse: RebuildingWarehouse) -> None:
    """Duplicate rows of a dimension double the joined dollars; the check reports the added dollars."""
    total = "SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily"
    before = warehouse.rows(total)[0]["usd"]
    execute(warehouse, "INSERT INTO dim_date SELECT * FROM dim_date")
    assert warehouse.rows(total)[0]["usd"] > before
    findings = run_check(warehouse, "fct_cost_daily", "attribution_preserves_totals")
    assert {finding.message[11:20] for finding in findings} == {"anthropic", "cursor bi", "cursor in", "cursor se"}
    assert {finding.message[:10] for finding in findings} == {"2026-11-10", "2026-11-11"}
    assert all(finding.amount_usd and finding.amount_usd > Decimal(0) for finding in findings)


def test_schema_findings_count_rows_and_quote_no_value(warehouse: RebuildingWarehouse) -> None:
    """An unknown value is reported by column and number of rows."""
    execute(warehouse, "UPDATE int_cursor_usage_daily SET cost_basis = 'jane@example.com' WHERE fact_no = 1")
    (finding,) = run_check(warehouse, "int_cursor_usage_daily", "schema")
    assert "cost_basis" in finding.message
    assert " in 2 of " in finding.message
    assert "jane" not in finding.message


def test_a_duplicate_key_fails_the_schema(warehouse: RebuildingWarehouse) -> None:
    """A person twice in a dimension is reported, without the address: no sum would show it."""
    execute(warehouse, "INSERT INTO dim_person SELECT * FROM dim_person LIMIT 1")
    (finding,) = run_check(warehouse, "dim_person", "schema")
    assert "person_email, effective_from" in finding.message
    assert " in 2 of " in finding.message
    assert "@" not in finding.message


def test_an_unknown_attribution_method_fails_the_schema(warehouse: RebuildingWarehouse) -> None:
    """The attributed facts contain the documented methods only."""
    execute(warehouse, "UPDATE fct_cost_daily SET attribution_method = 'guess' WHERE usage_date = DATE '2026-11-10'")
    (finding,) = run_check(warehouse, "fct_cost_daily", "schema")
    assert finding.message.startswith("attribution_method has an unknown value in ")


@pytest.mark.parametrize(
    ("sql", "asset", "name", "message"),
    [
        ("UPDATE int_anthropic_cost_daily SET product = 'mind_reading' WHERE fact_no = 1", "int_anthropic_cost_daily",
         "known_products", "product 'mind_reading': $"),
        ("UPDATE int_anthropic_cost_daily SET model = 'claude-opus-9' WHERE fact_no = 1", "int_anthropic_cost_daily",
         "models_have_list_prices", "model 'claude-opus-9': $"),
        ("UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"kind\": \"Barter\"}') "
         "WHERE record_no = 1", "raw_cursor_usage_events", "known_billing_kinds", "kind 'Barter': $"),
        ("UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"tokenUsage\": {\"aura\": 1}}') "
         "WHERE record_no = 1", "raw_cursor_usage_events", "known_fields", "new field 'tokenUsage.aura' in 1 of "),
        ("UPDATE raw_anthropic_cost SET payload = json_merge_patch(payload, '{\"group\": {\"mood\": null, "
         "\"tide\": \"low\"}}')", "raw_anthropic_cost", "known_fields", "new field 'group.tide' in "),
        ("UPDATE raw_anthropic_cost SET payload = json_merge_patch(payload, '{\"group\": {\"actor\": {\"type\": "
         "\"ghost_actor\"}}}') WHERE record_no = 1", "raw_anthropic_cost", "known_actor_types",
         "actor type 'ghost_actor': $"),
    ],
    ids=["product", "model", "kind", "event field", "cost field", "actor"],
)  # fmt: skip
def test_unknown_values_and_fields_are_reported(
    warehouse: RebuildingWarehouse, sql: str, asset: str, name: str, message: str
) -> None:
    """An unknown product, model, kind or actor type is reported with its dollars, an unknown field without."""
    execute(warehouse, sql)
    (finding,) = run_check(warehouse, asset, name)
    assert finding.message.startswith(message)
    assert (finding.amount_usd is None) == (name == "known_fields")


def test_a_dated_model_has_the_list_price_of_its_name(warehouse: RebuildingWarehouse) -> None:
    """A model name with a date needs no price of its own."""
    execute(warehouse, "UPDATE int_anthropic_cost_daily SET model = 'claude-haiku-4-5-20251001' WHERE fact_no = 1")
    assert run_check(warehouse, "int_anthropic_cost_daily", "models_have_list_prices") == []
