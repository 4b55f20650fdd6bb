"""A job with one empty asset, to measure what any Dagster job costs.

Run with `dagster job execute -m`, with the same home, logger and executor as the daily job.
"""

from __future__ import annotations

import dagster as dg

from ai_usage_assets.logs.run_logger import run_logger


@dg.asset(
    partitions_def=dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2027-01-02", timezone="UTC"),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def empty() -> None:
    """Does nothing."""


defs = dg.Definitions(
    assets=[empty],
    jobs=[dg.define_asset_job("daily", dg.AssetSelection.all())],
    loggers={"console": run_logger("console")},
    executor=dg.in_process_executor,
)
