"""Compares the rows of a view in DuckDB and in Google's engine, on the data of a test."""

from __future__ import annotations

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.reference_sql import Reference, canonical_rows, row_lists


def compare_engines(warehouse: DuckDBWarehouse, name: str) -> int:
    """Returns the number of rows of a view, which both engines compute from the same inputs.

    Raises AssertionError with the rows that only one of them makes.
    """
    view = catalog.table(name)
    reference = Reference({})
    for read in view.reads:
        table = catalog.table(read)
        loaded = row_lists(warehouse.query(f"SELECT * FROM ai_usage.{read}"))
        types = warehouse.column_types(table) if table.is_view else {c.name: str(c.type) for c in table.columns}
        reference.declare(read, types, loaded)
    _, actual = reference.query(view.query or "")
    ours = row_lists(warehouse.query(f"SELECT * FROM ai_usage.{name}"))
    if differing := set(canonical_rows(ours)) ^ set(canonical_rows(actual)):
        raise AssertionError(f"{name} differs: {sorted(differing)}")
    return len(actual)
