"""One Dagster asset per model under `sql/`, with the dependencies that its SQL reads.

The views are created before the first step of a run, so that a failing vendor does not hide the data of the other.
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from ai_usage_assets import catalog
from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import QueryParameters, Row, Warehouse
from ai_usage_assets.warehouse.column_lineage import read_lineage
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_TABLES
from ai_usage_assets.warehouse.tables import Table

_OWNERS = {
    "staging": ["team:platform"],
    "curated": ["team:platform"],
    "kpi": ["team:finance", "team:platform"],
    "ops": ["team:platform"],
}


def build_sql_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Returns the asset of every model."""
    return [_build_asset(table, partitions) for table in catalog.models()]


def model_parameters(settings: Settings, first: date | None = None, last: date | None = None) -> QueryParameters:
    """The parameters of a model: @first_day of the warehouse, @today, and @start_day to @end_day of the run."""
    today = settings.now().date()
    return {
        "first_day": settings.start_date,
        "today": today,
        "start_day": first or settings.start_date,
        "end_day": last or today,
    }


def _build_asset(table: Table, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    is_daily = table.partition_by is not None

    @dg.asset(
        name=table.name,
        description=table.description,
        deps=_upstream(table),
        group_name=_group(table),
        kinds={"sql", "view" if table.is_view else "table"},
        owners=_OWNERS[table.layer],
        partitions_def=partitions if is_daily else None,
        backfill_policy=dg.BackfillPolicy.single_run() if is_daily else None,
        code_version=table.code_version,
        metadata={
            **table.ui_metadata(),
            **_lineage(table),
            "query": dg.MetadataValue.md(f"```sql\n{table.query}\n```"),
        },
        required_resource_keys=STEP_RESOURCES,
    )
    def build(context: dg.AssetExecutionContext) -> None:
        warehouse: Warehouse = context.resources.warehouse
        settings: Settings = context.resources.settings
        if table.is_view:
            # The schema only: counting the rows of a view would evaluate it in every run.
            context.add_asset_metadata({"dagster/column_schema": table.ui_schema(warehouse.column_types(table))})
        elif is_daily:
            days = [date.fromisoformat(key) for key in context.partition_keys]
            run_parameters = model_parameters(settings, days[0], days[-1])
            warehouse.rebuild(table, run_parameters)
            _report_days(context, table, warehouse.rows(_count_by_day(table), run_parameters), days)
        else:
            warehouse.rebuild(table, model_parameters(settings))
            count = warehouse.rows(f"SELECT COUNT(*) AS n FROM ai_usage.{table.name}")[0]["n"]
            context.add_asset_metadata({"dagster/row_count": count})
            context.log.info(f"{table.name}: {format_count(count, 'row')}")

    return build


def _group(table: Table) -> str:
    """The asset group: the layer, and for staging models the source, next to its raw tables."""
    if table.layer != "staging":
        return table.layer
    (raw_name,) = table.reads
    extracts = (extract for extract in catalog.EXTRACTS if raw_name in {raw.name for raw in extract.tables})
    extract = next(extracts, None)
    return f"staging_{extract.vendor if extract else 'sheet'}"


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


def _count_by_day(table: Table) -> str:
    amount = "SUM(amount_usd)" if "amount_usd" in table.column_names else "CAST(NULL AS NUMERIC)"
    return (
        f"SELECT {table.partition_by} AS day, COUNT(*) AS n, {amount} AS amount_usd FROM ai_usage.{table.name} "
        f"WHERE {table.partition_by} BETWEEN @start_day AND @end_day GROUP BY {table.partition_by}"
    )


def _report_days(context: dg.AssetExecutionContext, table: Table, rows: list[Row], days: Sequence[date]) -> None:
    """Attaches the row count and the dollars of each day to the asset."""
    by_day = {row["day"]: row for row in rows}
    for day in days:
        row = by_day.get(day, {"n": 0, "amount_usd": None})
        metadata: dict[str, object] = {"dagster/partition_row_count": row["n"]}
        if row["amount_usd"] is not None:
            metadata["amount_usd"] = f"{row['amount_usd']:,.2f}"
        context.add_asset_metadata(metadata, partition_key=day.isoformat())
    total = sum(row["n"] for row in rows)
    context.log.info(f"{table.name}: {format_count(len(days), 'day')}, {format_count(total, 'row')}")
