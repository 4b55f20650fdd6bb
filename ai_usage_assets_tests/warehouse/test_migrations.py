"""A warehouse of version 0.1.0 becomes a current one without losing a row, on both engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from google.cloud import bigquery

from ai_usage_assets import catalog, cli
from ai_usage_assets.defs.sql_assets import model_parameters
from ai_usage_assets.warehouse import migrations
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery
from ai_usage_assets_tests.support.old_warehouse import FIRST, LAST, SETTINGS, old_warehouse

OLD = old_warehouse()
# Views whose rows another change of the same release defines differently.
REDEFINED = {"kpi_spend_by_person"}

# Values of finance views that the same release renamed.
RENAMED_VALUES = {"held_seats": "current_seats", "landed_records": "loaded_records"}

Rows = Counter[tuple[Any, ...]]


def fill_duckdb(path: Path) -> DuckDBWarehouse:
    """Creates the old tables, views and rows in a file."""
    warehouse = DuckDBWarehouse(path)
    warehouse.prepare(OLD.tables)
    warehouse.close()
    with duckdb.connect(str(path)) as connection:
        for table in OLD.tables:
            if not table.is_view:
                rows = OLD.rows[table.name]  # noqa: F841 - DuckDB finds it by name
                connection.execute(f"INSERT INTO ai_usage.{table.name} BY NAME SELECT * FROM rows")
    return warehouse


def fill_bigquery(server: FakeBigQuery) -> BigQueryWarehouse:
    """Creates the old tables, views and rows in a dataset."""
    warehouse = BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)
    warehouse.prepare(OLD.tables)
    for table in OLD.tables:
        if not table.is_view:
            warehouse.append(table, OLD.rows[table.name].to_pylist())
    return warehouse


@pytest.fixture(scope="module")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("old") / "warehouse.duckdb"
    fill_duckdb(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[FakeBigQuery]:
    with FakeBigQuery() as server:
        yield server


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """The old warehouse on each engine."""
    if request.param == "duckdb":
        path = tmp_path / "warehouse.duckdb"
        path.write_bytes(request.getfixturevalue("old_file"))
        opened: Warehouse = DuckDBWarehouse(path)
    else:
        server = request.getfixturevalue("shared_server")
        server.reset()
        opened = fill_bigquery(server)
    yield opened
    opened.close()


def counted(rows: list[dict[str, Any]], columns: Mapping[str, str]) -> Rows:
    """The rows without their order; `columns` maps the names in these rows to those to compare."""
    return Counter(tuple(row[name] for name in columns) for row in rows)


def old_rows(name: str) -> list[dict[str, Any]]:
    """The rows of an old table or view, with the current names of columns, checks and values."""
    renamed = migrations.RENAMED_COLUMNS.get(name, {})
    rows = [{renamed.get(column, column): value for column, value in row.items()} for row in OLD.rows[name].to_pylist()]
    names = {
        "check_name": migrations.RENAMED_CHECKS, "asset": migrations.RENAMED_TABLES,
        "method": RENAMED_VALUES, "control": RENAMED_VALUES,
    }  # fmt: skip
    for row in rows:
        for column in names.keys() & row.keys():
            row[column] = names[column].get(row[column], row[column])
    return rows


def read(warehouse: Warehouse, name: str) -> list[dict[str, Any]]:
    """All rows of a table; a raw table of BigQuery takes no query without its days."""
    day = next((column for column in ("usage_date", "snapshot_date") if column in catalog.table(name).column_names), "")
    return warehouse.rows(f"SELECT * FROM ai_usage.{name}" + (f" WHERE {day} > DATE '2020-01-01'" if day else ""))


def assert_kept(warehouse: Warehouse) -> None:
    """Every raw, snapshot, ops and closed row is in the migrated warehouse, and no other."""
    for table in OLD.tables:
        if table.layer == "raw" or table in OPS_TABLES:
            expected = old_rows(table.name)
            columns = dict.fromkeys(expected[0] if expected else ())
            assert counted(read(warehouse, table.name), columns) == counted(expected, columns), table.name


def test_no_row_is_lost(warehouse: Warehouse) -> None:
    """Raw records, snapshots, the operations log and the closed month keep their rows, also in a second run."""
    warehouse.prepare(catalog.tables())
    assert_kept(warehouse)
    warehouse.prepare(catalog.tables())
    assert_kept(warehouse)


def test_partitions_of_renamed_tables_stay(warehouse: Warehouse) -> None:
    """A run rebuilds its own days only, so renamed tables keep the rows of all other days."""
    warehouse.prepare(catalog.tables())
    for former, current in migrations.RENAMED_TABLES.items():
        table = next(table for table in OLD.tables if table.name == former)
        if table.partition_by and not table.is_view:
            columns = dict.fromkeys(set(table.column_names) & set(catalog.table(current).column_names))
            assert counted(read(warehouse, current), columns) == counted(old_rows(former), columns), current


def test_kpis_are_the_same(warehouse: Warehouse) -> None:
    """After the next run, each finance view returns what the old version computed."""
    warehouse.prepare(catalog.tables())
    for table in catalog.models():
        if not table.is_view:
            warehouse.rebuild(table, model_parameters(SETTINGS, FIRST, LAST))
    compared = 0
    for table in OLD.tables:
        name = migrations.RENAMED_TABLES.get(table.name, table.name)
        if table.layer == "kpi" and table.name in OLD.rows and name not in REDEFINED:
            columns = dict.fromkeys(set(table.column_names) & set(catalog.table(name).column_names))
            assert counted(read(warehouse, name), columns) == counted(old_rows(table.name), columns), name
            compared += len(OLD.rows[table.name])
    assert compared > 500


def test_former_names_are_gone(warehouse: Warehouse) -> None:
    """No table or view of a former name remains."""
    warehouse.prepare(catalog.tables())
    for former in migrations.RENAMED_TABLES:
        with pytest.raises(Exception, match=rf"{former}\b"):
            warehouse.rows(f"SELECT * FROM ai_usage.{former}")


class StoppedError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("completed", [0, 10, 21])
def test_a_migration_can_stop_anywhere(warehouse: Warehouse, completed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop between two statements, the next run completes the migration."""
    statements = migrations.statements

    def stopping(*existing: Any) -> Iterator[str]:
        for number, statement in enumerate(statements(*existing)):
            if number == completed:
                raise StoppedError
            yield statement

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "statements", stopping)
        with pytest.raises(StoppedError):
            warehouse.prepare(catalog.tables())
    warehouse.prepare(catalog.tables())
    assert_kept(warehouse)


def test_tables_of_others_stay_in_duckdb(tmp_path: Path) -> None:
    """A table or view with a former name but without the project's comment is left alone."""
    path = tmp_path / "warehouse.duckdb"
    warehouse = DuckDBWarehouse(path)
    warehouse.prepare(OPS_TABLES)
    warehouse.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE ai_usage.dim_seat_day AS SELECT 1 AS value")
        connection.execute("CREATE VIEW ai_usage.kpi_freshness AS SELECT 2 AS value")
    warehouse.prepare(OPS_TABLES)
    assert warehouse.rows("SELECT value FROM ai_usage.dim_seat_day") == [{"value": 1}]
    assert warehouse.rows("SELECT value FROM ai_usage.kpi_freshness") == [{"value": 2}]
    warehouse.close()


def test_tables_of_others_stay_in_bigquery(shared_server: FakeBigQuery) -> None:
    """A table or view with a former name but without the project's label is left alone."""
    shared_server.reset()
    warehouse = BigQueryWarehouse("acme-project", emulator_url=shared_server.url, sleep=lambda seconds: None)
    warehouse.prepare(OPS_TABLES)
    client = warehouse.jobs.client
    client.create_table(bigquery.Table("acme-project.ai_usage.dim_seat_day", [bigquery.SchemaField("value", "INT64")]))
    client.query("CREATE VIEW ai_usage.kpi_freshness AS SELECT 2 AS value").result()
    warehouse.prepare(OPS_TABLES)
    assert client.get_table("ai_usage.dim_seat_day").labels == {}
    assert warehouse.rows("SELECT value FROM ai_usage.kpi_freshness") == [{"value": 2}]


def test_new_check_names_are_final() -> None:
    """No current name is also a former one, so a repeated update changes nothing."""
    assert not set(migrations.RENAMED_CHECKS) & set(migrations.RENAMED_CHECKS.values())
    assert not set(migrations.RENAMED_TABLES) & set(migrations.RENAMED_TABLES.values())


def test_close_needs_a_run_of_this_version_first(
    old_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ai-usage close` on a warehouse of an earlier version fails with instructions and migrates nothing."""
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(old_file)
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(path))
    monkeypatch.setenv("AI_USAGE_NOW", "2027-01-20T14:00Z")
    assert cli.main(["close", "--month", "2026-11"]) == 1
    assert "`ai-usage run` brings it up to date" in " ".join(capsys.readouterr().err.split())
    with duckdb.connect(str(path), read_only=True) as connection:
        names = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        names |= {
            row[0] for row in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        }
    assert names == {table.name for table in OLD.tables}
