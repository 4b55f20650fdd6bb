"""Cursor's event count and reported spend."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets_tests.checks.conftest import execute, run_check
from ai_usage_assets_tests.conftest import copy_empty_warehouse, serve_company
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import copy_warehouse


@pytest.fixture(scope="module")
def whole_cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse with a whole billing cycle until now: three days, and spend at the end of two of them."""
    path = tmp_path_factory.mktemp("cycle") / "w.duckdb"
    with serve_company(copy_empty_warehouse(path), now=datetime(2026, 11, 5, 14, tzinfo=UTC)) as company:
        for last in ("2026-11-04", "2026-11-05"):
            result = company.run("2026-11-03", last, selection="cursor")
            assert result.success, result.failures()
            assert result.failed_checks() == {}
            company.simulator.now += timedelta(days=1)
    return path


@pytest.mark.parametrize(
    ("exponent", "problem"), [(0, ""), (1, "more than the loaded events"), (-1, "less than the events")]
)
def test_reported_spend_that_differs_from_the_events_is_reported(
    whole_cycle: Path, tmp_path: Path, exponent: int, problem: str
) -> None:
    """Cursor's spend per member is compared with its events of the whole billing cycle."""
    with copy_warehouse(whole_cycle, tmp_path) as warehouse:
        execute(
            warehouse,
            "UPDATE raw_cursor_spend SET payload = regexp_replace(payload, "
            f"'\"(overallSpendCents|spendCents)\":([0-9.]+)', '\"\\1\":\\2e{exponent}', 'g')",
        )
        check = next(check for check in CHECKS if check.name == "matches_usage_events")
        days = DayRange(date(2026, 11, 3), date(2026, 11, 5))
        findings = check.run(CheckContext(warehouse, days, date(2026, 11, 6)))
    assert bool(findings) == bool(problem)
    assert all(finding.amount_usd is not None for finding in findings)
    assert any(problem in finding.message for finding in findings) == bool(problem)


def test_more_on_demand_than_overall_spend_is_reported(warehouse: RebuildingWarehouse) -> None:
    """Members of the newest snapshot whose on-demand spend exceeds their overall spend are counted."""
    execute(
        warehouse,
        "UPDATE raw_cursor_spend SET payload = regexp_replace(payload, "
        "'\"overallSpendCents\":[0-9.]+', '\"overallSpendCents\":0', 'g')",
    )
    findings = run_check(warehouse, "raw_cursor_spend", "matches_usage_events")
    assert "the on-demand spend of " in findings[0].message


def test_a_missing_event_fails_the_control_total(warehouse: RebuildingWarehouse) -> None:
    """One event fewer than Cursor counted is reported."""
    execute(warehouse, "DELETE FROM raw_cursor_usage_events WHERE usage_date = DATE '2026-11-11' AND record_no = 1")
    (finding,) = run_check(warehouse, "raw_cursor_usage_events", "control_total")
    assert "2026-11-11" in finding.message
    assert "Cursor counted" in finding.message


def test_a_negative_amount_is_reported(warehouse: RebuildingWarehouse) -> None:
    """Events that lower the spend are reported with their dollars."""
    execute(
        warehouse,
        "UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"chargedCents\": -250}') "
        "WHERE record_no = 1 AND usage_date = DATE '2026-11-10'",
    )
    (finding,) = run_check(warehouse, "raw_cursor_usage_events", "no_negative_amounts")
    assert finding.message.startswith("2026-11-10: negative events: 1, −$2.50 in all")
    assert finding.amount_usd is not None
