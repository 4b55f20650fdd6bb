"""Compares the rows of a view in DuckDB and in Google's engine, on the data of a test."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.reference_sql import Reference


def compare_engines(warehouse: DuckDBWarehouse, name: str) -> int:
    """Returns the number of rows of a view, which both engines compute from the same inputs.

    Raises AssertionError with the rows that only one of them makes.
    """
    view = catalog.table(name)
    reference = Reference({})
    for read in view.reads:
        table = catalog.table(read)
        loaded = [list(row.values()) for row in warehouse.rows(f"SELECT * FROM ai_usage.{read}")]
        types = warehouse.column_types(table) if table.is_view else {c.name: str(c.type) for c in table.columns}
        reference.declare(read, types, loaded)
    _, actual = reference.query(view.query or "")
    ours = [list(row.values()) for row in warehouse.rows(f"SELECT * FROM ai_usage.{name}")]
    if differing := set(_canonical(ours)) ^ set(_canonical(actual)):
        raise AssertionError(f"{name} differs: {sorted(differing)}")
    return len(actual)


def _canonical(rows: list[list[Any]]) -> list[tuple[str, ...]]:
    return sorted(
        tuple(format(value.normalize(), "f") if isinstance(value, Decimal) else str(value) for value in row)
        for row in rows
    )
