"""`ai-usage sql check`: validates every file under `sql/`, and estimates what the models read in BigQuery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from ai_usage_assets import catalog, days
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import Settings
from ai_usage_assets.transform import model_parameters
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.googlesql import UnsupportedSQL, parse, tables_read
from ai_usage_assets.warehouse.query_complexity import describe_complexity
from ai_usage_assets.warehouse.sql_files import (
    SchemaError,
    query_names,
    read_query,
    read_table,
    sort_tables,
    table_paths,
)
from ai_usage_assets.warehouse.tables import Table

# BigQuery bills at least this for a query of a table.
_MIN_BILLED_BYTES = 10 * 1024**2


def check_offline(console: Console, folder: Path | None = None) -> int:
    """Checks that every file is GoogleSQL that both engines evaluate alike, and every name and type in an empty DuckDB.

    `folder` replaces `sql/`. Returns 1 if a file is invalid.
    """
    names = [path.stem for path in table_paths(folder)] + [f"queries/{name}" for name in query_names(folder)]
    with console.status("Reading every file under sql/ ..."):
        errors, unchecked = _find_errors(folder)
    for line in errors:
        console.print(Text.assemble(("✗ ", "bold red"), line))
    if unchecked:
        verb = "reads one of these and was" if len(unchecked) == 1 else "read one of these and were"
        console.print(f"{format_count(len(unchecked), 'file')} {verb} not checked.", highlight=False)
    valid = len(names) - len(errors) - len(unchecked)
    console.print(
        f"{valid} of {len(names)} SQL files are valid: GoogleSQL that DuckDB evaluates too, with known tables and "
        "columns. `--real` validates the models in BigQuery.",
        highlight=False,
    )
    return int(bool(errors))


def _find_errors(folder: Path | None) -> tuple[list[str], list[str]]:
    """One line per invalid file, and the names of the files that could not be checked because they read one."""
    errors: list[str] = []
    invalid: set[str] = set()
    unchecked: list[str] = []
    tables: list[Table] = []
    for path in table_paths(folder):
        try:
            tables.append(read_table(path))
        except SchemaError as error:
            errors.append(str(error))
            invalid.add(path.stem)
    queries = {f"queries/{name}": read_query(name, folder) for name in query_names(folder)}
    with TemporaryDirectory(prefix="ai-usage-sql-") as temporary:
        warehouse = DuckDBWarehouse(Path(temporary) / "empty.duckdb")
        warehouse.prepare(catalog.raw_tables())

        def validate(name: str, reads: Iterable[str], check: Callable[[], None]) -> None:
            if not invalid.isdisjoint(reads):
                invalid.add(name)
                unchecked.append(name)
                return
            try:
                check()
            except (UnsupportedSQL, WarehouseError) as error:
                errors.append(f"{name}: {error}")
                invalid.add(name)

        ordered = sort_tables(tables)
        # Together is several times faster; one by one names each invalid table.
        prepared = _prepare_all(warehouse, ordered)
        for table in ordered:
            validate(table.name, table.reads, partial(_validate_table, warehouse, table, prepared))
        for name, sql in queries.items():
            validate(name, _tables_read(sql), partial(warehouse.validate, sql))
        by_name = {table.name: table for table in ordered}
        statements = {table.name: table.query for table in ordered if table.query} | queries
        for name, sql in statements.items():
            if name not in invalid and (problem := describe_complexity(sql, by_name)):
                errors.append(f"{name}: {problem}")
        warehouse.close()
    return errors, unchecked


def _prepare_all(warehouse: DuckDBWarehouse, tables: Sequence[Table]) -> bool:
    """Creates all tables and views, or none if one of them is invalid."""
    try:
        return not warehouse.prepare(tables).failed_views
    except (UnsupportedSQL, WarehouseError):
        return False


def _validate_table(warehouse: DuckDBWarehouse, table: Table, prepared: bool) -> None:
    """Checks the table's query and types, creating it if needed. Raises UnsupportedSQL or WarehouseError."""
    # Creating a view has checked its query.
    if table.query and not (prepared and table.is_view):
        warehouse.validate(table.query)
    if not prepared:
        warehouse.prepare([table])
    if table.query:
        warehouse.check_types(table, dict.fromkeys(("first_day", "today", "start_day", "end_day"), date(2026, 1, 1)))


def _tables_read(sql: str) -> Iterable[str]:
    try:
        return tables_read(parse(sql))
    except UnsupportedSQL:
        return ()


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
