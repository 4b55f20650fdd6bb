"""What the tests of the dashboards share: the year they are shown with.

Belongs here: fixtures that several topics use. Does not: expectations.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import made_once
from ai_usage_assets_tests.metabase.closed_year import as_tables, lived_in


@pytest.fixture(scope="session")
def lived_in_file(tmp_path_factory: pytest.TempPathFactory, year: DuckDBWarehouse) -> Path:
    """The year with what the dashboards show of it, finance's views as tables; to be read, not to be changed."""

    def make(path: Path) -> None:
        shutil.copyfile(year.path, path)
        lived_in(path)
        as_tables(path)

    year.close()
    made = made_once(tmp_path_factory, "lived_in.duckdb", make)
    # DuckDB lets one process at a time have a file, and there may be several workers.
    return Path(shutil.copyfile(made, tmp_path_factory.mktemp("lived_in") / "lived_in.duckdb"))


@pytest.fixture(scope="module")
def books(lived_in_file: Path) -> Iterator[DuckDBWarehouse]:
    """A warehouse that holds it."""
    warehouse = DuckDBWarehouse(lived_in_file)
    yield warehouse
    warehouse.close()
