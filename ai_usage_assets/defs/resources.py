"""The resources that the steps of a run share.

The UI shows the configuration of a resource, so no configuration contains a secret. Secrets are in `Settings`, a plain
object without configuration. Nothing is opened before a run needs it. A secret is read at the first request, so that a
missing secret of one vendor does not stop the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ai_usage_assets.defs.run_recorder import RunRecorderResource
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.base import SourceClient
from ai_usage_assets.sources.keys import connect
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.factory import open_warehouse

# Every step requires the recorder too, so that none starts before the run is recorded.
STEP_RESOURCES = frozenset({"settings", "warehouse", "run_recorder"})


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """The warehouse, open for the length of a run."""

    settings: dg.ResourceDependency[Settings]
    # dagster-gcp's resource; None for DuckDB. Typed loosely because only BigQuery imports it, which takes two seconds.
    bigquery: dg.ResourceDependency[Any]

    def create_resource(self, context: dg.InitResourceContext) -> Warehouse:
        """Returns the warehouse of the settings; the connection is made at the first operation."""
        return open_warehouse(self.settings, bigquery=self.bigquery)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:
        """Yields the warehouse, and closes it at the end of the run."""
        warehouse = self.create_resource(context)
        try:
            yield warehouse
        finally:
            warehouse.close()


class SourceResource(dg.ConfigurableResource[SourceClient | None]):
    """The client of one vendor; None without a key."""

    source: str
    # The variable with the key, for the page of the resource in the UI.
    key_variable: str
    settings: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> SourceClient | None:
        """Returns the client; it sends no request and reads no secret before its first use."""
        return connect(self.source, self.settings)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[SourceClient | None]:
        """Yields the client, and closes its connections at the end of the run."""
        client = self.create_resource(context)
        try:
            yield client
        finally:
            if client is not None:
                client.close()


class SheetResource(dg.ConfigurableResource[MappingSheet | None]):
    """The mapping sheet; None without AI_USAGE_SHEET_ID."""

    settings: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> MappingSheet | None:
        """Returns the client of the sheet; it sends no request before its first use."""
        settings = self.settings
        sheet_id = settings.sheet_id
        return MappingSheet(sheet_id, settings.sheets_url, pacing=settings.pacing) if sheet_id else None


def build_resources(
    settings: Settings, warehouse_class: type[dg.ConfigurableResource[Warehouse]] = WarehouseResource
) -> dict[str, Any]:
    """Returns every resource by its key. Tests replace the resource of the warehouse with `warehouse_class`."""
    bigquery = None
    if settings.warehouse == "bigquery":
        # Takes two seconds to import.
        from ai_usage_assets.warehouse.bigquery_jobs import bigquery_resource

        bigquery = bigquery_resource(settings.project or "", settings.bigquery_emulator)
    # Configured at launch, because Dagster creates a second instance of a nested resource that is configured already.
    warehouse: Any = warehouse_class.configure_at_launch(settings=settings, bigquery=bigquery)
    return {
        "settings": settings,
        **({"bigquery": bigquery} if bigquery else {}),
        "warehouse": warehouse,
        "run_recorder": RunRecorderResource(settings=settings, warehouse=warehouse),
        **{
            entry.name: SourceResource(source=entry.name, key_variable=entry.key_variable, settings=settings)
            for entry in SOURCES
        },
        "sheet": SheetResource(settings=settings),
    }
