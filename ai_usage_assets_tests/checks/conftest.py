"""Two good days of a company, and a copy of them to spoil."""

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
from ai_usage_assets_tests.conftest import made_once, make_company

FIRST, LAST, TODAY = date(2026, 11, 10), date(2026, 11, 11), date(2026, 11, 12)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse with two good days."""

    def make(path: Path) -> None:
        with make_company(path, now=datetime(2026, 11, 12, 14, tzinfo=UTC)) as company:
            result = company.run(FIRST.isoformat(), LAST.isoformat())
            assert result.success, result.failures()

    return made_once(tmp_path_factory, "good.duckdb", make)


@pytest.fixture
def warehouse(good: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of it, to spoil."""
    made = DuckDBWarehouse(shutil.copyfile(good, tmp_path / "spoilt.duckdb"))
    yield made
    made.close()


def find(warehouse: DuckDBWarehouse, asset: str, name: str, *, today: date = TODAY) -> list[Finding]:
    """What a check finds."""
    check = next(check for check in CHECKS if (check.asset, check.name) == (asset, name))
    return list(check.run(CheckContext(warehouse, DayRange(FIRST, LAST), today)))


def spoil(warehouse: DuckDBWarehouse, sql: str) -> None:
    """Changes the warehouse behind everybody's back."""
    warehouse._connect().execute(sql)
