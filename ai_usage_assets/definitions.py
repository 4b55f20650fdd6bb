"""The Dagster code location: every asset, check, job, schedule and resource.

Importing this module reads the settings and changes nothing else in the process.
"""

from __future__ import annotations

import warnings

import dagster as dg

from ai_usage_assets import catalog
from ai_usage_assets.defs.asset_checks import build_asset_checks
from ai_usage_assets.defs.raw_assets import build_raw_assets
from ai_usage_assets.defs.report_asset import build_report_asset
from ai_usage_assets.defs.resources import build_resources
from ai_usage_assets.defs.schedule import build_schedule
from ai_usage_assets.defs.sheet_asset import mapping_sheet
from ai_usage_assets.defs.sql_assets import build_sql_assets
from ai_usage_assets.logs.run_logger import run_logger
from ai_usage_assets.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """The definitions for these settings."""
    partitions = dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        # Without it the last partition follows the real clock.
        end_date=settings.now().date().isoformat() if settings.fixed_now else None,
        timezone="UTC",
    )
    raw_tables = [table.name for table in catalog.raw_tables()]
    with warnings.catch_warnings():
        # Single-run backfills load a range of days in one run. Dagster warns for each asset that they are in beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [*build_raw_assets(partitions), mapping_sheet, *build_sql_assets(partitions), build_report_asset()]
    return dg.Definitions(
        assets=[*assets, *build_asset_checks()],
        jobs=[
            dg.define_asset_job(
                "daily",
                dg.AssetSelection.all(),
                description="Loads the days of the run from every source, then transforms and checks them.",
            ),
            dg.define_asset_job(
                "rebuild",
                # With the checks of the raw tables, which stop a daily run from publishing wrong records.
                dg.AssetSelection.all() - dg.AssetSelection.assets(*raw_tables)
                | dg.AssetSelection.checks_for_assets(*raw_tables),
                description="Transforms and checks the loaded days again; sends no request to a source.",
            ),
        ],
        schedules=[build_schedule(settings)],
        resources=build_resources(settings),
        loggers={"console": run_logger(settings.log_format)},
        # In one process: DuckDB has a single writer, and starting a process takes longer than most steps.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Settings.from_environment())
