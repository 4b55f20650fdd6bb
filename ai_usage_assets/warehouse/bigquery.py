"""The production warehouse: one BigQuery dataset.

A raw day is a load job that replaces one partition. The day log follows in a statement of its own, so a reader may see
the new day with the former log entry; after a stop in between, the next run of that day loads it again.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from dagster_gcp import BigQueryResource
from google.cloud import bigquery

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse import restatements
from ai_usage_assets.warehouse.base import PreparedSchema, QueryParameters, RawDay, Row, WarehouseError
from ai_usage_assets.warehouse.bigquery_jobs import LABELS, RETRY_SECONDS, BigQueryJobs, bigquery_resource
from ai_usage_assets.warehouse.bigquery_schema import BigQuerySchema, digest, schema_field
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET
from ai_usage_assets.warehouse.ops_tables import (
    OPS_ASSET_DAYS,
    OPS_RESTATEMENT_PARTS,
    OPS_RESTATEMENTS,
    OPS_RUNS,
    DayLogEntry,
)
from ai_usage_assets.warehouse.tables import Table

T = TypeVar("T")

_ARROW_TYPES = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}

_PARALLEL_LOADS = 8
_PARALLEL_STATEMENTS = 8
# Rows are sent as parameters, and a request is limited to 10 MB; an entry of the day log has about a kilobyte.
_ROWS_PER_REQUEST = 2000
# Longer than any task of the job may take: until then, a run without an outcome may still be active.
_LONGEST_RUN = timedelta(hours=25)


class BigQueryWarehouse:
    """A warehouse in one dataset. No request is sent before the first operation.

    `resource` creates the client; without it, the client has ambient credentials, or none for an emulator.
    """

    def __init__(
        self,
        project: str,
        dataset: str = WRITTEN_DATASET,
        *,
        resource: BigQueryResource | None = None,
        emulator_url: str | None = None,
        raw_expiry_days: int | None = None,
        retry_seconds: float = RETRY_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        resource = resource or bigquery_resource(project, emulator_url)
        self.jobs = BigQueryJobs(project, dataset, resource, retry_seconds=retry_seconds, sleep=sleep)
        self.schema = BigQuerySchema(self.jobs, raw_expiry_days)
        self._raw_expiry_days = raw_expiry_days

    @classmethod
    def from_settings(
        cls, settings: Settings, *, resource: BigQueryResource | None = None, retry_seconds: float = RETRY_SECONDS
    ) -> BigQueryWarehouse:
        """The warehouse of the settings."""
        return cls(
            settings.project or "",
            settings.dataset,
            resource=resource,
            emulator_url=settings.bigquery_emulator,
            raw_expiry_days=settings.raw_expiry_days,
            retry_seconds=retry_seconds,
        )

    def __str__(self) -> str:
        return str(self.jobs)

    # --- tables and views ---------------------------------------------------------------------------------------

    parallel_statements = _PARALLEL_STATEMENTS

    def prepare(self, tables: Sequence[Table]) -> PreparedSchema:
        with self.jobs.errors():
            return self.schema.prepare(tables)

    def schema_conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        with self.jobs.errors():
            return self.schema.conflicts(tables)

    def column_types(self, table: Table) -> dict[str, str]:
        with self.jobs.errors():
            return self.schema.column_types(table)

    # --- raw days -----------------------------------------------------------------------------------------------

    def load_days(
        self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row] = ()
    ) -> None:
        entries: dict[tuple[str, date], Row] = {(row["asset"], row["usage_date"]): {**row} for row in asset_days}
        with self.jobs.errors():
            before = restatements.query_parts(restated, self.rows)
            with ThreadPoolExecutor(_PARALLEL_LOADS) as pool:
                loads = [pool.submit(self._load_day, day, entries.get((day.table.name, day.day), {})) for day in days]
                # All loads end before the first failure is raised.
                pool.shutdown()
            for load in loads:
                load.result()
            parts = restatements.changed_parts(restated, before, restatements.query_parts(restated, self.rows))
            self._write_day_log(entries, restated, parts)

    def _load_day(self, day: RawDay, entry: Row) -> None:
        table, partition = day.table, day.table.partition_by or ""
        if not day.records.num_rows:
            self.jobs.query(f"DELETE FROM {WRITTEN_DATASET}.{table.name} WHERE {partition} = @day", {"day": day.day})
            return
        required = {c.name for c in table.columns if c.required} - self.schema.nullable_columns.get(table.name, set())
        file = _parquet(day, required)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[schema_field(column, required=column.name in required) for column in table.columns],
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            schema_update_options=[bigquery.SchemaUpdateOption.ALLOW_FIELD_ADDITION],
            labels=LABELS,
        )

        def start(job_id: str, **options: Any) -> Any:
            file.seek(0)
            return self.jobs.client.load_table_from_file(
                file,
                f"{self}.{table.name}${day.day:%Y%m%d}",
                size=file.getbuffer().nbytes,
                job_id=job_id,
                job_config=config,
                timeout=options["timeout"],
                # `BigQueryJobs.run` decides about a retry: it looks up what became of the job.
                num_retries=0,
            )

        # The same content of the same day in the same run is the same job, however often it is started.
        content = sha256_hex(file.getbuffer())
        self.jobs.run(start, "land", digest(repr((str(self), table.name, day.day, content, entry.get("run_id")))))

    def _write_day_log(
        self, entries: dict[tuple[str, date], Row], restated: Sequence[Row], parts: Sequence[Row]
    ) -> None:
        """Writes entries, restatements and their parts; those of one day in one transaction."""
        by_day: dict[tuple[str, date], tuple[list[Row], list[Row], list[Row]]] = {
            key: ([row], [], []) for key, row in entries.items()
        }
        for row in restated:
            by_day[row["asset"], row["usage_date"]][1].append(row)
        for row in parts:
            by_day[row["asset"], row["usage_date"]][2].append(row)
        for batch in _batches(list(by_day.values()), size=lambda rows: sum(map(len, rows))):
            log, notes, note_parts = ([row for rows in batch for row in rows[number]] for number in range(3))
            self._write(
                [
                    (OPS_ASSET_DAYS, ("asset", "usage_date"), log),
                    (OPS_RESTATEMENTS, (), notes),
                    (OPS_RESTATEMENT_PARTS, (), note_parts),
                ]
            )

    # --- rows ---------------------------------------------------------------------------------------------------

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        self.upsert(table, (), rows)

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        with self.jobs.errors():
            for batch in _batches(rows):
                self._write([(table, key, batch)])

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        columns, values = _columns_and_values(table)
        target = f"{WRITTEN_DATASET}.{table.name}"
        with self.jobs.errors():
            # BigQuery lets concurrent inserts succeed, but a job id can be used once. Two callers that see the table in
            # the same state start the same job, and one of them waits for the other's.
            modified = self.jobs.client.get_table(
                f"{self.jobs.dataset}.{table.name}", **self.jobs.request_options
            ).modified
            name = digest(repr((str(self), table.name, modified, [row[column] for column in key])))
            self.jobs.query(
                f"INSERT INTO {target} ({columns})\nSELECT {values} FROM UNNEST(@row) AS entry\n"
                f"WHERE NOT EXISTS (SELECT 1 FROM {target} AS stored WHERE {_equals(key)})",
                {},
                [_rows_parameter("row", table, [row])],
                name=self.jobs.unfailed_name(name),
            )

    def _write(self, changes: Sequence[tuple[Table, Sequence[str], Sequence[Row]]]) -> None:
        """Writes rows of several tables (table, key, rows) in one transaction; without a key, rows are inserted."""
        statements, parameters = [], []
        for table, key, rows in changes:
            if rows:
                name = f"rows_of_{table.name}"
                statements.append(_merge(table, key, name))
                parameters.append(_rows_parameter(name, table, rows))
        if statements:
            self.jobs.query(statements[0] if len(statements) == 1 else _transaction(*statements), {}, parameters)

    def rebuild(self, table: Table, parameters: QueryParameters) -> int | None:
        self._reject_expired_days(table, parameters)
        columns, _ = _columns_and_values(table)
        target = f"{WRITTEN_DATASET}.{table.name}"
        days = f"{table.partition_by} BETWEEN @start_day AND @end_day" if table.is_rebuilt_by_day else "TRUE"
        with self.jobs.errors():
            delete = f"DELETE FROM {target} WHERE {days}"
            insert = f"INSERT INTO {target} ({columns})\n{table.query}"
            self.jobs.query(_transaction(delete, insert), parameters)
        # Of a script, BigQuery reports rows only for its parts.
        return None

    def _reject_expired_days(self, table: Table, parameters: QueryParameters) -> None:
        """A day whose raw records have expired would be rebuilt as empty."""
        today, start = parameters.get("today"), parameters.get("start_day")
        if not (
            self._raw_expiry_days and table.is_rebuilt_by_day and isinstance(today, date) and isinstance(start, date)
        ):
            return
        first = today - timedelta(days=self._raw_expiry_days)
        if start < first:
            raise WarehouseError(
                f"{table.name} cannot be rebuilt from {start} on: raw records are kept for {self._raw_expiry_days} "
                f"days (AI_USAGE_RAW_EXPIRY_DAYS), and those before {first} are gone. Choose later days."
            )

    # --- queries ------------------------------------------------------------------------------------------------

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        with self.jobs.errors():
            job = self.jobs.query(sql, parameters or {})
            return self.jobs.result(job).to_arrow(create_bqstorage_client=False)

    def rows(self, sql: str, parameters: QueryParameters | None = None) -> list[Row]:
        result: list[Row] = self.query(sql, parameters).to_pylist()
        return result

    def estimate_bytes(self, sql: str, parameters: QueryParameters | None = None) -> int:
        """The bytes that a statement would read, by a dry run. Raises WarehouseError as running it would."""
        with self.jobs.errors():
            return self.jobs.estimate_bytes(sql, parameters or {})

    # --- runs ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Does nothing: BigQuery has no lock on the warehouse."""

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        yield

    def is_run_active(self, run_id: str) -> bool:
        # A killed container leaves no trace, and reading its state would need one more permission.
        since = datetime.now(UTC) - _LONGEST_RUN
        rows = self.rows(
            f"SELECT run_id FROM {WRITTEN_DATASET}.{OPS_RUNS.name} WHERE run_id = @run_id AND started_at > @since",
            {"run_id": run_id, "since": since},
        )
        return bool(rows)


def _parquet(day: RawDay, required: set[str]) -> io.BytesIO:
    count = day.records.num_rows
    columns = {
        day.table.partition_by: pa.repeat(pa.scalar(day.day), count),
        **{name: day.records[name] for name in day.records.column_names},
        "fetched_at": pa.repeat(pa.scalar(day.fetched_at, _ARROW_TYPES["TIMESTAMP"]), count),
    }
    schema = pa.schema(
        [pa.field(c.name, _ARROW_TYPES[c.type or ""], c.name not in required) for c in day.table.columns]
    )
    file = io.BytesIO()
    pq.write_table(pa.table([columns[name] for name in schema.names], schema=schema), file, compression="zstd")
    return file


def _transaction(*statements: str) -> str:
    return ";\n".join(["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"])


def _merge(table: Table, key: Sequence[str], parameter: str) -> str:
    columns, values = _columns_and_values(table)
    target = f"{WRITTEN_DATASET}.{table.name}"
    if not key:
        return f"INSERT INTO {target} ({columns})\nSELECT {values} FROM UNNEST(@{parameter}) AS entry"
    update = ", ".join(f"{column} = entry.{column}" for column in table.column_names if column not in key)
    return (
        f"MERGE {target} AS stored USING UNNEST(@{parameter}) AS entry ON {_equals(key)}\n"
        f"WHEN MATCHED THEN UPDATE SET {update}\nWHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    )


def _equals(key: Sequence[str]) -> str:
    return " AND ".join(f"stored.{column} = entry.{column}" for column in key)


def _columns_and_values(table: Table) -> tuple[str, str]:
    return ", ".join(table.column_names), ", ".join(f"entry.{column}" for column in table.column_names)


def _rows_parameter(name: str, table: Table, rows: Sequence[Row]) -> bigquery.ArrayQueryParameter:
    return bigquery.ArrayQueryParameter(
        name,
        "STRUCT",
        [
            bigquery.StructQueryParameter(
                None, *(bigquery.ScalarQueryParameter(c.name, c.type, row.get(c.name)) for c in table.columns)
            )
            for row in rows
        ],
    )


def _batches(items: Sequence[T], size: Callable[[T], int] = lambda item: 1) -> Iterator[Sequence[T]]:
    """Splits the items by size, so that each batch fits into a request; a larger item is a batch of its own."""
    first = total = 0
    for number, item in enumerate(items):
        if total and total + size(item) > _ROWS_PER_REQUEST:
            yield items[first:number]
            first, total = number, 0
        total += size(item)
    if items:
        yield items[first:]
