"""Checks of cost centers and budgets."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets_tests.checks.conftest import TODAY, execute, run_check
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import fill, key_mapping, load_tab


def test_an_unknown_cost_center_of_a_budget_is_reported_with_the_nearest_known_one(
    warehouse: RebuildingWarehouse,
) -> None:
    """Case and a no-break hyphen make another name; a cost center that only keys are mapped to is known."""
    execute(warehouse, "UPDATE int_key_mapping SET cost_center = 'Keys'")
    load_tab(
        warehouse, TODAY + timedelta(days=1), "budgets",
        ("2026-11", "CC-1010", 5), ("2026-11", "cc-1010", 10), ("2026-12", "cc-1010", 15),
        ("2026-11", "CC\u20111010", 20), ("2026-11", "Elsewhere", 30), ("2026-11", "Keys", 40),
    )  # fmt: skip
    findings = run_check(warehouse, "kpi_budget_vs_actual", "known_budget_cost_centers")
    nearest = "the nearest known one is 'CC-1010'"
    assert {(finding.message, finding.amount_usd) for finding in findings} == {
        (f"'cc-1010': $25.00 in 2 months from 2026-11 on; {nearest}", Decimal(25)),
        (rf"'CC\u20111010': $20.00 in 1 month from 2026-11 on; {nearest}", Decimal(20)),
        ("'Elsewhere': $30.00 in 1 month from 2026-11 on", Decimal(30)),
    }


def test_unallocated_spend_is_reported_by_principal(warehouse: RebuildingWarehouse) -> None:
    """The largest comes first, each with the row to add; together they are the spend without a cost center."""
    findings = run_check(warehouse, "kpi_unallocated", "no_unallocated_spend")
    assert findings[0].message.startswith("anthropic prod-2-test: $")
    assert "first seen 2026-11-10 (key_mapping: add anthropic, api_key, apikey_" in findings[0].message
    (coverage,) = run_check(warehouse, "kpi_unallocated", "cost_center_coverage")
    assert sum(finding.amount_usd or 0 for finding in findings) == coverage.amount_usd
    assert "@" not in "".join(finding.message for finding in findings)


def test_a_fully_mapped_company_has_no_finding(warehouse: RebuildingWarehouse) -> None:
    """With the mappings that kpi_unallocated asks for, only the age of the days is reported."""
    steps = [row["next_step"] for row in warehouse.rows("SELECT next_step FROM ai_usage.kpi_unallocated")]
    missing = {match.groups() for step in steps if (match := re.search(r"add (\w+), (\w+), (\S+) ", step))}
    assert len(missing) > 2
    mappings = [
        key_mapping(vendor, kind, principal, "Platform", "CC-1010", row_no)
        for row_no, (vendor, kind, principal) in enumerate(sorted(missing), 900)
    ]
    fill(warehouse, "int_key_mapping", mappings)
    assert {check.name for check in CHECKS if run_check(warehouse, check.asset, check.name)} == {"freshness"}


def test_a_rejected_sheet_row_is_reported_with_the_spend_of_its_key(warehouse: RebuildingWarehouse) -> None:
    """The finding has the row number, the reason and the last 30 days' spend of the key."""
    execute(
        warehouse,
        "UPDATE raw_mapping_sheet SET reject_reason = 'it names nobody' WHERE tab = 'key_mapping' AND row_no = 5",
    )
    (finding,) = run_check(warehouse, "raw_mapping_sheet", "rows_valid")
    assert finding.message.startswith("tab key_mapping row 5: it names nobody ($")
    key = warehouse.rows(
        "SELECT JSON_VALUE(payload, '$.principal_id') AS id FROM ai_usage.raw_mapping_sheet "
        "WHERE tab = 'key_mapping' AND row_no = 5"
    )[0]["id"]
    spend = warehouse.rows(f"SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily WHERE api_key_id = '{key}'")
    assert finding.amount_usd == spend[0]["usd"]
