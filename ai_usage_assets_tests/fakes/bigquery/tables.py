"""Datasets, tables and views: their metadata, REST resources and schema rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_usage_assets_tests.fakes.bigquery.errors import invalid
from ai_usage_assets_tests.fakes.bigquery.values import Field

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


@dataclass
class Table:
    """A table, or a view if it has a query."""

    project: str
    dataset: str
    name: str
    fields: tuple[Field, ...]
    query: str | None = None
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    partition_column: str | None = None
    expiration_ms: int | None = None
    requires_filter: bool = False
    clustering: tuple[str, ...] = ()
    # The time at which the table is deleted, in milliseconds.
    expires_at_ms: int | None = None
    # Increases with each change of rows or metadata.
    version: int = 0
    created_ms: int = 0
    # Version, rows and bytes.
    cached_size: tuple[int, int, int] | None = None

    @property
    def full_name(self) -> str:
        """The name in BigQuery's messages: "project:dataset.table"."""
        return f"{self.project}:{self.dataset}.{self.name}"

    @property
    def key(self) -> tuple[str, str]:
        """Dataset and name."""
        return self.dataset, self.name

    @property
    def duckdb_name(self) -> str:
        """The quoted name in DuckDB."""
        return f"{quote_identifier(self.dataset)}.{quote_identifier(self.name)}"

    @property
    def is_view(self) -> bool:
        """Whether it is a view."""
        return self.query is not None

    def etag(self) -> str:
        """Return the tag of the current version, for conditional changes."""
        return f"{self.created_ms:x}.{self.version:x}"

    def partitioning_resource(self) -> dict[str, Any] | None:
        """Return the `timePartitioning` of a REST resource."""
        if self.partition_column is None:
            return None
        resource: dict[str, Any] = {"type": "DAY", "field": self.partition_column}
        return resource | ({"expirationMs": str(self.expiration_ms)} if self.expiration_ms else {})

    def list_resource(self) -> dict[str, Any]:
        """Return the entry in the response of tables.list."""
        resource: dict[str, Any] = {
            "kind": "bigquery#table",
            "id": self.full_name,
            "tableReference": {"projectId": self.project, "datasetId": self.dataset, "tableId": self.name},
            "type": "VIEW" if self.is_view else "TABLE",
            "creationTime": str(self.created_ms),
        }
        if self.expires_at_ms is not None:
            resource["expirationTime"] = str(self.expires_at_ms)
        if self.labels:
            resource["labels"] = dict(self.labels)
        if partitioning := self.partitioning_resource():
            resource["timePartitioning"] = partitioning
        if self.clustering:
            resource["clustering"] = {"fields": list(self.clustering)}
        return resource


@dataclass
class Dataset:
    """A dataset and its tables and views."""

    name: str
    resource: dict[str, Any]
    tables: dict[str, Table] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """The location in which its jobs must run."""
        return str(self.resource["location"])


def check_schema(table: Table, new_fields: tuple[Field, ...], *, may_add: bool, is_load: bool) -> None:
    """Check that a load or a patch can change the schema to `new_fields`. Raises `invalid` with BigQuery's message.

    A load may omit nullable columns; a patch may make a required column nullable.
    """
    prefix = f"Provided Schema does not match Table {table.full_name}."
    by_name = {column.name: column for column in new_fields}
    for old in table.fields:
        new = by_name.get(old.name)
        if new is None:
            if is_load and not old.required:
                continue
            raise invalid(f"{prefix} Field {old.name} is missing in new schema")
        if new.type != old.type:
            old_type, new_type = old.scalar_type.rest_type, new.scalar_type.rest_type
            raise invalid(f"{prefix} Field {old.name} has changed type from {old_type} to {new_type}")
        if new.required and not old.required:
            raise invalid(f"{prefix} Field {old.name} has changed mode from NULLABLE to REQUIRED")
        if old.required and not new.required and is_load:
            raise invalid(f"{prefix} Field {old.name} has changed mode from REQUIRED to NULLABLE")
    existing_names = {column.name for column in table.fields}
    for new in new_fields:
        if new.name not in existing_names:
            if not may_add:
                raise invalid(f"{prefix} Cannot add fields (field: {new.name})")
            if new.required:
                raise invalid(f"{prefix} Cannot add required fields to an existing schema. (field: {new.name})")


def merge_fields(table: Table, new_fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return the existing columns in their order, as `new_fields` describes them, followed by the new ones."""
    by_name = {column.name: column for column in new_fields}
    existing_names = {column.name for column in table.fields}
    return (
        *(by_name.get(column.name, column) for column in table.fields),
        *(column for column in new_fields if column.name not in existing_names),
    )


def validate_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the labels. Raises `invalid`."""
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid(f'Label key "{key}" has invalid characters.')
        if not _LABEL_VALUE.fullmatch(value):
            raise invalid(f'Label value "{value}" has invalid characters.')
    return dict(labels)


def quote_identifier(name: str) -> str:
    """Quote a name for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def column_definitions(fields: tuple[Field, ...]) -> str:
    """Return the columns of a CREATE TABLE statement for DuckDB."""
    return ", ".join(_column_definition(column) + (" NOT NULL" if column.required else "") for column in fields)


def add_column_sql(table: Table, new_field: Field) -> str:
    """Return the DuckDB statement that adds a column."""
    return f"ALTER TABLE {table.duckdb_name} ADD COLUMN {_column_definition(new_field)}"


def _column_definition(column: Field) -> str:
    return f"{quote_identifier(column.name)} {column.scalar_type.duckdb_type}"
