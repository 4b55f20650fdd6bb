"""The embedded warehouse: one DuckDB file.

Belongs here: what is particular to DuckDB (its lock on the file, its types, its transactions). Does not: SQL of the
project, which is GoogleSQL and comes in translated by `googlesql`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.redaction import redact
from ai_usage_assets.warehouse import googlesql, restatements
from ai_usage_assets.warehouse.base import QueryParameters, RawDay, Row, WarehouseBusyError, WarehouseError
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RESTATEMENT_PARTS, OPS_RESTATEMENTS, DayLogEntry
from ai_usage_assets.warehouse.tables import Column, Table

logger = logging.getLogger(__name__)

# As DuckDB itself writes them.
_TYPES = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "NUMERIC": "DECIMAL(38,9)",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
}
_GOOGLES = {theirs: googles for googles, theirs in _TYPES.items()}

# DuckDB has no class of its own for a file whose content cannot be. Whole phrases: a path may hold any word.
_DAMAGED = re.compile(
    "Corrupt database file|not a valid DuckDB database|Could not read enough bytes|^INTERNAL Error|^Serialization Error"
)

# DuckDB works on as many groups of rows at once as there are, and compresses the last one anew when rows are added: at
# its own size, a day of two hundred thousand events takes one processor and forty small ones are packed three times.
_ROWS_IN_GROUP = 20_480

# A run holds the file for seconds at a time; longer than this means somebody keeps it open.
_LOCK_WAIT_SECONDS = 60.0
_LOCK_RETRY_SECONDS = 0.2
_LOCK_SILENT_SECONDS = 2.0


class DuckDBWarehouse:
    """One file, one writer. The connection is taken at the first verb and kept until `close`."""

    def __init__(
        self,
        path: Path | str,
        dataset: str = "ai_usage",
        *,
        lock_wait_seconds: float = _LOCK_WAIT_SECONDS,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self.dataset = dataset
        # Makes nothing, neither the file nor the schema, and takes the file from no other reader.
        self._read_only = read_only
        self._lock_wait_seconds = lock_wait_seconds
        self._connection: duckdb.DuckDBPyConnection | None = None

    def prepare(self, tables: Sequence[Table]) -> None:
        with self._transaction() as connection:
            if not os.access(self.path.parent, os.W_OK):
                raise WarehouseError(
                    f"{self.path.parent} cannot be written, and the warehouse keeps its log beside the file; set "
                    "AI_USAGE_DUCKDB_PATH."
                )
            existing = self._existing_columns(connection)
            for table in tables:
                if not table.is_view:
                    self._prepare_table(connection, table, existing.get(table.name))
            known = dict(
                connection.execute(
                    "SELECT view_name, comment FROM duckdb_views() WHERE schema_name = ?", [self.dataset]
                ).fetchall()
            )
            for table in tables:
                if table.is_view:
                    if table.name in existing and table.name not in known:
                        # What was a table in an older version is made from others now.
                        connection.execute(f"DROP TABLE {self._name(table)}")
                    self._prepare_view(connection, table, known.get(table.name))

    def schema_conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        if self._read_only and not self.path.exists():
            return None
        with self._errors():
            existing = self._existing_columns(self._connect())
        if not any(table.name in existing for table in tables):
            return None
        return [
            problem
            for table in tables
            if not (table.is_view or table.query)
            for column in table.columns
            if (problem := self._schema_conflict(table, column, existing.get(table.name, {})))
        ]

    def _schema_conflict(self, table: Table, column: Column, existing: Mapping[str, str]) -> str | None:
        kind, wanted = existing.get(column.name), _TYPES[column.type or ""]
        if kind in (None, wanted):
            return None
        return (
            f"{table.name}.{column.name} is {kind} in {self.path} and should be {wanted}: the "
            "file is of another version. Keep a copy of it, and use the version of this project that wrote it."
        )

    def _existing_columns(self, connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = ?",
            [self.dataset],
        ).fetchall():
            found.setdefault(table, {})[column] = kind
        return found

    def _prepare_table(
        self, connection: duckdb.DuckDBPyConnection, table: Table, existing: Mapping[str, str] | None
    ) -> None:
        if existing is None:
            columns = ", ".join(
                f'"{c.name}" {_TYPES[c.type or ""]}{" NOT NULL" if c.required else ""}' for c in table.columns
            )
            connection.execute(f"CREATE TABLE {self._name(table)} ({columns})")
            connection.execute(f"COMMENT ON TABLE {self._name(table)} IS {_text(table.description)}")
            for column in table.columns:
                connection.execute(
                    f'COMMENT ON COLUMN {self._name(table)}."{column.name}" IS {_text(column.description)}'
                )
            return
        for column in table.columns:
            wanted = _TYPES[column.type or ""]
            if column.name not in existing:
                connection.execute(f'ALTER TABLE {self._name(table)} ADD COLUMN "{column.name}" {wanted}')
            elif problem := self._schema_conflict(table, column, existing):
                if table.query:
                    # Made from others, so it can be made again; a check tells which days are not yet.
                    connection.execute(f"DROP TABLE {self._name(table)}")
                    self._prepare_table(connection, table, None)
                    return
                raise WarehouseError(problem)

    def _prepare_view(self, connection: duckdb.DuckDBPyConnection, table: Table, comment: str | None) -> None:
        query = table.query or ""
        # Of what the translation depends on: every start would else translate everything to find that nothing changed.
        digest = sha256_hex(googlesql.RULES, query, digits=12)
        wanted = f"{table.description} (definition {digest})"
        if comment != wanted:
            connection.execute(f"CREATE OR REPLACE VIEW {self._name(table)} AS {googlesql.to_duckdb(query)}")
            connection.execute(f"COMMENT ON VIEW {self._name(table)} IS {_text(wanted)}")

    def load_days(
        self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row] = ()
    ) -> None:
        with self._transaction() as connection:
            before = restatements.query_parts(restated, self.rows)
            for day in days:
                name, partition = self._name(day.table), day.table.partition_by
                connection.execute(f"DELETE FROM {name} WHERE {partition} = ?", [day.day])
                connection.register("landing", _in_groups(day.records))
                connection.execute(
                    f"INSERT INTO {name} ({partition}, record_no, payload, carried_email, fetched_at) "
                    "SELECT ?, record_no, payload, carried_email, ? FROM landing",
                    [day.day, day.fetched_at],
                )
                connection.unregister("landing")
            self._upsert(connection, OPS_ASSET_DAYS, ("asset", "usage_date"), [{**entry} for entry in asset_days])
            self._insert(connection, OPS_RESTATEMENTS, restated)
            parts = restatements.changed_parts(restated, before, restatements.query_parts(restated, self.rows))
            self._insert(connection, OPS_RESTATEMENT_PARTS, parts)

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        with self._transaction() as connection:
            self._insert(connection, table, rows)

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        with self._transaction() as connection:
            self._upsert(connection, table, key, rows)

    def _upsert(
        self, connection: duckdb.DuckDBPyConnection, table: Table, key: Sequence[str], rows: Sequence[Row]
    ) -> None:
        if rows:
            condition = " AND ".join(f'"{column}" = ?' for column in key)
            connection.executemany(
                f"DELETE FROM {self._name(table)} WHERE {condition}", [[row[c] for c in key] for row in rows]
            )
            self._insert(connection, table, rows)

    def _insert(self, connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            columns = ", ".join(f'"{name}"' for name in table.column_names)
            marks = ", ".join("?" for _ in table.column_names)
            connection.executemany(
                f"INSERT INTO {self._name(table)} ({columns}) VALUES ({marks})",
                [[row.get(name) for name in table.column_names] for row in rows],
            )

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        # The file has one writer, so nothing comes in between.
        with self._transaction() as connection:
            same = " AND ".join(f'"{column}" = ?' for column in key)
            held = f"SELECT 1 FROM {self._name(table)} WHERE {same}"
            if not connection.execute(held, [row[column] for column in key]).fetchall():
                self._insert(connection, table, [row])

    def rebuild(self, table: Table, parameters: QueryParameters) -> None:
        query = googlesql.to_duckdb(table.query or "")
        columns = ", ".join(f'"{name}"' for name in table.column_names)
        with self._transaction() as connection:
            if table.partition_by:
                connection.execute(
                    f"DELETE FROM {self._name(table)} WHERE {table.partition_by} BETWEEN $start_day AND $end_day",
                    {"start_day": parameters["start_day"], "end_day": parameters["end_day"]},
                )
            else:
                connection.execute(f"DELETE FROM {self._name(table)}")
            connection.execute(f"INSERT INTO {self._name(table)} ({columns}) {query}", _used(query, parameters))

    def column_types(self, table: Table) -> dict[str, str]:
        with self._errors():
            # Found out when it is bound; nothing is read.
            bound = self._connect().sql(f"SELECT * FROM {self._name(table)}")
            return {name: _GOOGLES[str(kind)] for name, kind in zip(bound.columns, bound.types, strict=True)}

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        translated = googlesql.to_duckdb(sql)
        with self._errors():
            found = self._connect().sql(translated, params=_used(translated, parameters or {}))
            return found.to_arrow_table()

    def rows(self, sql: str, parameters: QueryParameters | None = None) -> list[Row]:
        found: list[Row] = self.query(sql, parameters).to_pylist()
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        mark = self._mark(run_id)
        try:
            opened = mark.open("w")
        except OSError as error:
            raise WarehouseError(f"{mark} cannot be written ({error.strerror}); set AI_USAGE_DUCKDB_PATH.") from None
        with opened:
            # The kernel takes this lock from a process that ends, however it ends, and in whatever container it ran;
            # a number of a process would by then be another's.
            fcntl.flock(opened, fcntl.LOCK_EX)
            try:
                yield
            finally:
                mark.unlink(missing_ok=True)

    def is_run_active(self, run_id: str) -> bool:
        mark = self._mark(run_id)
        try:
            with mark.open() as opened:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        # Left by a run that was killed.
        with suppress(OSError):
            mark.unlink()
        return False

    def _mark(self, run_id: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{run_id}.run")

    @staticmethod
    def _name(table: Table) -> str:
        return f'"{table.name}"'

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._errors():
            connection = self._connect()
            connection.execute("BEGIN TRANSACTION")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # After a fatal error (a full disk) the transaction is already gone with the connection.
                try:
                    connection.execute("ROLLBACK")
                except duckdb.Error:
                    self.close()
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            # DuckDB quotes the row it stumbled over; only its first line goes on, without addresses and keys.
            raise WarehouseError(f"{self.path}: {_told(error)}") from None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            connection = self._open()
            schema = f'warehouse."{self.dataset}"'
            if not self._read_only:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                connection.execute(f"USE {schema}")
            elif connection.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = ?", [self.dataset]).fetchall():
                connection.execute(f"USE {schema}")
            connection.execute(googlesql.SESSION)
            self._connection = connection
        return self._connection

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            if not self._read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise WarehouseError(
                f"{self.path.parent} is a file, not a folder; name another in AI_USAGE_DUCKDB_PATH."
            ) from None
        except OSError as error:
            raise WarehouseError(
                f"{self.path.parent} cannot be made ({error.strerror}); set AI_USAGE_DUCKDB_PATH."
            ) from None
        if self.path.is_dir():
            raise WarehouseError(f"{self.path} is a folder; name a file in AI_USAGE_DUCKDB_PATH.")
        connection = duckdb.connect(
            # Named after the file, because what has one name in a process is one: a second warehouse on it joins in.
            f":memory:{self.path.absolute()}",
            # Nothing is fetched from anywhere, whatever the file turns out to be.
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
        )
        try:
            self._attach(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        how = "READ_ONLY" if self._read_only else f"ROW_GROUP_SIZE {_ROWS_IN_GROUP}"
        started, is_told = time.monotonic(), False
        is_attached = False
        while not is_attached:
            try:
                connection.execute(f"ATTACH IF NOT EXISTS {_text(str(self.path))} AS warehouse ({how})")
                is_attached = True
            except duckdb.Error as error:
                if "Could not set lock" not in str(error):
                    raise WarehouseError(f"{self.path} cannot be opened: {_told(error)}") from None
                waited = time.monotonic() - started
                if waited > self._lock_wait_seconds:
                    raise WarehouseBusyError(
                        f"{self.path} is in use by another process (a run, or a tool that has it open); waited "
                        f"{self._lock_wait_seconds:.0f} s. Close it and run again; nothing was changed."
                    ) from None
                if waited > _LOCK_SILENT_SECONDS and not is_told:
                    is_told = True
                    logger.warning(
                        "%s is in use by another process; waiting up to %.0f s for it",
                        self.path,
                        self._lock_wait_seconds,
                    )
                time.sleep(_LOCK_RETRY_SECONDS)


def _told(error: duckdb.Error) -> str:
    """What DuckDB said, and what to do where a person can do something."""
    said = redact(str(error).splitlines()[0]).rstrip(".!")
    if _DAMAGED.search(said):
        advice = (
            " The file is damaged or no warehouse: put a good copy in its place; or move it away and load the days "
            "again (`ai-usage run --days N`), or set AI_USAGE_DUCKDB_PATH."
        )
    elif "storage version" in said:
        advice = " A newer DuckDB wrote it: use the version of this project that did."
    elif isinstance(error, duckdb.IOException) or "Could not write" in said:
        advice = (
            " Nothing was changed. Check that the disk has room, and that the file and its folder can be written "
            "(AI_USAGE_DUCKDB_PATH)."
        )
    else:
        advice = ""
    return f"{said}.{advice}"


def _used(sql: str, parameters: QueryParameters) -> dict[str, object] | None:
    """DuckDB refuses parameters that a statement does not use."""
    return {name: value for name, value in parameters.items() if f"${name}" in sql} or None


def _in_groups(records: pa.Table) -> pa.Table:
    """The same rows in pieces, because a piece is what one thread takes."""
    return pa.Table.from_batches(records.to_batches(_ROWS_IN_GROUP), records.schema)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
