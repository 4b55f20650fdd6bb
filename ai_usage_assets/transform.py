"""Builds the stored models from the loaded data, and keeps the failure of one model from stopping the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from datetime import date
from graphlib import TopologicalSorter

from ai_usage_assets import catalog
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import PreparedSchema, QueryParameters, Warehouse, WarehouseError
from ai_usage_assets.warehouse.tables import Table


@dataclass(frozen=True)
class BuildResult:
    """The outcome of one model: the number of written rows if it is known, or why it keeps its earlier rows."""

    table: Table
    rows: int | None = None
    error: str | None = None


def model_parameters(settings: Settings, first: date | None = None, last: date | None = None) -> QueryParameters:
    """The parameters of a model: @first_day of the warehouse, @today, and @start_day to @end_day of the run."""
    today = settings.now().date()
    return {
        "first_day": settings.start_date,
        "today": today,
        "start_day": first or settings.start_date,
        "end_day": last or today,
    }


def prepare_warehouse(warehouse: Warehouse, settings: Settings) -> PreparedSchema:
    """Creates and migrates all tables and views. Raises WarehouseError.

    A table that replaces a view of an earlier version is filled at once: readers must not wait for the extracts.
    """
    prepared = warehouse.prepare(catalog.tables())
    if prepared.replaced_views:
        shared = [model for model in catalog.models() if not model.is_view and model.source is None]
        # The run builds them again; then a failure is reported.
        build_models(warehouse, shared, model_parameters(settings))
    return prepared


def build_models(
    warehouse: Warehouse,
    models: Collection[Table],
    parameters: QueryParameters,
    blocked: Mapping[str, str] | None = None,
) -> list[BuildResult]:
    """Rebuilds models, each after those that it reads, and as many at once as the warehouse executes side by side.

    `blocked` has the reason for each raw table whose records must not be published. A model that reads such a table,
    or a model that could not be built, keeps its earlier rows.
    """
    by_name = {model.name: model for model in models}
    reads = {name: catalog.stored_reads(model) for name, model in by_name.items()}
    order = TopologicalSorter({name: tables & by_name.keys() for name, tables in reads.items()})
    order.prepare()
    results: dict[str, BuildResult] = {}
    running: dict[Future[int], str] = {}
    with ThreadPoolExecutor(warehouse.parallel_statements) as pool:
        while order.is_active():
            for name in order.get_ready():
                if reason := _find_obstacle(reads[name], results, blocked or {}):
                    results[name] = BuildResult(by_name[name], error=reason)
                    order.done(name)
                else:
                    # With the labels of this thread.
                    rebuild = copy_context().run
                    running[pool.submit(rebuild, warehouse.rebuild, by_name[name], parameters)] = name
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                name = running.pop(future)
                results[name] = _read_result(by_name[name], future)
                order.done(name)
    return [results[name] for name in by_name]


def _find_obstacle(
    reads: Collection[str], results: Mapping[str, BuildResult], blocked: Mapping[str, str]
) -> str | None:
    """Why a model that reads these tables must not be built; None if it may."""
    for name in sorted(reads):
        if name in blocked:
            return blocked[name]
        if name in results and results[name].error:
            return f"{name} was not built"
    return None


def _read_result(model: Table, future: Future[int]) -> BuildResult:
    try:
        return BuildResult(model, rows=future.result())
    except WarehouseError as error:
        return BuildResult(model, error=str(error))


def describe_build_failure(results: Sequence[BuildResult]) -> str | None:
    """Which models were not built, and why; None if all were."""
    failed = [result for result in results if result.error]
    if not failed:
        return None
    reasons = "; ".join(f"{result.table.name}: {result.error}" for result in failed)
    return f"{len(failed)} of {len(results)} models were not built and keep their earlier rows. {reasons}"
