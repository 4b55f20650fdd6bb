"""`ai-usage status`: which days are loaded, why others are not, the last runs and their failed checks."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    add_command,
    check_range,
    load_settings,
    open_existing_warehouse,
    result_console,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ai_usage_assets.warehouse.base import Warehouse


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(
        commands,
        "status",
        _print_status,
        summary="show which days are loaded, the last runs and their failed checks",
        example="ai-usage status --days 14",
        settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS),
    )
    parser.add_argument(
        "--days", type=int, default=40, help="number of days, ending with the last finished day (default 40)"
    )


def _print_status(parsed: argparse.Namespace) -> int:
    settings = load_settings()
    check_range("--days", parsed.days, days.MAX_DAYS)
    print_status(open_existing_warehouse(settings), result_console(), day_count=parsed.days)
    return 0


def print_status(warehouse: Warehouse, console: Console, *, day_count: int) -> None:
    """Prints the grid of days, what failed, and the last runs."""
    from ai_usage_assets.commands.day_grid import day_grid, failures, legend, visible_day_count
    from ai_usage_assets.commands.last_runs import print_last_runs

    rows = warehouse.rows("SELECT * FROM ai_usage.kpi_completeness ORDER BY vendor, asset, usage_date")
    if not rows:
        console.print("No run has loaded anything yet: `ai-usage run`.")
        print_last_runs(warehouse, console)
        return
    # `as_of_date` is NULL until a run has built the calendar.
    as_of_dates = [row["as_of_date"] for row in rows if row["as_of_date"]]
    last = max(as_of_dates) - timedelta(days=1) if as_of_dates else max(row["usage_date"] for row in rows)
    visible = min(day_count, visible_day_count(console.width))
    console.print(day_grid(rows, last - timedelta(days=visible - 1), last))
    console.print(legend())
    for line in failures(rows, last - timedelta(days=day_count - 1)):
        console.print(line)
    print_last_runs(warehouse, console)
