"""The embedded warehouse: atomic changes, one writer, and error messages."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ai_usage_assets.settings import DEFAULT_DUCKDB_PATH, Settings
from ai_usage_assets.warehouse.base import WarehouseBusyError, WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.factory import open_warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets.warehouse.tables import Column, Table
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.warehouse.raw_days import DAY, NEXT_DAY, NOW, log_entry, raw_day


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A warehouse with every table and view, in a file named like its schema."""
    opened = DuckDBWarehouse(copy_empty_warehouse(tmp_path / "ai_usage.duckdb"))
    yield opened
    opened.close()


def loaded_records(warehouse: DuckDBWarehouse) -> list[tuple[date, str]]:
    """Day and payload of every record."""
    rows = warehouse.rows(
        "SELECT usage_date, payload FROM ai_usage.raw_cursor_usage_events ORDER BY usage_date, record_no"
    )
    return [(row["usage_date"], row["payload"]) for row in rows]


def test_loading_replaces_whole_days(warehouse: DuckDBWarehouse) -> None:
    """A day that is loaded again has only its new records; other days do not change."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(), log_entry(NEXT_DAY)])
    warehouse.load_days([raw_day("d")], [log_entry(records=1)])
    assert loaded_records(warehouse) == [(DAY, "d"), (NEXT_DAY, "c")]
    assert warehouse.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_asset_days")[0]["n"] == 2


def test_a_day_can_be_replaced_by_no_records(warehouse: DuckDBWarehouse) -> None:
    """Loading a day without records removes its earlier records."""
    warehouse.load_days([raw_day("a")], [log_entry()])
    warehouse.load_days([raw_day()], [log_entry()])
    assert loaded_records(warehouse) == []


def test_days_and_their_log_are_one_transaction(warehouse: DuckDBWarehouse) -> None:
    """When the log entry cannot be written, the day keeps its earlier records."""
    warehouse.load_days([raw_day("a")], [log_entry()])
    with pytest.raises(WarehouseError):
        warehouse.load_days([raw_day("b")], [log_entry(status=None)])
    assert loaded_records(warehouse) == [(DAY, "a")]


def test_upsert_replaces_by_key(warehouse: DuckDBWarehouse) -> None:
    """A second row with the same key replaces the first."""
    row = {"run_id": "r", "job": "daily", "started_at": NOW, "outcome": "running", "version": "1"}
    warehouse.upsert(OPS_RUNS, ("run_id",), [row])
    warehouse.upsert(OPS_RUNS, ("run_id",), [row | {"outcome": "success"}])
    assert warehouse.rows("SELECT outcome FROM ai_usage.ops_runs") == [{"outcome": "success"}]


def test_errors_do_not_quote_rows(warehouse: DuckDBWarehouse) -> None:
    """An error message contains no value of a row, which may be an address or a key."""
    broken = log_entry(asset=None, message="jane@example.com said sk-ant-api03-abcdefgh")
    with pytest.raises(WarehouseError) as caught:
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [dict(broken)])
    assert "jane" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_new_definition_replaces_a_view(warehouse: DuckDBWarehouse) -> None:
    """Preparing a view again keeps it; a changed query replaces it."""
    view = Table("stg_x", "staging", "X.", (Column("a", None, "A."),), is_view=True, query="SELECT 1 AS a")
    warehouse.prepare([view])
    warehouse.prepare([view])
    assert warehouse.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 1}]
    changed = Table("stg_x", "staging", "X.", (Column("a", None, "A."),), is_view=True, query="SELECT 2 AS a")
    warehouse.prepare([changed])
    assert warehouse.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 2}]


def test_new_columns_are_added_and_changed_types_rejected(warehouse: DuckDBWarehouse) -> None:
    """An older file gets new columns; a column of another type is an error."""
    a, b = Column("a", "INT64", "A."), Column("b", "NUMERIC", "B.")
    warehouse.prepare([Table("fct_x", "curated", "X.", (a,))])
    warehouse.prepare([Table("fct_x", "curated", "X.", (a, b))])
    assert warehouse.rows("SELECT a, b FROM ai_usage.fct_x") == []
    with pytest.raises(WarehouseError, match=r"fct_x\.a has the type BIGINT"):
        warehouse.prepare([Table("fct_x", "curated", "X.", (Column("a", "STRING", "A."),))])


def test_a_removed_column_is_no_longer_required(warehouse: DuckDBWarehouse) -> None:
    """Rows can be written to a table of an earlier version that required one more column."""
    a, b = Column("a", "INT64", "A."), Column("b", "INT64", "B.", required=True)
    warehouse.prepare([Table("fct_x", "curated", "X.", (a, b))])
    current = Table("fct_x", "curated", "X.", (a,))
    warehouse.prepare([current])
    warehouse.append(current, [{"a": 1}])
    assert warehouse.rows("SELECT a FROM ai_usage.fct_x") == [{"a": 1}]


def test_all_columns_have_types_of_bigquery(warehouse: DuckDBWarehouse) -> None:
    """No view has a column of a type that BigQuery lacks, nor dollars as a float."""
    allowed = {"VARCHAR", "BIGINT", "BOOLEAN", "DATE", "DECIMAL(38,9)", "TIMESTAMP WITH TIME ZONE"}
    result = warehouse._connect().execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'ai_usage'"
    )
    assert [row for row in result.fetchall() if row[2] not in allowed] == []


def test_dollars_keep_nine_decimals(warehouse: DuckDBWarehouse) -> None:
    """A query returns dollars as exact decimals."""
    assert warehouse.rows("SELECT NUMERIC '0.123456789' AS usd") == [{"usd": Decimal("0.123456789")}]


def test_views_do_not_depend_on_the_file_name(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """Another process can query the views after the file was renamed, with the schema as the only qualifier."""
    warehouse.close()
    moved = (tmp_path / "ai_usage.duckdb").rename(tmp_path / "warehouse.duckdb")
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print(c.execute('SELECT COUNT(*) FROM ai_usage.kpi_spend_daily').fetchall())"
    )
    result = subprocess.run([sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[(0,)]", result.stderr


def test_a_file_in_use_is_reported(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """While another process has the file, an operation waits and then fails."""
    warehouse.rows("SELECT 1 AS a")
    code = (
        "import sys; from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse\n"
        "from ai_usage_assets.warehouse.base import WarehouseBusyError\n"
        "try: DuckDBWarehouse(sys.argv[1], lock_wait_seconds=0.3).rows('SELECT 1 AS a')\n"
        "except WarehouseBusyError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ai_usage.duckdb")], capture_output=True, text=True, check=False
    )
    assert "in use by another process" in result.stdout, result.stderr


def test_close_lets_others_in(warehouse: DuckDBWarehouse) -> None:
    """After `close`, another writer can open the file, and this one can open it again."""
    warehouse.close()
    other = DuckDBWarehouse(warehouse.path, lock_wait_seconds=0)
    assert other.rows("SELECT 1 AS a") == [{"a": 1}]
    other.close()
    assert warehouse.rows("SELECT 2 AS a") == [{"a": 2}]


def test_a_file_of_another_kind_is_rejected(tmp_path: Path) -> None:
    """A file that is not a database is an error and does not change."""
    path = tmp_path / "notes.duckdb"
    path.write_text("these are my notes, not a database " * 200)
    with pytest.raises(WarehouseError, match=r"notes\.duckdb"):
        DuckDBWarehouse(path).rows("SELECT 1 AS a")
    assert path.read_text().startswith("these are my notes")


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    """The message for a path below a file names the setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="AI_USAGE_DUCKDB_PATH"):
        DuckDBWarehouse(tmp_path / "file" / "w.duckdb").rows("SELECT 1 AS a")


# --- the former default file ------------------------------------------------------------------------------------------


@pytest.fixture
def former_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse at the default path of version 0.1.0, below the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("data/ai_usage.duckdb")
    path.parent.mkdir()
    warehouse = DuckDBWarehouse(copy_empty_warehouse(path))
    warehouse.load_days([raw_day("a")], [log_entry()])
    warehouse.close()
    return path


def test_the_former_default_file_is_renamed(former_default: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first opening for writing renames the file, with its content, and reports it."""
    with caplog.at_level(logging.WARNING):
        warehouse = open_warehouse(Settings())
    assert "Renamed the warehouse data/ai_usage.duckdb to warehouse.duckdb" in caplog.text
    assert warehouse.rows("SELECT payload FROM ai_usage.raw_cursor_usage_events") == [{"payload": "a"}]
    warehouse.close()
    assert [path.name for path in former_default.parent.iterdir()] == [DEFAULT_DUCKDB_PATH.name]


def test_the_former_default_file_stays_while_it_is_used(former_default: Path) -> None:
    """During a run, or when another warehouse exists already, the file is not renamed."""
    with (
        DuckDBWarehouse(former_default).run_lock("r1"),
        pytest.raises(WarehouseBusyError, match="in use by the run r1"),
    ):
        open_warehouse(Settings())
    DEFAULT_DUCKDB_PATH.write_bytes(former_default.read_bytes())
    open_warehouse(Settings()).close()
    assert former_default.exists()


def test_a_chosen_file_is_not_renamed(former_default: Path) -> None:
    """With AI_USAGE_DUCKDB_PATH, the former default file stays where it is."""
    open_warehouse(Settings(duckdb_path=former_default)).close()
    open_warehouse(Settings(duckdb_path=Path("data/other.duckdb"))).close()
    assert former_default.exists()


def test_a_read_only_command_uses_the_former_default_file(former_default: Path) -> None:
    """A command that only reads finds the data under the former name and renames nothing."""
    warehouse = open_warehouse(Settings(), read_only=True)
    assert warehouse.rows("SELECT payload FROM ai_usage.raw_cursor_usage_events") == [{"payload": "a"}]
    warehouse.close()
    assert former_default.exists()


def test_the_former_name_is_renamed_in_any_folder(former_default: Path) -> None:
    """An absolute path with the new name, as in the container, takes over the file with the former name."""
    path = former_default.absolute().with_name(DEFAULT_DUCKDB_PATH.name)
    warehouse = open_warehouse(Settings(duckdb_path=path))
    assert warehouse.rows("SELECT payload FROM ai_usage.raw_cursor_usage_events") == [{"payload": "a"}]
    warehouse.close()


def test_a_foreign_file_with_the_former_name_stays(former_default: Path) -> None:
    """A database without the tables of this project is not renamed."""
    former_default.unlink()
    duckdb.connect(str(former_default)).close()
    open_warehouse(Settings()).close()
    assert former_default.exists()


def test_a_broken_link_is_not_an_empty_warehouse(former_default: Path) -> None:
    """A link whose target is not mounted is an error instead of a new, empty warehouse."""
    former_default.rename("data/target")
    former_default.symlink_to("elsewhere")
    with pytest.raises(WarehouseError, match="elsewhere, which does not exist"):
        open_warehouse(Settings())


def test_processes_that_start_together_rename_the_file_once(former_default: Path) -> None:
    """Processes that wait for the same reader end with one file and all its rows."""
    code = (
        "from ai_usage_assets.settings import Settings\n"
        "from ai_usage_assets.warehouse.factory import open_warehouse\n"
        "warehouse = open_warehouse(Settings())\n"
        "print(warehouse.rows('SELECT payload FROM ai_usage.raw_cursor_usage_events'))\n"
    )
    with duckdb.connect(str(former_default)):
        started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
        time.sleep(1)
    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["[{'payload': 'a'}]"] * 3
    assert [path.name for path in former_default.parent.iterdir()] == [DEFAULT_DUCKDB_PATH.name]
