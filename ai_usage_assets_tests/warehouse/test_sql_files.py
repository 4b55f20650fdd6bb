"""The project's SQL, checked with Google's analyzer and evaluator."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.checks.facts import ALLOWED_VALUES
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.settings import Settings
from ai_usage_assets.transform import model_parameters
from ai_usage_assets.warehouse.base import QueryParameters
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.sql_files import sql_folder
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, NOW
from ai_usage_assets_tests.support.materialize import materialize_views
from ai_usage_assets_tests.support.reference_sql import Reference, canonical_rows, row_lists

FIRST, LAST = date.fromisoformat(LOADED_DAY), date.fromisoformat(NEXT_DAY)
PARAMETERS = model_parameters(Settings(start_date=date(2026, 11, 1), fixed_now=NOW), FIRST, LAST)
# Of the records of a day, the first ones and one of this number stay: Google's evaluator is slow.
FIRST_RECORDS, ONE_OF = 10, 5
# Two days are too few for these; tests of kpi_restatements and kpi_anomaly compare the engines on longer histories.
EMPTY = {"stg_budget_rejects", "kpi_restatements", "kpi_anomaly", "kpi_forecast_backtest"}


class Recording(DuckDBWarehouse):
    """A warehouse that records the queries with their parameters and rows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.queries: list[tuple[str, QueryParameters, pa.Table]] = []

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        """Runs a query and records it."""
        result = super().query(sql, parameters)
        self.queries.append((sql, parameters or {}, result))
        return result


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, two_days: Path) -> Iterator[Recording]:
    """A warehouse with a part of two days of the simulated company; its views are tables."""
    path = shutil.copyfile(two_days, tmp_path_factory.mktemp("sql") / "w.duckdb")
    with duckdb.connect(str(path)) as connection:
        for table in catalog.raw_tables():
            if "usage_date" in table.column_names:
                left_out = f"record_no > {FIRST_RECORDS} AND record_no % {ONE_OF} > 0"
                connection.execute(f"DELETE FROM ai_usage.{table.name} WHERE {left_out}")
    with closing(DuckDBWarehouse(path)) as changed:
        for table in catalog.models():
            if not table.is_view:
                changed.rebuild(table, PARAMETERS)
    materialize_views(path, [table.name for table in catalog.models()])
    warehouse = Recording(path)
    yield warehouse
    warehouse.close()


def test_both_engines_return_the_same_rows(warehouse: Recording) -> None:
    """Google's analyzer accepts every model and check query, and both engines return the same rows."""
    reference = Reference(PARAMETERS)
    files = {path.stem: path.read_text() for path in sql_folder().rglob("*.sql")}
    stored = {}
    for table in catalog.tables():
        rows = warehouse.query(f"SELECT {', '.join(table.column_names)} FROM ai_usage.{table.name}")
        stored[table.name] = row_lists(rows)
        columns = {column.name: str(column.type) for column in table.columns}
        if table.query is not None:
            analyzed = reference.analyze(files[table.name])
            assert list(analyzed) == list(columns), table.name
            assert table.is_view or analyzed == columns, table.name
            columns = analyzed
        reference.declare(table.name, columns, stored[table.name])
    assert {table.name for table in catalog.models() if not stored[table.name]} == EMPTY
    methods = warehouse.rows("SELECT DISTINCT attribution_method AS name FROM ai_usage.bridge_attribution_daily")
    assert {method["name"] for method in methods} == {*ALLOWED_VALUES["attribution_method"]}
    differing = []
    # A model reads the stored rows of other models, each of which is compared too.
    for table in catalog.models():
        columns, expected = reference.query(table.query or "")
        if list(columns) != list(table.column_names) or canonical_rows(stored[table.name]) != canonical_rows(expected):
            differing.append(table.name)
    warehouse.queries.clear()
    context = CheckContext(warehouse, DayRange(FIRST, LAST), NOW.date())
    for check in CHECKS:
        check.run(context)
    # The schema checks share their queries.
    assert len(warehouse.queries) > sum(check.name != "schema" for check in CHECKS)
    for sql, values, result in warehouse.queries:
        _, expected = reference.query(sql, {name: value for name, value in values.items() if f"@{name}" in sql})
        if canonical_rows(row_lists(result)) != canonical_rows(expected):
            differing.append(sql)
    assert differing == []
