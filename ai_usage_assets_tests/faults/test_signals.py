"""`ai-usage run` ended from outside: by a machine that does not ask, and by a scheduler that does."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import date
from pathlib import Path

from ai_usage_assets.commands import demo
from ai_usage_assets_tests.conftest import Company
from ai_usage_assets_tests.faults.runs import ai_usage, asked, command, ended

DAY = date(2026, 11, 10)


def test_a_command_that_was_ended_is_told_and_healed(company: Company, tmp_path: Path) -> None:
    """A run that is killed, or asked to end, is told as interrupted; the next one makes it whole and says so."""
    path = tmp_path / "w" / "ai_usage.duckdb"
    own = {
        **demo.simulator_environment(company.simulator, company.urls),
        "AI_USAGE_DUCKDB_PATH": str(path),
        "AI_USAGE_START_DATE": "2026-10-01",
    }
    run = ("run", "--day", DAY.isoformat(), "--days", "1")

    def end(ending: signal.Signals, chosen: int) -> str:
        with (
            command(*run, **own) as process,
            asked(company.simulator, lambda number: process.send_signal(ending) if number == chosen else None),
        ):
            done = ended(process)
        assert done.returncode == (-signal.SIGKILL if ending == signal.SIGKILL else 1), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    end(signal.SIGKILL, 9)
    told = ai_usage("status", **own)
    assert "The last run was interrupted: what it had landed is held, run it again." in told.stdout
    assert "Interrupted. Days that were loaded stay loaded; run it again." in end(signal.SIGTERM, 14)
    done = ai_usage(*run, **own)
    assert done.returncode == 0, done.stderr
    assert f'"dagster/partition": "{DAY}"' in done.stderr
    assert "raw_anthropic_cost: 1 day" in done.stderr
    assert "Every step and every blocking check succeeded." in done.stderr
    assert "Warning:" not in done.stderr
    status = ai_usage("status", **own)
    assert status.returncode == 0, status.stderr
    assert "▓" in status.stdout
    assert "success" in status.stdout
    assert "@acme.test" not in done.stderr + done.stdout + status.stdout
    healed = replace(company, settings=replace(company.settings, duckdb_path=path))
    outcomes = healed.rows("SELECT outcome FROM ai_usage.ops_runs ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["interrupted", "interrupted", "success"]
    # Whatever a run was killed in, each record that is held was landed by one of them, and counted there.
    (landed,) = healed.rows("SELECT SUM(landed_records) AS n, MIN(landed_records) AS least FROM ai_usage.ops_runs")
    (counted,) = healed.rows("SELECT SUM(records) AS n FROM ai_usage.ops_asset_days WHERE vendor <> 'sheet'")
    assert landed["n"] == counted["n"]
    assert landed["least"] > 0
    (held,) = healed.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.int_anthropic_cost_daily")
    assert held["usd"] == company.simulator.ledger.anthropic_cost_usd(DAY, DAY)[DAY]


def test_a_backfill_that_is_ended_ends_its_run_and_begins_no_other(company: Company, tmp_path: Path) -> None:
    """Asked to end in its first run, a backfill ends as that run does, and tells what is left."""
    path = tmp_path / "w" / "ai_usage.duckdb"
    own = {
        **demo.simulator_environment(company.simulator, company.urls),
        "AI_USAGE_DUCKDB_PATH": str(path),
        "AI_USAGE_START_DATE": "2026-10-01",
    }
    wish = ("backfill", "--from", "2026-11-10", "--to", "2026-11-11", "--days-per-run", "1")
    with (
        command(*wish, **own) as process,
        asked(company.simulator, lambda number: process.send_signal(signal.SIGTERM) if number == 1 else None),
    ):
        done = ended(process)
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert "interrupted in 2026-11-10; what had landed is held. Not begun: 2026-11-11. Run it again." in told
    assert "Traceback" not in done.stderr
    left = replace(company, settings=replace(company.settings, duckdb_path=path))
    assert left.rows("SELECT first_day, outcome FROM ai_usage.ops_runs") == [
        {"first_day": DAY, "outcome": "interrupted"}
    ]
