"""What stands under `sql/`, judged by Google's own analyser and evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ai_usage_assets import catalogue
from ai_usage_assets.models import parameters
from ai_usage_assets.schemas import Table
from ai_usage_assets.warehouses.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import make_company
from ai_usage_assets_tests.reference_sql import Reference

FIRST, LAST = date(2026, 11, 10), date(2026, 11, 11)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DuckDBWarehouse, dict[str, Any]]]:
    """A warehouse with two days of a small company, and the parameters of its run."""
    with make_company(tmp_path_factory.mktemp("sql") / "w.duckdb", people=40) as company:
        result = company.run(FIRST.isoformat(), LAST.isoformat())
        assert result.success, result.failures()
        warehouse = company.warehouse
        yield warehouse, dict(parameters(company.settings, FIRST, LAST))
        warehouse.release()


def statement(table: Table) -> str:
    """The file a table or view is made by."""
    (path,) = catalogue.SQL_ROOT.glob(f"*/{table.name}.sql")
    return path.read_text()


def rows(warehouse: DuckDBWarehouse, table: Table) -> list[list[Any]]:
    """What DuckDB holds or computes for it."""
    found = warehouse.query(f"SELECT * FROM ai_usage.{table.name}").to_pylist()
    return [[row[name] for name in table.column_names] for row in found]


def canonical(found: list[list[Any]]) -> list[tuple[str, ...]]:
    """Rows in an order of their own, numbers without meaningless zeros."""
    return sorted(
        tuple(format(value.normalize(), "f") if isinstance(value, Decimal) else str(value) for value in row)
        for row in found
    )


def test_google_accepts_every_statement_and_both_engines_evaluate_it_alike(
    loaded: tuple[DuckDBWarehouse, dict[str, Any]],
) -> None:
    """Every file is GoogleSQL to Google's analyser, and gives the same rows in DuckDB and in Google's evaluator."""
    warehouse, values = loaded
    reference = Reference({name: value for name, value in values.items() if isinstance(value, date)})
    for table in catalogue.tables():
        if table.query is None:
            reference.declare(table.name, {c.name: str(c.type) for c in table.columns}, rows(warehouse, table))
            continue
        analysed = reference.analyse(statement(table))
        assert list(analysed) == list(table.column_names), table.name
        if not table.is_view:
            assert analysed == {c.name: c.type for c in table.columns}, table.name
        columns, found = reference.query(table.query)
        assert canonical(rows(warehouse, table)) == canonical(found), table.name
        reference.declare(table.name, columns, found)
