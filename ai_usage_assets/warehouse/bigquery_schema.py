"""The dataset, tables and views in BigQuery: creating, updating and migrating them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.api_core import exceptions as api
from google.cloud import bigquery
from tenacity import retry_if_exception_type

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.redaction import redact
from ai_usage_assets.retries import RetryPolicy
from ai_usage_assets.warehouse import migrations
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.bigquery_jobs import LABELS, LOCATION, BigQueryJobs
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.tables import Column, Table

logger = logging.getLogger(__name__)

# The API uses the type names of legacy SQL.
_GOOGLESQL_TYPES = {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64", "DECIMAL": "NUMERIC"}

# Labels of a view: the digests of its definition and of the query that BigQuery stored. Together they reveal manual
# changes.
_DEFINITION_LABEL, _STORED_LABEL = "ai-usage-definition", "ai-usage-stored"

_RETRY_POLICY = RetryPolicy(first_wait_seconds=0)
_PARALLEL_REQUESTS = 8


class BigQuerySchema:
    """Tables and views of one dataset."""

    def __init__(self, jobs: BigQueryJobs, raw_expiry_days: int | None) -> None:
        self._jobs = jobs
        self._raw_expiry_days = raw_expiry_days

    def prepare(self, tables: Sequence[Table]) -> None:
        """As `Warehouse.prepare`."""
        self._prepare_dataset()
        existing = self._migrate(self._existing())
        for table in tables:
            self._prepare_with_retries(table, existing.get(table.name))

    def conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        """As `Warehouse.schema_conflicts`."""
        try:
            self._check_location(self._jobs.client.get_dataset(self._jobs.dataset, **self._jobs.request_options))
        except api.NotFound:
            return None
        existing = self._existing()
        if not any(table.name in existing for table in tables):
            return None
        return [
            conflict
            for table in tables
            if not table.query and table.name in existing
            for conflict in self._conflicts(table, existing[table.name])
        ]

    def column_types(self, table: Table) -> dict[str, str]:
        """As `Warehouse.column_types`."""
        return _column_types(self._get_table(table.name))

    def _get_table(self, name: str) -> bigquery.Table:
        return self._jobs.client.get_table(f"{self._jobs.dataset}.{name}", **self._jobs.request_options)

    # --- the dataset --------------------------------------------------------------------------------------------

    def _prepare_dataset(self) -> None:
        client, options = self._jobs.client, self._jobs.request_options
        try:
            dataset = client.get_dataset(self._jobs.dataset, **options)
        except api.NotFound:
            definition = bigquery.Dataset(str(self._jobs))
            definition.location = LOCATION
            definition.labels = LABELS
            definition.description = "Usage and cost of AI tools: raw records, facts and finance views."
            dataset = client.create_dataset(definition, exists_ok=True, **options)
        self._check_location(dataset)

    def _check_location(self, dataset: bigquery.Dataset) -> None:
        if dataset.location != LOCATION:
            raise WarehouseError(
                f"{self._jobs} is in the location {dataset.location}, expected {LOCATION}. A dataset cannot be moved: "
                "set AI_USAGE_DATASET to another one, or delete this one if it is empty."
            )

    def _existing(self) -> dict[str, bigquery.Table]:
        """Every table and view of the dataset by name, with columns and queries, which a listing lacks."""
        listed = list(self._jobs.client.list_tables(self._jobs.dataset, **self._jobs.request_options))
        with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
            return {table.table_id: table for table in pool.map(self._get_listed, listed) if table is not None}

    def _get_listed(self, listed: Any) -> bigquery.Table | None:
        try:
            return self._jobs.client.get_table(listed.reference, **self._jobs.request_options)
        except api.NotFound:  # deleted since it was listed
            return None

    def _migrate(self, existing: dict[str, bigquery.Table]) -> dict[str, bigquery.Table]:
        """Runs the migrations that are due and returns what exists then."""
        for _ in range(_RETRY_POLICY.max_attempts):
            due = list(_migration_statements(existing))
            if not due:
                return existing
            try:
                for statement in due:
                    self._jobs.query(statement, {})
                    logger.info("%s: %s", self._jobs, statement.splitlines()[0])
            except api.GoogleAPICallError:
                # Another container may have run the same statement in the meantime.
                existing = self._existing()
                if list(_migration_statements(existing)) == due:
                    raise
            else:
                existing = self._existing()
        return existing

    # --- tables -------------------------------------------------------------------------------------------------

    def _prepare_with_retries(self, table: Table, existing: bigquery.Table | None) -> None:
        prepare = self._prepare_view if table.is_view else self._prepare_table
        for attempt in _RETRY_POLICY.retrying(retry_if_exception_type(api.PreconditionFailed)):
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    # Another container has changed the table since it was read.
                    existing = self._get_table(table.name)
                prepare(table, existing)

    def _prepare_table(self, table: Table, existing: bigquery.Table | None) -> None:
        definition = self.definition(table)
        if existing is not None and existing.table_type == "TABLE":
            conflicts = self._conflicts(table, existing)
            if not conflicts:
                self._update_table(table, existing, definition)
                return
            if not table.query:
                raise WarehouseError(conflicts[0])
        if existing is not None:
            # The runs fill it again; a check lists the days that are missing until then.
            self._jobs.client.delete_table(existing.reference, not_found_ok=True, **self._jobs.request_options)
        self._jobs.client.create_table(definition, exists_ok=True, **self._jobs.request_options)

    def definition(self, table: Table) -> bigquery.Table:
        """The table as the API describes it."""
        definition = bigquery.Table(f"{self._jobs}.{table.name}", [schema_field(c) for c in table.columns])
        definition.description = table.description
        definition.labels = LABELS | {"layer": table.layer}
        if table.partition_by:
            definition.time_partitioning = bigquery.TimePartitioning(
                field=table.partition_by, expiration_ms=self._expiration_ms(table)
            )
            definition.require_partition_filter = _is_daily_raw(table)
        if table.cluster_by:
            definition.clustering_fields = list(table.cluster_by)
        return definition

    def _expiration_ms(self, table: Table) -> int | None:
        # Snapshots never expire, because no source can return them again.
        is_expiring = table.layer == "raw" and table.partition_by == "usage_date"
        return self._raw_expiry_days * 86_400_000 if is_expiring and self._raw_expiry_days else None

    def _conflicts(self, table: Table, existing: bigquery.Table) -> list[str]:
        types = _column_types(existing)
        advice = f"another version of this project wrote the dataset. Keep a copy of {table.name} and use that version."
        conflicts = [
            f"{self._jobs}.{table.name}.{c.name} has the type {types[c.name]}, expected {c.type}: {advice}"
            for c in table.columns
            if c.name in types and types[c.name] != c.type
        ]
        partitioned_by = existing.time_partitioning.field if existing.time_partitioning else None
        if partitioned_by != table.partition_by:
            conflicts.append(
                f"{self._jobs}.{table.name} is partitioned by {partitioned_by}, expected {table.partition_by}: {advice}"
            )
        return conflicts

    def _update_table(self, table: Table, existing: bigquery.Table, definition: bigquery.Table) -> None:
        """Updates columns, descriptions, labels and layout where they differ; rows do not change."""
        schema = _updated_schema(table, existing)
        changed = []
        if [f.to_api_repr() for f in schema] != [f.to_api_repr() for f in existing.schema]:
            existing.schema = schema
            changed.append("schema")
        if existing.time_partitioning and existing.time_partitioning.expiration_ms != self._expiration_ms(table):
            # None is sent explicitly: the API keeps what a request leaves out.
            existing.time_partitioning.expiration_ms = self._expiration_ms(table)
            changed.append("time_partitioning")
        if bool(existing.require_partition_filter) != _is_daily_raw(table):
            existing.require_partition_filter = _is_daily_raw(table)
            changed.append("require_partition_filter")
        if existing.expires is not None:
            # The dataset's default expiration must not delete a table of the project.
            existing.expires = None
            changed.append("expires")
        for name in ("description", "clustering_fields"):
            if getattr(existing, name) != getattr(definition, name):
                setattr(existing, name, getattr(definition, name))
                changed.append(name)
        if not definition.labels.items() <= existing.labels.items():
            existing.labels = existing.labels | definition.labels
            changed.append("labels")
        if changed:
            self._jobs.client.update_table(existing, changed, **self._jobs.request_options)

    # --- views --------------------------------------------------------------------------------------------------

    def _prepare_view(self, table: Table, existing: bigquery.Table | None) -> None:
        definition = digest(_create_view(table, {}))
        if existing is not None and existing.table_type != "VIEW":
            # An earlier version had a table of this name.
            self._jobs.client.delete_table(existing.reference, not_found_ok=True, **self._jobs.request_options)
        elif existing is not None:
            labels = existing.labels
            # Without the second label, a run ended between the two steps below.
            is_unchanged = _DEFINITION_LABEL in labels and labels.get(_STORED_LABEL) in (
                None, digest(existing.view_query),
            )  # fmt: skip
            if is_unchanged and labels[_DEFINITION_LABEL] == definition and _STORED_LABEL in labels:
                return
            if not is_unchanged:
                query = redact(" ".join(existing.view_query.split())[:500])
                logger.warning(
                    "%s.%s was changed manually and has been restored; its query was: %s",
                    self._jobs, table.name, query,
                )  # fmt: skip
        labels = LABELS | {"layer": table.layer, _DEFINITION_LABEL: definition}
        self._jobs.query(_create_view(table, labels), {})
        view = self._get_table(table.name)
        view.labels = labels | {_STORED_LABEL: digest(view.view_query)}
        self._jobs.client.update_table(view, ["labels"], **self._jobs.request_options)


def schema_field(column: Column, *, required: bool | None = None) -> bigquery.SchemaField:
    """A column as the API describes it."""
    is_required = column.required if required is None else required
    mode = "REQUIRED" if is_required else "NULLABLE"
    return bigquery.SchemaField(column.name, column.type or "", mode, description=column.description)


def digest(text: str) -> str:
    """A digest that fits into a label and a job id."""
    return sha256_hex(text, digits=32)


def _migration_statements(existing: Mapping[str, bigquery.Table]) -> list[str]:
    # A table without the label belongs to somebody else.
    own = {name: table for name, table in existing.items() if LABELS.items() <= table.labels.items()}
    tables = {
        name: {field.name for field in table.schema} for name, table in own.items() if table.table_type == "TABLE"
    }
    return list(migrations.statements(tables, own.keys() - tables.keys()))


def _updated_schema(table: Table, existing: bigquery.Table) -> list[bigquery.SchemaField]:
    """The existing columns with everything that others have set on them, new descriptions, and new columns."""
    descriptions = {column.name: column.description for column in table.columns}
    fields = []
    for field in existing.schema:
        described = {"description": descriptions[field.name]} if field.name in descriptions else {}
        # New rows have no value for a column of an earlier version.
        relaxed = {"mode": "NULLABLE"} if field.name not in descriptions and field.mode == "REQUIRED" else {}
        fields.append(bigquery.SchemaField.from_api_repr(field.to_api_repr() | described | relaxed))
    known = {field.name for field in existing.schema}
    return fields + [schema_field(c, required=False) for c in table.columns if c.name not in known]


def _create_view(table: Table, labels: Mapping[str, str]) -> str:
    columns = ", ".join(f"{c.name} OPTIONS (description = {_literal(c.description)})" for c in table.columns)
    pairs = ", ".join(f"({_literal(name)}, {_literal(value)})" for name, value in labels.items())
    return (
        f"CREATE OR REPLACE VIEW {WRITTEN_DATASET}.{table.name} ({columns})\n"
        f"OPTIONS (description = {_literal(table.description)}, labels = [{pairs}]) AS\n{table.query}"
    )


def _is_daily_raw(table: Table) -> bool:
    """Whether queries must name the days they read: daily raw records are by far the largest tables."""
    return table.layer == "raw" and table.partition_by == "usage_date" and table != RAW_MAPPING_SHEET


def _column_types(table: bigquery.Table) -> dict[str, str]:
    return {field.name: _GOOGLESQL_TYPES.get(field.field_type, field.field_type) for field in table.schema}


def _literal(text: str) -> str:
    # GoogleSQL reads the escapes of JSON in the same way.
    return json.dumps(text, ensure_ascii=False)
