"""The embedded warehouse: one DuckDB file with one writer at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.warehouse import googlesql, migrations, restatements
from ai_usage_assets.warehouse.base import PreparedSchema, QueryParameters, RawDay, Row, WarehouseError
from ai_usage_assets.warehouse.duckdb_file import ROW_GROUP_SIZE, DuckDBFile, quote
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RESTATEMENT_PARTS, OPS_RESTATEMENTS, DayLogEntry
from ai_usage_assets.warehouse.tables import COLUMN_TYPES, Column, Table

logger = logging.getLogger(__name__)

# GoogleSQL type -> the name that DuckDB itself reports.
_TYPES = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "NUMERIC": "DECIMAL(38,9)",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
}
_GOOGLESQL_TYPES = {duckdb_type: name for name, duckdb_type in _TYPES.items()}
# Beginning of a type that the engines do not share -> what a query must write instead.
_CASTS = {
    "DOUBLE": "CAST(ROUND(CAST(... AS NUMERIC), 6) AS NUMERIC), as FLOAT64 is not exact; SAFE_DIVIDE and / return it",
    "DECIMAL": "CAST(... AS NUMERIC)",
    "HUGEINT": "CAST(... AS INT64)",
    "INTEGER": "CAST(... AS INT64)",
}


@dataclass(frozen=True)
class _StoredColumn:
    type: str
    is_required: bool


# Table or view -> column -> what the file stores of it.
_StoredColumns = Mapping[str, Mapping[str, _StoredColumn]]


class DuckDBWarehouse(DuckDBFile):
    """A warehouse in one DuckDB file."""

    # A transaction takes milliseconds, so every fetch is loaded at once.
    batch_bytes = 0
    # One connection executes one statement at a time, with every processor.
    parallel_statements = 1

    # --- tables and views ---------------------------------------------------------------------------------------

    def prepare(self, tables: Sequence[Table]) -> PreparedSchema:
        with self._transaction() as connection:
            if not os.access(self.path.parent, os.W_OK):
                raise WarehouseError(
                    f"{self.path.parent} is not writable, and DuckDB writes its log next to the file; set "
                    "AI_USAGE_DUCKDB_PATH."
                )
            self._migrate(connection)
            stored = self._stored_columns(connection)
            stored_views = self._comments(connection, "view").keys()
            for table in tables:
                if not table.is_view:
                    if table.name in stored_views:
                        # An earlier version had a view of this name.
                        connection.execute(f"DROP VIEW {self._name(table)}")
                    self._prepare_table(
                        connection, table, None if table.name in stored_views else stored.get(table.name)
                    )
            views = self._comments(connection, "view")
            changed, failed = set(), {}
            for table in tables:
                if table.is_view:
                    if table.name in stored and table.name not in views:
                        # An earlier version had a table of this name.
                        connection.execute(f"DROP TABLE {self._name(table)}")
                    try:
                        if self._prepare_view(connection, table, views.get(table.name)):
                            changed.add(table.name)
                    except (duckdb.CatalogException, duckdb.BinderException, googlesql.UnsupportedSQL) as error:
                        failed[table.name] = f"the view cannot be created: {str(error).splitlines()[0]}"
        replaced = frozenset(table.name for table in tables if not table.is_view and table.name in stored_views)
        return PreparedSchema(frozenset(changed), replaced, failed)

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        stored = self._stored_columns(connection)
        # Every table and view of the project has a comment; what has none belongs to somebody else.
        views = {name for name, comment in self._comments(connection, "view").items() if comment}
        tables = {name: stored[name].keys() for name, comment in self._comments(connection, "table").items() if comment}
        for statement in migrations.statements(tables, views):
            connection.execute(googlesql.in_dataset(statement, self.dataset))
            logger.info("%s: %s", self.path, statement.splitlines()[0])

    def _comments(self, connection: duckdb.DuckDBPyConnection, kind: str) -> dict[str, str | None]:
        return dict(
            connection.execute(
                f"SELECT {kind}_name, comment FROM duckdb_{kind}s() WHERE schema_name = ?", [self.dataset]
            ).fetchall()
        )

    def schema_conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        if self._read_only and not self.path.exists():
            return None
        with self._errors():
            stored = self._stored_columns(self._connect())
        if not any(table.name in stored for table in tables):
            return None
        return [
            conflict
            for table in tables
            if not table.query
            for column in table.columns
            if (conflict := self._schema_conflict(table, column, stored.get(table.name, {})))
        ]

    def _schema_conflict(self, table: Table, column: Column, stored: Mapping[str, _StoredColumn]) -> str | None:
        expected = _TYPES[column.type or ""]
        if column.name not in stored or stored[column.name].type == expected:
            return None
        return (
            f"{table.name}.{column.name} has the type {stored[column.name].type} in {self.path}, expected {expected}: "
            "another version of this project wrote the file. Keep a copy of it and use that version."
        )

    def _stored_columns(self, connection: duckdb.DuckDBPyConnection) -> _StoredColumns:
        stored: dict[str, dict[str, _StoredColumn]] = {}
        for table, column, column_type, is_nullable in connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE schema_name = ?",
            [self.dataset],
        ).fetchall():
            stored.setdefault(table, {})[column] = _StoredColumn(column_type, not is_nullable)
        return stored

    def _prepare_table(
        self, connection: duckdb.DuckDBPyConnection, table: Table, stored: Mapping[str, _StoredColumn] | None
    ) -> None:
        if stored is None:
            self._create_table(connection, table)
            return
        for column in table.columns:
            if column.name not in stored:
                connection.execute(
                    f'ALTER TABLE {self._name(table)} ADD COLUMN "{column.name}" {_TYPES[column.type or ""]}'
                )
            elif conflict := self._schema_conflict(table, column, stored):
                if not table.query:
                    raise WarehouseError(conflict)
                # The runs fill it again; a check lists the days that are missing until then.
                connection.execute(f"DROP TABLE {self._name(table)}")
                self._create_table(connection, table)
                return
        for name in stored.keys() - set(table.column_names):
            # New rows have no value for a column of an earlier version.
            if stored[name].is_required:
                connection.execute(f'ALTER TABLE {self._name(table)} ALTER COLUMN "{name}" DROP NOT NULL')

    def _create_table(self, connection: duckdb.DuckDBPyConnection, table: Table) -> None:
        columns = ", ".join(
            f'"{c.name}" {_TYPES[c.type or ""]}{" NOT NULL" if c.required else ""}' for c in table.columns
        )
        connection.execute(f"CREATE TABLE {self._name(table)} ({columns})")
        connection.execute(f"COMMENT ON TABLE {self._name(table)} IS {quote(table.description)}")
        for column in table.columns:
            connection.execute(f'COMMENT ON COLUMN {self._name(table)}."{column.name}" IS {quote(column.description)}')

    def _prepare_view(self, connection: duckdb.DuckDBPyConnection, table: Table, comment: str | None) -> bool:
        """Creates or replaces the view unless it is unchanged; returns whether it did."""
        query = table.query or ""
        # The digest covers what the translation depends on, so that an unchanged view is not translated at each start.
        digest = sha256_hex(googlesql.RULES, query, digits=12)
        expected = f"{table.description} (definition {digest})"
        if comment == expected:
            return False
        connection.execute(f"CREATE OR REPLACE VIEW {self._name(table)} AS {googlesql.to_duckdb(query)}")
        connection.execute(f"COMMENT ON VIEW {self._name(table)} IS {quote(expected)}")
        return True

    # --- rows ---------------------------------------------------------------------------------------------------

    def load_days(
        self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row] = ()
    ) -> None:
        with self._transaction() as connection:
            before = restatements.query_parts(restated, self.rows)
            for day in days:
                self._replace_day(connection, day)
            self._upsert(connection, OPS_ASSET_DAYS, ("asset", "usage_date"), [{**entry} for entry in asset_days])
            self._insert(connection, OPS_RESTATEMENTS, restated)
            parts = restatements.changed_parts(restated, before, restatements.query_parts(restated, self.rows))
            self._insert(connection, OPS_RESTATEMENT_PARTS, parts)

    def _replace_day(self, connection: duckdb.DuckDBPyConnection, day: RawDay) -> None:
        name, partition = self._name(day.table), day.table.partition_by
        connection.execute(f"DELETE FROM {name} WHERE {partition} = ?", [day.day])
        # One thread reads one batch.
        batches = day.records.to_batches(ROW_GROUP_SIZE)
        connection.register("records", pa.Table.from_batches(batches, day.records.schema))
        connection.execute(
            f"INSERT INTO {name} ({partition}, record_no, payload, carried_email, fetched_at) "
            "SELECT ?, record_no, payload, carried_email, ? FROM records",
            [day.day, day.fetched_at],
        )
        connection.unregister("records")

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        with self._transaction() as connection:
            self._insert(connection, table, rows)

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        with self._transaction() as connection:
            self._upsert(connection, table, key, rows)

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        # The file has one writer, so no other insert can come in between.
        with self._transaction() as connection:
            query = f"SELECT 1 FROM {self._name(table)} WHERE {_equals(key)}"
            if not connection.execute(query, [row[column] for column in key]).fetchall():
                self._insert(connection, table, [row])

    def _upsert(
        self, connection: duckdb.DuckDBPyConnection, table: Table, key: Sequence[str], rows: Sequence[Row]
    ) -> None:
        if rows:
            connection.executemany(
                f"DELETE FROM {self._name(table)} WHERE {_equals(key)}", [[row[c] for c in key] for row in rows]
            )
            self._insert(connection, table, rows)

    def _insert(self, connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            marks = ", ".join("?" for _ in table.column_names)
            connection.executemany(
                f"INSERT INTO {self._name(table)} ({_columns(table)}) VALUES ({marks})",
                [[row.get(name) for name in table.column_names] for row in rows],
            )

    def rebuild(self, table: Table, parameters: QueryParameters) -> int:
        query = googlesql.to_duckdb(table.query or "")
        days = f"{table.partition_by} BETWEEN $start_day AND $end_day" if table.is_rebuilt_by_day else "TRUE"
        with self._transaction() as connection:
            connection.execute(f"DELETE FROM {self._name(table)} WHERE {days}", _used_parameters(days, parameters))
            inserted = connection.execute(
                f"INSERT INTO {self._name(table)} ({_columns(table)}) {query}", _used_parameters(query, parameters)
            ).fetchall()
        return int(inserted[0][0])

    def delete_older(self, tables: Sequence[tuple[Table, str]], before: datetime) -> None:
        with self._transaction() as connection:
            for table, column in tables:
                connection.execute(f'DELETE FROM {self._name(table)} WHERE "{column}" < ?', [before])

    def column_types(self, table: Table) -> dict[str, str]:
        with self._errors():
            # Binds the query without reading a row.
            relation = self._connect().sql(f"SELECT * FROM {self._name(table)}")
        return {
            name: _googlesql_type(table, name, str(column_type))
            for name, column_type in zip(relation.columns, relation.types, strict=True)
        }

    def check_types(self, table: Table, parameters: QueryParameters) -> None:
        """Raises WarehouseError if the query of a table or view has a column of an inexact or unknown type."""
        if table.is_view:
            self.column_types(table)
            return
        translated = googlesql.to_duckdb(table.query or "")
        with self._errors():
            relation = self._connect().sql(translated, params=_used_parameters(translated, parameters))
        for name, column_type in zip(relation.columns, relation.types, strict=True):
            # The table rounds decimals and limits integers as declared, in both engines.
            if not str(column_type).startswith(("DECIMAL", "HUGEINT", "INTEGER")):
                _googlesql_type(table, name, str(column_type))

    def validate(self, sql: str) -> None:
        """Checks every name and type of a query without running it. Raises WarehouseError or UnsupportedSQL."""
        translated = googlesql.to_duckdb(sql)
        try:
            self._connect().execute(f"PREPARE validated AS {translated}")
        except duckdb.Error as error:
            raise WarehouseError(str(error).partition("\n")[0]) from None

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        translated = googlesql.to_duckdb(sql)
        with self._errors():
            relation = self._connect().sql(translated, params=_used_parameters(translated, parameters or {}))
            return relation.to_arrow_table()

    def rows(self, sql: str, parameters: QueryParameters | None = None) -> list[Row]:
        result: list[Row] = self.query(sql, parameters).to_pylist()
        return result

    def label_jobs(self, *, asset: str) -> AbstractContextManager[None]:
        return nullcontext()

    @staticmethod
    def _name(table: Table) -> str:
        return f'"{table.name}"'


def _googlesql_type(table: Table, column: str, duckdb_type: str) -> str:
    """The GoogleSQL type of a column. Raises WarehouseError for a type that the engines do not share."""
    if duckdb_type in _GOOGLESQL_TYPES:
        return _GOOGLESQL_TYPES[duckdb_type]
    cast = next((cast for start, cast in _CASTS.items() if duckdb_type.startswith(start)), None)
    cast = cast or f"a CAST to one of {', '.join(COLUMN_TYPES)}"
    raise WarehouseError(
        f"The column {table.name}.{column} has the type {duckdb_type} in DuckDB, which the warehouses do not share. "
        f"Write {cast}."
    )


def _used_parameters(sql: str, parameters: QueryParameters) -> dict[str, object] | None:
    """The parameters that the statement contains: DuckDB rejects others."""
    return {name: value for name, value in parameters.items() if f"${name}" in sql} or None


def _columns(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in table.column_names)


def _equals(columns: Sequence[str]) -> str:
    return " AND ".join(f'"{column}" = ?' for column in columns)
