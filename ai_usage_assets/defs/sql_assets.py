"""One Dagster asset per file under `sql/`; dependencies are read from the SQL.

Belongs here: turning a described table or view into an asset. Does not: SQL, columns, engines. Views exist from the
start of every run (see `definitions`), so a vendor that is down never hides the other's fresh data; their assets say
what a reader finds in them.
"""

from datetime import date

import dagster as dg

from ai_usage_assets import catalog
from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import QueryParameters, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_TABLES
from ai_usage_assets.warehouse.tables import Table

_OWNERS = {
    "staging": ["team:platform"],
    "curated": ["team:platform"],
    "kpi": ["team:finance", "team:platform"],
    "ops": ["team:platform"],
}


def model_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of every file under `sql/`."""
    return [_asset(table, partitions) for table in catalog.models()]


def parameters(settings: Settings, first: date | None = None, last: date | None = None) -> QueryParameters:
    """The parameters a query may use: @first_day, @today, and @start_day to @end_day where a run has days."""
    today = settings.now().date()
    return {
        "first_day": settings.start_date,
        "today": today,
        "start_day": first or settings.start_date,
        "end_day": last or today,
    }


def _asset(table: Table, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    daily = table.partition_by is not None

    @dg.asset(
        name=table.name,
        description=table.description,
        deps=_upstream(table),
        group_name=_group(table),
        kinds={"sql", "view" if table.is_view else "table"},
        owners=_OWNERS[table.layer],
        partitions_def=partitions if daily else None,
        backfill_policy=dg.BackfillPolicy.single_run() if daily else None,
        metadata={
            **table.ui_metadata(),
            "query": dg.MetadataValue.md(f"```sql\n{table.query}\n```"),
        },
        required_resource_keys=STEP_RESOURCES,
    )
    def run(context: dg.AssetExecutionContext) -> None:
        warehouse: Warehouse = context.resources.warehouse
        settings: Settings = context.resources.settings
        if table.is_view:
            # Only what it is made of: to count its rows each morning would be to read everything for nobody.
            context.add_asset_metadata({"dagster/column_schema": table.ui_schema(warehouse.column_types(table))})
            return
        if not daily:
            warehouse.rebuild(table, parameters(settings))
            count = warehouse.rows(f"SELECT COUNT(*) AS n FROM ai_usage.{table.name}")[0]["n"]
            context.add_asset_metadata({"dagster/row_count": count})
            context.log.info(f"{table.name}: {count:,} row{'s' * (count != 1)}")
            return
        days = [date.fromisoformat(key) for key in context.partition_keys]
        chosen = parameters(settings, days[0], days[-1])
        warehouse.rebuild(table, chosen)
        _report_days(context, table, warehouse.rows(_count_by_day(table), chosen), days)

    return run


def _group(table: Table) -> str:
    """Staging goes beside the raw tables it types, so that the graph shows a lane for each vendor."""
    if table.layer != "staging":
        return table.layer
    (read,) = table.reads
    vendor = next((pull.vendor for pull in catalog.EXTRACTS if read in {raw.name for raw in pull.tables}), "sheet")
    return f"staging_{vendor}"


def _upstream(table: Table) -> list[str]:
    """The assets a table is made from; the log of landed days is written by everything that lands.

    What else is remembered is no asset: no run makes it.
    """
    landed = [raw.name for raw in catalog.raw()] if OPS_ASSET_DAYS.name in table.reads else []
    return sorted({*table.reads} - {remembered.name for remembered in OPS_TABLES} | set(landed))


def _count_by_day(table: Table) -> str:
    amount = "SUM(amount_usd)" if "amount_usd" in table.column_names else "CAST(NULL AS NUMERIC)"
    return (
        f"SELECT {table.partition_by} AS day, COUNT(*) AS n, {amount} AS amount_usd FROM ai_usage.{table.name} "
        f"WHERE {table.partition_by} BETWEEN @start_day AND @end_day GROUP BY {table.partition_by}"
    )


def _report_days(
    context: dg.AssetExecutionContext, table: Table, counts: list[dict[str, object]], days: list[date]
) -> None:
    found = {row["day"]: row for row in counts}
    for day in days:
        row = found.get(day, {"n": 0, "amount_usd": None})
        metadata: dict[str, object] = {"dagster/partition_row_count": row["n"]}
        if row["amount_usd"] is not None:
            metadata["amount_usd"] = f"{row['amount_usd']:,.2f}"
        context.add_asset_metadata(metadata, partition_key=day.isoformat())
    total = sum(int(str(row["n"])) for row in counts)
    context.log.info(f"{table.name}: {len(days)} day{'s' * (len(days) != 1)}, {total:,} row{'s' * (total != 1)}")
