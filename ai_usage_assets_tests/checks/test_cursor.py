"""Cursor's event count and reported spend."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.checks.conftest import execute, run_check
from ai_usage_assets_tests.conftest import Company, serve_company


@pytest.fixture
def early_cycle(tmp_path: Path) -> Iterator[Company]:
    """A company early in its billing cycle, which few days complete."""
    with serve_company(tmp_path / "w.duckdb", now=datetime(2026, 11, 5, 14, tzinfo=UTC)) as company:
        yield company


def test_a_fully_mapped_company_passes_every_check(early_cycle: Company) -> None:
    """With every principal in the mapping sheet, a run has no finding; seats and reported spend are compared."""
    simulator, organization = early_cycle.simulator, early_cycle.simulator.organization
    rows = [
        *(["anthropic", "workspace", workspace.id, "", "Platform", "CC-1010"] for workspace in organization.workspaces),
        *(["cursor", robot.kind, robot.id, "", "Platform", "CC-1010"] for robot in organization.service_identities),
    ]
    header = ["vendor", "principal_type", "principal_id", "person_email", "team", "cost_center", "effective_from"]
    simulator.set_sheet("key_mapping", [header, *([*row, ""] for row in rows)])
    # Both vendors keep the addresses of former members.
    simulator.fault_options.cursor.strip_removed_emails = False
    for person in organization.people:
        organization.replace_person(person.email, account_deleted=False)
    result = early_cycle.run("2026-11-03", "2026-11-04")
    assert result.success, result.failures()
    assert result.failed_checks() == {}
    # On the second day the whole cycle is loaded, including the day of a snapshot.
    simulator.now += timedelta(days=1)
    again = early_cycle.run("2026-11-03", "2026-11-05", selection="cursor")
    assert again.success, again.failures()
    assert again.failed_checks() == {}


@pytest.mark.parametrize(("exponent", "problem"), [(1, "more than the loaded events"), (-1, "less than the events")])
def test_reported_spend_that_differs_from_the_events_is_reported(
    early_cycle: Company, exponent: int, problem: str
) -> None:
    """Cursor's spend per member is compared with its events of the whole billing cycle."""
    for _ in range(2):
        last = (early_cycle.simulator.now - timedelta(days=1)).date().isoformat()
        assert early_cycle.run("2026-11-03", last, selection="cursor").success
        early_cycle.simulator.now += timedelta(days=1)
    warehouse = early_cycle.warehouse
    try:
        execute(
            warehouse,
            "UPDATE raw_cursor_spend SET payload = regexp_replace(payload, "
            f"'\"(overallSpendCents|spendCents)\":([0-9.]+)', '\"\\1\":\\2e{exponent}', 'g')",
        )
        check = next(check for check in CHECKS if check.name == "matches_usage_events")
        days = DayRange(date(2026, 11, 3), date(2026, 11, 5))
        findings = check.run(CheckContext(warehouse, days, date(2026, 11, 6)))
    finally:
        warehouse.close()
    assert {finding.amount_usd is not None for finding in findings} == {True}
    assert any(problem in finding.message for finding in findings)


def test_more_on_demand_than_overall_spend_is_reported(warehouse: DuckDBWarehouse) -> None:
    """Members of the newest snapshot whose on-demand spend exceeds their overall spend are counted."""
    execute(
        warehouse,
        "UPDATE raw_cursor_spend SET payload = regexp_replace(payload, "
        "'\"overallSpendCents\":[0-9.]+', '\"overallSpendCents\":0', 'g')",
    )
    findings = run_check(warehouse, "raw_cursor_spend", "matches_usage_events")
    assert "the on-demand spend of " in findings[0].message


def test_a_missing_event_fails_the_control_total(warehouse: DuckDBWarehouse) -> None:
    """One event fewer than Cursor counted is reported."""
    execute(warehouse, "DELETE FROM raw_cursor_usage_events WHERE usage_date = DATE '2026-11-11' AND record_no = 1")
    (finding,) = run_check(warehouse, "raw_cursor_usage_events", "control_total")
    assert "2026-11-11" in finding.message
    assert "Cursor counted" in finding.message


def test_a_negative_amount_is_reported(warehouse: DuckDBWarehouse) -> None:
    """Events that lower the spend are reported with their dollars."""
    execute(
        warehouse,
        "UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"chargedCents\": -250}') "
        "WHERE record_no = 1 AND usage_date = DATE '2026-11-10'",
    )
    (finding,) = run_check(warehouse, "raw_cursor_usage_events", "no_negative_amounts")
    assert finding.message.startswith("2026-11-10: negative events: 1, −$2.50 in all")
    assert finding.amount_usd is not None
