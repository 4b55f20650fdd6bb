"""ops_check_status: the current result of each check."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS, OPS_RUNS
from ai_usage_assets_tests.support.warehouse_rows import create_warehouse, rows

TODAY = date(2026, 11, 11)
YESTERDAY = TODAY - timedelta(days=1)
MORNING = datetime(2026, 11, 11, 6, tzinfo=UTC)


def run(run_id: str, first: date | None, last: date | None) -> dict[str, Any]:
    """A run of these days, or of all days."""
    return {
        "run_id": run_id, "job": "daily", "started_at": MORNING, "first_day": first, "last_day": last,
        "outcome": "success", "version": "0.1.0",
    }  # fmt: skip


def result(run_id: str, check: str, at: datetime, *, passed: bool, scope: str | None = None) -> dict[str, Any]:
    """The result of a check in a run."""
    return {
        "run_id": run_id, "checked_at": at, "asset": "fct_cost_daily", "check_name": check, "passed": passed,
        "severity": "ERROR", "blocking": True, "message": f"{check} in {run_id}", "scope": scope,
    }  # fmt: skip


def test_a_failure_stays_until_its_days_are_checked_again(tmp_path: Path) -> None:
    """The view has the latest result of each check, and earlier failures for days that no later run has checked."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", date(2026, 10, 1), TODAY)
    warehouse.append(
        OPS_RUNS,
        [
            run("day before", date(2026, 10, 1), YESTERDAY - timedelta(days=1)),
            run("daily", date(2026, 10, 2), YESTERDAY),
            run("yesterday", YESTERDAY, YESTERDAY),
            run("year", date(2025, 10, 1), YESTERDAY - timedelta(days=1)),
            run("october", date(2026, 10, 1), date(2026, 10, 31)),
            run("all", None, None),
        ],
    )
    hour = timedelta(hours=1)
    warehouse.append(
        OPS_CHECK_RESULTS,
        [
            # Passed in the run of the next day, whose days are one later.
            result("day before", "fixed", MORNING - 24 * hour, passed=False),
            result("daily", "fixed", MORNING, passed=True),
            # A backfill of October does not clear a failure of yesterday, and has its own failure.
            result("daily", "of_yesterday", MORNING, passed=False),
            result("october", "of_yesterday", MORNING + hour, passed=True),
            result("daily", "of_october", MORNING, passed=True),
            result("october", "of_october", MORNING + hour, passed=False),
            # One day of forty was checked again; a daily run does not check a year.
            result("daily", "of_forty_days", MORNING, passed=False),
            result("yesterday", "of_forty_days", MORNING + hour, passed=True),
            result("year", "of_a_year", MORNING - 24 * hour, passed=False),
            result("daily", "of_a_year", MORNING, passed=True),
            # A run of all days checks these days too; only a later run of all days supersedes it.
            result("daily", "of_all", MORNING, passed=False),
            result("all", "of_all", MORNING + 2 * hour, passed=True),
            result("all", "then_daily", MORNING - 2 * hour, passed=False),
            result("daily", "then_daily", MORNING, passed=True),
            # With scope now, the latest run decides; with scope until, a run with a later last day.
            result("daily", "of_now", MORNING, passed=False, scope="now"),
            result("october", "of_now", MORNING + hour, passed=True, scope="now"),
            result("day before", "until", MORNING - 24 * hour, passed=False, scope="until"),
            result("yesterday", "until", MORNING, passed=False, scope="until"),
            result("october", "until", MORNING + hour, passed=True, scope="until"),
            # Checks that no longer run: passed results are listed for a week, failures for a month.
            result("long ago", "passed_and_gone", MORNING - timedelta(days=7), passed=True),
            result("long ago", "gone", MORNING - timedelta(days=30), passed=False),
            result("longer ago", "long_gone", MORNING - timedelta(days=31), passed=False),
            # The days of an unknown run are unknown.
            result("daily", "by_hand", MORNING, passed=False),
            result("unknown", "by_hand", MORNING + hour, passed=True),
        ],
    )
    actual = rows(
        warehouse,
        "SELECT check_name, run_id, passed, last_day, as_of_date FROM ai_usage.ops_check_status ORDER BY 1, 2",
    )
    warehouse.close()
    october = date(2026, 10, 31)
    assert actual == [
        ("by_hand", "daily", False, YESTERDAY, TODAY),
        ("by_hand", "unknown", True, None, TODAY),
        ("fixed", "daily", True, YESTERDAY, TODAY),
        ("gone", "long ago", False, None, TODAY),
        ("of_a_year", "daily", True, YESTERDAY, TODAY),
        ("of_a_year", "year", False, YESTERDAY - timedelta(days=1), TODAY),
        ("of_all", "all", True, None, TODAY),
        ("of_forty_days", "daily", False, YESTERDAY, TODAY),
        ("of_forty_days", "yesterday", True, YESTERDAY, TODAY),
        ("of_now", "october", True, None, TODAY),
        ("of_october", "october", False, october, TODAY),
        ("of_yesterday", "daily", False, YESTERDAY, TODAY),
        ("of_yesterday", "october", True, october, TODAY),
        ("then_daily", "all", False, None, TODAY),
        ("then_daily", "daily", True, YESTERDAY, TODAY),
        ("until", "october", True, october, TODAY),
        ("until", "yesterday", False, YESTERDAY, TODAY),
    ]
