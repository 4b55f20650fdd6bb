"""Datasets, tables and views, and the DuckDB database that stores their rows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import duckdb

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, beyond_this_server, duplicate, invalid, not_found
from ai_usage_assets_tests.fakes.bigquery.values import Field, fields_of, schema_resource

_NAME = re.compile(r"\w{1,1024}")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


@dataclass
class Table:
    """A table, or a view when it has a query."""

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
    # Counts what changed it, rows and description alike.
    version: int = 0
    created_ms: int = 0
    # Rows and bytes, and of which version.
    measured: tuple[int, int, int] | None = None

    @property
    def full_name(self) -> str:
        """The name in BigQuery's messages."""
        return f"{self.project}:{self.dataset}.{self.name}"

    @property
    def key(self) -> tuple[str, str]:
        """Dataset and name."""
        return self.dataset, self.name

    @property
    def in_duckdb(self) -> str:
        """As DuckDB's statements name it."""
        return f"{quoted(self.dataset)}.{quoted(self.name)}"

    @property
    def is_view(self) -> bool:
        """Whether it has no rows of its own."""
        return self.query is not None

    def etag(self) -> str:
        """What a conditional change is held against."""
        return f"{self.created_ms:x}.{self.version:x}"

    def partitioning(self) -> dict[str, Any] | None:
        """As resources show it."""
        if self.partition_column is None:
            return None
        shown: dict[str, Any] = {"type": "DAY", "field": self.partition_column}
        return shown | ({"expirationMs": str(self.expiration_ms)} if self.expiration_ms else {})

    def listed(self) -> dict[str, Any]:
        """As a list of tables shows it."""
        shown: dict[str, Any] = {
            "kind": "bigquery#table",
            "id": self.full_name,
            "tableReference": {"projectId": self.project, "datasetId": self.dataset, "tableId": self.name},
            "type": "VIEW" if self.is_view else "TABLE",
            "creationTime": str(self.created_ms),
        }
        if self.labels:
            shown["labels"] = dict(self.labels)
        if partitioning := self.partitioning():
            shown["timePartitioning"] = partitioning
        if self.clustering:
            shown["clustering"] = {"fields": list(self.clustering)}
        return shown


@dataclass
class Dataset:
    """A dataset and what it holds."""

    name: str
    resource: dict[str, Any]
    tables: dict[str, Table] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """Where jobs on it must run."""
        return str(self.resource["location"])


class Catalogue:
    """Everything there is. `lock` is held while it is read or changed."""

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
        """DuckDB, for one piece of work in a transaction of its own or none."""
        with self.lock:
            made = self._duckdb.cursor()
        try:
            made.execute(googlesql.SESSION)
            if googlesql.WRITTEN_DATASET in self.datasets:
                # The project's translation leaves that name out.
                made.execute(f"USE memory.{quoted(googlesql.WRITTEN_DATASET)}")
            yield made
        finally:
            made.close()

    def close(self) -> None:
        """Forgets everything."""
        self._duckdb.close()

    # Datasets

    def dataset(self, name: str) -> Dataset:
        """Raises not found."""
        if name not in self.datasets:
            raise not_found(f"Dataset {self.project}:{name}")
        return self.datasets[name]

    def create_dataset(self, given: Mapping[str, Any]) -> Dataset:
        """Raises duplicate."""
        name = given["datasetReference"]["datasetId"]
        with self.lock, self.cursor() as cursor:
            if name in self.datasets:
                raise duplicate(f"Dataset {self.project}:{name}")
            if not _NAME.fullmatch(name):
                raise invalid(f'Invalid dataset ID "{name}". Dataset IDs must be alphanumeric (plus underscores).')
            check_labels(given.get("labels") or {})
            cursor.execute(f"CREATE SCHEMA {quoted(name)}")
            resource = {
                "kind": "bigquery#dataset",
                "id": f"{self.project}:{name}",
                "etag": _now_ms(),
                "location": "US",
                **{key: value for key, value in given.items() if key in _DATASET_KEYS},
            }
            self.datasets[name] = Dataset(name, resource)
            return self.datasets[name]

    # Tables

    def table(self, dataset: str, name: str) -> Table:
        """Raises not found."""
        tables = self.dataset(dataset).tables
        if name not in tables:
            raise not_found(f"Table {self.project}:{dataset}.{name}")
        return tables[name]

    def create_table(self, dataset: str, given: Mapping[str, Any]) -> Table:
        """A table, not a view. Raises duplicate or invalid."""
        name = given["tableReference"]["tableId"]
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
                fields_of(given.get("schema") or {}),
                description=given.get("description") or "",
                created_ms=int(_now_ms()),
            )
            self._lay_out(table, given)
            with self.cursor() as cursor:
                cursor.execute(f"CREATE TABLE {table.in_duckdb} ({_definitions(table.fields)})")
            tables[name] = table
            return table

    def _lay_out(self, table: Table, given: Mapping[str, Any]) -> None:
        if not table.fields:
            raise beyond_this_server("a table without a schema")
        kinds = {f.name: f.type for f in table.fields}
        partitioning = given.get("timePartitioning") or {}
        if partitioning:
            column = partitioning.get("field")
            if partitioning.get("type") != "DAY" or kinds.get(column or "") not in {"DATE", None} or not column:
                raise beyond_this_server(f"partitioning by {partitioning}")
            if column not in kinds:
                raise invalid(f"The field specified for partitioning cannot be found in the schema: {column}.")
            table.partition_column = column
            table.expiration_ms = int(partitioning.get("expirationMs") or 0) or None
        table.requires_filter = _requires_filter(given)
        if table.requires_filter and not partitioning:
            raise invalid("require_partition_filter can only be set for partitioned tables.")
        table.clustering = _clustering(given, set(kinds))
        table.labels = check_labels(given.get("labels") or {})

    def put_view(
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
        """Makes a view, or makes it anew."""
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
                labels=check_labels(labels),
                created_ms=existing.created_ms if existing else int(_now_ms()),
                version=existing.version + 1 if existing else 0,
            )
            columns = ", ".join(quoted(f.name) for f in fields)
            with self.cursor() as cursor:
                cursor.execute(f"CREATE OR REPLACE VIEW {view.in_duckdb} ({columns}) AS {duckdb_query}")
            tables[name] = view
            return view

    def delete_table(self, table: Table) -> None:
        """Table or view."""
        with self.lock, self.cursor() as cursor:
            cursor.execute(f"DROP {'VIEW' if table.is_view else 'TABLE'} {table.in_duckdb}")
            del self.datasets[table.dataset].tables[table.name]

    def rename_table(self, table: Table, name: str) -> None:
        """Raises duplicate."""
        with self.lock, self.cursor() as cursor:
            tables = self.datasets[table.dataset].tables
            if name in tables:
                raise duplicate(f"Table {tables[name].full_name}")
            cursor.execute(f"ALTER TABLE {table.in_duckdb} RENAME TO {quoted(name)}")
            del tables[table.name]
            table.name = name
            tables[name] = table
            table.version += 1

    def rename_column(self, table: Table, name: str, new_name: str) -> None:
        """Raises invalid for a column that partitions or clusters the table."""
        with self.lock, self.cursor() as cursor:
            if name in (table.partition_column, *table.clustering):
                raise invalid(f"Renaming column {name}, which partitions or clusters the table, is not supported.")
            if name not in {f.name for f in table.fields}:
                raise invalid(f"Column {name} not found in {table.full_name}")
            cursor.execute(f"ALTER TABLE {table.in_duckdb} RENAME COLUMN {quoted(name)} TO {quoted(new_name)}")
            table.fields = tuple(replace(f, name=new_name) if f.name == name else f for f in table.fields)
            table.version += 1

    def patch_table(self, table: Table, given: Mapping[str, Any]) -> None:
        """Changes what the request names; the query of a view is not changed here."""
        unknown = set(given) - _PATCHED
        if unknown:
            raise beyond_this_server(f"patching {min(unknown)}")
        with self.lock:
            if "labels" in given:
                wanted = {**table.labels, **(given["labels"] or {})} if given["labels"] is not None else {}
                table.labels = check_labels({key: value for key, value in wanted.items() if value is not None})
            if "description" in given:
                table.description = given["description"] or ""
            if given.get("schema") is not None:
                self._change_schema(table, fields_of(given["schema"]))
            if "timePartitioning" in given:
                partitioning = given["timePartitioning"] or {}
                if partitioning.get("field") != table.partition_column:
                    raise invalid("Cannot change partitioning spec for a partitioned table.")
                # What is not named stays.
                if "expirationMs" in partitioning:
                    table.expiration_ms = int(partitioning["expirationMs"] or 0) or None
            if "requirePartitionFilter" in given:
                table.requires_filter = _requires_filter(given)
            if "clustering" in given:
                table.clustering = _clustering(given, {f.name for f in table.fields})
            self.expire(table)
            table.version += 1

    def _change_schema(self, table: Table, wanted: tuple[Field, ...]) -> None:
        with self.cursor() as cursor:
            if table.is_view:
                if [(f.name, f.type) for f in wanted] != [(f.name, f.type) for f in table.fields]:
                    raise invalid(f"Schema field names and types of view {table.full_name} cannot be changed.")
                table.fields = wanted
                return
            check_schema(table, wanted, may_add=True, may_leave_out=False)
            known = {f.name for f in table.fields}
            for added in wanted:
                if added.name not in known:
                    cursor.execute(add_column(table, added))
            for now, was in ((f, old) for f in wanted for old in table.fields if f.name == old.name):
                if was.is_required and not now.is_required:
                    cursor.execute(f"ALTER TABLE {table.in_duckdb} ALTER {quoted(now.name)} DROP NOT NULL")
            table.fields = in_order(table, wanted)

    def expire(self, table: Table) -> None:
        """Days that are too old are gone, however lately they were loaded."""
        if table.expiration_ms is not None:
            kept_from = self._today() - timedelta(milliseconds=table.expiration_ms)
            with self.cursor() as cursor:
                cursor.execute(
                    f"DELETE FROM {table.in_duckdb} WHERE {quoted(table.partition_column or '')} < ?", [kept_from]
                )

    def size(self, table: Table) -> tuple[int, int]:
        """Rows and bytes, as BigQuery counts them: fixed a type, text by its length, nothing for NULL."""
        if table.is_view:
            return 0, 0
        if table.measured is not None and table.measured[0] == table.version:
            return table.measured[1:]
        version = table.version
        each = " + ".join(
            f"COALESCE(SUM(CASE WHEN {quoted(f.name)} IS NULL THEN 0 ELSE "
            + (f"{f.kind.bytes}" if f.kind.bytes else f"2 + strlen({quoted(f.name)})")
            + " END), 0)"
            for f in table.fields
        )
        with self.cursor() as cursor:
            rows, size = cursor.execute(f"SELECT COUNT(*), {each} FROM {table.in_duckdb}").fetchall()[0]
        table.measured = version, int(rows), int(size)
        return table.measured[1:]

    def resource(self, table: Table) -> dict[str, Any]:
        """As tables.get shows it."""
        rows, size = self.size(table)
        shown = table.listed() | {
            "etag": table.etag(),
            "schema": schema_resource(table.fields),
            "numRows": str(rows),
            "numBytes": str(size),
            "lastModifiedTime": str(table.created_ms + table.version),
            "location": self.dataset(table.dataset).location,
        }
        if table.description:
            shown["description"] = table.description
        if table.requires_filter:
            shown["requirePartitionFilter"] = True
        if table.is_view:
            shown["view"] = {"query": table.query, "useLegacySql": False}
        return shown


def check_schema(table: Table, wanted: tuple[Field, ...], *, may_add: bool, may_leave_out: bool) -> None:
    """Whether a table can become like this. Raises in BigQuery's words."""
    told = f"Provided Schema does not match Table {table.full_name}."
    by_name = {f.name: f for f in wanted}
    for old in table.fields:
        new = by_name.get(old.name)
        if new is None:
            if may_leave_out and not old.is_required:
                continue
            raise invalid(f"{told} Field {old.name} is missing in new schema")
        if new.type != old.type:
            was, now = old.kind.in_resources, new.kind.in_resources
            raise invalid(f"{told} Field {old.name} has changed type from {was} to {now}")
        if new.is_required and not old.is_required:
            raise invalid(f"{told} Field {old.name} has changed mode from NULLABLE to REQUIRED")
        if old.is_required and not new.is_required and may_leave_out:
            # Of a load; a change of the table itself may relax a column.
            raise invalid(f"{told} Field {old.name} has changed mode from REQUIRED to NULLABLE")
    known = {f.name for f in table.fields}
    for new in wanted:
        if new.name not in known:
            if not may_add:
                raise invalid(f"{told} Cannot add fields (field: {new.name})")
            if new.is_required:
                raise invalid(f"{told} Cannot add required fields to an existing schema. (field: {new.name})")


def in_order(table: Table, wanted: tuple[Field, ...]) -> tuple[Field, ...]:
    """The columns a table has then: the old ones where they were, what is new behind them."""
    by_name = {f.name: f for f in wanted}
    known = {f.name for f in table.fields}
    return (
        *(by_name.get(f.name, f) for f in table.fields),
        *(f for f in wanted if f.name not in known),
    )


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, if they may be. Raises invalid."""
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid(f'Label key "{key}" has invalid characters.')
        if not _LABEL_VALUE.fullmatch(value):
            raise invalid(f'Label value "{value}" has invalid characters.')
    return dict(labels)


def quoted(name: str) -> str:
    """A name for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


_DATASET_KEYS = {"datasetReference", "location", "description", "labels", "friendlyName"}


def _clustering(given: Mapping[str, Any], columns: set[str]) -> tuple[str, ...]:
    wanted = tuple((given.get("clustering") or {}).get("fields") or ())
    for column in wanted:
        if column not in columns:
            raise invalid(f"The field specified for clustering cannot be found in the schema: {column}.")
    if len(wanted) > 4:
        raise invalid("A table can be clustered by at most 4 fields.")
    return wanted


_PATCHED = {
    "labels",
    "description",
    "schema",
    "timePartitioning",
    "clustering",
    "requirePartitionFilter",
    "tableReference",
}


def _now_ms() -> str:
    return str(time.time_ns() // 1_000_000)


def _requires_filter(given: Mapping[str, Any]) -> bool:
    # The client says it in either place.
    return bool(
        given.get("requirePartitionFilter") or (given.get("timePartitioning") or {}).get("requirePartitionFilter")
    )


def _definitions(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{quoted(f.name)} {f.kind.in_duckdb}{' NOT NULL' if f.is_required else ''}" for f in fields)


def add_column(table: Table, added: Field) -> str:
    """The statement that does."""
    return f"ALTER TABLE {table.in_duckdb} ADD COLUMN {quoted(added.name)} {added.kind.in_duckdb}"


def precondition_failed() -> ApiError:
    """It was changed since it was read."""
    return ApiError(412, "conditionNotMet", "Precondition check failed.")
