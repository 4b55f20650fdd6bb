"""A copy of a warehouse with two loaded days of the simulated company for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from ai_usage_assets.checks.base import CheckContext, Finding
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, NOW
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse, shared_models

FIRST, LAST, TODAY = date.fromisoformat(LOADED_DAY), date.fromisoformat(NEXT_DAY), NOW.date()


@pytest.fixture
def warehouse(two_days: Path, tmp_path: Path) -> Iterator[RebuildingWarehouse]:
    """A warehouse with two valid days, which a test can change."""
    copy = RebuildingWarehouse(shutil.copyfile(two_days, tmp_path / "copy.duckdb"))
    yield copy
    copy.close()


def run_check(warehouse: DuckDBWarehouse, asset: str, name: str, *, today: date = TODAY) -> list[Finding]:
    """Runs one check for the two days."""
    check = next(check for check in CHECKS if (check.asset, check.name) == (asset, name))
    return list(check.run(CheckContext(warehouse, DayRange(FIRST, LAST), today)))


def execute(warehouse: RebuildingWarehouse, sql: str) -> None:
    """Changes the warehouse with a DuckDB statement; a changed shared model stays as it is."""
    warehouse._connect().execute(sql)
    if not any(model.name in sql for model in shared_models()):
        warehouse.mark_changed()
