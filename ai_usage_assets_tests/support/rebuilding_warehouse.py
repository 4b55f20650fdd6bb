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


class RebuildingWarehouse(DuckDBWarehouse):
    """A warehouse that rebuilds the shared models before a read that follows a write, as a run would."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_stale = False

    def mark_changed(self) -> None:
        """Tells that rows were written past the methods of the warehouse."""
        self._is_stale = True

    def append(self, table: Table, rows: Sequence[Any]) -> None:
        super().append(table, rows)
        self._is_stale = True

    def upsert(self, table: Table, key: Sequence[str], rows: Sequence[Any]) -> None:
        super().upsert(table, key, rows)
        self._is_stale = True

    def load_days(self, *arguments: Any) -> None:
        super().load_days(*arguments)
        self._is_stale = True

    def rebuild(self, table: Table, parameters: QueryParameters) -> int:
        self._is_stale |= table not in shared_models()
        return super().rebuild(table, parameters)

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        self._refresh()
        return super().query(sql, parameters)

    def close(self) -> None:
        # Another process may read the file next.
        self._refresh()
        super().close()

    def _refresh(self) -> None:
        if self._is_stale:
            self._is_stale = False
            rebuild_shared_models(self)
