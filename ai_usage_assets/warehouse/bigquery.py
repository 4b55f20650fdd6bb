"""The production warehouse: one BigQuery dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from dagster_gcp import BigQueryResource

from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import PreparedSchema, QueryParameters, RawDay, Row, WarehouseError
from ai_usage_assets.warehouse.bigquery_jobs import RETRY_SECONDS, BigQueryJobs, bigquery_resource
from ai_usage_assets.warehouse.bigquery_landing import BigQueryLanding
from ai_usage_assets.warehouse.bigquery_schema import BigQuerySchema
from ai_usage_assets.warehouse.bigquery_statements import (
    columns_and_values,
    key_equals,
    merge,
    rows_parameter,
    split_batches,
    transaction,
)
from ai_usage_assets.warehouse.bigquery_views import digest
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET
from ai_usage_assets.warehouse.ops_tables import OPS_RUNS, DayLogEntry
from ai_usage_assets.warehouse.tables import Table

_PARALLEL_STATEMENTS = 8
# Longer than any task of the job may take: until then, a run without an outcome may still be active.
_LONGEST_RUN = timedelta(hours=25)


class BigQueryWarehouse:
    """A warehouse in one dataset. No request is sent before the first operation.

    `resource` creates the client; without it, the client has ambient credentials, or none for an emulator.
    """

    # One load job for most extracts of a run. The records, their Parquet file (about a tenth) and one fetch are in
    # memory together, in a task that has 2 GiB.
    batch_bytes = 64 * 1024**2

    def __init__(
        self,
        project: str,
        dataset: str = WRITTEN_DATASET,
        *,
        resource: BigQueryResource | None = None,
        emulator_url: str | None = None,
        raw_expiry_days: int | None = None,
        max_bytes_billed: int | None = None,
        retry_seconds: float = RETRY_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        resource = resource or bigquery_resource(project, emulator_url)
        self.jobs = BigQueryJobs(
            project, dataset, resource, max_bytes_billed=max_bytes_billed, retry_seconds=retry_seconds, sleep=sleep
        )
        self.schema = BigQuerySchema(self.jobs, raw_expiry_days)
        self._landing = BigQueryLanding(self.jobs)
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
            max_bytes_billed=settings.max_bytes_billed,
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
        with self.jobs.errors():
            self._landing.load(days, asset_days, restated)

    # --- rows ---------------------------------------------------------------------------------------------------

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        self.upsert(table, (), rows)

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        with self.jobs.errors():
            for batch in split_batches(rows):
                name = f"rows_of_{table.name}"
                self.jobs.query(merge(table, key, name), {}, [rows_parameter(name, table, batch)])

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        columns, values = columns_and_values(table)
        target = f"{WRITTEN_DATASET}.{table.name}"
        with self.jobs.errors():
            # BigQuery lets concurrent inserts succeed, but a job id can be used once. Two callers that see the table in
            # the same state start the same job, and one of them waits for the other's.
            modified = self.jobs.get_table(table.name).modified
            name = digest(repr((str(self), table.name, modified, [row[column] for column in key])))
            self.jobs.query(
                f"INSERT INTO {target} ({columns})\nSELECT {values} FROM UNNEST(@row) AS entry\n"
                f"WHERE NOT EXISTS (SELECT 1 FROM {target} AS stored WHERE {key_equals(key)})",
                {},
                [rows_parameter("row", table, [row])],
                name=self.jobs.unfailed_name(name),
            )

    def rebuild(self, table: Table, parameters: QueryParameters) -> int:
        self._reject_expired_days(table, parameters)
        columns, _ = columns_and_values(table)
        target = f"{WRITTEN_DATASET}.{table.name}"
        days = f"{table.partition_by} BETWEEN @start_day AND @end_day" if table.is_rebuilt_by_day else "TRUE"
        with self.jobs.errors():
            delete = f"DELETE FROM {target} WHERE {days}"
            insert = f"INSERT INTO {target} ({columns})\n{table.query}"
            # Only a variable outlives the transaction; a count afterwards would be a job of its own.
            script = (
                f"DECLARE inserted INT64;\n{transaction(delete, insert, 'SET inserted = @@row_count')};\n"
                "SELECT inserted"
            )
            with self.label_jobs(asset=table.name):
                return int(self.jobs.query_table(script, parameters)["inserted"][0].as_py())

    def delete_older(self, tables: Sequence[tuple[Table, str]], before: datetime) -> None:
        deletes = (f"DELETE FROM {WRITTEN_DATASET}.{table.name} WHERE {column} < @before" for table, column in tables)
        with self.jobs.errors():
            self.jobs.query(transaction(*deletes), {"before": before})

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
            return self.jobs.query_table(sql, parameters or {})

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
        with self.jobs.label_jobs(run=run_id):
            yield

    def label_jobs(self, *, asset: str) -> AbstractContextManager[None]:
        return self.jobs.label_jobs(asset=asset)

    def is_run_active(self, run_id: str) -> bool:
        # A killed container leaves no trace, and reading its state would need one more permission.
        since = datetime.now(UTC) - _LONGEST_RUN
        rows = self.rows(
            f"SELECT run_id FROM {WRITTEN_DATASET}.{OPS_RUNS.name} WHERE run_id = @run_id AND started_at > @since",
            {"run_id": run_id, "since": since},
        )
        return bool(rows)
