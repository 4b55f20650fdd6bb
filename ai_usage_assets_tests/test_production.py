"""The whole daily job on BigQuery: what finance reads there is what it reads on a laptop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import catalogue
from ai_usage_assets_tests.conftest import Company, Result, make_company
from ai_usage_assets_tests.fake_bigquery.server import FakeBigQuery, Seen

FIRST, LAST = "2026-11-10", "2026-11-11"
# What is true of the run, not of the days.
OF_THE_RUN = {"run_id", "attempted_at", "completed_at"}


class Production(Company):
    """A company whose warehouse is BigQuery."""

    server: FakeBigQuery

    def here(self, **changed: Any) -> Result:
        """Runs both days."""
        return self.run(
            FIRST, LAST, warehouse="bigquery", project=self.server.project, bigquery_url=self.server.url, **changed
        )

    def held(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table and view but the log of runs, in an order of its own."""
        return {table.name: rows_of(self.server.rows, table.name) for table in COMPARED}

    def loads(self) -> list[Seen]:
        """The days that were loaded."""
        return [seen for seen in self.server.requests if seen.kind == "load"]


COMPARED = [table for table in catalogue.tables() if table.layer != "ops" or table.name == "ops_asset_days"]


def rows_of(ask: Any, table: str) -> list[tuple[Any, ...]]:
    rows = ask(f"SELECT * FROM ai_usage.{table}")
    return sorted((tuple(v for k, v in row.items() if k not in OF_THE_RUN) for row in rows), key=repr)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Two days, pulled once into each warehouse."""
    with FakeBigQuery() as server, make_company(tmp_path_factory.mktemp("production") / "w.duckdb") as company:
        made = Production(company.simulator, company.urls, company.settings, company.instance)
        made.server = server
        for result in (made.run(FIRST, LAST), made.here()):
            assert result.success, result.failures()
        yield made


@pytest.mark.parametrize("table", [table.name for table in COMPARED])
def test_both_warehouses_hold_the_same(production: Production, table: str) -> None:
    """Row for row and to the last digit, every raw record, fact and finance view is the same in both."""
    theirs = rows_of(production.server.rows, table)
    assert theirs == rows_of(production.rows, table)


def test_a_second_run_loads_nothing(production: Production) -> None:
    """The same days again change no row, and no raw day is sent."""
    before = production.held()
    production.server.requests.clear()
    result = production.here()
    assert result.success, result.failures()
    assert production.loads() == []
    assert production.held() == before


def test_nothing_is_asked_of_a_vendor_by_a_rebuild(production: Production, tmp_path: Path) -> None:
    """Everything after the raw days is made again from them, although no vendor answers."""
    before = production.held()
    for name in ("fct_anthropic_cost_daily", "fct_cursor_usage_daily", "dim_person"):
        production.server.empty("ai_usage", name)
    result = production.here(job="rebuild", anthropic_url="http://127.0.0.1:9", cursor_url="http://127.0.0.1:9")
    assert result.success, result.failures()
    assert production.held() == before
