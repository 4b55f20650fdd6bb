"""What the warehouse remembers of runs, and the commands that ask it."""

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
from ai_usage_assets.commands.launch import DagsterCommand
from ai_usage_assets.commands.status import print_status
from ai_usage_assets.days import DayRange
from ai_usage_assets.settings import CloudRun
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.conftest import HELD, NOW, Company

TASK = CloudRun("ai-usage-backfill-x7k2p", 1, 5, 1, "registry.test/ai-usage:1.2")
YESTERDAY = date(2026, 11, 19)
# The columns of the first version.
OLD = {
    "ops_runs": ("run_id", "job", "started_at", "finished_at", "first_day", "last_day", "outcome", "version"),
    "ops_asset_days": tuple(name for name in OPS_ASSET_DAYS.column_names if name not in ("bytes", "landed_run_id")),
}


def run_row(**changed: Any) -> dict[str, Any]:
    """A run that loaded the forty days up to yesterday this morning."""
    return {
        "run_id": "0123456789", "job": "daily", "started_at": NOW - timedelta(minutes=5), "version": "0.1.0",
        "finished_at": NOW - timedelta(minutes=4), "first_day": YESTERDAY - timedelta(days=39), "last_day": YESTERDAY,
        "outcome": "success", **changed,
    }  # fmt: skip


def test_a_run_says_what_it_landed_and_where_it_ran(company: Company) -> None:
    """Its row has the execution, and the records, bytes and dollars it brought; a second run brought nothing."""
    day = date.fromisoformat(HELD)
    assert company.run(HELD, lane="cursor_usage_events", cloud_run=TASK).success
    assert company.run(HELD, lane="cursor_usage_events").success
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


def test_dollars_of_controls_are_not_added(company: Company) -> None:
    """Anthropic's bill comes by six queries, and is counted once."""
    day = date.fromisoformat(HELD)
    assert company.run(HELD, lane="anthropic_analytics").success
    (row,) = company.rows("SELECT landed_usd FROM ai_usage.ops_runs")
    assert row["landed_usd"] == company.simulator.ledger.anthropic_cost_usd(day, day)[day]


def test_a_run_that_failed_says_what_it_landed(company: Company) -> None:
    """With one vendor refusing, the row tells of the failure and of what the other brought."""
    company.simulator.switches.anthropic.unauthorized = True
    assert not company.run(HELD, lane=("cursor_usage_events", "anthropic_analytics")).success
    (row,) = company.rows("SELECT * FROM ai_usage.ops_runs")
    held = company.rows("SELECT COUNT(*) AS n FROM ai_usage.raw_cursor_usage_events")
    assert (row["outcome"], row["landed_records"]) == ("failed", held[0]["n"])
    assert row["seconds"] > 0


def _older(table: Table) -> Table:
    return replace(table, columns=tuple(column for column in table.columns if column.name in OLD[table.name]))


def test_an_older_warehouse_comes_forward_with_its_rows(tmp_path: Path) -> None:
    """A file of the first version keeps every row, can be asked before it is brought forward, and after."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    entry = {
        "asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": YESTERDAY, "is_daily": True,
        "status": "complete", "attempted_at": NOW, "completed_at": NOW, "records": 7, "run_id": "0123456789",
    }  # fmt: skip
    tables = [_older(table) if table.name in OLD else table for table in catalog.tables()]
    warehouse.prepare(tables)
    warehouse.append(_older(OPS_RUNS), [run_row(), run_row(run_id="killed", outcome="running", finished_at=None)])
    warehouse.append(_older(OPS_ASSET_DAYS), [entry])
    before = {name: warehouse.rows(f"SELECT * FROM ai_usage.{name} ORDER BY run_id") for name in OLD}
    shown = [_shown(warehouse)]
    warehouse.prepare(catalog.tables())
    for name, rows in before.items():
        after = warehouse.rows(f"SELECT * FROM ai_usage.{name} ORDER BY run_id")
        added = set(catalog.table(name).column_names) - {*OLD[name]}
        assert after == [row | dict.fromkeys(added) for row in rows]
        assert added
    shown.append(_shown(warehouse))
    warehouse.close()
    assert shown[0] == shown[1]
    assert "2026-10-11 to 11-19" in shown[0]


def _shown(warehouse: DuckDBWarehouse) -> str:
    shown = io.StringIO()
    print_status(warehouse, Console(file=shown, width=80), day_count=5)
    return shown.getvalue()


def test_status_tells_of_the_last_run_and_fits(warehouse: DuckDBWarehouse) -> None:
    """Everything known of the newest run is on the screen, which eighty columns hold whatever a run is like."""
    told = {
        "outcome": "interrupted", "job": "rebuild", "first_day": date(2025, 12, 28), "landed_usd": Decimal(1234567),
        "landed_records": 12345, "landed_bytes": 6_700_000, "execution": "ai-usage-daily-x7k2p", "task_index": 1,
        "task_count": 5, "attempt": 0, "image": "registry.test/ai-usage:1.2",
        "secret_versions": '{"projects/p/secrets/anthropic-admin-key": "3"}',
    }  # fmt: skip
    warehouse.append(OPS_RUNS, [run_row(**told), run_row(run_id="older", started_at=NOW - timedelta(days=1))])
    shown = _shown(warehouse)
    assert all(len(line) <= 80 for line in shown.splitlines())
    words = " ".join(shown.split())
    for part in (
        "$1,234,567", "interrupted", "loaded 12,345 records, 6.7 MB", "ai-usage-daily-x7k2p, task 2 of 5, attempt 1",
        "registry.test/ai-usage:1.2", "anthropic-admin-key version 3",
    ):  # fmt: skip
        assert part in words
    warehouse.append(OPS_RUNS, [run_row(run_id="newest", started_at=NOW + timedelta(days=1), landed_records=12)])
    assert "landed 12 records." in " ".join(_shown(warehouse).split())


# --- the commands that ask --------------------------------------------------------------------------------------------

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the warehouse of the commands is."""
    return tmp_path / "w" / "ai_usage.duckdb"


@pytest.fixture
def ask(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A command in this process at NOW, and what came of it."""
    monkeypatch.setenv("AI_USAGE_NOW", NOW.isoformat())
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(path))
    monkeypatch.setenv("COLUMNS", "200")

    def asked(*arguments: str, **settings: str) -> tuple[int, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = cli.main(arguments)
        return code, " ".join(capsys.readouterr().err.split())

    return asked


def _hold(path: Path, *runs: dict[str, Any]) -> None:
    warehouse = DuckDBWarehouse(path)
    warehouse.prepare(catalog.tables())
    warehouse.append(OPS_RUNS, runs)
    warehouse.close()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, 0),
        # The run of yesterday, and none today: the day after its last ended 14 hours ago.
        ({"finished_at": NOW - timedelta(hours=25), "last_day": YESTERDAY - timedelta(days=1)}, 0),
        ({"finished_at": NOW - timedelta(hours=49), "last_day": YESTERDAY - timedelta(days=2)}, 1),
        ({"outcome": "failed"}, 1),
        ({"outcome": "interrupted"}, 1),
        ({"outcome": "running", "finished_at": None}, 1),
        ({"job": "rebuild"}, 1),
        # A backfill of old days goes well while every morning's run fails.
        ({"last_day": date(2026, 3, 31), "first_day": date(2026, 1, 1)}, 1),
    ],
)
def test_freshness_is_a_good_run_with_the_latest_day(ask: Ask, path: Path, changed: dict[str, Any], code: int) -> None:
    """Only a good daily run that brought the latest day of 26 hours ago is fresh; else it is said what to do."""
    _hold(path, run_row(**changed))
    ended, told = ask("freshness")
    assert ended == code, told
    assert ("fresh: run 01234567 brought 2026-10-11 to" if code == 0 else "`ai-usage status`") in told


def test_a_run_of_yesterday_afternoon_does_not_hide_that_none_was_this_morning(ask: Ask, path: Path) -> None:
    """At 14:00 UTC, fourteen hours after its end, yesterday must be there, whenever the last good run was."""
    _hold(path, run_row(finished_at=NOW - timedelta(hours=16), last_day=YESTERDAY - timedelta(days=1)))
    assert ask("freshness")[0] == 0
    code, told = ask("freshness", "--hours", "14")
    assert code == 1
    assert "No good daily run has brought 2026-11-19, which ended more than 14 hours ago" in told


def test_freshness_tells_when_the_last_good_run_was(ask: Ask, path: Path) -> None:
    """A stale warehouse says how stale; more hours may be asked for."""
    _hold(path, run_row(finished_at=datetime(2026, 11, 17, 14, 3, tzinfo=UTC), last_day=date(2026, 11, 16)))
    code, told = ask("freshness")
    assert code == 1
    assert "the last good one ended 2026-11-17 14:03 UTC, for 2026-10-11 to 2026-11-16" in told
    assert ask("freshness", "--hours", "96")[0] == 0
    assert ask("freshness", "--hours", "0")[0] == 2


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_warehouse_that_was_never_made_is_not_fresh(ask: Ask, path: Path, is_empty: bool) -> None:
    """Without a file, or with one that has no table, it is said that there has never been a run; nothing is made."""
    if is_empty:
        warehouse = DuckDBWarehouse(path)
        warehouse.query("SELECT 1 AS one")
        warehouse.close()
    code, told = ask("freshness")
    assert code == 1
    assert f"there has never been one in {path}" in told
    assert path.exists() == is_empty


@pytest.mark.parametrize(
    ("changed", "is_there"),
    [
        ({}, True),
        ({"first_day": date(2026, 1, 1)}, True),
        ({"last_day": YESTERDAY - timedelta(days=1)}, False),
        # Yesterday alone, by hand: the days before may have been restated since.
        ({"first_day": YESTERDAY}, False),
        ({"outcome": "failed"}, False),
        ({"job": "rebuild"}, False),
        ({"finished_at": datetime(2026, 11, 19, 23, 59, tzinfo=UTC)}, False),
    ],
)
def test_what_is_there_is_not_run_again(ask: Ask, path: Path, changed: dict[str, Any], is_there: bool) -> None:
    """`run --if-missing` ends at once when a good run has brought all its days after the last of them was over."""
    _hold(path, run_row(**changed))
    code, told = ask("run", "--if-missing", "--dry-run")
    assert code == 0
    assert ("Nothing to do" in told) == is_there
    assert ("dagster job execute" in told) != is_there


def test_what_was_never_run_is_missing(ask: Ask, path: Path) -> None:
    """Without a warehouse `run --if-missing` runs."""
    assert "dagster job execute" in ask("run", "--if-missing", "--dry-run")[1]
    assert not path.parent.exists()


# --- the past ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "task", "says", "runs"),
    [
        ((), (0, 1), "2026-07-01 to 2026-09-30 (UTC), 92 days", 3),
        ((), (1, 4), "task 2 of 4 for 2026-07-01 to 2026-09-30 (UTC) backfill: 2026-07-24 to 2026-08-15", 1),
        (("--days-per-run", "10"), (3, 4), "backfill: 2026-09-08 to 2026-09-30 (UTC), 23 days", 3),
        ((), (99, 100), "backfill: 2026-09-30 (UTC), 1 day,", 1),
        ((), (0, 100), "no day is left for this one", 0),
    ],
)
def test_a_backfill_is_shared_by_tasks_and_bounded(
    ask: Ask, path: Path, arguments: tuple[str, ...], task: tuple[int, int], says: str, runs: int
) -> None:
    """Each task has its block of the days, as so many runs as the bound asks for."""
    code, told = ask(
        "backfill", "--from", "2026-07-01", "--to", "2026-09-30", "--dry-run", *arguments,
        CLOUD_RUN_TASK_INDEX=str(task[0]), CLOUD_RUN_TASK_COUNT=str(task[1]),
    )  # fmt: skip
    assert code == 0
    assert says in told
    assert told.count("dagster job execute -m ai_usage_assets.definitions -j daily") == runs
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        (("--from", "2026-11-18", "--to", "2026-11-20"), {}, "not over yet"),
        (("--from", "2026-11-18", "--to", "yesterday", "--days-per-run", "0"), {}, "--days-per-run is 0"),
        (("--from", "2026-11-18", "--to", "yesterday"), {"CLOUD_RUN_TASK_INDEX": "3"}, "CLOUD_RUN_TASK_INDEX is 3"),
    ],
)
def test_a_backfill_asked_for_wrongly_exits_two(
    ask: Ask, arguments: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    """Days, bounds and tasks that cannot be are told before anything is done."""
    code, told = ask("backfill", *arguments, **settings)
    assert code == 2
    assert says in told


def test_a_run_that_fails_does_not_stop_the_rest_of_a_backfill(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every part is run, in order, and the exit code and the last line tell of those that failed."""
    parts = [DayRange(date(2026, month, 1), date(2026, month, 28)) for month in (1, 2)]
    own = {"DAGSTER_HOME": str(tmp_path)}
    good, bad = DagsterCommand(("--version",), own), DagsterCommand(("job", "nonsense"), own)
    with pytest.raises(
        cli.WorkFailed, match=r"1 of 2 runs of the backfill failed: 2026-01-01 to 2026-01-28\."
    ) as failed:
        cli._one_after_another(parts, [bad, good])
    assert failed.value.exit_code == 1
    assert "dagster, version" in capfd.readouterr().out
