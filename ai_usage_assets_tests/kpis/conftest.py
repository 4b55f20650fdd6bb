"""What the tests of finance's views share: the simulated year.

Belongs here: fixtures that several topics use. Does not: expectations.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from ai_usage_assets.warehouses.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import made_once
from ai_usage_assets_tests.year import simulated_year


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """Thirteen months of the simulated company; to be read, not to be changed."""
    made = made_once(tmp_path_factory, "year.duckdb", lambda path: simulated_year(path).release())
    # DuckDB lets one process at a time have a file, and there may be several workers.
    warehouse = DuckDBWarehouse(shutil.copyfile(made, tmp_path_factory.mktemp("year") / "year.duckdb"))
    yield warehouse
    warehouse.release()
