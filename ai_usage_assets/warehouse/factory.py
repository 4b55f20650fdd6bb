"""Opens the warehouse that the settings name."""

from __future__ import annotations

import logging
from pathlib import Path

from ai_usage_assets.settings import DEFAULT_DUCKDB_PATH, Settings
from ai_usage_assets.warehouse.base import Warehouse

logger = logging.getLogger(__name__)

# The default before DEFAULT_DUCKDB_PATH.
_PREVIOUS_DEFAULT_PATH = DEFAULT_DUCKDB_PATH.with_name("ai_usage.duckdb")


def open_warehouse(settings: Settings, *, read_only: bool = False) -> Warehouse:
    """The warehouse of the settings. The connection is made at the first operation.

    `read_only` creates nothing and gives up early when another process has the warehouse.
    """
    # Each engine is imported when it is needed: its client takes time to load.
    if settings.warehouse == "bigquery":
        from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse

        return BigQueryWarehouse.from_settings(settings, **({"retry_seconds": 10} if read_only else {}))
    from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

    if read_only:
        return DuckDBWarehouse(settings.duckdb_path, settings.dataset, lock_wait_seconds=2, read_only=True)
    _rename_previous_default(settings.duckdb_path, settings.dataset)
    return DuckDBWarehouse(settings.duckdb_path, settings.dataset)


def _rename_previous_default(path: Path, dataset: str) -> None:
    if path != DEFAULT_DUCKDB_PATH or path.exists() or not _PREVIOUS_DEFAULT_PATH.exists():
        return
    from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

    DuckDBWarehouse(_PREVIOUS_DEFAULT_PATH, dataset).rename_file(path)
    logger.warning(
        "Renamed the warehouse %s to %s, the new default of AI_USAGE_DUCKDB_PATH", _PREVIOUS_DEFAULT_PATH, path
    )
