"""The project's SQL, judged by Google's own analyser and evaluator."""

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
from ai_usage_assets.defs.sql_assets import parameters
from ai_usage_assets.warehouse.base import QueryParameters
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.sql_files import sql_folder
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.conftest import make_company
from ai_usage_assets_tests.support.reference_sql import Reference

FIRST, LAST, TODAY = date(2026, 11, 10), date(2026, 11, 11), date(2026, 11, 20)


class Recording(DuckDBWarehouse):
    """A warehouse that remembers every query and its rows."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[tuple[str, QueryParameters, pa.Table]] = []

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        found = super().query(sql, parameters)
        self.asked.append((sql, parameters or {}, found))
        return found


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """Two days of a small company."""
    with make_company(tmp_path_factory.mktemp("sql") / "w.duckdb", people=40) as company:
        result = company.run(FIRST.isoformat(), LAST.isoformat())
        assert result.success, result.failures()
        made = Recording(company.settings.duckdb_path)
        made.run_parameters = dict(parameters(company.settings, FIRST, LAST))  # type: ignore[attr-defined]
        yield made
        made.close()


@pytest.fixture(scope="module")
def reference(warehouse: Recording) -> Reference:
    """Google's engine, with every table and view as DuckDB has them."""
    return Reference(warehouse.run_parameters)  # type: ignore[attr-defined]


def statement(table: Table) -> str:
    """The file a table or view is made by."""
    (path,) = sql_folder().rglob(f"{table.name}.sql")
    return path.read_text()


def canonical(found: list[list[Any]]) -> list[tuple[str, ...]]:
    """Rows in an order of their own, numbers without meaningless zeros."""
    return sorted(
        tuple(format(value.normalize(), "f") if isinstance(value, Decimal) else str(value) for value in row)
        for row in found
    )


def rows(found: pa.Table) -> list[list[Any]]:
    """An Arrow table as lists."""
    return [list(row.values()) for row in found.to_pylist()]


def test_google_accepts_every_statement_and_both_engines_evaluate_it_alike(
    warehouse: Recording, reference: Reference
) -> None:
    """Every file and every query of a check is GoogleSQL to Google's analyser, and gives both engines the same rows."""
    for table in catalog.tables():
        held = rows(warehouse.query(f"SELECT {', '.join(table.column_names)} FROM ai_usage.{table.name}"))
        if table.query is None:
            reference.declare(table.name, {c.name: str(c.type) for c in table.columns}, held)
            continue
        analysed = reference.analyse(statement(table))
        assert list(analysed) == list(table.column_names), table.name
        if not table.is_view:
            assert analysed == {c.name: c.type for c in table.columns}, table.name
        columns, found = reference.query(table.query)
        assert canonical(held) == canonical(found), table.name
        reference.declare(table.name, columns, found)
    warehouse.asked.clear()
    for check in CHECKS:
        check.run(CheckContext(warehouse, DayRange(FIRST, LAST), TODAY))
    assert len(warehouse.asked) >= len(CHECKS)
    for sql, values, held_rows in warehouse.asked:
        _, found = reference.query(sql, {name: value for name, value in values.items() if f"@{name}" in sql})
        assert canonical(rows(held_rows)) == canonical(found), sql
