"""The project's SQL, checked with Google's analyzer and evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.defs.sql_assets import model_parameters
from ai_usage_assets.warehouse.base import QueryParameters
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.sql_files import sql_folder
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.conftest import serve_company
from ai_usage_assets_tests.support.reference_sql import Reference

FIRST, LAST, TODAY = date(2026, 11, 10), date(2026, 11, 11), date(2026, 11, 20)


class Recording(DuckDBWarehouse):
    """A warehouse that records every query and its rows."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.queries: list[tuple[str, QueryParameters, pa.Table]] = []

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        result = super().query(sql, parameters)
        self.queries.append((sql, parameters or {}, result))
        return result


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """A warehouse with two days of a small company."""
    with serve_company(tmp_path_factory.mktemp("sql") / "w.duckdb", people=40) as company:
        result = company.run(FIRST.isoformat(), LAST.isoformat())
        assert result.success, result.failures()
        warehouse = Recording(company.settings.duckdb_path)
        warehouse.run_parameters = dict(model_parameters(company.settings, FIRST, LAST))  # type: ignore[attr-defined]
        yield warehouse
        warehouse.close()


@pytest.fixture(scope="module")
def reference(warehouse: Recording) -> Reference:
    """Google's engine, without tables."""
    return Reference(warehouse.run_parameters)  # type: ignore[attr-defined]


def statement(table: Table) -> str:
    """The file that defines a table or view."""
    (path,) = sql_folder().rglob(f"{table.name}.sql")
    return path.read_text()


def canonical(rows: list[list[Any]]) -> list[tuple[str, ...]]:
    """Sorted rows as text, numbers without trailing zeros."""
    return sorted(
        tuple(format(value.normalize(), "f") if isinstance(value, Decimal) else str(value) for value in row)
        for row in rows
    )


def row_lists(table: pa.Table) -> list[list[Any]]:
    """The rows of an Arrow table as lists."""
    return [list(row.values()) for row in table.to_pylist()]


def test_both_engines_return_the_same_rows(warehouse: Recording, reference: Reference) -> None:
    """Google's analyzer accepts every model and check query, and both engines return the same rows."""
    for table in catalog.tables():
        stored = row_lists(warehouse.query(f"SELECT {', '.join(table.column_names)} FROM ai_usage.{table.name}"))
        if table.query is None:
            reference.declare(table.name, {c.name: str(c.type) for c in table.columns}, stored)
            continue
        analyzed = reference.analyze(statement(table))
        assert list(analyzed) == list(table.column_names), table.name
        if not table.is_view:
            assert analyzed == {c.name: c.type for c in table.columns}, table.name
        columns, expected = reference.query(table.query)
        assert canonical(stored) == canonical(expected), table.name
        reference.declare(table.name, columns, expected)
    warehouse.queries.clear()
    for check in CHECKS:
        check.run(CheckContext(warehouse, DayRange(FIRST, LAST), TODAY))
    assert len(warehouse.queries) >= len(CHECKS)
    for sql, values, result in warehouse.queries:
        _, expected = reference.query(sql, {name: value for name, value in values.items() if f"@{name}" in sql})
        assert canonical(row_lists(result)) == canonical(expected), sql
