"""What the checks say now: ops_check_status, of all that they have said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS, OPS_RUNS
from ai_usage_assets_tests.support.warehouse_rows import opened, rows

TODAY = date(2026, 11, 11)
YESTERDAY = TODAY - timedelta(days=1)
MORNING = datetime(2026, 11, 11, 6, tzinfo=UTC)


def run(run_id: str, first: date | None, last: date | None) -> dict[str, Any]:
    """A run for these days; for all of them without any."""
    return {
        "run_id": run_id, "job": "daily", "started_at": MORNING, "first_day": first, "last_day": last,
        "outcome": "success", "version": "0.1.0",
    }  # fmt: skip


def result(run_id: str, check: str, at: datetime, *, passed: bool, scope: str | None = None) -> dict[str, Any]:
    """What a check said in a run."""
    return {
        "run_id": run_id, "checked_at": at, "asset": "fct_cost_daily", "check_name": check, "passed": passed,
        "severity": "ERROR", "blocking": True, "message": f"{check} in {run_id}", "scope": scope,
    }  # fmt: skip


def test_a_finding_stands_until_its_days_are_looked_at_again(tmp_path: Path) -> None:
    """Of each check the newest result counts, and beside it what was found for days no later run has looked at."""
    warehouse = opened(tmp_path / "w.duckdb", date(2026, 10, 1), TODAY)
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
            # Mended by the run of the next day, whose days are one further.
            result("day before", "mended", MORNING - 24 * hour, passed=False),
            result("daily", "mended", MORNING, passed=True),
            # A backfill of October says nothing of yesterday, and has a finding of its own.
            result("daily", "of_yesterday", MORNING, passed=False),
            result("october", "of_yesterday", MORNING + hour, passed=True),
            result("daily", "of_october", MORNING, passed=True),
            result("october", "of_october", MORNING + hour, passed=False),
            # One day of forty was asked again; a year is not looked at by the run of a morning.
            result("daily", "of_forty_days", MORNING, passed=False),
            result("yesterday", "of_forty_days", MORNING + hour, passed=True),
            result("year", "of_a_year", MORNING - 24 * hour, passed=False),
            result("daily", "of_a_year", MORNING, passed=True),
            # One that looks at all has looked at these too, and is looked at again by another of all.
            result("daily", "of_all", MORNING, passed=False),
            result("all", "of_all", MORNING + 2 * hour, passed=True),
            result("all", "then_daily", MORNING - 2 * hour, passed=False),
            result("daily", "then_daily", MORNING, passed=True),
            # What there is now is told by whichever run is the newest; what there is until a day by one of a later.
            result("daily", "of_now", MORNING, passed=False, scope="now"),
            result("october", "of_now", MORNING + hour, passed=True, scope="now"),
            result("day before", "until", MORNING - 24 * hour, passed=False, scope="until"),
            result("yesterday", "until", MORNING, passed=False, scope="until"),
            result("october", "until", MORNING + hour, passed=True, scope="until"),
            # Nobody makes it any more: what passed is told for a week, what did not for a month.
            result("long ago", "passed_and_gone", MORNING - timedelta(days=7), passed=True),
            result("long ago", "gone", MORNING - timedelta(days=30), passed=False),
            result("longer ago", "long_gone", MORNING - timedelta(days=31), passed=False),
            # A run of which nothing is known looked at nobody knows what.
            result("daily", "by_hand", MORNING, passed=False),
            result("unknown", "by_hand", MORNING + hour, passed=True),
        ],
    )
    found = rows(
        warehouse,
        "SELECT check_name, run_id, passed, last_day, as_of_date FROM ai_usage.ops_check_status ORDER BY 1, 2",
    )
    warehouse.close()
    october = date(2026, 10, 31)
    assert found == [
        ("by_hand", "daily", False, YESTERDAY, TODAY),
        ("by_hand", "unknown", True, None, TODAY),
        ("gone", "long ago", False, None, TODAY),
        ("mended", "daily", True, YESTERDAY, TODAY),
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
