"""A warehouse with two loaded days of the simulated company, and a copy of it for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ai_usage_assets.checks.base import CheckContext, Finding
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import build_once, serve_company

FIRST, LAST, TODAY = date(2026, 11, 10), date(2026, 11, 11), date(2026, 11, 12)


@pytest.fixture(scope="session")
def loaded_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse with two valid days."""

    def make(path: Path) -> None:
        with serve_company(path, now=datetime(2026, 11, 12, 14, tzinfo=UTC)) as company:
            result = company.run(FIRST.isoformat(), LAST.isoformat())
            assert result.success, result.failures()

    return build_once(tmp_path_factory, "checked.duckdb", make)


@pytest.fixture
def warehouse(loaded_warehouse: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of it, which a test can change."""
    copy = DuckDBWarehouse(shutil.copyfile(loaded_warehouse, tmp_path / "copy.duckdb"))
    yield copy
    copy.close()


def run_check(warehouse: DuckDBWarehouse, asset: str, name: str, *, today: date = TODAY) -> list[Finding]:
    """Runs one check for the two days."""
    check = next(check for check in CHECKS if (check.asset, check.name) == (asset, name))
    return list(check.run(CheckContext(warehouse, DayRange(FIRST, LAST), today)))


def execute(warehouse: DuckDBWarehouse, sql: str) -> None:
    """Changes the warehouse with a DuckDB statement."""
    warehouse._connect().execute(sql)
