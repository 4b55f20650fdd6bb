"""A warehouse for tests that write the rows of models by hand and read what is computed from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from ai_usage_assets import catalog
from ai_usage_assets.transform import build_models
from ai_usage_assets.warehouse.base import QueryParameters, Warehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.googlesql import parse, tables_read
from ai_usage_assets.warehouse.tables import Table

# The views that combine what tests write by hand: the models of all sources, and the day log.
_SOURCE_VIEWS = {"int_usage_daily", "int_activity_daily", "int_seat_daily", "kpi_completeness"}


@cache
def shared_models() -> tuple[Table, ...]:
    """The tables that are computed from usage, activity and seats of all sources, in the order of the catalog."""
    computed: set[str] = set(_SOURCE_VIEWS)
    for model in catalog.models():
        if computed.intersection(model.reads):
            computed.add(model.name)
    return tuple(model for model in catalog.models() if model.name in computed and not model.is_view)


def rebuild_shared_models(warehouse: Warehouse, tables: Collection[Table] | None = None) -> None:
    """Rebuilds the tables that are computed from the models of all sources, or those among `tables`, as a run does."""
    models = [model for model in shared_models() if tables is None or model in tables]
    errors = [result.error for result in build_models(warehouse, models, {}) if result.error]
    assert not errors, errors


@cache
def _needed_models(sql: str) -> frozenset[Table]:
    """The shared models that a query reads, directly or through others."""
    needed: set[Table] = set()
    due = {*tables_read(parse(sql))}
    while due:
        table = catalog.table(due.pop())
        if table.is_view or table in shared_models():
            due |= {*table.reads}
        if table in shared_models():
            needed.add(table)
    return frozenset(needed)


class RebuildingWarehouse(DuckDBWarehouse):
    """A warehouse that rebuilds the shared models of a query after a write, as a run would."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stale: set[Table] = set()

    def mark_changed(self) -> None:
        """Tells that rows were written past the methods of the warehouse."""
        self._stale = {*shared_models()}

    def append(self, table: Table, rows: Sequence[Any]) -> None:
        super().append(table, rows)
        self.mark_changed()

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Any]) -> None:
        super().upsert(table, key, rows)
        self.mark_changed()

    def load_days(self, *arguments: Any) -> None:
        super().load_days(*arguments)
        self.mark_changed()

    def rebuild(self, table: Table, parameters: QueryParameters) -> int:
        if table not in shared_models():
            self.mark_changed()
        return super().rebuild(table, parameters)

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        if self._stale:
            self._refresh(_needed_models(sql))
        return super().query(sql, parameters)

    def close(self) -> None:
        # Another process may read the file next.
        self._refresh(frozenset(self._stale))
        super().close()

    def _refresh(self, needed: frozenset[Table]) -> None:
        due = self._stale & needed
        if due:
            self._stale -= due
            rebuild_shared_models(self, due)
