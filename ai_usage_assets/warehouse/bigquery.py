"""The production warehouse: one dataset in BigQuery.

Belongs here: what is particular to BigQuery (load jobs into partitions, jobs that may be done although their answer was
lost, statements that lose a race, labels). Does not: SQL of the project, which is GoogleSQL and runs as it is written.

Everything is a job under an id of ours. Whatever becomes of an answer, the id tells whether the work was done, so that
asking again never does it twice. A raw day is one load job that replaces one partition; the log of days follows it in a
statement of its own, so between the two a reader may find the new day with its old log. The next run of that day finds
that they disagree, and lands it again (see `landing`).
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from dagster_gcp import BigQueryResource
from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse import restatements
from ai_usage_assets.warehouse.base import QueryParameters, RawDay, Row, WarehouseError
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET, in_dataset
from ai_usage_assets.warehouse.ops_tables import (
    OPS_ASSET_DAYS,
    OPS_RESTATEMENT_PARTS,
    OPS_RESTATEMENTS,
    OPS_RUNS,
    DayLogEntry,
)
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.tables import Column, Table

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Where the data lies is a matter of compliance, not of taste.
LOCATION = "US"

_ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}
# The API answers with the names of before GoogleSQL.
_NAMES = {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64", "DECIMAL": "NUMERIC"}

_LABELS = {"app": "ai-usage"}
# What a view was made from, and what BigQuery then said it is: by the two together a change by hand is seen.
_DEFINITION, _STORED = "ai-usage-definition", "ai-usage-stored"

# One statement that takes longer has hung.
_JOB_SECONDS = 1800.0
_REQUEST_SECONDS = 60.0
_RETRY_SECONDS = 120.0
_ATTEMPTS = 6
# Conflicts are of whole tables, so another run's last statement may have to end first: a quarter of an hour of tries.
_ATTEMPTS_OF_A_RACE = 40
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0
_AT_ONCE = 8
# Rows travel as parameters, of which a request takes 10 MB; an entry of the log of days is a kilobyte.
_ROWS_A_REQUEST = 2000
# Longer than any task of the job may take: until then a run that has not said how it ended may still be at work.
_LONGEST_RUN = timedelta(hours=25)

# Reasons of a failed job that is worth another try, and words of one that lost a race.
_PASSING = {"backendError", "internalError", "rateLimitExceeded", "jobRateLimitExceeded", "jobBackendError"}
_RACE = re.compile(r"due to concurrent update|Could not serialize access|concurrent update", re.IGNORECASE)
# What the client puts before and after the words of an answer.
_AROUND = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE) \S+: |; (?:reason|message|location): .*$")
_NO_ANSWER = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    api.ServerError,
    api.TooManyRequests,
    # The token could not be fetched this time.
    TransportError,
)


class AmbientBigQuery(BigQueryResource):
    """Dagster's resource, which also finds a server that stands in for BigQuery on this machine."""

    emulator_url: str | None = None

    @contextmanager
    def get_client(self) -> Iterator[bigquery.Client]:
        """A client with the ambient credentials; with none for a stand-in."""
        if self.emulator_url is None:
            with super().get_client() as client:
                yield client
        else:
            yield bigquery.Client(
                project=self.project,
                location=self.location,
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
                client_options=ClientOptions(api_endpoint=self.emulator_url),
            )


class BigQueryWarehouse:
    """One dataset. Nothing is asked before the first verb."""

    def __init__(
        self,
        project: str,
        dataset: str = WRITTEN_DATASET,
        *,
        emulator_url: str | None = None,
        raw_expiry_days: int | None = None,
        retry_seconds: float = _RETRY_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.project = project
        self.dataset = dataset
        self._resource = AmbientBigQuery(project=project, location=LOCATION, emulator_url=emulator_url)
        self._raw_expiry_days = raw_expiry_days
        self._sleep = sleep
        self._opened: bigquery.Client | None = None
        # Columns that an older table gained, and cannot demand.
        self._nullable: dict[str, set[str]] = {}
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds)

    @classmethod
    def from_settings(cls, settings: Settings, *, retry_seconds: float = _RETRY_SECONDS) -> BigQueryWarehouse:
        """The one the settings name."""
        return cls(
            settings.project or "",
            settings.dataset,
            emulator_url=settings.bigquery_emulator,
            raw_expiry_days=settings.raw_expiry_days,
            retry_seconds=retry_seconds,
        )

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}"

    # --- tables and views ---------------------------------------------------------------------------------------

    def prepare(self, tables: Sequence[Table]) -> None:
        with self._errors():
            self._make_dataset()
            existing = self._existing()
            for table in tables:
                self._prepare_one(table, existing.get(table.name))

    def _prepare_one(self, table: Table, found: bigquery.Table | None) -> None:
        prepare = self._prepare_view if table.is_view else self._prepare_table
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                prepare(table, found)
            except api.PreconditionFailed:
                # Another container has just changed the same table, most likely to the same.
                if attempt == _ATTEMPTS:
                    raise
                found = self._client.get_table(f"{self.dataset}.{table.name}", **self._asking)
            else:
                return

    def schema_conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        with self._errors():
            try:
                self._check_location(self._client.get_dataset(self.dataset, **self._asking))
            except api.NotFound:
                return None
            existing = self._existing()
        if not any(table.name in existing for table in tables):
            return None
        return [
            problem
            for table in tables
            if not table.query and table.name in existing
            for problem in self._schema_conflicts_of(table, existing[table.name])
        ]

    def _make_dataset(self) -> None:
        try:
            found = self._client.get_dataset(self.dataset, **self._asking)
        except api.NotFound:
            wanted = bigquery.Dataset(f"{self.project}.{self.dataset}")
            wanted.location = LOCATION
            wanted.labels = _LABELS
            wanted.description = "Who spends what on AI tools: raw records, facts and finance's views."
            found = self._client.create_dataset(wanted, exists_ok=True, **self._asking)
        self._check_location(found)

    def _check_location(self, found: bigquery.Dataset) -> None:
        if found.location != LOCATION:
            raise WarehouseError(
                f"{self} lies in {found.location} and must lie in {LOCATION}. A dataset cannot move: name another in "
                "AI_USAGE_DATASET, or delete this one if it is empty."
            )

    def _existing(self) -> dict[str, bigquery.Table]:
        """Everything in the dataset by its name; a list tells neither columns nor queries, so each is asked for."""
        listed = list(self._client.list_tables(self.dataset, **self._asking))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return {found.table_id: found for found in pool.map(self._found, listed) if found is not None}

    def _found(self, listed: Any) -> bigquery.Table | None:
        try:
            return self._client.get_table(listed.reference, **self._asking)
        except api.NotFound:  # gone since it was listed
            return None

    def _prepare_table(self, table: Table, found: bigquery.Table | None) -> None:
        wanted = self._wanted(table)
        if found is not None and found.table_type == "TABLE":
            problems = self._schema_conflicts_of(table, found)
            if not problems:
                self._bring_forward(table, found, wanted)
                return
            if not table.query:
                raise WarehouseError(problems[0])
        if found is not None:
            # Made from others, so it can be made again; a check tells which days are not yet.
            self._client.delete_table(found.reference, not_found_ok=True, **self._asking)
        self._client.create_table(wanted, exists_ok=True, **self._asking)

    def _wanted(self, table: Table) -> bigquery.Table:
        wanted = bigquery.Table(f"{self.project}.{self.dataset}.{table.name}", [_field(c) for c in table.columns])
        wanted.description = table.description
        wanted.labels = _LABELS | {"layer": table.layer}
        if table.partition_by:
            wanted.time_partitioning = bigquery.TimePartitioning(
                field=table.partition_by, expiration_ms=self._expiry_ms(table)
            )
            wanted.require_partition_filter = _is_filtered(table)
        if table.cluster_by:
            wanted.clustering_fields = list(table.cluster_by)
        return wanted

    def _expiry_ms(self, table: Table) -> int | None:
        # What a directory or the sheet was on an earlier day nobody can be asked again.
        is_daily = table.layer == "raw" and table.partition_by == "usage_date"
        return self._raw_expiry_days * 86_400_000 if is_daily and self._raw_expiry_days else None

    def _schema_conflicts_of(self, table: Table, found: bigquery.Table) -> list[str]:
        have = _types(found)
        advice = (
            f"the dataset is of another version. Keep a copy of {found.table_id}, and use the version that wrote it."
        )
        problems = [
            f"{self}.{table.name}.{c.name} is {have[c.name]} and should be {c.type}: {advice}"
            for c in table.columns
            if c.name in have and have[c.name] != c.type
        ]
        by_day = found.time_partitioning.field if found.time_partitioning else None
        if by_day != table.partition_by:
            problems.append(
                f"{self}.{table.name} is partitioned by {by_day}, and should be by {table.partition_by}: {advice}"
            )
        return problems

    def _bring_forward(self, table: Table, found: bigquery.Table, wanted: bigquery.Table) -> None:
        """New columns, descriptions, labels and layout; no row is touched, nothing is asked where nothing differs."""
        described = {column.name: column.description for column in table.columns}
        known = {field.name for field in found.schema}
        # With all that somebody else may have put on a column, such as who may read it.
        schema = [
            bigquery.SchemaField.from_api_repr(
                f.to_api_repr() | ({"description": described[f.name]} if f.name in described else {})
            )
            for f in found.schema
        ] + [_field(c, required=False) for c in table.columns if c.name not in known]
        self._nullable[table.name] = {field.name for field in schema if field.mode != "REQUIRED"}
        changed = []
        if [f.to_api_repr() for f in schema] != [f.to_api_repr() for f in found.schema]:
            found.schema = schema
            changed.append("schema")
        if found.time_partitioning and found.time_partitioning.expiration_ms != self._expiry_ms(table):
            # Set to None, and not left out: what a request does not name stays as it is.
            found.time_partitioning.expiration_ms = self._expiry_ms(table)
            changed.append("time_partitioning")
        if bool(found.require_partition_filter) != _is_filtered(table):
            found.require_partition_filter = _is_filtered(table)
            changed.append("require_partition_filter")
        if found.expires is not None:
            # By a default of the dataset; a table of the project does not end.
            found.expires = None
            changed.append("expires")
        for name in ("description", "clustering_fields"):
            if getattr(found, name) != getattr(wanted, name):
                setattr(found, name, getattr(wanted, name))
                changed.append(name)
        if not wanted.labels.items() <= found.labels.items():
            found.labels = found.labels | wanted.labels
            changed.append("labels")
        if changed:
            self._client.update_table(found, changed, **self._asking)

    def _prepare_view(self, table: Table, found: bigquery.Table | None) -> None:
        definition = sha256_hex(self._create_view(table, {}), digits=32)
        if found is not None and found.table_type != "VIEW":
            # What was a table in an older version is made from others now.
            self._client.delete_table(found.reference, not_found_ok=True, **self._asking)
        elif found is not None:
            labels = found.labels
            # Without the second label, the run that made it ended in between.
            is_ours = _DEFINITION in labels and labels.get(_STORED) in (None, sha256_hex(found.view_query, digits=32))
            if is_ours and labels[_DEFINITION] == definition and _STORED in labels:
                return
            if not is_ours:
                was = redact(" ".join(found.view_query.split())[:500])
                logger.warning(
                    "%s.%s was changed by hand, and is as the project says again; it was: %s", self, table.name, was
                )
        labels = _LABELS | {"layer": table.layer, _DEFINITION: definition}
        self._query(self._create_view(table, labels), {})
        made = self._client.get_table(f"{self.dataset}.{table.name}", **self._asking)
        made.labels = labels | {_STORED: sha256_hex(made.view_query, digits=32)}
        self._client.update_table(made, ["labels"], **self._asking)

    def _create_view(self, table: Table, labels: Mapping[str, str]) -> str:
        columns = ",\n".join(f"  {c.name} OPTIONS (description = {_text(c.description)})" for c in table.columns)
        pairs = ", ".join(f"({_text(name)}, {_text(value)})" for name, value in labels.items())
        return (
            f"CREATE OR REPLACE VIEW {WRITTEN_DATASET}.{table.name} (\n{columns}\n)\n"
            f"OPTIONS (description = {_text(table.description)}, labels = [{pairs}])\nAS\n{table.query}"
        )

    # --- rows ---------------------------------------------------------------------------------------------------

    def load_days(
        self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row] = ()
    ) -> None:
        entries: dict[tuple[str, Any], Row] = {(row["asset"], row["usage_date"]): {**row} for row in asset_days}
        with self._errors():
            before = restatements.query_parts(restated, self.rows)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                landing = [pool.submit(self._land, day, entries.get((day.table.name, day.day), {})) for day in days]
                # Each is waited for before one that failed is told: what is under way is not left behind.
                pool.shutdown()
            for landed in landing:
                landed.result()
            parts = restatements.changed_parts(restated, before, restatements.query_parts(restated, self.rows))
            of_day: dict[Any, tuple[list[Row], ...]] = {key: ([row], [], []) for key, row in entries.items()}
            for number, noted in enumerate((restated, parts), 1):
                for row in noted:
                    of_day[row["asset"], row["usage_date"]][number].append(row)
            for some in _batches(list(of_day.values()), size=lambda rows: sum(map(len, rows))):
                log, notes, theirs = ([row for rows in some for row in rows[n]] for n in range(3))
                self._write(
                    [
                        (OPS_ASSET_DAYS, ("asset", "usage_date"), log),
                        (OPS_RESTATEMENTS, (), notes),
                        (OPS_RESTATEMENT_PARTS, (), theirs),
                    ]
                )

    def _land(self, day: RawDay, entry: Row) -> None:
        table, partition = day.table, day.table.partition_by or ""
        if not day.records.num_rows:
            self._query(f"DELETE FROM {WRITTEN_DATASET}.{table.name} WHERE {partition} = @day", {"day": day.day})
            return
        count = day.records.num_rows
        columns = {
            partition: pa.repeat(pa.scalar(day.day), count),
            **{name: day.records[name] for name in day.records.column_names},
            "fetched_at": pa.repeat(pa.scalar(day.fetched_at, _ARROW["TIMESTAMP"]), count),
        }
        required = {c.name for c in table.columns if c.required} - self._nullable.get(table.name, set())
        schema = pa.schema([pa.field(c.name, _ARROW[c.type or ""], c.name not in required) for c in table.columns])
        body = io.BytesIO()
        pq.write_table(pa.table([columns[name] for name in schema.names], schema=schema), body, compression="zstd")
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[_field(column, required=column.name in required) for column in table.columns],
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            schema_update_options=[bigquery.SchemaUpdateOption.ALLOW_FIELD_ADDITION],
            labels=_LABELS,
        )

        def start(job_id: str, **asking: Any) -> Any:
            body.seek(0)
            return self._client.load_table_from_file(
                body,
                f"{self.project}.{self.dataset}.{table.name}${day.day:%Y%m%d}",
                size=body.getbuffer().nbytes,
                job_id=job_id,
                job_config=config,
                timeout=asking["timeout"],
                # Whether it is sent again is decided where it is known what became of it.
                num_retries=0,
            )

        # The same content of the same day in the same run is the same job, however often it is asked for.
        told = (str(self), table.name, day.day, sha256_hex(body.getbuffer()), entry.get("run_id"))
        self._job(start, "land", sha256_hex(repr(told), digits=32))

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        with self._errors():
            for some in _batches(rows):
                self._write([(table, (), some)])

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        with self._errors():
            for some in _batches(rows):
                self._write([(table, key, some)])

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        columns = ", ".join(table.column_names)
        values = ", ".join(f"entry.{column}" for column in table.column_names)
        target = f"{WRITTEN_DATASET}.{table.name}"
        same = " AND ".join(f"held.{column} = entry.{column}" for column in key)
        with self._errors():
            # Statements that only add do not get into each other's way, so two at once would both add; but an id is had
            # by one job only. Who saw the table as it was before the other's row waits for that job, and finds it done.
            seen = self._client.get_table(f"{self.dataset}.{table.name}", **self._asking).modified
            told = (str(self), table.name, seen, [row[column] for column in key])
            self._query(
                f"INSERT INTO {target} ({columns})\nSELECT {values} FROM UNNEST(@row) AS entry\n"
                f"WHERE NOT EXISTS (SELECT 1 FROM {target} AS held WHERE {same})",
                {},
                [_rows_parameter("row", table, [row])],
                name=self._not_failed(sha256_hex(repr(told), digits=32)),
            )

    def _not_failed(self, name: str) -> str:
        """The first name made from this one under which no query has failed: it would be found failed for months."""
        for attempt in itertools.count(1):
            tried = name if attempt == 1 else f"{name}-again-{attempt}"
            try:
                job = self._client.get_job(_job_id("query", tried), location=LOCATION, **self._asking)
            except api.NotFound:
                return tried
            if job.error_result is None:
                return tried
        raise AssertionError("unreachable")

    def _write(self, changes: Sequence[tuple[Table, Sequence[str], Sequence[Row]]]) -> None:
        """Writes to several tables together, in one request."""
        statements, parameters = [], []
        for table, key, rows in changes:
            if rows:
                name = f"rows_of_{table.name}"
                statements.append(self._merge(table, key, name))
                parameters.append(_rows_parameter(name, table, rows))
        if len(statements) > 1:
            statements = ["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"]
        if statements:
            self._query(";\n".join(statements), {}, parameters)

    def _merge(self, table: Table, key: Sequence[str], name: str) -> str:
        columns = ", ".join(table.column_names)
        values = ", ".join(f"entry.{column}" for column in table.column_names)
        insert = f"INSERT ({columns}) VALUES ({values})"
        target = f"{WRITTEN_DATASET}.{table.name}"
        if not key:
            return f"INSERT INTO {target} ({columns})\nSELECT {values} FROM UNNEST(@{name}) AS entry"
        same = " AND ".join(f"held.{column} = entry.{column}" for column in key)
        update = ", ".join(f"{column} = entry.{column}" for column in table.column_names if column not in key)
        return (
            f"MERGE {target} AS held\nUSING UNNEST(@{name}) AS entry\nON {same}\n"
            f"WHEN MATCHED THEN UPDATE SET {update}\nWHEN NOT MATCHED THEN {insert}"
        )

    def rebuild(self, table: Table, parameters: QueryParameters) -> None:
        self._refuse_expired(table, parameters)
        columns = ", ".join(table.column_names)
        target = f"{WRITTEN_DATASET}.{table.name}"
        days = f"{table.partition_by} BETWEEN @start_day AND @end_day" if table.partition_by else "TRUE"
        with self._errors():
            self._query(
                f"BEGIN TRANSACTION;\nDELETE FROM {target} WHERE {days};\n"
                f"INSERT INTO {target} ({columns})\n{table.query};\nCOMMIT TRANSACTION",
                parameters,
            )

    def _refuse_expired(self, table: Table, parameters: QueryParameters) -> None:
        """A day whose raw records are gone would be made again of nothing."""
        today, start = parameters.get("today"), parameters.get("start_day")
        if not (self._raw_expiry_days and table.partition_by and isinstance(today, date) and isinstance(start, date)):
            return
        first = today - timedelta(days=self._raw_expiry_days)
        if start < first:
            raise WarehouseError(
                f"{table.name} cannot be made again from {start} on: raw records are kept for {self._raw_expiry_days} "
                f"days (AI_USAGE_RAW_EXPIRY_DAYS), and those before {first} are gone. Choose days from then on."
            )

    def column_types(self, table: Table) -> dict[str, str]:
        with self._errors():
            return _types(self._client.get_table(f"{self.dataset}.{table.name}", **self._asking))

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        with self._errors():
            job = self._query(sql, parameters or {})
            return job.result(retry=self._retry, timeout=_JOB_SECONDS).to_arrow(create_bqstorage_client=False)

    def rows(self, sql: str, parameters: QueryParameters | None = None) -> list[Row]:
        found: list[Row] = self.query(sql, parameters).to_pylist()
        return found

    def estimate_bytes(self, sql: str, parameters: QueryParameters | None = None) -> int:
        """Bytes a statement would read, by BigQuery's own reckoning; nothing is done, and nothing costs anything.

        Raises WarehouseError as doing it would.
        """
        with self._errors():
            config = bigquery.QueryJobConfig(
                query_parameters=_scalars(sql, parameters or {}), dry_run=True, use_query_cache=False
            )
            job = self._client.query(self._sql(sql), job_config=config, **self._asking)
            return int(job.total_bytes_processed or 0)

    def close(self) -> None:
        """Nobody is kept out."""

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        yield

    def is_run_active(self, run_id: str) -> bool:
        # A container that was killed leaves no sign, and asking for its state would need one more right.
        since = datetime.now(UTC) - _LONGEST_RUN
        found = self.rows(
            f"SELECT run_id FROM {WRITTEN_DATASET}.{OPS_RUNS.name} WHERE run_id = @run_id AND started_at > @since",
            {"run_id": run_id, "since": since},
        )
        return bool(found)

    # --- jobs ---------------------------------------------------------------------------------------------------

    @property
    def _client(self) -> bigquery.Client:
        if self._opened is None:
            with self._resource.get_client() as client:
                self._opened = client
        return self._opened

    @property
    def _asking(self) -> dict[str, Any]:
        return {"retry": self._retry, "timeout": _REQUEST_SECONDS}

    def _query(
        self,
        sql: str,
        parameters: QueryParameters,
        more: Sequence[bigquery.ArrayQueryParameter] = (),
        *,
        name: str | None = None,
    ) -> bigquery.QueryJob:
        config = bigquery.QueryJobConfig(query_parameters=[*_scalars(sql, parameters), *more], labels=_LABELS)
        job: bigquery.QueryJob = self._job(
            partial(self._client.query, self._sql(sql), job_config=config, job_retry=None), "query", name
        )
        return job

    def _job(self, start: Callable[..., Any], kind: str, name: str | None = None) -> Any:
        """Starts a job and waits for its end; again when it lost a race or BigQuery stumbled.

        Raises what the client raises when a job fails for good.
        """
        name, failed = name or uuid.uuid4().hex, 0
        for attempt in itertools.count(1):
            # Only what is known to have failed gets another id: a start that was not heard yet may still be.
            job_id = _job_id(kind, name) + (f"-{failed + 1}" if failed else "")
            job = None
            try:
                job = self._started(start, job_id)
                job.result(retry=self._retry, timeout=_JOB_SECONDS)
            except TimeoutError:
                if job is not None:
                    with suppress(api.GoogleAPICallError, requests.exceptions.RequestException):
                        job.cancel(**self._asking)
                raise WarehouseError(
                    f"{self}: the job {job_id} did not end in {_JOB_SECONDS / 60:.0f} minutes and was asked to stop. "
                    "Nothing was lost; run it again."
                ) from None
            except (api.GoogleAPICallError, requests.exceptions.RequestException, TransportError) as error:
                may_pass = _may_pass(error) or (job is None and isinstance(error, api.Conflict))
                if attempt >= (_ATTEMPTS_OF_A_RACE if _RACE.search(str(error)) else _ATTEMPTS) or not may_pass:
                    raise
                failed += job is not None
                logger.info("%s: tried again (%s)", job_id, type(error).__name__)
            else:
                return job
            longest = min(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1), _LONGEST_WAIT_SECONDS)
            self._sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    def _started(self, start: Callable[..., Any], job_id: str) -> Any:
        """The job of that id: started now, or long since, by a request whose answer was lost."""
        try:
            # The client's own retries would make a new id, and could not know that the first has done the work.
            return start(job_id=job_id, retry=None, timeout=_REQUEST_SECONDS)
        except (api.Conflict, *_NO_ANSWER) as error:
            try:
                return self._client.get_job(job_id, location=LOCATION, **self._asking)
            except api.NotFound:
                raise error from None

    def _sql(self, written: str) -> str:
        return in_dataset(written, self.dataset)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (api.GoogleAPIError, GoogleAuthError, requests.exceptions.RequestException) as error:
            # BigQuery quotes the value it stumbled over.
            raise WarehouseError(self._told(error)) from None

    def _told(self, error: Exception) -> str:
        """What BigQuery said, and what to do where a person can do something."""
        is_unknown = isinstance(error, GoogleAuthError) and not isinstance(error, TransportError)
        said = (
            "there are no credentials of Google here, or they are no longer good"
            if is_unknown
            else redact(
                _AROUND.sub("", (str(getattr(error, "message", None) or error) or type(error).__name__).splitlines()[0])
            ).rstrip(". ")
        )
        match error:
            case _ if is_unknown:
                advice = (
                    "Log in with `gcloud auth application-default login`; in Cloud Run, give the job a service account."
                )
            case api.Forbidden() if _reasons(error) & {"quotaExceeded", "rateLimitExceeded"}:
                advice = "Nothing was lost; run it again when the quota allows (Console, IAM, Quotas)."
            case api.Forbidden() if _reasons(error) & {"billingNotEnabled", "accessNotConfigured"}:
                advice = f"Turn billing and the BigQuery API on for the project {self.project}."
            case api.Forbidden():
                advice = (
                    f"Grant this account roles/bigquery.dataEditor on the dataset {self.dataset} and "
                    f"roles/bigquery.jobUser on the project {self.project} (deploy/terraform does)."
                )
            case api.NotFound() if "Dataset" in said:
                advice = (
                    f"Make it with deploy/terraform, or `bq mk --location={LOCATION} {self.project}:{self.dataset}`."
                )
            case api.NotFound():
                advice = "Check GOOGLE_CLOUD_PROJECT and AI_USAGE_DATASET; the next run makes missing tables."
            case (
                TransportError()
                | requests.exceptions.RequestException()
                | api.ServerError()
                | api.RetryError()
                | api.TooManyRequests()
            ):
                advice = "BigQuery did not answer for minutes. Nothing was lost; run it again."
            case _ if _RACE.search(said):
                advice = "Another run changes the same days. Nothing was lost; run it again when it is over."
            case _:
                advice = ""
        return f"{self}: {said}. {advice}".strip()


def _is_filtered(table: Table) -> bool:
    """Whether nobody may read it without saying which days.

    Raw records of the days are by far the most there is; facts are small, and finance reads them all.
    """
    return table.layer == "raw" and table.partition_by == "usage_date" and table != RAW_MAPPING_SHEET


def _reasons(error: Exception) -> set[str]:
    """What BigQuery calls the error, in its own machine-readable words."""
    found = getattr(error, "errors", None) or []
    return {str(one.get("reason")) for one in found if isinstance(one, Mapping)}


def _may_pass(error: Exception) -> bool:
    if isinstance(error, _NO_ANSWER):
        return True
    return bool(_reasons(error) & _PASSING or _RACE.search(str(error)))


def _types(found: bigquery.Table) -> dict[str, str]:
    return {field.name: _NAMES.get(field.field_type, field.field_type) for field in found.schema}


def _field(column: Column, *, required: bool | None = None) -> bigquery.SchemaField:
    is_required = column.required if required is None else required
    mode = "REQUIRED" if is_required else "NULLABLE"
    return bigquery.SchemaField(column.name, column.type or "", mode, description=column.description)


def _scalars(sql: str, parameters: QueryParameters) -> list[bigquery.ScalarQueryParameter]:
    """The parameters a statement uses."""
    return [
        bigquery.ScalarQueryParameter(name, _type_of(value), value)
        for name, value in parameters.items()
        if re.search(rf"@{name}\b", sql)
    ]


def _type_of(value: object) -> str:
    match value:
        case datetime():
            return "TIMESTAMP"
        case date():
            return "DATE"
        case int():
            return "INT64"
        case Decimal():
            return "NUMERIC"
        case _:
            return "STRING"


def _batches(rows: Sequence[T], size: Callable[[T], int] = lambda row: 1) -> Iterator[Sequence[T]]:
    """As many together as a request can hold; what is too large for any goes alone."""
    first = held = 0
    for number, row in enumerate(rows):
        if held and held + size(row) > _ROWS_A_REQUEST:
            yield rows[first:number]
            first, held = number, 0
        held += size(row)
    if rows:
        yield rows[first:]


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


def _job_id(kind: str, name: str) -> str:
    return f"ai-usage-{kind}-{name}"


def _text(value: str) -> str:
    # What JSON escapes, GoogleSQL reads the same way.
    return json.dumps(value, ensure_ascii=False)
