"""Replaces raw days in BigQuery together with their entries of the day log.

A load job cannot be part of a transaction. It therefore fills a landing table, which has the records of one batch, and
one transaction inserts them into the raw tables and writes the day log. A run that is killed in between changes no day;
the landing table expires after a day.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from google.api_core import exceptions as api
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.warehouse import restatements
from ai_usage_assets.warehouse.base import QueryParameters, RawDay, Row
from ai_usage_assets.warehouse.bigquery_jobs import BigQueryJobs
from ai_usage_assets.warehouse.bigquery_statements import merge, rows_parameter, split_batches, transaction
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RESTATEMENT_PARTS, OPS_RESTATEMENTS, DayLogEntry
from ai_usage_assets.warehouse.tables import Table

# The records of several raw tables, which all have these columns; `day` is the day of the raw table's partition.
_SCHEMA = pa.schema(
    [
        pa.field("asset", pa.string(), nullable=False),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("record_no", pa.int64(), nullable=False),
        pa.field("payload", pa.large_string(), nullable=False),
        pa.field("carried_email", pa.string()),
        pa.field("fetched_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
_TYPES = {"day": "DATE", "record_no": "INT64", "fetched_at": "TIMESTAMP"}
_LIFETIME = timedelta(days=1)
_DELETE_SECONDS = 10.0


@dataclass
class _Batch:
    """What one transaction replaces and writes: days of raw tables, log entries, restatements and their parts."""

    days: list[tuple[Table, date]] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    restated: list[Row] = field(default_factory=list)
    parts: list[Row] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """The number of rows that are sent as parameters."""
        return len(self.entries) + len(self.restated) + len(self.parts)


class BigQueryLanding:
    """The landing of raw days in one dataset."""

    def __init__(self, jobs: BigQueryJobs) -> None:
        self._jobs = jobs

    def load(self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row]) -> None:
        """As `Warehouse.load_days`. Entries that do not fit into one request are several transactions, by day."""
        file = _parquet(days)
        # The same content in the same run has the same jobs, however often they are started.
        name = sha256_hex(repr((str(self._jobs), file and sha256_hex(file.getbuffer()), asset_days)), digits=32)
        with self._landing_table(name, file) as landing:
            parts = self._query_changed_parts(restated, landing)
            for number, batch in enumerate(_split(days, asset_days, restated, parts)):
                self._replace_days(batch, landing, f"{name}-{number}")

    @contextmanager
    def _landing_table(self, name: str, file: io.BytesIO | None) -> Iterator[str]:
        """The name of a table with the records of the file during the block; empty without records."""
        if file is None:
            yield ""
            return
        landing = f"landing_{name}"
        definition = bigquery.Table(f"{self._jobs}.{landing}", _schema_fields())
        definition.description = "Records on the way into the raw tables."
        definition.labels = self._jobs.labels
        definition.expires = datetime.now(UTC) + _LIFETIME
        self._jobs.client.create_table(definition, exists_ok=True, **self._jobs.request_options)
        try:
            self._load_file(file, landing, name)
            yield f"{WRITTEN_DATASET}.{landing}"
        finally:
            # Otherwise it expires.
            with suppress(api.GoogleAPIError, requests.exceptions.RequestException):
                self._jobs.client.delete_table(
                    definition.reference,
                    not_found_ok=True,
                    retry=DEFAULT_RETRY.with_timeout(_DELETE_SECONDS),
                    timeout=_DELETE_SECONDS,
                )

    def _load_file(self, file: io.BytesIO, landing: str, name: str) -> None:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=_schema_fields(),
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            # Keeps the expiration of the table, and fails rather than load anything twice.
            write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
            labels=self._jobs.labels,
        )

        def start(job_id: str, **options: Any) -> Any:
            file.seek(0)
            return self._jobs.client.load_table_from_file(
                file,
                f"{self._jobs}.{landing}",
                size=file.getbuffer().nbytes,
                job_id=job_id,
                job_config=config,
                timeout=options["timeout"],
                # `BigQueryJobs.run` decides about a retry: it looks up what became of the job.
                num_retries=0,
            )

        self._jobs.run(start, "land", name)

    def _query_changed_parts(self, restated: Sequence[Row], landing: str) -> list[Row]:
        """The changed parts of restated days, before the days are replaced: a transaction returns no rows."""

        def query_loaded(sql: str, parameters: QueryParameters) -> list[Row]:
            rows: list[Row] = self._jobs.query_table(sql, parameters).to_pylist()
            return rows

        def query_landing(sql: str, parameters: QueryParameters) -> list[Row]:
            return query_loaded(restatements.read_from_landing(sql, landing), parameters) if landing else []

        before = restatements.query_parts(restated, query_loaded)
        return restatements.changed_parts(restated, before, restatements.query_parts(restated, query_landing))

    def _replace_days(self, batch: _Batch, landing: str, name: str) -> None:
        statements: list[str] = []
        parameters = []
        for table in dict.fromkeys(table for table, _ in batch.days):
            statements += _replace_statements(table, [day for other, day in batch.days if other == table], landing)
        for table, key, rows in (
            (OPS_ASSET_DAYS, ("asset", "usage_date"), batch.entries),
            (OPS_RESTATEMENTS, (), batch.restated),
            (OPS_RESTATEMENT_PARTS, (), batch.parts),
        ):
            if rows:
                parameter = f"rows_of_{table.name}"
                statements.append(merge(table, key, parameter))
                parameters.append(rows_parameter(parameter, table, rows))
        sql = statements[0] if len(statements) == 1 else transaction(*statements)
        self._jobs.query(sql, {}, parameters, name=name)


def _split(
    days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row], parts: Sequence[Row]
) -> Iterator[_Batch]:
    """Splits a load into batches of whole days, each of which fits into a request."""
    by_day: dict[tuple[str, date], _Batch] = defaultdict(_Batch)
    for day in days:
        by_day[day.table.name, day.day].days.append((day.table, day.day))
    for entry in asset_days:
        by_day[entry["asset"], entry["usage_date"]].entries.append({**entry})
    for row in restated:
        by_day[row["asset"], row["usage_date"]].restated.append(row)
    for row in parts:
        by_day[row["asset"], row["usage_date"]].parts.append(row)
    for batches in split_batches(list(by_day.values()), size=lambda batch: batch.row_count):
        combined = _Batch()
        for batch in batches:
            combined.days += batch.days
            combined.entries += batch.entries
            combined.restated += batch.restated
            combined.parts += batch.parts
        yield combined


def _replace_statements(table: Table, days: Sequence[date], landing: str) -> list[str]:
    """Deletes the days of a raw table, and inserts their records from the landing table."""
    # Constants, because a raw table requires a filter that BigQuery can evaluate before it reads.
    listed = ", ".join(f"DATE '{day}'" for day in sorted(days))
    target = f"{WRITTEN_DATASET}.{table.name}"
    delete = f"DELETE FROM {target} WHERE {table.partition_by} IN ({listed})"
    if not landing:
        return [delete]
    insert = (
        f"INSERT INTO {target} ({table.partition_by}, record_no, payload, carried_email, fetched_at)\n"
        f"SELECT day, record_no, payload, carried_email, fetched_at FROM {landing}\n"
        f"WHERE asset = '{table.name}' AND day IN ({listed})"
    )
    return [delete, insert]


def _parquet(days: Sequence[RawDay]) -> io.BytesIO | None:
    """The records of all days as a file; None without any."""
    tables = [_landing_rows(day) for day in days if day.records.num_rows]
    if not tables:
        return None
    file = io.BytesIO()
    pq.write_table(pa.concat_tables(tables), file, compression="zstd")
    return file


def _landing_rows(day: RawDay) -> pa.Table:
    count = day.records.num_rows
    columns = {
        "asset": pa.repeat(pa.scalar(day.table.name), count),
        "day": pa.repeat(pa.scalar(day.day), count),
        **{name: day.records[name] for name in day.records.column_names},
        "fetched_at": pa.repeat(pa.scalar(day.fetched_at, _SCHEMA.field("fetched_at").type), count),
    }
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _schema_fields() -> list[bigquery.SchemaField]:
    return [
        bigquery.SchemaField(
            column.name, _TYPES.get(column.name, "STRING"), "NULLABLE" if column.nullable else "REQUIRED"
        )
        for column in _SCHEMA
    ]
