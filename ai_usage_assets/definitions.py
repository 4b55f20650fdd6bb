"""The code location on one screen: what exists, wired to what.

Belongs here: putting assets, checks, jobs and resources together. Does not: what any of them does.
"""

from __future__ import annotations

import gc
import warnings

import dagster as dg

from ai_usage_assets import catalog
from ai_usage_assets.defs.asset_checks import asset_checks
from ai_usage_assets.defs.raw_assets import build_raw_assets
from ai_usage_assets.defs.report_asset import report
from ai_usage_assets.defs.resources import resources
from ai_usage_assets.defs.sheet_asset import mapping_sheet
from ai_usage_assets.defs.sql_assets import model_assets
from ai_usage_assets.logs.run_logger import run_logger
from ai_usage_assets.settings import Settings

# Single-run backfills are what makes a range of days one run with one exit code; the warning comes once per asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything there is, for these settings."""
    partitions = dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        # The clock's own end is UTC yesterday; a clock that is held still ends there too.
        end_date=settings.now().date().isoformat() if settings.fixed_now else None,
        timezone="UTC",
    )
    landed = dg.AssetSelection.assets(*(table.name for table in catalog.raw()))
    return dg.Definitions(
        assets=[*build_raw_assets(partitions), mapping_sheet, *model_assets(partitions), report],
        asset_checks=asset_checks(),
        jobs=[
            dg.define_asset_job(
                "daily",
                dg.AssetSelection.all(),
                description="Pulls every vendor for the days of the run, lands, builds and checks them.",
            ),
            dg.define_asset_job(
                "rebuild",
                # With the checks of what was landed: what must not be published must not be by this way either.
                dg.AssetSelection.all() - landed
                | dg.AssetSelection.checks_for_assets(*(table.name for table in catalog.raw())),
                description="Builds and checks everything after the raw tables again; asks no vendor.",
            ),
        ],
        resources=resources(settings),
        loggers={"console": run_logger(settings.log_format)},
        # One process: the embedded warehouse has one writer, and steps are short (12 steps: 2 s instead of 26 s).
        executor=dg.in_process_executor,
    )


defs = build_definitions(Settings.from_environment())
# What is loaded by now stays: a collection walks only through what the run makes (5 % of a run's time).
gc.freeze()
