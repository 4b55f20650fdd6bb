"""`ai-usage run`: loads, transforms and checks finished UTC days.

The command validates the days and then executes `dagster job execute`, which itself accepts unfinished days, future
days and empty ranges.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    SOURCE_SETTINGS,
    WAREHOUSE_SETTINGS,
    add_command,
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


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(
        commands,
        "run",
        _run,
        summary="load, transform and check finished UTC days",
        example="ai-usage run --day 2026-11-19 --days 1",
        settings=(
            *RUN_SETTINGS,
            "AI_USAGE_REPORT",
            "AI_USAGE_DIGEST",
            "AI_USAGE_DIGEST_WEBHOOK",
            "AI_USAGE_DIGEST_PEOPLE",
        ),
    )
    parser.add_argument(
        "--day", default="yesterday", help="last day to load, in UTC: yesterday (default) or YYYY-MM-DD"
    )
    parser.add_argument(
        "--days",
        type=int,
        default=days.TRAILING_DAYS,
        help=f"number of days, ending with --day (default {days.TRAILING_DAYS}: the days that vendors can restate)",
    )
    parser.add_argument(
        "--job",
        choices=("daily", "rebuild"),
        default="daily",
        help="daily (default), or rebuild: transform loaded days again without requests to vendors",
    )
    parser.add_argument(
        "--accept-loss", action="store_true", help="let an empty day or a shorter sheet tab replace loaded data"
    )
    parser.add_argument("--if-missing", action="store_true", help="do nothing if a successful run loaded these days")
    parser.add_argument("--dry-run", action="store_true", help="only print the days and the Dagster command")


def _run(parsed: argparse.Namespace) -> int:
    settings = load_settings()
    run_days = days.trailing_range(settings.now(), settings.start_date, day=parsed.day, days=parsed.days)
    if parsed.if_missing and _is_loaded(settings, run_days, parsed.job):
        return 0
    command = job_command(settings, run_days, parsed.job, accept_loss=parsed.accept_loss)
    announce(settings, parsed.job, run_days, [command])
    if not parsed.dry_run:
        prepare_warehouse(settings)
        command.exec()
    return 0


def _is_loaded(settings: Settings, run_days: days.DayRange, job: str) -> bool:
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import open_warehouse

    warehouse = open_warehouse(settings, read_only=True)
    run = run_log.find_covering_run(warehouse, job, run_days)
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
    from ai_usage_assets import catalog
    from ai_usage_assets.http.transport import describe_proxy
    from ai_usage_assets.warehouse.factory import open_warehouse

    for base_url in settings.base_urls_in_use:
        describe_proxy(base_url)
    warehouse = open_warehouse(settings)
    warehouse.prepare(catalog.tables())
    warehouse.close()
