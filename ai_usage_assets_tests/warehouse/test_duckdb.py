"""The embedded warehouse: whole days or nothing, one writer, clear words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.base import RawDay, WarehouseBusyError, WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets.warehouse.tables import Column, Table
from ai_usage_assets_tests.conftest import empty

DAY, NEXT = date(2026, 11, 10), date(2026, 11, 11)
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
RAW = catalog.table("raw_cursor_usage_events")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A warehouse with every table and view, in a file named like its schema."""
    made = DuckDBWarehouse(empty(tmp_path / "ai_usage.duckdb"))
    yield made
    made.close()


def records(*payloads: str) -> pa.Table:
    return pa.table(
        {
            "record_no": pa.array(range(1, len(payloads) + 1), pa.int64()),
            "payload": list(payloads),
            "carried_email": pa.array([None] * len(payloads), pa.string()),
        }
    )


def entry(day: date, **changed: Any) -> dict[str, Any]:
    return {
        "asset": RAW.name, "vendor": "cursor", "usage_date": day, "is_daily": True, "status": "complete",
        "attempted_at": NOW, "run_id": "r", **changed,
    }  # fmt: skip


def held(warehouse: DuckDBWarehouse) -> list[tuple[date, str]]:
    rows = warehouse.rows(
        "SELECT usage_date, payload FROM ai_usage.raw_cursor_usage_events ORDER BY usage_date, record_no"
    )
    return [(row["usage_date"], row["payload"]) for row in rows]


def test_landing_replaces_whole_days_only(warehouse: DuckDBWarehouse) -> None:
    """A day landed again has its new records and none of the old; its neighbour is untouched."""
    warehouse.load_days(
        [RawDay(RAW, DAY, NOW, records("a", "b")), RawDay(RAW, NEXT, NOW, records("c"))], [entry(DAY), entry(NEXT)]
    )
    warehouse.load_days([RawDay(RAW, DAY, NOW, records("d"))], [entry(DAY, records=1)])
    assert held(warehouse) == [(DAY, "d"), (NEXT, "c")]
    assert warehouse.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_asset_days")[0]["n"] == 2


def test_an_empty_day_replaces_a_full_one_when_it_is_landed(warehouse: DuckDBWarehouse) -> None:
    """Zero records are a result like any other."""
    warehouse.load_days([RawDay(RAW, DAY, NOW, records("a"))], [entry(DAY)])
    warehouse.load_days([RawDay(RAW, DAY, NOW, records())], [entry(DAY)])
    assert held(warehouse) == []


def test_days_and_their_log_land_together_or_not_at_all(warehouse: DuckDBWarehouse) -> None:
    """When the log entry cannot be written, the day keeps its old records."""
    warehouse.load_days([RawDay(RAW, DAY, NOW, records("a"))], [entry(DAY)])
    with pytest.raises(WarehouseError):
        warehouse.load_days([RawDay(RAW, DAY, NOW, records("b"))], [entry(DAY, status=None)])
    assert held(warehouse) == [(DAY, "a")]


def test_upsert_replaces_by_key(warehouse: DuckDBWarehouse) -> None:
    """A second entry under the same key takes the place of the first."""
    row = {"run_id": "r", "job": "daily", "started_at": NOW, "outcome": "running", "version": "1"}
    warehouse.upsert(OPS_RUNS, ("run_id",), [row])
    warehouse.upsert(OPS_RUNS, ("run_id",), [row | {"outcome": "success"}])
    assert [found["outcome"] for found in warehouse.rows("SELECT outcome FROM ai_usage.ops_runs")] == ["success"]


def test_errors_do_not_quote_rows(warehouse: DuckDBWarehouse) -> None:
    """What DuckDB stumbled over is not repeated: it may hold an address."""
    broken = entry(DAY, asset=None, message="jane@example.com said sk-ant-api03-abcdefgh")
    with pytest.raises(WarehouseError) as caught:
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [broken])
    assert "jane" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_views_are_made_again_only_when_they_change(warehouse: DuckDBWarehouse) -> None:
    """Preparing twice leaves the file's catalog alone, and a new definition replaces the old."""
    view = Table("stg_x", "staging", "X.", (Column("a", None, "A."),), is_view=True, query="SELECT 1 AS a")
    warehouse.prepare([view])
    warehouse.prepare([view])
    assert warehouse.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 1}]
    changed = Table("stg_x", "staging", "X.", (Column("a", None, "A."),), is_view=True, query="SELECT 2 AS a")
    warehouse.prepare([changed])
    assert warehouse.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 2}]


def test_a_new_column_is_added_and_a_changed_type_refused(warehouse: DuckDBWarehouse) -> None:
    """An older file gains a column by itself; a column of another type is told, not guessed."""
    old = Table("fct_x", "curated", "X.", (Column("a", "INT64", "A."),))
    warehouse.prepare([old])
    warehouse.prepare([Table("fct_x", "curated", "X.", (Column("a", "INT64", "A."), Column("b", "NUMERIC", "B.")))])
    assert warehouse.rows("SELECT a, b FROM ai_usage.fct_x") == []
    with pytest.raises(WarehouseError, match=r"fct_x\.a is BIGINT"):
        warehouse.prepare([Table("fct_x", "curated", "X.", (Column("a", "STRING", "A."),))])


def test_every_view_answers_in_warehouse_types(warehouse: DuckDBWarehouse) -> None:
    """No view has a column of a type that BigQuery would not have, nor dollars as a float."""
    allowed = {"VARCHAR", "BIGINT", "BOOLEAN", "DATE", "DECIMAL(38,9)", "TIMESTAMP WITH TIME ZONE"}
    connection = warehouse._connect()
    found = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'ai_usage'"
    )
    assert [row for row in found.fetchall() if row[2] not in allowed] == []


def test_dollars_keep_nine_decimals(warehouse: DuckDBWarehouse) -> None:
    """A query gives dollars back as exact decimals."""
    assert warehouse.rows("SELECT NUMERIC '0.123456789' AS usd") == [{"usd": Decimal("0.123456789")}]


def test_readers_may_open_the_file_under_any_name(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """Views answer in another process and after the file was renamed."""
    warehouse.close()
    moved = (tmp_path / "ai_usage.duckdb").rename(tmp_path / "finance.duckdb")
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print(c.execute('SELECT COUNT(*) FROM finance.ai_usage.kpi_spend_daily').fetchall())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[(0,)]", done.stderr


def test_a_warehouse_in_use_is_told_as_such(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """While another process has the file, one waits, and then says who to look for; nothing is changed."""
    warehouse.rows("SELECT 1 AS a")
    code = (
        "import sys; from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse\n"
        "from ai_usage_assets.warehouse.base import WarehouseBusyError\n"
        "try: DuckDBWarehouse(sys.argv[1], lock_wait_seconds=0.3).rows('SELECT 1 AS a')\n"
        "except WarehouseBusyError as busy: print(busy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ai_usage.duckdb")], capture_output=True, text=True, check=False
    )
    assert "in use by another process" in done.stdout, done.stderr


def test_release_lets_others_in(warehouse: DuckDBWarehouse) -> None:
    """After a release another writer may take the file, and this one may come back."""
    warehouse.close()
    other = DuckDBWarehouse(warehouse.path, lock_wait_seconds=0)
    assert other.rows("SELECT 1 AS a") == [{"a": 1}]
    other.close()
    assert warehouse.rows("SELECT 2 AS a") == [{"a": 2}]


def test_a_file_that_is_no_warehouse_is_told(tmp_path: Path) -> None:
    """A path that holds something else is refused with the setting to change."""
    path = tmp_path / "notes.duckdb"
    path.write_text("these are my notes, not a database " * 200)
    with pytest.raises(WarehouseError, match=r"notes\.duckdb"):
        DuckDBWarehouse(path).rows("SELECT 1 AS a")
    assert path.read_text().startswith("these are my notes")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A path below a file is refused with the setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="AI_USAGE_DUCKDB_PATH"):
        DuckDBWarehouse(tmp_path / "file" / "w.duckdb").rows("SELECT 1 AS a")


def test_busy_is_a_warehouse_error() -> None:
    """Whoever handles the warehouse's errors handles this one too."""
    assert issubclass(WarehouseBusyError, WarehouseError)
