"""One Dagster asset per model under `sql/`, with the dependencies that its SQL reads, built by a few steps.

The stored models of a source are one step, those that all sources share another, and those that read no table a third.
Views are created before the first step of a run; a step of their own reports the new and changed ones.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from ai_usage_assets import catalog, days
from ai_usage_assets.checks.results import find_failed_blocking_checks
from ai_usage_assets.defs.stages import Stage, build_step
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import Settings
from ai_usage_assets.transform import build_models, describe_build_failure, model_parameters
from ai_usage_assets.warehouse.base import PreparedSchema, Warehouse
from ai_usage_assets.warehouse.column_lineage import read_lineage
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_TABLES
from ai_usage_assets.warehouse.tables import Table

_OWNERS = {
    "staging": ["team:platform"],
    "curated": ["team:platform"],
    "kpi": ["team:finance", "team:platform"],
    "ops": ["team:platform"],
}


_VIEWS = (Stage.DESCRIBE_VIEWS, "views")
# Models that read no table. Checks of records need them.
_REFERENCE_MODELS = (Stage.BUILD_REFERENCE_MODELS, "reference_models")


def build_sql_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Returns the assets of every model."""
    steps: dict[tuple[Stage, str], list[Table]] = {}
    for table in catalog.models():
        steps.setdefault(_step_of(table), []).append(table)
    views = steps.pop(_VIEWS)
    return [
        *(_build_models_step(stage, name, models, partitions) for (stage, name), models in steps.items()),
        _build_views_step(views),
    ]


def _step_of(table: Table) -> tuple[Stage, str]:
    """The step that builds a model: its stage and its name."""
    if table.is_view:
        return _VIEWS
    if table.source:
        return Stage.BUILD_SOURCE_MODELS, f"{table.source}_models"
    return (Stage.BUILD_SHARED_MODELS, "shared_models") if table.reads else _REFERENCE_MODELS


def _build_models_step(
    stage: Stage, name: str, models: Sequence[Table], partitions: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    def run(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        warehouse: Warehouse = context.resources.warehouse
        settings: Settings = context.resources.settings
        run_days = days.range_from_tags(context.run.tags)
        parameters = model_parameters(settings, *((run_days.first, run_days.last) if run_days else ()))
        selected = [model for model in models if model.name in context.selected_output_names]
        # Models that all sources share are built from what is published, so no check of raw records blocks them.
        is_of_source = stage == Stage.BUILD_SOURCE_MODELS
        blocked = find_failed_blocking_checks(warehouse, context.run.run_id) if is_of_source else {}
        results = build_models(warehouse, selected, parameters, blocked)
        for result in results:
            if result.error is None:
                metadata = {} if result.rows is None else {"rows_written": result.rows}
                yield dg.Output(None, result.table.name, metadata=metadata)
        context.log.info(f"{name}: {format_count(sum(r.error is None for r in results), 'model')} built")
        if failure := describe_build_failure(results):
            raise dg.Failure(description=failure, allow_retries=False)

    return build_step(
        stage,
        name,
        run,
        specs=[_build_spec(model, partitions if model.partition_by == "usage_date" else None) for model in models],
    )


def _build_views_step(views: Sequence[Table]) -> dg.AssetsDefinition:
    def run(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        warehouse: Warehouse = context.resources.warehouse
        prepared: PreparedSchema = context.resources.run_recorder
        selected = [view for view in views if view.name in context.selected_output_names]
        # Selected one by one in the UI, a view is reported even if it is unchanged.
        is_chosen = len(selected) < len(views)
        for view in selected:
            if (view.name in prepared.changed_views or is_chosen) and view.name not in prepared.failed_views:
                schema = view.ui_schema(warehouse.column_types(view))
                yield dg.Output(None, view.name, metadata={"dagster/column_schema": schema})
        names = {view.name for view in selected}
        if failed := {name: reason for name, reason in prepared.failed_views.items() if name in names}:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
            count = format_count(len(failed), "view")
            raise dg.Failure(description=f"{count} could not be created or replaced. {reasons}", allow_retries=False)

    return build_step(*_VIEWS, run, specs=[_build_spec(view, None) for view in views])


def _build_spec(table: Table, partitions: dg.PartitionsDefinition | None) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=table.description,
        deps=_upstream(table),
        group_name=f"{table.layer}_{_source_group(table)}" if table.layer == "staging" else table.layer,
        kinds={"sql", "view" if table.is_view else "table"},
        owners=_OWNERS[table.layer],
        partitions_def=partitions,
        code_version=table.code_version,
        metadata={
            **table.ui_metadata(),
            **_lineage(table),
            "query": dg.MetadataValue.md(f"```sql\n{table.query}\n```"),
        },
    )


def _source_group(table: Table) -> str:
    """The end of the group's name, which staging models and their raw tables share."""
    return table.source if table.source in {extract.vendor for extract in catalog.EXTRACTS} else "sheet"


def _lineage(table: Table) -> dict[str, dg.TableColumnLineage]:
    """The metadata `dagster/column_lineage`: the columns that each column is computed from."""
    columns = read_lineage(table)
    if not columns:
        return {}
    assets = {*_upstream(table)}
    deps = {
        name: [dg.TableColumnDep(source, column) for source, column in sources if source in assets]
        for name, sources in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=deps)}


def _upstream(table: Table) -> list[str]:
    """The assets that a model depends on. Every raw asset writes the day log; other ops tables are no assets."""
    raw_names = [raw.name for raw in catalog.raw_tables()] if OPS_ASSET_DAYS.name in table.reads else []
    return sorted({*table.reads, *raw_names} - {ops_table.name for ops_table in OPS_TABLES})
