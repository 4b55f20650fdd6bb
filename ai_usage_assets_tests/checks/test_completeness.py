"""Checks of missing, stale and restated days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.settings import Settings
from ai_usage_assets.simulator.sources import SIMULATED_SOURCES
from ai_usage_assets.transform import model_parameters
from ai_usage_assets_tests.checks.conftest import FIRST, LAST, TODAY, execute, run_check
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse


def test_a_failed_day_is_reported_with_its_reason(warehouse: RebuildingWarehouse) -> None:
    """A day whose last load failed is reported with the dollars of the earlier load, which stay."""
    execute(
        warehouse,
        "UPDATE ops_asset_days SET status = 'failed', message = 'the key was refused' "
        "WHERE asset = 'raw_cursor_usage_events' AND usage_date = DATE '2026-11-10'",
    )
    (finding,) = run_check(warehouse, "kpi_completeness", "days_complete")
    assert "raw_cursor_usage_events: 2026-11-10 failed" in finding.message
    assert "the key was refused" in finding.message
    assert finding.amount_usd


def test_a_day_without_log_entry_is_reported(warehouse: RebuildingWarehouse) -> None:
    """A day of the run that the day log does not have is not loaded."""
    execute(
        warehouse, "DELETE FROM ops_asset_days WHERE asset = 'raw_anthropic_cost' AND usage_date = DATE '2026-11-11'"
    )
    (finding,) = run_check(warehouse, "kpi_completeness", "days_complete")
    assert "raw_anthropic_cost: 2026-11-11 not loaded" in finding.message


def test_a_loaded_day_that_no_model_has_is_reported(warehouse: RebuildingWarehouse) -> None:
    """Each model that lacks a loaded day is reported with the days to rebuild, also days before the run."""
    execute(warehouse, "UPDATE ops_asset_days SET usage_date = DATE '2026-08-01' WHERE usage_date = DATE '2026-11-10'")
    findings = run_check(warehouse, "kpi_completeness", "loaded_days_published")
    models = [finding.message.partition(" ")[0] for finding in findings]
    assert [model for model in models if model.startswith(("int_anthropic_", "int_cursor_"))] == [
        "int_anthropic_cost_daily", "int_anthropic_tokens_daily", "int_anthropic_component_daily",
        "int_cursor_usage_daily", "int_cursor_seat_daily",
    ]  # fmt: skip
    assert all("--day 2026-08-01 --days 1" in finding.message for finding in findings)
    assert findings[0].amount_usd


def test_models_have_the_parameters_of_the_run() -> None:
    """A model can use the first day of the warehouse, today, and the days of the run; a view uses none."""
    settings = Settings(start_date=FIRST, fixed_now=datetime(2026, 11, 20, 6, tzinfo=UTC))
    assert model_parameters(settings, LAST, LAST) == {
        "first_day": FIRST,
        "today": TODAY,
        "start_day": LAST,
        "end_day": LAST,
    }
    assert all(table.query is None or "@" not in table.query or not table.is_view for table in catalog.models())


def test_a_restated_day_is_reported(warehouse: RebuildingWarehouse) -> None:
    """A bill that today's load changed is reported with both figures."""
    execute(
        warehouse,
        "INSERT INTO ops_restatements VALUES ('raw_anthropic_cost', 'anthropic', '2026-11-10', "
        "'2026-11-14 06:00+00', 'r', 9, 8, 100, 40)",
    )
    (finding,) = run_check(warehouse, "kpi_completeness", "no_restatements", today=date(2026, 11, 14))
    assert finding.message == "anthropic 2026-11-10: $100.00 became $40.00"
    assert finding.amount_usd == 60


def test_recent_days_and_small_changes_are_no_restatement(warehouse: RebuildingWarehouse) -> None:
    """Growth of yesterday's figure is expected, and a few cents are within the tolerance."""
    for day, old, new in ((LAST, 1, 50), (FIRST, "100.00", "100.49")):
        execute(
            warehouse,
            "INSERT INTO ops_restatements VALUES "
            f"('raw_anthropic_cost', 'anthropic', '{day}', '2026-11-12 06:00+00', 'r', 1, 1, {old}, {new})",
        )
    assert run_check(warehouse, "kpi_completeness", "no_restatements", today=date(2026, 11, 12)) == []


@pytest.mark.parametrize(
    ("old", "new", "is_reported"),
    [
        # Half a dollar, or half a percent when that is more.
        ("10.00", "10.50", False), ("10.00", "10.51", True), ("10.00", "9.49", True),
        ("1000.00", "1005.00", False), ("1000.00", "1005.01", True), ("1000.00", "994.99", True),
    ],
)  # fmt: skip
def test_a_restatement_above_the_tolerance_is_reported(
    warehouse: RebuildingWarehouse, old: str, new: str, is_reported: bool
) -> None:
    """The tolerance is 0.50 dollars or 0.5 %, and a change of one cent more is reported."""
    execute(
        warehouse,
        "INSERT INTO ops_restatements VALUES "
        f"('raw_anthropic_cost', 'anthropic', '{FIRST}', '2026-11-14 06:00+00', 'r', 1, 1, {old}, {new})",
    )
    findings = run_check(warehouse, "kpi_completeness", "no_restatements", today=date(2026, 11, 14))
    assert bool(findings) == is_reported


def test_a_source_is_stale_after_three_days(warehouse: RebuildingWarehouse) -> None:
    """A source is reported when its newest complete day is three days old, not when one run is late."""
    assert run_check(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=2)) == []
    findings = run_check(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=3))
    assert [finding.message for finding in findings] == [
        f"{name}: the newest complete day is 2026-11-11" for name in sorted(SIMULATED_SOURCES)
    ]


def test_a_vendor_without_a_key_is_stale_for_a_limited_time(warehouse: RebuildingWarehouse) -> None:
    """A vendor that lost its key is stale, but not when its last loaded day is months old."""
    execute(warehouse, f"DELETE FROM dim_date WHERE usage_date > '{LAST}'")
    execute(
        warehouse,
        "UPDATE ops_asset_days SET status = 'not_configured', completed_at = NULL "
        f"WHERE vendor = 'cursor' AND usage_date = '{LAST}'",
    )
    findings = run_check(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=2))
    assert [finding.message for finding in findings] == ["cursor: the newest complete day is 2026-11-10"]
    execute(
        warehouse,
        "UPDATE ops_asset_days SET usage_date = usage_date - 60 WHERE vendor = 'cursor' AND status <> 'not_configured'",
    )
    assert run_check(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=2)) == []


def test_a_final_day_that_was_loaded_before_settlement_is_reported(warehouse: RebuildingWarehouse) -> None:
    """Days that settled after their last load are reported with their dollars, until they are loaded again."""
    others = ", ".join(f"'{name}'" for name in SIMULATED_SOURCES if name not in ("anthropic", "cursor"))
    execute(warehouse, f"DELETE FROM ops_asset_days WHERE vendor IN ({others or 'NULL'})")
    assert run_check(warehouse, "kpi_completeness", "loaded_after_settlement", today=date(2026, 12, 9)) == []
    findings = run_check(warehouse, "kpi_completeness", "loaded_after_settlement", today=date(2026, 12, 20))
    assert [finding.message.partition(":")[0] for finding in findings] == ["anthropic", "cursor"]
    for finding in findings:
        assert all(fact in finding.message for fact in ("2 final days", "2026-11-10", "2026-11-11"))
    assert all(finding.amount_usd for finding in findings)
    execute(warehouse, "UPDATE ops_asset_days SET completed_at = '2026-12-19 06:00+00'")
    assert run_check(warehouse, "kpi_completeness", "loaded_after_settlement", today=date(2026, 12, 20)) == []
