"""Anthropic's control totals and classic cost report."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ai_usage_assets_tests.checks.conftest import execute, run_check
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse


def test_a_missing_record_fails_every_control_total(warehouse: RebuildingWarehouse) -> None:
    """The day is reported for each of the three control totals, and the missing dollars count once."""
    usd = warehouse.rows(
        "SELECT amount_usd FROM ai_usage.stg_anthropic_cost WHERE usage_date = DATE '2026-11-10' AND record_no = 7"
    )[0]["amount_usd"]
    execute(warehouse, "DELETE FROM raw_anthropic_cost WHERE usage_date = DATE '2026-11-10' AND record_no = 7")
    findings = run_check(warehouse, "raw_anthropic_cost", "control_total")
    assert [finding.amount_usd for finding in findings] == [usd, None, None]
    assert all("2026-11-10" in finding.message for finding in findings)


def test_a_day_without_control_totals_fails(warehouse: RebuildingWarehouse) -> None:
    """Records without any control total are reported, not accepted unchecked."""
    for table in ("total", "components", "by_actor_type"):
        execute(warehouse, f"DELETE FROM raw_anthropic_cost_{table} WHERE usage_date = DATE '2026-11-10'")
    findings = run_check(warehouse, "raw_anthropic_cost", "control_total")
    assert [finding.message.rpartition(", ")[2] for finding in findings] == [
        "the actor types to nothing", "the cost components to nothing", "the day total to nothing",
    ]  # fmt: skip


def test_one_missing_control_total_fails(warehouse: RebuildingWarehouse) -> None:
    """A day without its day total is reported, although its components add up."""
    execute(warehouse, "DELETE FROM raw_anthropic_cost_total WHERE usage_date = DATE '2026-11-10'")
    (finding,) = run_check(warehouse, "raw_anthropic_cost", "control_total")
    assert finding.message.endswith("the day total to nothing")


# A line of the bill, and the same line of the classic report, in cents.
_COMPONENT = (
    '{"group":{"workspace_id":"w","model":"m","cost_type":"tokens","token_type":"output"},"cost":{"amount":"%s"}}'
)
_LINE = '{"results":[{"workspace_id":"w","model":"m","cost_type":"tokens","amount":"%s"}]}'


@pytest.mark.parametrize(
    ("classic_cents", "published_cents", "is_reported"),
    [
        # Half a dollar, or half a percent when that is more.
        (1000, 1050, False), (1000, 1051, True), (1000, 949, True),
        (100000, 100500, False), (100000, 100501, True), (100000, 99499, True),
    ],
)  # fmt: skip
def test_the_classic_report_has_a_tolerance_of_half_a_percent(
    warehouse: RebuildingWarehouse, classic_cents: int, published_cents: int, is_reported: bool
) -> None:
    """The check and the reconciliation view accept the same difference, and report one cent more."""
    for table, payload in (
        ("raw_anthropic_cost_components", _COMPONENT % published_cents),
        ("raw_anthropic_cost_report", _LINE % classic_cents),
    ):
        execute(warehouse, f"DELETE FROM {table} WHERE usage_date = DATE '2026-11-10' AND record_no > 1")
        execute(warehouse, f"UPDATE {table} SET payload = '{payload}' WHERE usage_date = DATE '2026-11-10'")
    execute(warehouse, "UPDATE int_anthropic_control_daily SET control_usd = "
                       f"{classic_cents} / 100 WHERE control = 'classic_cost_report'")  # fmt: skip
    # One fact has the whole cost of the day.
    for amount in ("0 WHERE TRUE", f"{published_cents} / 100 WHERE fact_no = 1"):
        execute(warehouse, f"UPDATE int_anthropic_cost_daily SET amount_usd = {amount} AND usage_date = '2026-11-10'")
    findings = run_check(warehouse, "raw_anthropic_cost_report", "matches_classic_report")
    reported = [finding for finding in findings if finding.message.startswith("2026-11-10 w m: ")]
    assert bool(reported) == is_reported
    (row,) = warehouse.rows(
        "SELECT reported_usd, status FROM ai_usage.kpi_reconciliation "
        "WHERE control = 'classic_cost_report' AND usage_date = DATE '2026-11-10'"
    )
    assert row["reported_usd"] == Decimal(published_cents) / 100
    assert row["status"] == ("differs" if is_reported else "within_tolerance")


def test_a_classic_report_that_differs_is_reported(warehouse: RebuildingWarehouse) -> None:
    """Lines that the classic report lacks are reported by day, workspace and model, with their dollars."""
    execute(
        warehouse,
        "UPDATE raw_anthropic_cost_report SET payload = json_merge_patch(payload, '{\"results\": []}') "
        "WHERE usage_date = DATE '2026-11-10'",
    )
    findings = run_check(warehouse, "raw_anthropic_cost_report", "matches_classic_report")
    assert all(finding.message.startswith("2026-11-10 wrkspc_") for finding in findings)
    total = warehouse.rows(
        "SELECT SUM(amount_usd) AS usd FROM ai_usage.int_anthropic_cost_daily WHERE usage_date = DATE '2026-11-10'"
    )[0]["usd"]
    # Lines within the tolerance are not reported.
    assert Decimal("0.9") * total < sum(finding.amount_usd or 0 for finding in findings) <= total
