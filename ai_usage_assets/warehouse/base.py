"""The operations that every warehouse engine provides, and the errors they raise.

All reads and writes of the pipeline go through `Warehouse`; an engine is one implementation of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import pyarrow as pa

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.warehouse.ops_tables import DayLogEntry
from ai_usage_assets.warehouse.tables import Table

# A row of any table, by column name.
Row = dict[str, Any]
QueryParameter = date | datetime | str | int | Decimal
QueryParameters = Mapping[str, QueryParameter]


class WarehouseError(OperatorError):
    """An operation of the warehouse failed; the message contains no value of a row."""


class WarehouseBusyError(WarehouseError):
    """Another process has the warehouse open."""


@dataclass(frozen=True)
class RawDay:
    """All records of one day of one raw table: the columns record_no, payload and carried_email."""

    table: Table
    day: date
    fetched_at: datetime
    records: pa.Table


@dataclass(frozen=True)
class PreparedSchema:
    """What `prepare` did: the views that were created or replaced, and why others could not be, by name.

    `replaced_views` are views of an earlier version that are tables now, and empty.
    """

    changed_views: frozenset[str] = frozenset()
    replaced_views: frozenset[str] = frozenset()
    failed_views: Mapping[str, str] = field(default_factory=dict)


class Warehouse(Protocol):
    """One warehouse. Every operation is atomic: readers see all of it or nothing."""

    # How many bytes of records to collect before loading them; a larger batch has fewer jobs and takes more memory.
    batch_bytes: int
    # How many statements the warehouse executes side by side.
    parallel_statements: int

    def prepare(self, tables: Sequence[Table]) -> PreparedSchema:
        """Migrates what an earlier version created, then creates missing tables, columns and views in this order.

        A view that cannot be created is in the result and stops nothing: the tables do not need it.
        """

    def schema_conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        """The problems that would make `prepare` fail; None when none of the tables exists. Changes nothing."""

    def load_days(
        self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row] = ()
    ) -> None:
        """Replaces raw days and their entries of the day log, and records restatements, in one step."""

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        """Inserts rows."""

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        """Inserts rows, replacing those that have the same key."""

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        """Inserts a row unless one with the same key exists; concurrent callers insert it once."""

    def rebuild(self, table: Table, parameters: QueryParameters) -> int:
        """Fills a table from its query: the days @start_day to @end_day if the query has them, otherwise all rows.

        Returns the number of rows that were inserted.
        """

    def delete_older(self, tables: Sequence[tuple[Table, str]], before: datetime) -> None:
        """Deletes the rows of each table whose TIMESTAMP column of this name is before a time, in one step."""

    def column_types(self, table: Table) -> dict[str, str]:
        """The GoogleSQL types of the columns of an existing table or view."""

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        """The result of a GoogleSQL SELECT."""

    def rows(self, sql: str, parameters: QueryParameters | None = None) -> list[Row]:
        """The result of a GoogleSQL SELECT as dictionaries."""

    def label_jobs(self, *, asset: str) -> AbstractContextManager[None]:
        """Attributes the jobs of the block to an asset, where the engine has jobs."""

    def close(self) -> None:
        """Lets other processes use the warehouse; the next operation opens it again."""

    def run_lock(self, run_id: str) -> AbstractContextManager[None]:
        """Marks the run as active until the end of the block or of the process."""

    def is_run_active(self, run_id: str) -> bool:
        """Whether the process of that run still exists."""
