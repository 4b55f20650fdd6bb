"""The resources that the steps of a run share.

The client of a source without a key is None. Secrets are read at the first request, so that a missing secret of one
vendor does not stop the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from ai_usage_assets.defs.run_recorder import run_recorder
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.keys import connect
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.factory import open_warehouse

# Every step requires the recorder too, so that none starts before the run is recorded.
STEP_RESOURCES = frozenset({"settings", "warehouse", "run_recorder"})


def build_resources(settings: Settings) -> dict[str, Any]:
    """Every resource by its key."""
    return {
        "settings": settings,
        "warehouse": warehouse_resource(lambda: open_warehouse(settings)),
        "run_recorder": run_recorder(settings),
        **{entry.name: connect(entry.name, settings) for entry in SOURCES},
        "sheet": _connect_sheet(settings),
    }


def _connect_sheet(settings: Settings) -> MappingSheet | None:
    sheet_id = settings.sheet_id
    return MappingSheet(sheet_id, settings.sheets_url, pacing=settings.pacing) if sheet_id else None


def warehouse_resource(open_: Callable[[], Warehouse]) -> dg.ResourceDefinition:
    """The warehouse, open for the length of a run."""

    @dg.resource(description="The warehouse.")
    def warehouse(_: dg.InitResourceContext) -> Iterator[Warehouse]:
        opened = open_()
        try:
            yield opened
        finally:
            opened.close()

    return warehouse
