"""`ai-usage run`: loads, transforms and checks finished UTC days.

The command validates the days and then executes `dagster job execute`, which itself accepts unfinished days, future
days and empty ranges.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    SOURCE_SETTINGS,
    WAREHOUSE_SETTINGS,
    WholeNumber,
    create_command,
    load_settings,
    print_message,
)
from ai_usage_assets.commands.launch import DagsterCommand, job_command
from ai_usage_assets.registry import KEY_VARIABLES_TEXT
from ai_usage_assets.rendering.text import format_count

if TYPE_CHECKING:
    from ai_usage_assets.settings import Settings
    from ai_usage_assets.warehouse.base import Row

RUN_SETTINGS = (
    *SOURCE_SETTINGS, *WAREHOUSE_SETTINGS, *DAY_SETTINGS, "AI_USAGE_ACCEPT_LOSS", "AI_USAGE_LOGS", "DAGSTER_HOME",
    "DAGSTER_PG_URL",
)  # fmt: skip


app = create_command(
    "run",
    example="ai-usage run --day 2026-11-19 --days 1",
    settings=(
        *RUN_SETTINGS,
        "AI_USAGE_REPORT",
        "AI_USAGE_DIGEST",
        "AI_USAGE_DIGEST_WEBHOOK",
        "AI_USAGE_DIGEST_PEOPLE",
    ),
)


@app.default
def _run(
    *,
    day: Annotated[
        str, Parameter(metavar="DAY", help="last day to load, in UTC: yesterday or YYYY-MM-DD")
    ] = "yesterday",
    day_count: Annotated[
        WholeNumber,
        Parameter(
            name="--days",
            help="number of days, ending with --day; the default covers the days that vendors can still restate",
        ),
    ] = days.TRAILING_DAYS,
    job: Annotated[
        Literal["daily", "rebuild"],
        Parameter(metavar="JOB", help="rebuild transforms and checks loaded days again, without a request to a vendor"),
    ] = "daily",
    accept_loss: Annotated[bool, Parameter(help="let an empty day or a shorter sheet tab replace loaded data")] = False,
    if_missing: Annotated[bool, Parameter(help="do nothing if a successful run loaded these days")] = False,
    dry_run: Annotated[bool, Parameter(help="only print the days and the Dagster command")] = False,
) -> int:
    """Load, transform and check finished UTC days."""
    settings = load_settings()
    run_days = days.trailing_range(settings.now(), settings.start_date, day=day, days=day_count)
    if if_missing and _is_loaded(settings, run_days, job):
        return 0
    command = job_command(settings, run_days, job, accept_loss=accept_loss)
    announce(settings, job, run_days, [command])
    if not dry_run:
        prepare_warehouse(settings)
        command.exec()
    return 0


def _is_loaded(settings: Settings, run_days: days.DayRange, job: str) -> bool:
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import open_warehouse

    warehouse = open_warehouse(settings, read_only=True)
    run = run_log.find_covering_run(warehouse, job, run_days) if run_log.exists(warehouse) else None
    warehouse.close()
    if run:
        ended = f"run {run['run_id'][:8]}, which ended {finish_time(run)}"
        print_message(f"{job}: {run_days} was loaded by {ended}. Nothing to do.")
    return run is not None


def finish_time(run: Row) -> str:
    """When a run ended, for a message."""
    return f"{run['finished_at']:%Y-%m-%d %H:%M} UTC"


def announce(settings: Settings, name: str, run_days: days.DayRange, commands: Sequence[DagsterCommand]) -> None:
    """Prints what is about to run."""
    print_message(f"{name}: {run_days} (UTC), {format_count(len(run_days), 'day')}, into {settings.warehouse_location}")
    for command in commands:
        print_message(f"$ {command}", style="dim")
    if name != "rebuild" and not settings.configured_sources:
        print_message(f"No vendor is configured, so no usage is loaded. Set {KEY_VARIABLES_TEXT}.", logging.WARNING)


def prepare_warehouse(settings: Settings) -> None:
    """Creates the tables. Raises an OperatorError for a proxy or a warehouse that Dagster would fail on later."""
    from ai_usage_assets import transform
    from ai_usage_assets.http.transport import describe_proxy
    from ai_usage_assets.warehouse.factory import open_warehouse

    for base_url in settings.base_urls_in_use:
        describe_proxy(base_url)
    warehouse = open_warehouse(settings)
    transform.prepare_warehouse(warehouse, settings)
    warehouse.close()
