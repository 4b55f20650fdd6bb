"""Tests the warehouse and the Dagster home: access, schema and disk space. Writes nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ai_usage_assets.commands.diagnostics import Diagnostic, error_diagnostic
from ai_usage_assets.commands.launch import dagster_home
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import Warehouse, WarehouseBusyError, WarehouseError
from ai_usage_assets.warehouse.factory import find_duckdb_file, open_warehouse
from ai_usage_assets.warehouse.sql_files import read_query

_SECTION = "Warehouse"
_MIN_FREE_BYTES = 2 * 1024**3
_WRITE_ADVICE = "Allow this account to write there, or set another path in"


def diagnose_warehouse(settings: Settings) -> Iterator[Diagnostic]:
    """Tests the warehouse of the settings."""
    if settings.warehouse == "bigquery":
        yield from _diagnose_bigquery(settings)
    else:
        yield from _diagnose_duckdb(settings)


def diagnose_dagster_home(settings: Settings) -> Diagnostic:
    """Tests the folder of Dagster's run history."""
    return _diagnose_folder("Dagster", "home", dagster_home(settings).absolute(), "DAGSTER_HOME")


def _diagnose_bigquery(settings: Settings) -> Iterator[Diagnostic]:
    from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse

    content = list(_diagnose_content(settings, "dataset", settings.warehouse_location))
    yield from content
    if any(diagnostic.outcome == "error" for diagnostic in content):
        return
    try:
        # A dry run checks the permission to change rows and changes nothing.
        warehouse = BigQueryWarehouse.from_settings(settings, retry_seconds=10)
        warehouse.estimate_bytes("DELETE FROM ai_usage.ops_runs WHERE run_id = @run_id", {"run_id": ""})
    except WarehouseError as error:
        if "Not found" in str(error):
            yield Diagnostic(
                _SECTION, "permissions", "info", "the permission to change rows cannot be tested before the first run"
            )
        else:
            yield error_diagnostic(_SECTION, "permissions", str(error))
    else:
        yield Diagnostic(_SECTION, "permissions", "ok", "this account may start jobs and change rows")


def _diagnose_duckdb(settings: Settings) -> Iterator[Diagnostic]:
    path = find_duckdb_file(settings.duckdb_path.absolute())
    yield _diagnose_folder(_SECTION, "folder", path.parent, "AI_USAGE_DUCKDB_PATH")
    advice = f"{_WRITE_ADVICE} AI_USAGE_DUCKDB_PATH."
    try:
        free = shutil.disk_usage(_nearest_existing(path.parent)).free
        size = path.stat().st_size if path.exists() else 0
    except OSError as error:
        yield Diagnostic(_SECTION, "file", "error", f"{path} is not readable: {error.strerror}", advice)
        return
    # Rewriting every table may need as much space as the file has.
    enough = free > max(size, _MIN_FREE_BYTES)
    yield Diagnostic(
        _SECTION,
        "space",
        "ok" if enough else "warning",
        f"{free / 1024**3:,.1f} GiB free",
        "" if enough else "Free disk space before it runs out.",
    )
    if path.is_dir():
        yield Diagnostic(_SECTION, "file", "error", f"{path} is a folder", "Set a file in AI_USAGE_DUCKDB_PATH.")
        return
    if not path.exists():
        yield Diagnostic(_SECTION, "file", "info", f"{path.name} does not exist yet; the first run creates it")
        return
    try:
        # Opening for writing tests the permission without writing.
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        yield Diagnostic(_SECTION, "file", "error", f"{path.name} is not writable: {error.strerror}", advice)
        return
    yield from _diagnose_content(settings, "file", f"{path.name}, {size / 1024**2:,.0f} MiB")


def _diagnose_content(settings: Settings, subject: str, name: str) -> Iterator[Diagnostic]:
    warehouse = open_warehouse(settings, read_only=True)
    try:
        yield from _diagnose_tables(warehouse, settings, subject, name)
    except WarehouseBusyError:
        message = f"{name}: in use by another process"
        advice = "Wait until it ends, or close the program that has the file open. A run waits for a minute."
        yield Diagnostic(_SECTION, subject, "error", message, advice)
    except WarehouseError as error:
        yield error_diagnostic(_SECTION, subject, str(error))
    finally:
        warehouse.close()


def _diagnose_tables(warehouse: Warehouse, settings: Settings, subject: str, name: str) -> Iterator[Diagnostic]:
    from ai_usage_assets import catalog

    conflicts = warehouse.schema_conflicts(catalog.tables())
    access = "readable and writable" if subject == "file" else "readable"
    yield Diagnostic(_SECTION, subject, "ok", f"{name}: {access}")
    if conflicts is None:
        yield Diagnostic(_SECTION, "tables", "info", f"none in {settings.dataset} yet; the first run creates them")
        return
    for conflict in conflicts:
        yield error_diagnostic(_SECTION, "tables", conflict)
    if conflicts:
        return
    yield Diagnostic(_SECTION, "tables", "ok", "match this version, or the next run migrates them")
    loaded = warehouse.rows(read_query("commands/loaded_days"))
    for row in loaded:
        days = f"{format_count(row['days'], 'day')} of {source_label(row['vendor'])} loaded"
        yield Diagnostic(_SECTION, "days", "ok", f"{days}, {row['first_day']} to {row['last_day']}")
    if not loaded:
        yield Diagnostic(_SECTION, "days", "info", "none loaded yet: `ai-usage run`")
    for run in warehouse.rows("SELECT outcome, started_at FROM ai_usage.ops_runs ORDER BY started_at DESC LIMIT 1"):
        message = f"{run['outcome']}, started {run['started_at']:%Y-%m-%d %H:%M} UTC"
        if run["outcome"] == "success":
            yield Diagnostic(_SECTION, "last run", "ok", message)
        else:
            advice = "`ai-usage status` shows the reason."
            yield Diagnostic(_SECTION, "last run", "warning", message, advice)


def _diagnose_folder(section: str, subject: str, folder: Path, variable: str) -> Diagnostic:
    try:
        existing = _nearest_existing(folder)
        if not existing.is_dir():
            message = f"{existing} is a file, not a folder"
            return Diagnostic(section, subject, "error", message, f"Set another path in {variable}.")
        # On Linux the file has no name, so nothing can be left behind.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        message = f"{folder} is not writable: {error.strerror}"
        return Diagnostic(section, subject, "error", message, f"{_WRITE_ADVICE} {variable}.")
    state = "is writable" if existing == folder else "does not exist yet and can be created"
    return Diagnostic(section, subject, "ok", f"{folder} {state}")


def _nearest_existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
