"""What the tests of finance's views share: the simulated year.

Belongs here: fixtures that several topics use. Does not: expectations.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_usage_assets.warehouses.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.year import simulated_year


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """Thirteen months of the simulated company; to be read, not to be changed."""
    own = tmp_path_factory.mktemp("year") / "year.duckdb"
    shutil.copyfile(_made_once(tmp_path_factory), own)
    warehouse = DuckDBWarehouse(own)
    yield warehouse
    warehouse.release()


def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that all workers of a test run copy: DuckDB lets one process at a time have it."""
    folder = tmp_path_factory.getbasetemp()
    if folder.name.startswith("popen-"):
        folder = folder.parent
    made = folder / "simulated_year.duckdb"
    with (folder / "simulated_year.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            simulated_year(folder / "making.duckdb").release()
            (folder / "making.duckdb").rename(made)
    return made
