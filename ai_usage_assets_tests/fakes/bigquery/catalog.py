"""Stores datasets, tables and views, and their rows in DuckDB."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

import duckdb

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets_tests.fakes.bigquery.errors import duplicate, invalid, not_found, not_implemented
from ai_usage_assets_tests.fakes.bigquery.tables import (
    Dataset,
    Table,
    add_column_sql,
    check_schema,
    column_definitions,
    merge_fields,
    quote_identifier,
    validate_labels,
)
from ai_usage_assets_tests.fakes.bigquery.values import Field, parse_fields, schema_resource

_NAME = re.compile(r"\w{1,1024}")


class Catalog:
    """All datasets of a project. Callers hold `lock` while they read or change them."""

    def __init__(self, project: str, today: Callable[[], date]) -> None:
        self.project = project
        self._today = today
        self.lock = threading.RLock()
        self.datasets: dict[str, Dataset] = {}
        self._duckdb = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a DuckDB cursor with its own transaction state."""
        with self.lock:
            cursor = self._duckdb.cursor()
        try:
            cursor.execute(googlesql.SESSION)
            if googlesql.WRITTEN_DATASET in self.datasets:
                # `googlesql.to_duckdb` removes this dataset's name.
                cursor.execute(f"USE memory.{quote_identifier(googlesql.WRITTEN_DATASET)}")
            yield cursor
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the database and delete its rows."""
        self._duckdb.close()

    # Datasets

    def dataset(self, name: str) -> Dataset:
        """Return a dataset. Raises `not_found`."""
        if name not in self.datasets:
            raise not_found(f"Dataset {self.project}:{name}")
        return self.datasets[name]

    def create_dataset(self, body: Mapping[str, Any]) -> Dataset:
        """Create a dataset. Raises `duplicate` or `invalid`."""
        name = body["datasetReference"]["datasetId"]
        with self.lock, self.cursor() as cursor:
            if name in self.datasets:
                raise duplicate(f"Dataset {self.project}:{name}")
            if not _NAME.fullmatch(name):
                raise invalid(f'Invalid dataset ID "{name}". Dataset IDs must be alphanumeric (plus underscores).')
            validate_labels(body.get("labels") or {})
            cursor.execute(f"CREATE SCHEMA {quote_identifier(name)}")
            resource = {
                "kind": "bigquery#dataset",
                "id": f"{self.project}:{name}",
                "etag": _now_ms(),
                "location": "US",
                **{key: value for key, value in body.items() if key in _DATASET_KEYS},
            }
            self.datasets[name] = Dataset(name, resource)
            return self.datasets[name]

    # Tables

    def tables(self, dataset: str) -> dict[str, Table]:
        """Return the tables and views of a dataset by name, without those that have expired. Raises `not_found`."""
        midnight = datetime.combine(self._today(), time_of_day.min, UTC)
        for table in list(self.dataset(dataset).tables.values()):
            if table.expires_at_ms is not None and table.expires_at_ms <= midnight.timestamp() * 1000:
                self.delete_table(table)
        return self.dataset(dataset).tables

    def table(self, dataset: str, name: str) -> Table:
        """Return a table or view. Raises `not_found`."""
        tables = self.tables(dataset)
        if name not in tables:
            raise not_found(f"Table {self.project}:{dataset}.{name}")
        return tables[name]

    def create_table(self, dataset: str, body: Mapping[str, Any]) -> Table:
        """Create a table (not a view). Raises `duplicate` or `invalid`."""
        name = body["tableReference"]["tableId"]
        with self.lock:
            tables = self.dataset(dataset).tables
            if name in tables:
                raise duplicate(f"Table {self.project}:{dataset}.{name}")
            if not _NAME.fullmatch(name):
                raise invalid(f'Invalid table ID "{name}".')
            table = Table(
                self.project,
                dataset,
                name,
                parse_fields(body.get("schema") or {}),
                description=body.get("description") or "",
                created_ms=int(_now_ms()),
            )
            self._apply_layout(table, body)
            with self.cursor() as cursor:
                cursor.execute(f"CREATE TABLE {table.duckdb_name} ({column_definitions(table.fields)})")
            tables[name] = table
            return table

    def _apply_layout(self, table: Table, body: Mapping[str, Any]) -> None:
        if not table.fields:
            raise not_implemented("a table without a schema")
        types = {field.name: field.type for field in table.fields}
        partitioning = body.get("timePartitioning") or {}
        if partitioning:
            column = partitioning.get("field")
            if partitioning.get("type") != "DAY" or types.get(column or "") not in {"DATE", None} or not column:
                raise not_implemented(f"partitioning by {partitioning}")
            if column not in types:
                raise invalid(f"The field specified for partitioning cannot be found in the schema: {column}.")
            table.partition_column = column
            table.expiration_ms = int(partitioning.get("expirationMs") or 0) or None
        table.expires_at_ms = int(body.get("expirationTime") or 0) or None
        table.requires_filter = _parse_filter_requirement(body)
        if table.requires_filter and not partitioning:
            raise invalid("require_partition_filter can only be set for partitioned tables.")
        table.clustering = _parse_clustering(body, set(types))
        table.labels = validate_labels(body.get("labels") or {})

    def create_view(
        self,
        dataset: str,
        name: str,
        fields: tuple[Field, ...],
        query: str,
        *,
        replaces: bool,
        description: str,
        labels: Mapping[str, str],
        duckdb_query: str,
    ) -> Table:
        """Create or replace a view. Raises `duplicate` or `invalid`."""
        with self.lock:
            tables = self.dataset(dataset).tables
            existing = tables.get(name)
            if existing is not None and not replaces:
                raise duplicate(f"Table {existing.full_name}")
            if existing is not None and not existing.is_view:
                raise invalid(
                    f"{existing.full_name} is not allowed for this operation because it is currently a TABLE."
                )
            view = Table(
                self.project,
                dataset,
                name,
                fields,
                query=query,
                description=description,
                labels=validate_labels(labels),
                created_ms=existing.created_ms if existing else int(_now_ms()),
                version=existing.version + 1 if existing else 0,
            )
            columns = ", ".join(quote_identifier(field.name) for field in fields)
            with self.cursor() as cursor:
                cursor.execute(f"CREATE OR REPLACE VIEW {view.duckdb_name} ({columns}) AS {duckdb_query}")
            tables[name] = view
            return view

    def delete_table(self, table: Table) -> None:
        """Delete a table or view."""
        with self.lock, self.cursor() as cursor:
            cursor.execute(f"DROP {'VIEW' if table.is_view else 'TABLE'} {table.duckdb_name}")
            del self.datasets[table.dataset].tables[table.name]

    def rename_table(self, table: Table, name: str) -> None:
        """Rename a table. Raises `duplicate`."""
        with self.lock, self.cursor() as cursor:
            tables = self.datasets[table.dataset].tables
            if name in tables:
                raise duplicate(f"Table {tables[name].full_name}")
            cursor.execute(f"ALTER TABLE {table.duckdb_name} RENAME TO {quote_identifier(name)}")
            del tables[table.name]
            table.name = name
            tables[name] = table
            table.version += 1

    def rename_column(self, table: Table, name: str, new_name: str) -> None:
        """Rename a column. Raises `invalid` if it is missing or partitions or clusters the table."""
        with self.lock, self.cursor() as cursor:
            if name in (table.partition_column, *table.clustering):
                raise invalid(f"Renaming column {name}, which partitions or clusters the table, is not supported.")
            if name not in {field.name for field in table.fields}:
                raise invalid(f"Column {name} not found in {table.full_name}")
            cursor.execute(
                f"ALTER TABLE {table.duckdb_name} "
                f"RENAME COLUMN {quote_identifier(name)} TO {quote_identifier(new_name)}"
            )
            table.fields = tuple(
                replace(field, name=new_name) if field.name == name else field for field in table.fields
            )
            table.version += 1

    def patch_table(self, table: Table, body: Mapping[str, Any]) -> None:
        """Change the properties in the body of a tables.patch request, except the query of a view."""
        unknown = set(body) - _PATCHABLE_KEYS
        if unknown:
            raise not_implemented(f"patching {min(unknown)}")
        with self.lock:
            if "labels" in body:
                labels = {**table.labels, **body["labels"]} if body["labels"] is not None else {}
                table.labels = validate_labels({key: value for key, value in labels.items() if value is not None})
            if "description" in body:
                table.description = body["description"] or ""
            if body.get("schema") is not None:
                self._change_schema(table, parse_fields(body["schema"]))
            if "timePartitioning" in body:
                partitioning = body["timePartitioning"] or {}
                if partitioning.get("field") != table.partition_column:
                    raise invalid("Cannot change partitioning spec for a partitioned table.")
                # A missing key keeps the current value.
                if "expirationMs" in partitioning:
                    table.expiration_ms = int(partitioning["expirationMs"] or 0) or None
            if "requirePartitionFilter" in body:
                table.requires_filter = _parse_filter_requirement(body)
            if "expirationTime" in body:
                table.expires_at_ms = int(body["expirationTime"] or 0) or None
            if "clustering" in body:
                table.clustering = _parse_clustering(body, {field.name for field in table.fields})
            self.delete_expired_days(table)
            table.version += 1

    def _change_schema(self, table: Table, new_fields: tuple[Field, ...]) -> None:
        with self.cursor() as cursor:
            if table.is_view:
                if [(field.name, field.type) for field in new_fields] != [
                    (field.name, field.type) for field in table.fields
                ]:
                    raise invalid(f"Schema field names and types of view {table.full_name} cannot be changed.")
                table.fields = new_fields
                return
            check_schema(table, new_fields, may_add=True, is_load=False)
            existing = {field.name: field for field in table.fields}
            for field in new_fields:
                if field.name not in existing:
                    cursor.execute(add_column_sql(table, field))
                elif existing[field.name].required and not field.required:
                    column = quote_identifier(field.name)
                    cursor.execute(f"ALTER TABLE {table.duckdb_name} ALTER {column} DROP NOT NULL")
            table.fields = merge_fields(table, new_fields)

    def delete_expired_days(self, table: Table) -> None:
        """Delete days older than the expiration, which counts from the day and not from its load."""
        if table.expiration_ms is not None:
            first_day = self._today() - timedelta(milliseconds=table.expiration_ms)
            with self.cursor() as cursor:
                cursor.execute(
                    f"DELETE FROM {table.duckdb_name} WHERE {quote_identifier(table.partition_column or '')} < ?",
                    [first_day],
                )

    def size(self, table: Table) -> tuple[int, int]:
        """Return the number of rows and bytes. A value has the size of its type, a string 2 plus its length, NULL 0."""
        if table.is_view:
            return 0, 0
        if table.cached_size is not None and table.cached_size[0] == table.version:
            return table.cached_size[1:]
        version = table.version
        bytes_sql = " + ".join(_bytes_sql(field) for field in table.fields)
        with self.lock:
            rows, size = self._duckdb.execute(f"SELECT COUNT(*), {bytes_sql} FROM {table.duckdb_name}").fetchall()[0]
        table.cached_size = version, int(rows), int(size)
        return table.cached_size[1:]

    def resource(self, table: Table) -> dict[str, Any]:
        """Return the response of tables.get."""
        rows, size = self.size(table)
        resource = table.list_resource() | {
            "etag": table.etag(),
            "schema": schema_resource(table.fields),
            "numRows": str(rows),
            "numBytes": str(size),
            "lastModifiedTime": str(table.created_ms + table.version),
            "location": self.dataset(table.dataset).location,
        }
        if table.description:
            resource["description"] = table.description
        if table.requires_filter:
            resource["requirePartitionFilter"] = True
        if table.is_view:
            resource["view"] = {"query": table.query, "useLegacySql": False}
        return resource


_DATASET_KEYS = {"datasetReference", "location", "description", "labels", "friendlyName"}


def _parse_clustering(body: Mapping[str, Any], columns: set[str]) -> tuple[str, ...]:
    clustering = tuple((body.get("clustering") or {}).get("fields") or ())
    for column in clustering:
        if column not in columns:
            raise invalid(f"The field specified for clustering cannot be found in the schema: {column}.")
    if len(clustering) > 4:
        raise invalid("A table can be clustered by at most 4 fields.")
    return clustering


_PATCHABLE_KEYS = {
    "labels",
    "description",
    "schema",
    "timePartitioning",
    "clustering",
    "requirePartitionFilter",
    "expirationTime",
    "tableReference",
}


def _bytes_sql(field: Field) -> str:
    name = quote_identifier(field.name)
    size = field.scalar_type.bytes or f"2 + strlen({name})"
    return f"COALESCE(SUM(CASE WHEN {name} IS NULL THEN 0 ELSE {size} END), 0)"


def _now_ms() -> str:
    return str(time.time_ns() // 1_000_000)


def _parse_filter_requirement(body: Mapping[str, Any]) -> bool:
    # The client sets it in either place.
    return bool(
        body.get("requirePartitionFilter") or (body.get("timePartitioning") or {}).get("requirePartitionFilter")
    )
