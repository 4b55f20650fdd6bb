"""Fixtures of the dashboard tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import build_once
from ai_usage_assets_tests.metabase.closed_year import add_operations, materialize_cards


@pytest.fixture(scope="session")
def closed_year_file(tmp_path_factory: pytest.TempPathFactory, year: DuckDBWarehouse) -> Path:
    """The path of the closed year with its views as tables; read-only, copy it to change it."""

    def create(path: Path) -> None:
        shutil.copyfile(year.path, path)
        add_operations(path)
        materialize_cards(path)

    year.close()
    created = build_once(tmp_path_factory, "closed_year.duckdb", create)
    # Several workers may run, and DuckDB opens a file in one process only.
    return Path(shutil.copyfile(created, tmp_path_factory.mktemp("closed_year") / "closed_year.duckdb"))


@pytest.fixture(scope="module")
def closed_year(closed_year_file: Path) -> Iterator[DuckDBWarehouse]:
    """The closed year."""
    warehouse = DuckDBWarehouse(closed_year_file)
    yield warehouse
    warehouse.close()
