"""Opens the warehouse that the settings name."""

from __future__ import annotations

from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import Warehouse


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
    return DuckDBWarehouse(settings.duckdb_path, settings.dataset)
