"""A job with as many empty assets as the daily job has steps, to measure the overhead of Dagster.

Run with `dagster job execute -m`, with the same home, logger and executor.
"""

from __future__ import annotations

import os

import dagster as dg

from ai_usage_assets.logs.run_logger import run_logger

_PARTITIONS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2027-01-02", timezone="UTC")
STEPS = int(os.environ["BENCH_STEPS"])


def _empty(number: int) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"empty_{number}",
        deps=[f"empty_{number - 1}"] if number else [],
        partitions_def=_PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def run() -> None:
        """Does nothing."""

    return run


defs = dg.Definitions(
    assets=[_empty(number) for number in range(STEPS)],
    jobs=[dg.define_asset_job("daily", dg.AssetSelection.all())],
    loggers={"console": run_logger("console")},
    executor=dg.in_process_executor,
)
