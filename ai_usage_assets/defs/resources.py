"""What the steps of a run share: the settings, a client per vendor, and the warehouse with its record of the run.

Belongs here: making and ending them. Does not: using them. A vendor without a key is None, and no secret is read before
the first request: one vendor's missing secret must not stop the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRun

from ai_usage_assets import catalog
from ai_usage_assets.finance import digest
from ai_usage_assets.logs.run_events import is_interrupt
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import CloudRun, Settings
from ai_usage_assets.sources.keys import connect
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.factory import open_warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_RUNS

_NOT_IN_CLOUD_RUN = CloudRun()
# What is done with the warehouse and a run's row when it is over, and whom to tell of it.
Afterwards = Callable[[Warehouse, Row, Callable[..., None]], None]
_ENDS = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_SKIPPED}


def resources(settings: Settings) -> dict[str, Any]:
    """Every resource by its name."""
    return {
        "settings": settings,
        "warehouse": warehouse_of_run(
            lambda: open_warehouse(settings),
            settings.cloud_run,
            lambda warehouse, row, log: digest.publish_digest(warehouse, settings, row, log),
        ),
        **{entry.name: connect(entry.name, settings) for entry in SOURCES},
        "sheet": _sheet(settings),
    }


def _sheet(settings: Settings) -> MappingSheet | None:
    sheet_id = settings.sheet_id
    return MappingSheet(sheet_id, settings.sheets_url, pacing=settings.pacing) if sheet_id else None


def warehouse_of_run(
    opening: Callable[[], Warehouse], cloud_run: CloudRun = _NOT_IN_CLOUD_RUN, afterwards: Afterwards | None = None
) -> dg.ResourceDefinition:
    """The warehouse for the length of a run, which is noted in it; `afterwards` gets the finished row."""

    @dg.resource(description="The warehouse, with every table and view in place before the first step runs.")
    def warehouse(context: dg.InitResourceContext) -> Iterator[Warehouse]:
        opened = opening()
        opened.prepare(catalog.tables())
        run = context.run
        # Dagster makes the resources once more when a run is over, to show its results.
        if run is None or opened.rows("SELECT run_id FROM ai_usage.ops_runs WHERE run_id = @id", {"id": run.run_id}):
            yield opened
            opened.close()
            return
        row = run_log.start_run(run, cloud_run)
        # Before the sign that it is at work, and before anybody else is let in: killed in between, it leaves no sign.
        opened.upsert(OPS_RUNS, ("run_id",), [*run_log.find_killed_runs(opened), row])
        with opened.run_lock(run.run_id):
            try:
                yield opened
            finally:
                outcome = "failed" if context.instance is None else _outcome(context.instance, run)
                row = run_log.finish_run(opened, row, outcome)
                opened.upsert(OPS_RUNS, ("run_id",), [row])
                if afterwards and context.log:
                    afterwards(opened, row, context.log.log)
                opened.close()

    return warehouse


def _outcome(instance: dg.DagsterInstance, run: DagsterRun) -> str:
    failures = [
        entry.dagster_event
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        if entry.dagster_event
    ]
    if any(map(is_interrupt, failures)):
        return "interrupted"
    if failures:
        return "failed"
    return "success" if _has_gone_through(instance, run) else "interrupted"


def _has_gone_through(instance: dg.DagsterInstance, run: DagsterRun) -> bool:
    """Whether every step that was planned has come to its end: between two of them, an interrupt fails none."""
    if run.execution_plan_snapshot_id is None:
        return True
    planned = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute
    ended = {entry.step_key for entry in instance.all_logs(run.run_id, of_type=_ENDS)}
    return ended >= set(planned)
