"""`ai-usage sql check`: checks that every file under `sql/` is valid GoogleSQL, and estimates what the models read."""

from __future__ import annotations

from rich.console import Console

from ai_usage_assets import catalog, days
from ai_usage_assets.defs.sql_assets import model_parameters
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.googlesql import UnsupportedSQL, to_duckdb
from ai_usage_assets.warehouse.sql_files import query_names, read_query
from ai_usage_assets.warehouse.tables import Table

# BigQuery bills at least this for a query of a table.
_MIN_BILLED_BYTES = 10 * 1024**2


def check_offline(console: Console) -> int:
    """Checks that every model and query is GoogleSQL that both engines evaluate alike. Returns 1 if one is not."""
    statements = {table.name: table.query or "" for table in catalog.models()}
    statements |= {f"queries/{name}": read_query(name) for name in query_names()}
    errors = []
    with console.status("Reading every file under sql/ ..."):
        for name, sql in statements.items():
            try:
                to_duckdb(sql)
            except UnsupportedSQL as error:
                errors.append(f"{name}: {error}")
    for line in errors:
        console.print(f"[bold red]✗[/] {line}", highlight=False)
    valid = len(statements) - len(errors)
    console.print(
        f"{valid} of {len(statements)} SQL files are valid GoogleSQL. `--real` validates the models in BigQuery.",
        highlight=False,
    )
    return int(bool(errors))


def check_in_bigquery(settings: Settings, console: Console) -> int:
    """Dry-runs each model in BigQuery with the parameters of a run of yesterday. Returns 1 if one fails."""
    warehouse = BigQueryWarehouse.from_settings(settings)
    yesterday = days.last_finished_day(settings.now())
    values = model_parameters(settings, yesterday, yesterday)
    # Fails here, once, when nothing can be queried at all.
    warehouse.schema_conflicts([])
    console.print(f"Dry runs in {warehouse}, for {yesterday}:", highlight=False)
    total = failed = 0
    for table in catalog.models():
        try:
            size = warehouse.estimate_bytes(_select(table), values)
        except WarehouseError as error:
            failed += 1
            console.print(f"[bold red]✗[/] {table.name}: {error}", highlight=False)
            continue
        total += size
        console.print(f"{table.name:<36} {size / 1024**2:>12,.1f} MiB", highlight=False)
    valid = len(catalog.models()) - failed
    console.print(
        f"{valid} of {len(catalog.models())} are valid. They would read {total / 1024**2:,.1f} MiB; BigQuery bills at "
        f"least 10 MiB a query, {valid * _MIN_BILLED_BYTES / 1024**2:,.0f} MiB in all.",
        highlight=False,
    )
    return int(bool(failed))


def _select(table: Table) -> str:
    """A query that reads what the model reads."""
    if not table.is_view:
        return table.query or ""
    day = next((name for name in ("usage_date", "snapshot_date") if name in table.column_names), None)
    return f"SELECT * FROM ai_usage.{table.name}" + (f" WHERE {day} = @end_day" if day else "")
