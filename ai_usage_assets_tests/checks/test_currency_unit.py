"""The check that cents are not read as dollars, nor dollars as cents."""

from __future__ import annotations

from datetime import date

import pytest

from ai_usage_assets_tests.checks.conftest import FIRST, LAST, execute, run_check
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse

REASONS = ("is published for the day", "is usual", "by the price list", "the classic cost report is")


def scale_cost(warehouse: RebuildingWarehouse, factor: float, day: date = FIRST) -> None:
    """Multiplies the amount of every Anthropic cost record of a day."""
    execute(
        warehouse,
        "UPDATE raw_anthropic_cost SET payload = json_merge_patch(payload, json_object('cost', json_merge_patch("
        "json_extract(payload, '$.cost'), json_object('amount', "
        f"CAST(CAST(json_extract_string(payload, '$.cost.amount') AS DECIMAL(38,9)) * {factor} AS VARCHAR))))) "
        f"WHERE usage_date = DATE '{day}'",
    )


@pytest.mark.parametrize("factor", [100, 0.01])
def test_a_wrong_unit_of_one_day_fails(warehouse: RebuildingWarehouse, factor: float) -> None:
    """The day is reported with its dollars."""
    scale_cost(warehouse, factor)
    (finding,) = run_check(warehouse, "raw_anthropic_cost", "currency_unit")
    assert "2026-11-10" in finding.message
    assert finding.amount_usd
    assert "classic cost report" in finding.message


@pytest.mark.parametrize("factor", [100, 0.01])
def test_a_wrong_unit_of_every_day_fails(warehouse: RebuildingWarehouse, factor: float) -> None:
    """No earlier day is needed for the comparison."""
    for day in (FIRST, LAST):
        scale_cost(warehouse, factor, day)
    assert len(run_check(warehouse, "raw_anthropic_cost", "currency_unit")) == 2


@pytest.mark.parametrize("factor", [100, 0.01])
def test_a_wrong_unit_of_cursor_fails(warehouse: RebuildingWarehouse, factor: float) -> None:
    """Cursor's cents are checked as well."""
    execute(
        warehouse,
        "UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, json_object('chargedCents', "
        f"CAST(json_extract_string(payload, '$.chargedCents') AS DECIMAL(38,9)) * {factor})) "
        "WHERE usage_date = DATE '2026-11-10'",
    )
    (finding,) = run_check(warehouse, "raw_cursor_usage_events", "currency_unit")
    assert "2026-11-10" in finding.message


@pytest.mark.parametrize("factor", [100, 0.01])
@pytest.mark.parametrize("reason", REASONS)
def test_each_reference_is_enough_alone(warehouse: RebuildingWarehouse, factor: float, reason: str) -> None:
    """With only one of the four references left, a wrong unit of every day of the run is still reported."""
    for day in (FIRST, LAST):
        scale_cost(warehouse, factor, day)
    if reason == "is usual":
        for table in ("int_anthropic_cost_daily", "int_anthropic_tokens_daily"):
            columns = "usage_date - to_days({n}) AS usage_date, * EXCLUDE (usage_date)"
            for n in range(2, 8):
                execute(
                    warehouse,
                    f"INSERT INTO {table} SELECT {columns.format(n=n)} FROM {table} WHERE usage_date = DATE '{FIRST}'",
                )
    if reason != REASONS[0]:
        execute(warehouse, f"DELETE FROM int_anthropic_cost_daily WHERE usage_date >= DATE '{FIRST}'")
    if reason != REASONS[2]:
        execute(warehouse, "DELETE FROM dim_model_price")
    if reason != REASONS[3]:
        execute(warehouse, "DELETE FROM raw_anthropic_cost_report")
    findings = run_check(warehouse, "raw_anthropic_cost", "currency_unit")
    assert [finding.message[:10] for finding in findings] == ["2026-11-10", "2026-11-11"]
    for finding in findings:
        assert [other for other in REASONS if other in finding.message] == [reason]
