"""Commands that receive a signal: SIGKILL of a machine, SIGTERM of a scheduler."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ai_usage_assets.commands import demo
from ai_usage_assets_tests.conftest import Company
from ai_usage_assets_tests.faults.runs import observe_requests, run_cli, start_cli, wait_for

pytestmark = pytest.mark.slow

DAY = date(2026, 11, 10)


def test_interrupted_run_is_recorded_and_completed_by_the_next(company: Company, tmp_path: Path) -> None:
    """A killed and a terminated run are recorded as interrupted, and the next run loads all of the day."""
    path = tmp_path / "w" / "ai_usage.duckdb"
    environment = {
        **demo.simulator_environment(company.simulator, company.urls),
        "AI_USAGE_DUCKDB_PATH": str(path),
        "AI_USAGE_START_DATE": "2026-10-01",
    }
    run = ("run", "--day", DAY.isoformat(), "--days", "1")

    def send_at_request(kind: signal.Signals, request: int) -> str:
        with (
            start_cli(*run, **environment) as process,
            observe_requests(
                company.simulator, lambda number: process.send_signal(kind) if number == request else None
            ),
        ):
            result = wait_for(process)
        assert result.returncode == (-signal.SIGKILL if kind == signal.SIGKILL else 1), result.stderr
        assert "Traceback" not in result.stderr
        return result.stderr

    send_at_request(signal.SIGKILL, 9)
    status = run_cli("status", **environment)
    assert "The last run was interrupted. Days that were loaded stay loaded; run it again." in status.stdout
    assert "Interrupted. Days that were loaded stay loaded; run it again." in send_at_request(signal.SIGTERM, 14)
    result = run_cli(*run, **environment)
    assert result.returncode == 0, result.stderr
    assert f'"dagster/partition": "{DAY}"' in result.stderr
    assert "raw_anthropic_cost: 1 day" in result.stderr
    assert "Every step and every blocking check succeeded." in result.stderr
    assert "Warning:" not in result.stderr
    status = run_cli("status", **environment)
    assert status.returncode == 0, status.stderr
    assert "▓" in status.stdout
    assert "success" in status.stdout
    assert "@acme.test" not in result.stderr + result.stdout + status.stdout
    completed = replace(company, settings=replace(company.settings, duckdb_path=path))
    outcomes = completed.rows("SELECT outcome FROM ai_usage.ops_runs ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["interrupted", "interrupted", "success"]
    # Each loaded record was loaded, and logged, by exactly one of the runs.
    (loaded,) = completed.rows("SELECT SUM(landed_records) AS n, MIN(landed_records) AS least FROM ai_usage.ops_runs")
    (logged,) = completed.rows("SELECT SUM(records) AS n FROM ai_usage.ops_asset_days WHERE vendor <> 'sheet'")
    assert loaded["n"] == logged["n"]
    assert loaded["least"] > 0
    (billed,) = completed.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.int_anthropic_cost_daily")
    assert billed["usd"] == company.simulator.ledger.anthropic_cost_usd(DAY, DAY)[DAY]


def test_terminated_backfill_starts_no_other_run(company: Company, tmp_path: Path) -> None:
    """SIGTERM during the first run ends the backfill, which reports the days that were not started."""
    path = tmp_path / "w" / "ai_usage.duckdb"
    environment = {
        **demo.simulator_environment(company.simulator, company.urls),
        "AI_USAGE_DUCKDB_PATH": str(path),
        "AI_USAGE_START_DATE": "2026-10-01",
    }
    backfill = ("backfill", "--from", "2026-11-10", "--to", "2026-11-11", "--days-per-run", "1")
    with (
        start_cli(*backfill, **environment) as process,
        observe_requests(
            company.simulator, lambda number: process.send_signal(signal.SIGTERM) if number == 1 else None
        ),
    ):
        result = wait_for(process)
    assert result.returncode == 1
    output = " ".join(result.stderr.split())
    assert "interrupted in 2026-11-10; days that were loaded stay loaded. Not started: 2026-11-11." in output
    assert "Traceback" not in result.stderr
    remaining = replace(company, settings=replace(company.settings, duckdb_path=path))
    assert remaining.rows("SELECT first_day, outcome FROM ai_usage.ops_runs") == [
        {"first_day": DAY, "outcome": "interrupted"}
    ]
