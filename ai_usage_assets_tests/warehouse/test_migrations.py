"""A warehouse of version 0.1.0 becomes a current one without losing a row, on both engines."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

import duckdb
import pytest
from google.cloud import bigquery

from ai_usage_assets import catalog, cli
from ai_usage_assets.transform import model_parameters, prepare_warehouse
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


def find_needed_views(names: Iterable[str]) -> set[str]:
    """These views and those that they read."""
    views = {table.name: table for table in OLD.tables if table.is_view}
    needed = {*names} & views.keys()
    return needed | {name for view in needed for name in find_needed_views(views[view].reads)}


# The views that the migration drops.
NEEDED_VIEWS = find_needed_views(migrations.RENAMED_TABLES)
Rows = Counter[tuple[Any, ...]]


def fill_duckdb(path: Path) -> None:
    """Creates the old tables, views and rows in a file."""
    warehouse = DuckDBWarehouse(path)
    warehouse.prepare(OLD.tables)
    warehouse.close()
    with duckdb.connect(str(path)) as connection:
        for table in OLD.tables:
            if not table.is_view:
                rows = OLD.rows[table.name]  # noqa: F841 - DuckDB finds it by name
                connection.execute(f"INSERT INTO ai_usage.{table.name} BY NAME SELECT * FROM rows")


def open_bigquery(server: FakeBigQuery) -> BigQueryWarehouse:
    """Opens the warehouse; retries do not wait."""
    return BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)


@pytest.fixture(scope="module")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of the old warehouse."""
    path = tmp_path_factory.mktemp("old") / "warehouse.duckdb"
    fill_duckdb(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeBigQuery]:
    """A server that is started once."""
    with FakeBigQuery() as server:
        yield server


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path: Path, old_file: bytes, server: FakeBigQuery
) -> Iterator[Warehouse]:
    """The old warehouse on each engine."""
    if request.param == "duckdb":
        path = tmp_path / "warehouse.duckdb"
        path.write_bytes(old_file)
        opened: Warehouse = DuckDBWarehouse(path)
    else:
        server.reset()
        opened = open_bigquery(server)
        opened.prepare([table for table in OLD.tables if not table.is_view or table.name in NEEDED_VIEWS])
        for table in OLD.tables:
            if not table.is_view:
                opened.append(table, OLD.rows[table.name].to_pylist())
    yield opened
    opened.close()


def count_rows(rows: list[dict[str, Any]], columns: Set[str]) -> Rows:
    """The values of the columns without the order of the rows."""
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


def find_changed(warehouse: Warehouse, names: Iterable[str]) -> list[str]:
    """Which of these old tables and views have other rows now, in the columns of both versions."""
    changed = []
    for former in names:
        current = migrations.RENAMED_TABLES.get(former, former)
        expected = old_rows(former)
        columns = set(expected[0]) & set(catalog.table(current).column_names) if expected else set()
        if count_rows(read(warehouse, current), columns) != count_rows(expected, columns):
            changed.append(current)
    return changed


# Every raw, snapshot, ops and closed row, and all days of the tables that SQL fills: a run rebuilds its own days only.
KEPT = [
    table.name
    for table in OLD.tables
    if table.layer == "raw" or table in OPS_TABLES
    or (table.name in migrations.RENAMED_TABLES and table.partition_by and not table.is_view)
]  # fmt: skip
FIGURES = [
    table.name
    for table in OLD.tables
    if table.layer == "kpi" and table.name in OLD.rows
    and migrations.RENAMED_TABLES.get(table.name, table.name) not in REDEFINED
]  # fmt: skip


# Views that are tables now.
REPLACED = {view.name for view in OLD.tables if view.is_view} & {m.name for m in catalog.models() if not m.is_view}


class StoppedError(Exception):
    """The process ends here."""


def stop_before(warehouse: Warehouse, completed: int, patch: pytest.MonkeyPatch) -> None:
    """Makes the warehouse stop after this number of statements of a migration."""
    count = itertools.count()

    def check(statement: str) -> str:
        if next(count) == completed:
            raise StoppedError
        return statement

    if isinstance(warehouse, BigQueryWarehouse):
        query = warehouse.jobs.query
        patch.setattr(warehouse.jobs, "query", lambda sql, parameters: query(check(sql), parameters))
    else:
        statements = migrations.statements
        patch.setattr(migrations, "statements", lambda *existing: map(check, statements(*existing)))


def test_a_migrated_warehouse_has_the_same_rows_and_figures(
    warehouse: Warehouse, server: FakeBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is lost after stops between two statements and in further runs; former names are gone."""
    for completed in (0, 10, 11):
        with monkeypatch.context() as patch:
            stop_before(warehouse, completed, patch)
            with pytest.raises(StoppedError):
                warehouse.prepare(catalog.tables())
    prepared = prepare_warehouse(warehouse, SETTINGS)
    assert find_changed(warehouse, KEPT) == []
    if isinstance(warehouse, DuckDBWarehouse):
        # What was a view is filled before the first extract.
        assert prepared.replaced_views == REPLACED
        for name in REPLACED & {table for table in OLD.rows if OLD.rows[table].num_rows}:
            assert read(warehouse, name), name
    server.requests.clear()
    warehouse.prepare(catalog.tables())
    # Every table and view of BigQuery is already current.
    assert {request.method for request in server.requests if request.kind != "query"} <= {"GET"}
    for former in migrations.RENAMED_TABLES:
        with pytest.raises(Exception, match=rf"{former}\b"):
            warehouse.rows(f"SELECT * FROM ai_usage.{former}")
    # The next run.
    for table in catalog.models():
        if not table.is_view:
            warehouse.rebuild(table, model_parameters(SETTINGS, FIRST, LAST))
    assert find_changed(warehouse, KEPT) == []
    # Both engines have the same rows and views, so that one of them computes the figures.
    if isinstance(warehouse, DuckDBWarehouse):
        assert sum(OLD.rows[name].num_rows for name in FIGURES) > 500
        assert find_changed(warehouse, FIGURES) == []


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


def test_tables_of_others_stay_in_bigquery(server: FakeBigQuery) -> None:
    """A table or view with a former name but without the project's label is left alone."""
    server.reset()
    warehouse = open_bigquery(server)
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
