"""`ai-usage sql check`: whether every statement under `sql/` can be run, and what it would read.

Belongs here: going through the statements and telling a person. Does not: what is held (checks of a run), or how an
engine is asked.
"""

from __future__ import annotations

from rich.console import Console

from ai_usage_assets import catalog, days
from ai_usage_assets.defs.sql_assets import parameters
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.googlesql import UnsupportedSQL, to_duckdb
from ai_usage_assets.warehouse.tables import Table

# What BigQuery bills for a query of a table at the least, however small the table is.
_LEAST_BYTES = 10 * 1024**2


def offline(console: Console) -> int:
    """Whether every file keeps to the project's GoogleSQL, which both engines understand alike."""
    wrong = []
    with console.status("Reading every file under sql/ ..."):
        for table in catalog.models():
            try:
                to_duckdb(table.query or "")
            except UnsupportedSQL as error:
                wrong.append(f"{table.name}: {error}")
    for line in wrong:
        console.print(f"[bold red]✗[/] {line}", highlight=False)
    count = len(catalog.models())
    console.print(f"{count - len(wrong)} of {count} files keep to the subset. `--real` asks BigQuery.", highlight=False)
    return int(bool(wrong))


def real(settings: Settings, console: Console) -> int:
    """A dry run of each statement as a run of yesterday would send it: 0 when BigQuery takes all of them."""
    warehouse = BigQueryWarehouse.from_settings(settings)
    yesterday = days.last_finished_day(settings.now())
    chosen = parameters(settings, yesterday, yesterday)
    # What fails for all statements is told once.
    warehouse.schema_conflicts([])
    console.print(f"Dry runs in {warehouse}, for {yesterday}:", highlight=False)
    total = failed = 0
    for table in catalog.models():
        try:
            size = warehouse.estimate_bytes(_read(table), chosen)
        except WarehouseError as error:
            failed += 1
            console.print(f"[bold red]✗[/] {table.name}: {error}", highlight=False)
            continue
        total += size
        console.print(f"{table.name:<36} {size / 1024**2:>12,.1f} MiB", highlight=False)
    taken = len(catalog.models()) - failed
    billed = taken * _LEAST_BYTES
    console.print(
        f"{taken} of {len(catalog.models())} are taken. They would read "
        f"{total / 1024**2:,.1f} MiB; 10 MiB a query are billed at the least, {billed / 1024**2:,.0f} MiB in all.",
        highlight=False,
    )
    return int(bool(failed))


def _read(table: Table) -> str:
    """What the statement reads, without what it writes."""
    if not table.is_view:
        return table.query or ""
    by_day = next((name for name in ("usage_date", "snapshot_date") if name in table.column_names), None)
    return f"SELECT * FROM ai_usage.{table.name}" + (f" WHERE {by_day} = @end_day" if by_day else "")
