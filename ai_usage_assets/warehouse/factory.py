"""Opens the warehouse that the settings name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ai_usage_assets.settings import DEFAULT_DUCKDB_PATH, Settings
from ai_usage_assets.warehouse.base import Warehouse, WarehouseError

if TYPE_CHECKING:
    from dagster_gcp import BigQueryResource

logger = logging.getLogger(__name__)

# The name of the file before DEFAULT_DUCKDB_PATH.
_PREVIOUS_NAME = "ai_usage.duckdb"


def open_warehouse(
    settings: Settings, *, read_only: bool = False, bigquery: BigQueryResource | None = None
) -> Warehouse:
    """The warehouse of the settings. The connection is made at the first operation.

    `read_only` creates nothing and gives up early when another process has the warehouse. Otherwise a file with the
    previous default name is renamed first. `bigquery` is Dagster's resource in a run.
    """
    # Each engine is imported when it is needed: its client takes time to load.
    if settings.warehouse == "bigquery":
        from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse

        return BigQueryWarehouse.from_settings(
            settings, resource=bigquery, **({"retry_seconds": 10} if read_only else {})
        )
    from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

    path = settings.duckdb_path
    if read_only:
        return DuckDBWarehouse(find_duckdb_file(path), settings.dataset, lock_wait_seconds=2, read_only=True)
    previous = find_duckdb_file(path)
    if previous != path and DuckDBWarehouse(previous, settings.dataset).rename_file(path):
        logger.warning("Renamed the warehouse %s to %s", previous, path.name)
    elif _has_previous(path):
        logger.warning("%s is ignored; the warehouse is %s", path.with_name(_PREVIOUS_NAME), path)
    return DuckDBWarehouse(path, settings.dataset)


def find_duckdb_file(path: Path) -> Path:
    """The file that exists: `path`, or the one with the previous default name next to it; `path` if there is none."""
    previous = path.with_name(_PREVIOUS_NAME)
    if not _has_previous(path) or path.exists() or path.is_symlink():
        return path
    if not previous.exists():
        raise WarehouseError(
            f"{previous} is a link to {previous.readlink()}, which does not exist. Restore the target or the link."
        )
    return previous


def _has_previous(path: Path) -> bool:
    previous = path.with_name(_PREVIOUS_NAME)
    return path.name == DEFAULT_DUCKDB_PATH.name and (previous.exists() or previous.is_symlink())
