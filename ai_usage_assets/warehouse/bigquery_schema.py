"""The dataset, tables and views in BigQuery: creating, updating and migrating them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from google.api_core import exceptions as api
from google.cloud import bigquery
from tenacity import retry_if_exception_type

from ai_usage_assets.redaction import redact
from ai_usage_assets.retries import RetryPolicy
from ai_usage_assets.warehouse import migrations
from ai_usage_assets.warehouse.base import PreparedSchema, WarehouseError
from ai_usage_assets.warehouse.bigquery_jobs import LABELS, LOCATION, BigQueryJobs
from ai_usage_assets.warehouse.bigquery_views import DEFINITION_LABEL, BigQueryViews, Listed, digest
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.tables import Column, Table

logger = logging.getLogger(__name__)

# The API uses the type names of legacy SQL.
_GOOGLESQL_TYPES = {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64", "DECIMAL": "NUMERIC"}

_RETRY_POLICY = RetryPolicy(first_wait_seconds=0)
_PARALLEL_READS = 8
# BigQuery allows ten new tables a second; the client retries above that.
_PARALLEL_WRITES = 2
# One page has every table of the dataset.
_TABLES_PER_PAGE = 1000


class BigQuerySchema:
    """Tables and views of one dataset.

    A listing returns the labels of all tables and views. The label with the digest of a definition shows which of them
    are up to date; the others are read and updated.
    """

    def __init__(self, jobs: BigQueryJobs, raw_expiry_days: int | None) -> None:
        self._jobs = jobs
        self._views = BigQueryViews(jobs)
        self._raw_expiry_days = raw_expiry_days

    def prepare(self, tables: Sequence[Table]) -> PreparedSchema:
        """As `Warehouse.prepare`."""
        self._prepare_dataset()
        listed = self._migrate(tables, self._list())
        edited = self._views.find_edited([t for t in tables if self._is_current(t, listed)], listed)
        due = [table for table in tables if table.name in edited or not self._is_current(table, listed)]
        existing = self._get_tables([table.name for table in due if table.name in listed])
        failed: dict[str, str] = {}
        with ThreadPoolExecutor(_PARALLEL_WRITES) as pool:
            for level in _split_by_level(due):
                errors = pool.map(lambda table: self._prepare_one(table, existing.get(table.name)), level)
                failed |= {table.name: error for table, error in zip(level, errors, strict=True) if error}
        changed = {table.name for table in due if table.is_view} - failed.keys()
        stored_views = {name for name, each in listed.items() if each.table_type == "VIEW"}
        replaced = {table.name for table in due if not table.is_view and table.name in stored_views}
        return PreparedSchema(frozenset(changed), frozenset(replaced), failed)

    def conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        """As `Warehouse.schema_conflicts`."""
        existing = self._get_tables([table.name for table in tables if not table.is_view])
        if not existing:
            with suppress(api.NotFound):
                dataset = self._jobs.client.get_dataset(self._jobs.dataset, **self._jobs.request_options)
                self._check_location(dataset.location)
            return None
        self._check_location(next(iter(existing.values())).location)
        return [
            conflict
            for table in tables
            if not table.query and table.name in existing
            for conflict in self._conflicts(table, existing[table.name])
        ]

    def column_types(self, table: Table) -> dict[str, str]:
        """As `Warehouse.column_types`."""
        return _column_types(self._jobs.get_table(table.name))

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
        self._check_location(dataset.location)

    def _check_location(self, location: str) -> None:
        if location != LOCATION:
            raise WarehouseError(
                f"{self._jobs} is in the location {location}, expected {LOCATION}. A dataset cannot be moved: "
                "set AI_USAGE_DATASET to another one, or delete this one if it is empty."
            )

    def _list(self) -> Listed:
        """Every table and view of the dataset by name, without columns and queries."""
        tables = self._jobs.client.list_tables(
            self._jobs.dataset, page_size=_TABLES_PER_PAGE, **self._jobs.request_options
        )
        return {table.table_id: table for table in tables}

    def _is_current(self, table: Table, listed: Listed) -> bool:
        """Whether a table or view exists as it is defined, by its labels."""
        existing = listed.get(table.name)
        if existing is None or existing.expires is not None:
            return False
        expected_type = "VIEW" if table.is_view else "TABLE"
        digest = self._views.digest(table) if table.is_view else self.definition(table).labels[DEFINITION_LABEL]
        return bool(existing.table_type == expected_type and existing.labels.get(DEFINITION_LABEL) == digest)

    def _get_tables(self, names: Iterable[str]) -> dict[str, bigquery.Table]:
        """Those of the tables and views that exist."""
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            return {table.table_id: table for table in pool.map(self._find_table, names) if table is not None}

    def _find_table(self, name: str) -> bigquery.Table | None:
        try:
            return self._jobs.get_table(name)
        except api.NotFound:
            return None

    def _migrate(self, tables: Sequence[Table], listed: Listed) -> Listed:
        """Runs the migrations that are due and returns what exists then."""
        for _ in range(_RETRY_POLICY.max_attempts):
            due = self._migration_statements(tables, listed)
            if not due:
                return listed
            try:
                for statement in due:
                    self._jobs.query(statement, {})
                    logger.info("%s: %s", self._jobs, statement.splitlines()[0])
            except api.GoogleAPICallError:
                # Another container may have run the same statement in the meantime.
                listed = self._list()
                if self._migration_statements(tables, listed) == due:
                    raise
            else:
                listed = self._list()
        return listed

    def _migration_statements(self, tables: Sequence[Table], listed: Listed) -> list[str]:
        # A table without the label belongs to somebody else.
        own = {name: table for name, table in listed.items() if LABELS.items() <= table.labels.items()}
        current = {table.name for table in tables if self._is_current(table, listed)}
        existing = self._get_tables(migrations.RENAMED_COLUMNS.keys() & own.keys() - current)
        columns = {
            name: {field.name for field in existing[name].schema} if name in existing else set()
            for name, table in own.items()
            if table.table_type == "TABLE"
        }
        return list(migrations.statements(columns, own.keys() - columns.keys()))

    # --- tables -------------------------------------------------------------------------------------------------

    def _prepare_one(self, table: Table, existing: bigquery.Table | None) -> str | None:
        """Prepares a table or view; returns why a view could not be created."""
        try:
            self._prepare_with_retries(table, existing)
        except (api.BadRequest, api.NotFound) as error:
            if not table.is_view:
                raise
            return f"the view cannot be created: {redact(str(error.message).splitlines()[0])}"
        return None

    def _prepare_with_retries(self, table: Table, existing: bigquery.Table | None) -> None:
        prepare = self._views.prepare if table.is_view else self._prepare_table
        for attempt in _RETRY_POLICY.retrying(retry_if_exception_type(api.PreconditionFailed)):
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    # Another container has changed the table since it was read.
                    existing = self._find_table(table.name)
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
        created = self._jobs.client.create_table(definition, exists_ok=True, **self._jobs.request_options)
        if created.expires is not None:
            # The dataset's default expiration must not delete a table of the project.
            created.expires = None
            self._jobs.client.update_table(created, ["expires"], **self._jobs.request_options)

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
        definition.labels |= {DEFINITION_LABEL: digest(json.dumps(definition.to_api_repr(), sort_keys=True))}
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


def schema_field(column: Column, *, required: bool | None = None) -> bigquery.SchemaField:
    """A column as the API describes it."""
    is_required = column.required if required is None else required
    mode = "REQUIRED" if is_required else "NULLABLE"
    return bigquery.SchemaField(column.name, column.type or "", mode, description=column.description)


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


def _split_by_level(tables: Sequence[Table]) -> list[list[Table]]:
    """Splits tables and views into lists, each of which only reads from earlier ones."""
    levels: dict[str, int] = {}
    for table in tables:
        levels[table.name] = 1 + max((levels.get(name, 0) for name in table.reads), default=0) if table.is_view else 0
    return [
        [table for table in tables if levels[table.name] == level]
        for level in range(max(levels.values(), default=-1) + 1)
    ]


def _is_daily_raw(table: Table) -> bool:
    """Whether queries must name the days they read: daily raw records are by far the largest tables."""
    return table.layer == "raw" and table.partition_by == "usage_date" and table != RAW_MAPPING_SHEET


def _column_types(table: bigquery.Table) -> dict[str, str]:
    return {field.name: _GOOGLESQL_TYPES.get(field.field_type, field.field_type) for field in table.schema}
