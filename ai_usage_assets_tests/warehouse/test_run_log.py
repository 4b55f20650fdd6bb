"""The run log in the warehouse, and the commands that read it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ai_usage_assets import catalog, cli
from ai_usage_assets.commands.backfill import _run_in_sequence
from ai_usage_assets.commands.base import CommandFailed
from ai_usage_assets.commands.launch import DagsterCommand
from ai_usage_assets.commands.status import print_status
from ai_usage_assets.days import DayRange
from ai_usage_assets.settings import CloudRun
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.conftest import LOADED_DAY, NOW, Company, copy_empty_warehouse

TASK = CloudRun("ai-usage-backfill-x7k2p", 1, 5, 1, "registry.test/ai-usage:1.2")
YESTERDAY = date(2026, 11, 19)
# The columns of the first version.
FIRST_VERSION = {
    "ops_runs": ("run_id", "job", "started_at", "finished_at", "first_day", "last_day", "outcome", "version"),
    "ops_asset_days": tuple(name for name in OPS_ASSET_DAYS.column_names if name not in ("bytes", "landed_run_id")),
}


def run_row(**changed: Any) -> dict[str, Any]:
    """A run of this morning that loaded the forty days up to yesterday."""
    return {
        "run_id": "0123456789", "job": "daily", "started_at": NOW - timedelta(minutes=5), "version": "0.1.0",
        "finished_at": NOW - timedelta(minutes=4), "first_day": YESTERDAY - timedelta(days=39), "last_day": YESTERDAY,
        "outcome": "success", **changed,
    }  # fmt: skip


def test_a_run_records_what_it_loaded_and_where(company: Company) -> None:
    """The row of a run has its Cloud Run execution and the records, bytes and dollars it loaded."""
    day = date.fromisoformat(LOADED_DAY)
    assert company.run(LOADED_DAY, selection="cursor_usage_events", cloud_run=TASK).success
    assert company.run(LOADED_DAY, selection="cursor_usage_events").success
    first, second = company.rows("SELECT * FROM ai_usage.ops_runs ORDER BY started_at")
    payloads = company.rows("SELECT payload FROM ai_usage.raw_cursor_usage_events")
    usd = company.simulator.ledger.cursor_usd(day, day)[day]
    assert first["landed_records"] == len(payloads) > 100
    assert first["landed_bytes"] == sum(len(row["payload"].encode()) for row in payloads)
    assert first["landed_usd"] == usd["billed"] + usd["included"]
    assert (first["execution"], first["task_index"], first["task_count"], first["attempt"], first["image"]) == (
        "ai-usage-backfill-x7k2p", 1, 5, 1, "registry.test/ai-usage:1.2",
    )  # fmt: skip
    assert first["days"] == 1
    assert timedelta(seconds=float(first["seconds"])) <= first["finished_at"] - first["started_at"]
    assert [second[name] for name in ("landed_records", "landed_bytes", "landed_usd")] == [0, 0, Decimal(0)]
    assert [second[name] for name in ("execution", "task_index", "task_count", "attempt", "image")] == [None] * 5


def test_dollars_of_control_queries_are_not_counted(company: Company) -> None:
    """Anthropic's bill counts once although six queries return it."""
    day = date.fromisoformat(LOADED_DAY)
    assert company.run(LOADED_DAY, selection="anthropic_analytics").success
    (row,) = company.rows("SELECT landed_usd FROM ai_usage.ops_runs")
    assert row["landed_usd"] == company.simulator.ledger.anthropic_cost_usd(day, day)[day]


def test_a_failed_run_records_what_it_loaded(company: Company) -> None:
    """If one vendor fails, the row has the failure and what the other vendor loaded."""
    company.simulator.fault_options.anthropic.unauthorized = True
    assert not company.run(LOADED_DAY, selection=("cursor_usage_events", "anthropic_analytics")).success
    (row,) = company.rows("SELECT * FROM ai_usage.ops_runs")
    held = company.rows("SELECT COUNT(*) AS n FROM ai_usage.raw_cursor_usage_events")
    assert (row["outcome"], row["landed_records"]) == ("failed", held[0]["n"])
    assert row["seconds"] > 0


def _first_version(table: Table) -> Table:
    return replace(table, columns=tuple(column for column in table.columns if column.name in FIRST_VERSION[table.name]))


def test_an_older_warehouse_keeps_its_rows(tmp_path: Path) -> None:
    """A warehouse of the first version is readable before and after it is extended, and keeps every row."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    entry = {
        "asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": YESTERDAY, "is_daily": True,
        "status": "complete", "attempted_at": NOW, "completed_at": NOW, "records": 7, "run_id": "0123456789",
    }  # fmt: skip
    tables = [_first_version(table) if table.name in FIRST_VERSION else table for table in catalog.tables()]
    warehouse.prepare(tables)
    warehouse.append(
        _first_version(OPS_RUNS), [run_row(), run_row(run_id="killed", outcome="running", finished_at=None)]
    )
    warehouse.append(_first_version(OPS_ASSET_DAYS), [entry])
    before = {name: warehouse.rows(f"SELECT * FROM ai_usage.{name} ORDER BY run_id") for name in FIRST_VERSION}
    screen = [_render_status(warehouse)]
    warehouse.prepare(catalog.tables())
    for name, rows in before.items():
        after = warehouse.rows(f"SELECT * FROM ai_usage.{name} ORDER BY run_id")
        added = set(catalog.table(name).column_names) - {*FIRST_VERSION[name]}
        assert after == [row | dict.fromkeys(added) for row in rows]
        assert added
    screen.append(_render_status(warehouse))
    warehouse.close()
    assert screen[0] == screen[1]
    assert "2026-10-11 to 11-19" in screen[0]


def _render_status(warehouse: DuckDBWarehouse) -> str:
    screen = io.StringIO()
    print_status(warehouse, Console(file=screen, width=80), day_count=5)
    return screen.getvalue()


def test_status_shows_the_last_run_in_80_columns(warehouse: DuckDBWarehouse) -> None:
    """The status screen has every fact of the newest run within 80 columns."""
    output = {
        "outcome": "interrupted", "job": "rebuild", "first_day": date(2025, 12, 28), "landed_usd": Decimal(1234567),
        "landed_records": 12345, "landed_bytes": 6_700_000, "execution": "ai-usage-daily-x7k2p", "task_index": 1,
        "task_count": 5, "attempt": 0, "image": "registry.test/ai-usage:1.2",
        "secret_versions": '{"projects/p/secrets/anthropic-admin-key": "3"}',
    }  # fmt: skip
    warehouse.append(OPS_RUNS, [run_row(**output), run_row(run_id="older", started_at=NOW - timedelta(days=1))])
    screen = _render_status(warehouse)
    assert all(len(line) <= 80 for line in screen.splitlines())
    words = " ".join(screen.split())
    for part in (
        "$1,234,567", "interrupted", "loaded 12,345 records, 6.7 MB", "ai-usage-daily-x7k2p, task 2 of 5, attempt 1",
        "registry.test/ai-usage:1.2", "anthropic-admin-key version 3",
    ):  # fmt: skip
        assert part in words
    warehouse.append(OPS_RUNS, [run_row(run_id="newest", started_at=NOW + timedelta(days=1), landed_records=12)])
    assert "loaded 12 records." in " ".join(_render_status(warehouse).split())


# --- commands that read the run log -----------------------------------------------------------------------------------

RunCommand = Callable[..., tuple[int, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The warehouse file of the commands."""
    return tmp_path / "w" / "ai_usage.duckdb"


@pytest.fixture
def run_command(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs a command in this process at NOW; returns its exit code and stderr."""
    monkeypatch.setenv("AI_USAGE_NOW", NOW.isoformat())
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, **settings: str) -> tuple[int, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = cli.main(arguments)
        return code, " ".join(capsys.readouterr().err.split())

    return run


def _store_runs(path: Path, *runs: dict[str, Any]) -> None:
    path.parent.mkdir()
    warehouse = DuckDBWarehouse(copy_empty_warehouse(path))
    warehouse.append(OPS_RUNS, runs)
    warehouse.close()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, 0),
        # Yesterday's run and none today: the next day ended 14 hours ago.
        ({"finished_at": NOW - timedelta(hours=25), "last_day": YESTERDAY - timedelta(days=1)}, 0),
        ({"finished_at": NOW - timedelta(hours=49), "last_day": YESTERDAY - timedelta(days=2)}, 1),
        ({"outcome": "failed"}, 1),
        ({"outcome": "interrupted"}, 1),
        ({"outcome": "running", "finished_at": None}, 1),
        ({"job": "rebuild"}, 1),
        # A successful backfill of old days.
        ({"last_day": date(2026, 3, 31), "first_day": date(2026, 1, 1)}, 1),
    ],
)
def test_freshness_needs_a_successful_run_with_the_latest_day(
    run_command: RunCommand, path: Path, changed: dict[str, Any], code: int
) -> None:
    """Only a successful daily run that loaded the day due 26 hours ago is fresh."""
    _store_runs(path, run_row(**changed))
    exit_code, output = run_command("freshness")
    assert exit_code == code, output
    assert ("Fresh: run 01234567 loaded 2026-10-11 to" if code == 0 else "`ai-usage status`") in output


def test_a_run_of_yesterday_is_not_fresh_today(run_command: RunCommand, path: Path) -> None:
    """With --hours 14, yesterday must be loaded, whenever the last successful run ended."""
    _store_runs(path, run_row(finished_at=NOW - timedelta(hours=16), last_day=YESTERDAY - timedelta(days=1)))
    assert run_command("freshness")[0] == 0
    code, output = run_command("freshness", "--hours", "14")
    assert code == 1
    assert "No successful daily run has loaded 2026-11-19, which ended more than 14 hours ago" in output


def test_freshness_shows_the_last_successful_run(run_command: RunCommand, path: Path) -> None:
    """A stale warehouse shows its last successful run, and --hours changes the limit."""
    _store_runs(path, run_row(finished_at=datetime(2026, 11, 17, 14, 3, tzinfo=UTC), last_day=date(2026, 11, 16)))
    code, output = run_command("freshness")
    assert code == 1
    assert "The last successful run ended 2026-11-17 14:03 UTC and loaded 2026-10-11 to 2026-11-16" in output
    assert run_command("freshness", "--hours", "96")[0] == 0
    assert run_command("freshness", "--hours", "0")[0] == 2


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_warehouse_without_runs_is_not_fresh(run_command: RunCommand, path: Path, is_empty: bool) -> None:
    """Without a file or a run log, freshness fails and creates nothing."""
    if is_empty:
        warehouse = DuckDBWarehouse(path)
        warehouse.query("SELECT 1 AS one")
        warehouse.close()
    code, output = run_command("freshness")
    assert code == 1
    assert f"{path} has no successful run." in output
    assert path.exists() == is_empty


@pytest.mark.parametrize(
    ("changed", "is_loaded"),
    [
        ({}, True),
        ({"first_day": date(2026, 1, 1)}, True),
        ({"last_day": YESTERDAY - timedelta(days=1)}, False),
        # Only yesterday: the days before can have been restated since.
        ({"first_day": YESTERDAY}, False),
        ({"outcome": "failed"}, False),
        ({"job": "rebuild"}, False),
        ({"finished_at": datetime(2026, 11, 19, 23, 59, tzinfo=UTC)}, False),
    ],
)
def test_if_missing_skips_loaded_days(
    run_command: RunCommand, path: Path, changed: dict[str, Any], is_loaded: bool
) -> None:
    """`run --if-missing` does nothing if a successful run loaded all its days after the last of them ended."""
    _store_runs(path, run_row(**changed))
    code, output = run_command("run", "--if-missing", "--dry-run")
    assert code == 0
    assert ("Nothing to do" in output) == is_loaded
    assert ("dagster job execute" in output) != is_loaded


def test_if_missing_runs_without_a_warehouse(run_command: RunCommand, path: Path) -> None:
    """Without a warehouse, `run --if-missing` runs."""
    assert "dagster job execute" in run_command("run", "--if-missing", "--dry-run")[1]
    assert not path.parent.exists()


# --- backfill ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "task", "expected", "runs"),
    [
        ((), (0, 1), "2026-07-01 to 2026-09-30 (UTC), 92 days", 3),
        ((), (1, 4), "task 2 of 4 for 2026-07-01 to 2026-09-30 (UTC) backfill: 2026-07-24 to 2026-08-15", 1),
        (("--days-per-run", "10"), (3, 4), "backfill: 2026-09-08 to 2026-09-30 (UTC), 23 days", 3),
        ((), (99, 100), "backfill: 2026-09-30 (UTC), 1 day,", 1),
        ((), (0, 100), "this task has nothing to load", 0),
    ],
)
def test_a_backfill_is_split_by_task_and_run(
    run_command: RunCommand, path: Path, arguments: tuple[str, ...], task: tuple[int, int], expected: str, runs: int
) -> None:
    """Each task loads its block of days in runs of at most --days-per-run days."""
    code, output = run_command(
        "backfill", "--from", "2026-07-01", "--to", "2026-09-30", "--dry-run", *arguments,
        CLOUD_RUN_TASK_INDEX=str(task[0]), CLOUD_RUN_TASK_COUNT=str(task[1]),
    )  # fmt: skip
    assert code == 0
    assert expected in output
    assert output.count("dagster job execute -m ai_usage_assets.definitions -j daily") == runs
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "settings", "expected"),
    [
        (("--from", "2026-11-18", "--to", "2026-11-20"), {}, "not over yet"),
        (("--from", "2026-11-18", "--to", "yesterday", "--days-per-run", "0"), {}, "--days-per-run is 0"),
        (("--from", "2026-11-18", "--to", "yesterday"), {"CLOUD_RUN_TASK_INDEX": "3"}, "CLOUD_RUN_TASK_INDEX is 3"),
    ],
)
def test_an_invalid_backfill_is_a_usage_error(
    run_command: RunCommand, arguments: tuple[str, ...], settings: dict[str, str], expected: str
) -> None:
    """Invalid days, bounds and tasks exit with 2 before anything is loaded."""
    code, output = run_command("backfill", *arguments, **settings)
    assert code == 2
    assert expected in output


def test_a_failed_run_does_not_stop_a_backfill(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every run is executed in order, and the exit code and last line report the failed ones."""
    ranges = [DayRange(date(2026, month, 1), date(2026, month, 28)) for month in (1, 2)]
    environment = {"DAGSTER_HOME": str(tmp_path)}
    working, failing = DagsterCommand(("--version",), environment), DagsterCommand(("job", "nonsense"), environment)
    with pytest.raises(
        CommandFailed, match=r"1 of 2 runs of the backfill failed: 2026-01-01 to 2026-01-28\."
    ) as failed:
        _run_in_sequence(ranges, [failing, working])
    assert failed.value.exit_code == 1
    assert "dagster, version" in capfd.readouterr().out
