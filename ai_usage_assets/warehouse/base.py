"""The few verbs that every warehouse has, and the errors it raises.

Belongs here: the interface. Does not: anything an engine does its own way (`duckdb`), or what the tables mean
(`schemas`, `sql/`). Reads and writes go through these verbs only, so a second engine is one more file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from ai_usage_assets.errors import OperatorError

if TYPE_CHECKING:
    from ai_usage_assets.warehouse.ops_tables import DayLogEntry
    from ai_usage_assets.warehouse.tables import Table

Row = dict[str, Any]
QueryParameter = date | datetime | str | int | Decimal
QueryParameters = Mapping[str, QueryParameter]


class WarehouseError(OperatorError):
    """The warehouse refused; the message says what, where and what to do, without any value of a row."""


class WarehouseBusyError(WarehouseError):
    """Another process holds the warehouse."""


@dataclass(frozen=True)
class RawDay:
    """The whole content of one day of one raw table.

    `records` has the columns record_no, payload and carried_email.
    """

    table: Table
    day: date
    fetched_at: datetime
    records: pa.Table


class Warehouse(Protocol):
    """What the pipeline needs of an engine. Every verb is atomic: readers see all of it or nothing."""

    def prepare(self, tables: Sequence[Table]) -> None:
        """Makes what is missing: tables, new columns, views whose text changed. In the order given."""

    def schema_conflicts(self, tables: Sequence[Table]) -> list[str] | None:
        """What `prepare` would refuse, without changing anything; None when none of them is there."""

    def load_days(
        self, days: Sequence[RawDay], asset_days: Sequence[DayLogEntry], restated: Sequence[Row] = ()
    ) -> None:
        """Replaces whole raw days and the log entries that belong to them, and notes what was restated, together."""

    def append(self, table: Table, rows: Sequence[Row]) -> None:
        """Adds rows."""

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
        """Replaces the rows that have the same key, or adds them."""

    def insert_if_absent(self, table: Table, key: Sequence[str], row: Row) -> None:
        """Adds a row unless one with the same key is there; of two that come at once, one is added."""

    def rebuild(self, table: Table, parameters: QueryParameters) -> None:
        """Fills a table from its query: only the days @start_day to @end_day if it has days, else all of it."""

    def column_types(self, table: Table) -> dict[str, str]:
        """What the columns of a table or view turned out to be, in GoogleSQL."""

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        """The rows of a GoogleSQL SELECT."""

    def rows(self, sql: str, parameters: QueryParameters | None = None) -> list[Row]:
        """The same as plain dictionaries."""

    def close(self) -> None:
        """Lets other processes in; the next verb takes the warehouse again."""

    def run_lock(self, run_id: str) -> AbstractContextManager[None]:
        """Lets everybody know that this run is at work, until the end of the block or, however it ends, the process."""

    def is_run_active(self, run_id: str) -> bool:
        """Whether the process of that run is still there."""
